//! Deserializing with serde: one pass over a reader, byte strings borrowed where the type allows.

use alloc::string::{String, ToString};
use core::fmt;

use serde::de::{self, Deserialize, Unexpected, Visitor};

mod name;

use self::name::BorrowedName;
use crate::raw::RAW_NAME;
use crate::{DecodeError, Event, Int, Kind, Options, Raw, RawBuf, Reader};

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

impl de::Error for DeserializeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // The place is known to the deserializer alone, which sets it where the error comes by.
        let (message, offset) = (message.to_string(), usize::MAX);
        Self::Type { message, offset }
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
    let mut reader = Reader::with_options(input, &options);
    let value = T::deserialize(Value {
        reader: &mut reader,
    })
    .map_err(|error| match error {
        DeserializeError::Type { message, .. } => DeserializeError::Type {
            message,
            offset: reader.offset(),
        },
        error @ DeserializeError::Decode(_) => error,
    })?;
    reader.next_event()?;
    Ok(value)
}

/// The next value of a reader, which is known not to stand at an end.
struct Value<'reader, 'input> {
    reader: &'reader mut Reader<'input>,
}

impl<'input> Value<'_, 'input> {
    fn event(&mut self) -> Result<Event<'input>, DeserializeError> {
        let event = self.reader.next_event()?;
        event.ok_or_else(|| de::Error::custom("no value is left"))
    }

    fn invalid_type<T>(
        event: Event<'input>,
        expected: &dyn de::Expected,
    ) -> Result<T, DeserializeError> {
        let unexpected = match event {
            Event::Int(int) => match (int.to_u64(), int.to_i64()) {
                (Some(number), _) => Unexpected::Unsigned(number),
                (None, Some(number)) => Unexpected::Signed(number),
                (None, None) => Unexpected::Other("integer of more than 64 bits"),
            },
            Event::Bytes(bytes) | Event::Key(bytes) => match core::str::from_utf8(bytes) {
                Ok(text) => Unexpected::Str(text),
                Err(_) => Unexpected::Bytes(bytes),
            },
            Event::List => Unexpected::Seq,
            Event::Dict => Unexpected::Map,
            Event::End => Unexpected::Other("end"),
        };
        Err(de::Error::invalid_type(unexpected, expected))
    }

    /// Visits the items of a list whose beginning was read, and reads its end.
    fn list<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        let reader = self.reader;
        let value = visitor.visit_seq(Items { reader })?;
        match reader.next_event()? {
            Some(Event::End) => Ok(value),
            _ => Err(de::Error::custom("the list has more items than expected")),
        }
    }

    /// Visits the entries of a dictionary whose beginning was read, and reads its end.
    fn dict<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        let reader = self.reader;
        let value = visitor.visit_map(Entries { reader })?;
        match reader.next_event()? {
            Some(Event::End) => Ok(value),
            _ => Err(de::Error::custom(
                "the dictionary has more entries than expected",
            )),
        }
    }
}

fn visit_int<'input, V: Visitor<'input>>(
    int: Int<'_>,
    visitor: V,
) -> Result<V::Value, DeserializeError> {
    if let Some(number) = int.to_u64() {
        visitor.visit_u64(number)
    } else if let Some(number) = int.to_i64() {
        visitor.visit_i64(number)
    } else if let Some(number) = int.to_i128() {
        visitor.visit_i128(number)
    } else {
        Err(de::Error::custom("the integer does not fit into 128 bits"))
    }
}

impl<'input> de::Deserializer<'input> for Value<'_, 'input> {
    type Error = DeserializeError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'input>>(
        mut self,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        match self.event()? {
            Event::Int(int) => visit_int(int, visitor),
            Event::Bytes(bytes) | Event::Key(bytes) => visitor.visit_borrowed_bytes(bytes),
            Event::List => self.list(visitor),
            Event::Dict => self.dict(visitor),
            Event::End => Self::invalid_type(Event::End, &visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'input>>(
        mut self,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        match self.event()? {
            Event::Int(int) if int.to_u64() == Some(0) => visitor.visit_bool(false),
            Event::Int(int) if int.to_u64() == Some(1) => visitor.visit_bool(true),
            event => Self::invalid_type(event, &visitor),
        }
    }

    fn deserialize_str<V: Visitor<'input>>(
        mut self,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        match self.event()? {
            Event::Bytes(bytes) | Event::Key(bytes) => match core::str::from_utf8(bytes) {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => Self::invalid_type(Event::Bytes(bytes), &visitor),
            },
            event => Self::invalid_type(event, &visitor),
        }
    }

