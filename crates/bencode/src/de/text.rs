//! Text that is a value, a key, or the name of a variant.

use serde::de::{self, Unexpected, Visitor};

use super::Failure;

/// A byte string that may be asked for as text or as bytes, or as the variant of an enum that has this name.
pub(super) struct Text<'input>(pub(super) &'input [u8]);

impl<'input> Text<'input> {
    /// What a type that wants no text was given.
    pub(super) fn unexpected(&self) -> Unexpected<'input> {
        match core::str::from_utf8(self.0) {
            Ok(text) => Unexpected::Str(text),
            Err(_) => Unexpected::Bytes(self.0),
        }
    }
}

impl<'input> de::Deserializer<'input> for Text<'input> {
    type Error = Failure;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn deserialize_any<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_bytes(self.0)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        match core::str::from_utf8(self.0) {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(_) => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'input>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'input>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'input>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'input> de::EnumAccess<'input> for Text<'input> {
    type Error = Failure;
    type Variant = NoContent;

    fn variant_seed<S: de::DeserializeSeed<'input>>(
        self,
        seed: S,
    ) -> Result<(S::Value, NoContent), Failure> {
        Ok((seed.deserialize(self)?, NoContent))
    }
}

/// The content of a variant that is only its name.
pub(super) struct NoContent;

impl<'input> de::VariantAccess<'input> for NoContent {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'input>>(
        self,
        _seed: S,
    ) -> Result<S::Value, Failure> {
        Err(de::Error::custom("the variant needs a value"))
    }

    fn tuple_variant<V: Visitor<'input>>(
        self,
        _length: usize,
        _visitor: V,
    ) -> Result<V::Value, Failure> {
        Err(de::Error::custom("the variant needs a list"))
    }

    fn struct_variant<V: Visitor<'input>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Failure> {
        Err(de::Error::custom("the variant needs a dictionary"))
    }
}
