//! Serializing with serde: dictionaries come out sorted, absent options are left out.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::ser::{self, Error as _, Serialize};

mod key;

use self::key::KeySerializer;
use crate::raw::RAW_NAME;
use crate::writer::buffer::{Buffer, OpenDict, OpenEntry};
use crate::{DuplicateKey, Integer, Raw, RawBuf};

/// Why a value could not be serialized.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerializeError {
    /// A map or a flattened struct gave a key twice.
    #[error(transparent)]
    DuplicateKey(#[from] DuplicateKey),
    /// Bencode has no such type.
    #[error("bencode cannot hold {what}")]
    Unsupported {
        /// The type.
        what: &'static str,
    },
    /// The `Serialize` of a type refused.
    #[error("{message}")]
    Custom {
        /// Its reason.
        message: String,
    },
}

impl ser::Error for SerializeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        Self::Custom { message }
    }
}

fn unsupported<T>(what: &'static str) -> Result<T, SerializeError> {
    Err(SerializeError::Unsupported { what })
}

/// Serializes a value canonically.
///
/// The types are those of [`from_bytes`](crate::from_bytes); `None` is left out of structs and maps, and refused elsewhere.
///
/// # Errors
/// A float, `None` or `()` outside of a dictionary, a key that is no text or byte string, a key given twice.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, SerializeError> {
    let mut buffer = Buffer::default();
    serialize_present(value, &mut buffer)?;
    Ok(buffer.finish()?)
}

/// Serializes a value that must not be `None` or `()`.
fn serialize_present<T: Serialize + ?Sized>(
    value: &T,
    buffer: &mut Buffer,
) -> Result<(), SerializeError> {
    let before = buffer.length();
    value.serialize(Serializer::new(buffer))?;
    if buffer.length() == before {
        return unsupported("nothing, outside of a dictionary");
    }
    Ok(())
}

/// Appends one value to the buffer, or nothing for `None` and `()`.
struct Serializer<'buffer> {
    buffer: &'buffer mut Buffer,
    /// Whether bytes are an encoded value rather than the content of a byte string.
    bytes_are_raw: bool,
}

impl<'buffer> Serializer<'buffer> {
    fn new(buffer: &'buffer mut Buffer) -> Self {
        let bytes_are_raw = false;
        Self {
            buffer,
            bytes_are_raw,
        }
    }

    fn int(self, value: impl Integer) -> Result<(), SerializeError> {
        self.buffer.int(value.to_i128());
        Ok(())
    }

    fn list(self) -> Items<'buffer> {
        self.buffer.begin_list();
        let (buffer, variant) = (self.buffer, None);
        Items { buffer, variant }
    }

    fn dict(self) -> Entries<'buffer> {
        let dict = self.buffer.begin_dict();
        Entries {
            buffer: self.buffer,
            dict,
            entry: None,
            variant: None,
        }
    }
}

impl<'buffer> ser::Serializer for Serializer<'buffer> {
    type Ok = ();
    type Error = SerializeError;
    type SerializeSeq = Items<'buffer>;
    type SerializeTuple = Items<'buffer>;
    type SerializeTupleStruct = Items<'buffer>;
    type SerializeTupleVariant = Items<'buffer>;
    type SerializeMap = Entries<'buffer>;
    type SerializeStruct = Entries<'buffer>;
    type SerializeStructVariant = Entries<'buffer>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), SerializeError> {
        self.int(u8::from(value))
    }

    fn serialize_i8(self, value: i8) -> Result<(), SerializeError> {
        self.int(value)
    }

    fn serialize_i16(self, value: i16) -> Result<(), SerializeError> {
        self.int(value)
    }

    fn serialize_i32(self, value: i32) -> Result<(), SerializeError> {
        self.int(value)
    }

    fn serialize_i64(self, value: i64) -> Result<(), SerializeError> {
        self.int(value)
    }

    fn serialize_i128(self, value: i128) -> Result<(), SerializeError> {
        self.int(value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), SerializeError> {
        self.int(value)
    }

    fn serialize_u16(self, value: u16) -> Result<(), SerializeError> {
        self.int(value)
    }

    fn serialize_u32(self, value: u32) -> Result<(), SerializeError> {
        self.int(value)
    }

    fn serialize_u64(self, value: u64) -> Result<(), SerializeError> {
        self.int(value)
    }

    fn serialize_u128(self, value: u128) -> Result<(), SerializeError> {
        match i128::try_from(value) {
            Ok(value) => self.int(value),
            Err(_) => unsupported("an integer of more than 128 bits"),
        }
    }

    fn serialize_f32(self, _value: f32) -> Result<(), SerializeError> {
        unsupported("floats")
    }

    fn serialize_f64(self, _value: f64) -> Result<(), SerializeError> {
        unsupported("floats")
    }

    fn serialize_char(self, value: char) -> Result<(), SerializeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), SerializeError> {
        self.buffer.byte_string(value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), SerializeError> {
        if self.bytes_are_raw {
            self.buffer.raw(value);
        } else {
            self.buffer.byte_string(value);
        }
        Ok(())
    }

    fn serialize_none(self) -> Result<(), SerializeError> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), SerializeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), SerializeError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), SerializeError> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), SerializeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), SerializeError> {
        self.bytes_are_raw = name == RAW_NAME;
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), SerializeError> {
        let outer = self.dict();
        let entry = outer.buffer.begin_entry(variant.as_bytes());
        serialize_present(value, outer.buffer)?;
        outer.buffer.end_entry(entry);
        ser::SerializeMap::end(outer)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Items<'buffer>, SerializeError> {
        Ok(self.list())
    }

    fn serialize_tuple(self, _length: usize) -> Result<Items<'buffer>, SerializeError> {
        Ok(self.list())
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Items<'buffer>, SerializeError> {
        Ok(self.list())
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Items<'buffer>, SerializeError> {
        let around = Around::begin(self.buffer, variant);
        let mut items = Serializer::new(self.buffer).list();
        items.variant = Some(around);
        Ok(items)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Entries<'buffer>, SerializeError> {
        Ok(self.dict())
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Entries<'buffer>, SerializeError> {
        Ok(self.dict())
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Entries<'buffer>, SerializeError> {
        let around = Around::begin(self.buffer, variant);
        let mut entries = Serializer::new(self.buffer).dict();
        entries.variant = Some(around);
        Ok(entries)
    }
}