    fn deserialize_string<V: Visitor<'input>>(
        self,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'input>>(
        self,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        self.deserialize_str(visitor)
    }

    /// An integer would be taken for a float, and might lose digits.
    fn deserialize_f32<V: Visitor<'input>>(
        mut self,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        Self::invalid_type(self.event()?, &visitor)
    }

    fn deserialize_f64<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        self.deserialize_f32(visitor)
    }

    fn deserialize_option<V: Visitor<'input>>(
        self,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'input>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        if name != RAW_NAME {
            return visitor.visit_newtype_struct(self);
        }
        match self.reader.skip()? {
            Some(raw) => visitor.visit_borrowed_bytes(raw.as_bytes()),
            None => Err(de::Error::custom("no value is left")),
        }
    }

    fn deserialize_enum<V: Visitor<'input>>(
        mut self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        if self.reader.peek() != Some(Kind::Dict) {
            return match self.event()? {
                Event::Bytes(name) => visitor.visit_enum(BorrowedName(name)),
                event => Self::invalid_type(event, &visitor),
            };
        }
        self.event()?;
        let reader = self.reader;
        let value = visitor.visit_enum(Variant { reader })?;
        match reader.next_event()? {
            Some(Event::End) => Ok(value),
            _ => Err(de::Error::custom(
                "the dictionary of an enum has more than one entry",
            )),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'input>>(
        self,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        self.reader.skip()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'input>>
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

/// The one entry of a dictionary that stands for an enum.
struct Variant<'reader, 'input> {
    reader: &'reader mut Reader<'input>,
}

impl<'input> de::EnumAccess<'input> for Variant<'_, 'input> {
    type Error = DeserializeError;
    type Variant = Self;

    fn variant_seed<S: de::DeserializeSeed<'input>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self), DeserializeError> {
        match self.reader.next_event()? {
            Some(Event::Key(name)) => Ok((seed.deserialize(BorrowedName(name))?, self)),
            _ => Err(de::Error::custom("the dictionary of an enum is empty")),
        }
    }
}

impl<'input> de::VariantAccess<'input> for Variant<'_, 'input> {
    type Error = DeserializeError;

    fn unit_variant(self) -> Result<(), DeserializeError> {
        Err(de::Error::custom("the variant takes no value"))
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'input>>(
        self,
        seed: S,
    ) -> Result<S::Value, DeserializeError> {
        let reader = self.reader;
        seed.deserialize(Value { reader })
    }

    fn tuple_variant<V: Visitor<'input>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        let reader = self.reader;
        de::Deserializer::deserialize_seq(Value { reader }, visitor)
    }

    fn struct_variant<V: Visitor<'input>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        let reader = self.reader;
        de::Deserializer::deserialize_map(Value { reader }, visitor)
    }
}

struct Items<'reader, 'input> {
    reader: &'reader mut Reader<'input>,
}

impl<'input> de::SeqAccess<'input> for Items<'_, 'input> {
    type Error = DeserializeError;

    fn next_element_seed<S: de::DeserializeSeed<'input>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        if self.reader.is_at_end() {
            return Ok(None);
        }
        let reader = &mut *self.reader;
        seed.deserialize(Value { reader }).map(Some)
    }
}

struct Entries<'reader, 'input> {
    reader: &'reader mut Reader<'input>,
}

impl<'input> de::MapAccess<'input> for Entries<'_, 'input> {
    type Error = DeserializeError;

    fn next_key_seed<S: de::DeserializeSeed<'input>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DeserializeError> {
        if self.reader.is_at_end() {
            return Ok(None);
        }
        match self.reader.next_event()? {
            Some(Event::Key(key)) => seed.deserialize(BorrowedName(key)).map(Some),
            _ => Ok(None),
        }
    }

    fn next_value_seed<S: de::DeserializeSeed<'input>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, DeserializeError> {
        let reader = &mut *self.reader;
        seed.deserialize(Value { reader })
    }
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
