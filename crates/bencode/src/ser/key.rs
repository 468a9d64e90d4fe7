//! Keys of maps: text and bytes, nothing else.

use serde::ser::{self, Impossible, Serialize};

use super::{SerializeError, unsupported};
use crate::writer::buffer::{Buffer, OpenEntry};

/// Appends the key of an entry.
pub(super) struct KeySerializer<'buffer> {
    pub(super) buffer: &'buffer mut Buffer,
}

/// What a key cannot be.
const OTHER_KEY: &str = "keys other than text and bytes";

macro_rules! no_key {
    ($($serialize:ident $type:ty,)*) => {$(
        fn $serialize(self, _value: $type) -> Result<OpenEntry, SerializeError> {
            unsupported(OTHER_KEY)
        }
    )*};
}

impl ser::Serializer for KeySerializer<'_> {
    type Ok = OpenEntry;
    type Error = SerializeError;
    type SerializeSeq = Impossible<OpenEntry, SerializeError>;
    type SerializeTuple = Impossible<OpenEntry, SerializeError>;
    type SerializeTupleStruct = Impossible<OpenEntry, SerializeError>;
    type SerializeTupleVariant = Impossible<OpenEntry, SerializeError>;
    type SerializeMap = Impossible<OpenEntry, SerializeError>;
    type SerializeStruct = Impossible<OpenEntry, SerializeError>;
    type SerializeStructVariant = Impossible<OpenEntry, SerializeError>;

    fn is_human_readable(&self) -> bool {
        false
    }

    no_key! {
        serialize_bool bool,
        serialize_i8 i8,
        serialize_i16 i16,
        serialize_i32 i32,
        serialize_i64 i64,
        serialize_i128 i128,
        serialize_u8 u8,
        serialize_u16 u16,
        serialize_u32 u32,
        serialize_u64 u64,
        serialize_u128 u128,
        serialize_f32 f32,
        serialize_f64 f64,
        serialize_unit_struct &'static str,
    }

    fn serialize_char(self, value: char) -> Result<OpenEntry, SerializeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<OpenEntry, SerializeError> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<OpenEntry, SerializeError> {
        Ok(self.buffer.begin_entry(value))
    }

    fn serialize_none(self) -> Result<OpenEntry, SerializeError> {
        unsupported(OTHER_KEY)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<OpenEntry, SerializeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<OpenEntry, SerializeError> {
        unsupported(OTHER_KEY)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<OpenEntry, SerializeError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<OpenEntry, SerializeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<OpenEntry, SerializeError> {
        unsupported(OTHER_KEY)
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Self::SerializeSeq, SerializeError> {
        unsupported(OTHER_KEY)
    }

    fn serialize_tuple(self, _length: usize) -> Result<Self::SerializeTuple, SerializeError> {
        unsupported(OTHER_KEY)
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleStruct, SerializeError> {
        unsupported(OTHER_KEY)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleVariant, SerializeError> {
        unsupported(OTHER_KEY)
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Self::SerializeMap, SerializeError> {
        unsupported(OTHER_KEY)
    }

    fn serialize_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeStruct, SerializeError> {
        unsupported(OTHER_KEY)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeStructVariant, SerializeError> {
        unsupported(OTHER_KEY)
    }
}
