//! Deserializing with serde: one pass over the input, byte strings borrowed where the type allows.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;

use serde::de::{self, Deserialize, Visitor};

mod text;
mod value;

use self::value::Value;
use crate::cursor::{Cursor, Refused};
use crate::raw::RAW_NAME;
use crate::{DecodeError, Options, Raw, RawBuf};

/// Most containers inside each other, whatever the options allow: serde calls itself for each, and the stack has an end.
pub const MAX_SERDE_DEPTH: u16 = 128;

/// Why a value could not be deserialized.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeserializeError {
    /// The input is not what the options ask for.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The input is well formed, but not of the wanted type.
    #[error("{message}, at byte {offset}")]
    Type {
        /// What does not fit.
        message: String,
        /// Behind which byte of the input it was noticed.
        offset: usize,
    },
}

/// A [`DeserializeError`] on its way out: one word, as each step of serde hands a result on.
#[derive(Debug)]
enum Failure {
    /// The input was refused; the cursor knows why.
    Refused,
    /// The input is well formed, but not of the wanted type.
    Type(Box<Mismatch>),
}

/// What does not fit, in words.
#[derive(Debug)]
struct Mismatch(String);

impl From<Refused> for Failure {
    #[inline]
    fn from(_: Refused) -> Self {
        Self::Refused
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the input was refused",
            Self::Type(mismatch) => &mismatch.0,
        })
    }
}

impl de::StdError for Failure {}

impl de::Error for Failure {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Type(Box::new(Mismatch(message.to_string())))
    }
}

/// Deserializes canonical input that is wholly one value, within the default limits.
///
/// Integers fit the integer types of Rust and `bool` (0 or 1); byte strings fit `str`, `String` and, through the crate `serde_bytes`,
/// slices and vectors of bytes; dictionaries fit structs and maps, where an absent key is `None`; an enum is
/// the name of its variant or a dictionary of one entry. There are no floats and no null.
///
/// ```
/// # use serde::Deserialize;
/// use rarest_bencode::Raw;
///
/// #[derive(Deserialize)]
/// struct Torrent<'a> {
///     announce: Option<&'a str>,
///     #[serde(borrow)]
///     info: Raw<'a>,
/// }
///
/// let torrent: Torrent = rarest_bencode::from_bytes(b"d4:infod6:lengthi5eee")?;
/// assert_eq!(torrent.info.as_bytes(), b"d6:lengthi5ee");
/// assert_eq!(torrent.announce, None);
/// # Ok::<(), rarest_bencode::DeserializeError>(())
/// ```
///
/// # Errors
/// What is wrong with the input, or does not fit the type, and where.
pub fn from_bytes<'input, T: Deserialize<'input>>(
    input: &'input [u8],
) -> Result<T, DeserializeError> {
    from_bytes_with(input, &Options::canonical())
}

/// Deserializes the value at the start of `input`.
///
/// Where lenient options accept a key twice, a struct refuses it and a map keeps the last.
///
/// # Errors
/// What is wrong with the input, or does not fit the type, and where.
pub fn from_bytes_with<'input, T: Deserialize<'input>>(
    input: &'input [u8],
    options: &Options,
) -> Result<T, DeserializeError> {
    let options = options.max_depth(options.max_depth.min(MAX_SERDE_DEPTH));
    let mut cursor = Cursor::new(input, &options);
    // What these give is in the cursor as well. Refused input stays refused, though a visitor may drop an error and go on.
    let result = cursor
        .check_length()
        .map_err(Failure::from)
        .and_then(|()| T::deserialize(Value::root(&mut cursor)));
    if result.is_ok() {
        let _ = cursor.check_trailing();
    }
    if let Some(error) = cursor.error() {
        return Err(error.into());
    }
    result.map_err(|failure| DeserializeError::Type {
        message: failure.to_string(),
        offset: cursor.offset(),
    })
}

/// Captures the bytes of a value; works only with [`from_bytes`] and [`from_bytes_with`].
impl<'de: 'input, 'input> Deserialize<'de> for Raw<'input> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a bencoded value")
            }

            fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Raw<'de>, E> {
                // Our deserializer has checked them, but any other may hand over bytes as well.
                Raw::parse_unlimited(bytes).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_newtype_struct(RAW_NAME, RawVisitor)
    }
}

/// Captures the bytes of a value; works only with [`from_bytes`] and [`from_bytes_with`].
impl<'de> Deserialize<'de> for RawBuf {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Raw::deserialize(deserializer).map(Raw::to_buf)
    }
}