/// The dictionary of one entry around the content of an enum's variant.
struct Around {
    dict: OpenDict,
    entry: OpenEntry,
}

impl Around {
    fn begin(buffer: &mut Buffer, variant: &'static str) -> Self {
        let dict = buffer.begin_dict();
        let entry = buffer.begin_entry(variant.as_bytes());
        Self { dict, entry }
    }

    fn end(self, buffer: &mut Buffer) {
        buffer.end_entry(self.entry);
        buffer.end_dict(self.dict);
    }
}

/// A list that is being filled.
struct Items<'buffer> {
    buffer: &'buffer mut Buffer,
    variant: Option<Around>,
}

impl ser::SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = SerializeError;

    fn serialize_element<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
    ) -> Result<(), SerializeError> {
        serialize_present(value, self.buffer)
    }

    fn end(self) -> Result<(), SerializeError> {
        self.buffer.end_list();
        if let Some(variant) = self.variant {
            variant.end(self.buffer);
        }
        Ok(())
    }
}

macro_rules! items_like_a_sequence {
    ($($trait:ident $serialize:ident)*) => {$(
        impl ser::$trait for Items<'_> {
            type Ok = ();
            type Error = SerializeError;

            fn $serialize<T: Serialize + ?Sized>(
                &mut self,
                value: &T,
            ) -> Result<(), SerializeError> {
                ser::SerializeSeq::serialize_element(self, value)
            }

            fn end(self) -> Result<(), SerializeError> {
                ser::SerializeSeq::end(self)
            }
        }
    )*};
}

items_like_a_sequence! {
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

/// A dictionary that is being filled.
struct Entries<'buffer> {
    buffer: &'buffer mut Buffer,
    dict: OpenDict,
    /// The entry whose key was given and whose value was not.
    entry: Option<OpenEntry>,
    variant: Option<Around>,
}

impl Entries<'_> {
    fn value<T: Serialize + ?Sized>(
        &mut self,
        entry: OpenEntry,
        value: &T,
    ) -> Result<(), SerializeError> {
        value.serialize(Serializer::new(self.buffer))?;
        if self.buffer.has_value(&entry) {
            self.buffer.end_entry(entry);
        } else {
            self.buffer.cancel_entry(entry);
        }
        Ok(())
    }
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = SerializeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializeError> {
        let buffer = &mut *self.buffer;
        self.entry = Some(key.serialize(KeySerializer { buffer })?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        match self.entry.take() {
            Some(entry) => self.value(entry, value),
            None => Err(SerializeError::custom("a value was given without its key")),
        }
    }

    fn end(self) -> Result<(), SerializeError> {
        if self.entry.is_some() {
            return Err(SerializeError::custom("a key was given without a value"));
        }
        self.buffer.end_dict(self.dict);
        if let Some(variant) = self.variant {
            variant.end(self.buffer);
        }
        Ok(())
    }
}

macro_rules! entries_like_a_map {
    ($($trait:ident)*) => {$(
        impl ser::$trait for Entries<'_> {
            type Ok = ();
            type Error = SerializeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), SerializeError> {
                let entry = self.buffer.begin_entry(name.as_bytes());
                self.value(entry, value)
            }

            fn end(self) -> Result<(), SerializeError> {
                ser::SerializeMap::end(self)
            }
        }
    )*};
}

entries_like_a_map!(SerializeStruct SerializeStructVariant);

/// What a [`Raw`] shows of itself to a serializer that does not know it: its bytes.
struct RawBytes<'input>(&'input [u8]);

impl Serialize for RawBytes<'_> {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Puts the bytes in as they stand; to a serializer other than [`to_vec`] they are bytes like any.
impl Serialize for Raw<'_> {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(RAW_NAME, &RawBytes(self.as_bytes()))
    }
}

/// Puts the bytes in as they stand; to a serializer other than [`to_vec`] they are bytes like any.
impl Serialize for RawBuf {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_raw().serialize(serializer)
    }
}
