//! The bytes of one value exactly as they stand.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

#[cfg(feature = "serde")]
use crate::MAX_INPUT_LENGTH;
use crate::{DecodeError, Options, Reader, Trailing};

/// The name by which the serde halves of this crate know a [`Raw`] or [`RawBuf`].
#[cfg(feature = "serde")]
pub(crate) const RAW_NAME: &str = "$rarest_bencode::Raw";

/// The bytes of exactly one well-formed value, borrowed, exactly as they stand in their input.
///
/// What an info-hash is computed from. Made only by decoding; the bytes may be anything that lenient decoding accepts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Raw<'input>(&'input [u8]);

impl<'input> Raw<'input> {
    /// Checks that `bytes` are one value, within the default limits; it need not be canonical.
    ///
    /// # Errors
    /// What is wrong with the bytes, and where.
    pub fn parse(bytes: &'input [u8]) -> Result<Self, DecodeError> {
        Self::parse_with(bytes, &Options::lenient())
    }

    /// Checks that `bytes` are one value.
    ///
    /// # Errors
    /// What is wrong with the bytes, and where. Bytes behind the value are always wrong.
    pub fn parse_with(bytes: &'input [u8], options: &Options) -> Result<Self, DecodeError> {
        let options = options.trailing(Trailing::Refuse);
        let mut reader = Reader::with_options(bytes, &options);
        reader.skip()?;
        reader.next_event()?;
        Ok(Self(bytes))
    }

    /// Checks that `bytes` are one value, for bytes whose size and depth others have judged.
    #[cfg(feature = "serde")]
    pub(crate) fn parse_unlimited(bytes: &'input [u8]) -> Result<Self, DecodeError> {
        let options = Options::lenient()
            .max_depth(u16::MAX)
            .max_items(u32::MAX)
            .max_input_length(MAX_INPUT_LENGTH);
        Self::parse_with(bytes, &options)
    }

    /// `bytes` are known to be one value.
    pub(crate) fn from_checked(bytes: &'input [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(self) -> &'input [u8] {
        self.0
    }

    /// A copy that owns its bytes.
    #[must_use]
    pub fn to_buf(self) -> RawBuf {
        RawBuf(self.0.into())
    }
}

impl AsRef<[u8]> for Raw<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl Deref for Raw<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

/// The bytes, shortened, with those that are no ASCII escaped.
impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 120;
        write!(f, "{}", self.0[..self.0.len().min(SHOWN)].escape_ascii())?;
        match self.0.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "... and {more} bytes"),
        }
    }
}

/// The bytes of exactly one well-formed value, owned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawBuf(Vec<u8>);

impl RawBuf {
    /// Checks that `bytes` are one value, within the default limits; it need not be canonical.
    ///
    /// # Errors
    /// What is wrong with the bytes, and where.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        Raw::parse(&bytes)?;
        Ok(Self(bytes))
    }

    /// The same bytes, borrowed.
    #[must_use]
    pub fn as_raw(&self) -> Raw<'_> {
        Raw(&self.0)
    }

    /// The bytes alone.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl AsRef<[u8]> for RawBuf {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for RawBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RawBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_raw(), f)
    }
}
