//! Keys, and variants of an enum that are only their name.

use serde::de::{self, Unexpected, Visitor};

use super::DeserializeError;

/// A key, or the name of a variant that stands alone. Both may be asked for as text or as bytes.
pub(super) struct BorrowedName<'input>(pub(super) &'input [u8]);

impl<'input> de::Deserializer<'input> for BorrowedName<'input> {
    type Error = DeserializeError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        visitor.visit_borrowed_bytes(self.0)
    }

    fn deserialize_str<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        match core::str::from_utf8(self.0) {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(_) => Err(de::Error::invalid_type(Unexpected::Bytes(self.0), &visitor)),
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

    fn deserialize_option<V: Visitor<'input>>(
        self,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'input>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'input>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'input>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'input> de::EnumAccess<'input> for BorrowedName<'input> {
    type Error = DeserializeError;
    type Variant = NoContent;

    fn variant_seed<S: de::DeserializeSeed<'input>>(
        self,
        seed: S,
    ) -> Result<(S::Value, NoContent), DeserializeError> {
        Ok((seed.deserialize(self)?, NoContent))
    }
}

/// The content of a variant that is only its name.
pub(super) struct NoContent;

impl<'input> de::VariantAccess<'input> for NoContent {
    type Error = DeserializeError;

    fn unit_variant(self) -> Result<(), DeserializeError> {
        Ok(())
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'input>>(
        self,
        _seed: S,
    ) -> Result<S::Value, DeserializeError> {
        Err(de::Error::custom("the variant needs a value"))
    }

    fn tuple_variant<V: Visitor<'input>>(
        self,
        _length: usize,
        _visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        Err(de::Error::custom("the variant needs a list"))
    }

    fn struct_variant<V: Visitor<'input>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        Err(de::Error::custom("the variant needs a dictionary"))
    }
}
