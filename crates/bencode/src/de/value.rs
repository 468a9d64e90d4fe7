//! One value: what a type asks for, against what stands in the input.

use serde::de::{self, Unexpected, Visitor};

use super::Failure;
use super::text::Text;
use crate::cursor::Cursor;
use crate::raw::RAW_NAME;
use crate::{Expected, Raw};

/// The value that begins at the cursor.
pub(super) struct Value<'de, 'input> {
    cursor: &'de mut Cursor<'input>,
    /// What could stand in its place.
    expected: Expected,
}

impl<'de, 'input> Value<'de, 'input> {
    /// The outermost value.
    pub(super) fn root(cursor: &'de mut Cursor<'input>) -> Self {
        Self {
            cursor,
            expected: Expected::Value,
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.cursor.peek()
    }

    /// Visits an integer that begins here.
    #[inline]
    fn int<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        if let Some(number) = self.cursor.natural()? {
            return visitor.visit_u64(number);
        }
        let int = self.cursor.int()?;
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

    /// Visits a byte string that begins here.
    #[inline]
    fn bytes<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_bytes(self.cursor.bytes()?)
    }

    /// Visits the items of a list that begins here.
    #[inline]
    fn list<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        let Self { cursor, .. } = self;
        cursor.open()?;
        let value = visitor.visit_seq(Items {
            cursor: &mut *cursor,
        })?;
        if !cursor.close() {
            cursor.skip(Expected::ValueOrEnd)?;
            return Err(de::Error::custom("the list has more items than expected"));
        }
        Ok(value)
    }

    /// Visits the entries of a dictionary that begins here.
    #[inline]
    fn dict<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        let Self { cursor, .. } = self;
        cursor.open()?;
        let value = visitor.visit_map(Entries {
            cursor: &mut *cursor,
            last_key: None,
        })?;
        if !cursor.close() {
            return Err(more_entries(cursor));
        }
        Ok(value)
    }

    /// Steps over the value that begins here.
    fn skip(self) -> Result<Raw<'input>, Failure> {
        let Self { cursor, expected } = self;
        Ok(cursor.skip(expected)?)
    }

    /// Says that the value is not of the wanted type.
    #[cold]
    fn mismatch<T>(self, wanted: &dyn de::Expected) -> Result<T, Failure> {
        let Self { cursor, expected } = self;
        let unexpected = match cursor.peek() {
            Some(b'0'..=b'9') => Text(cursor.bytes()?).unexpected(),
            Some(b'i') => {
                let int = cursor.int()?;
                match (int.to_u64(), int.to_i64()) {
                    (Some(number), _) => Unexpected::Unsigned(number),
                    (None, Some(number)) => Unexpected::Signed(number),
                    (None, None) => Unexpected::Other("integer of more than 64 bits"),
                }
            }
            Some(container @ (b'l' | b'd')) => {
                cursor.open()?;
                if container == b'l' {
                    Unexpected::Seq
                } else {
                    Unexpected::Map
                }
            }
            _ => return Err(cursor.unexpected(expected).into()),
        };
        Err(de::Error::invalid_type(unexpected, wanted))
    }
}

/// What is wrong with a dictionary that does not end where its type does.
#[cold]
fn more_entries(cursor: &mut Cursor<'_>) -> Failure {
    match cursor.key(None) {
        Ok(_) => de::Error::custom("the dictionary has more entries than expected"),
        Err(refused) => refused.into(),
    }
}

/// Methods for types that are one kind of value. Where the input has another kind, the visitor may still take it, or says what it wanted.
macro_rules! deserialize_kinds {
    ($($visit:ident if $first:pat => $($method:ident)*;)*) => {$($(
        #[inline]
        fn $method<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
            match self.peek() {
                Some($first) => self.$visit(visitor),
                _ => self.deserialize_any(visitor),
            }
        }
    )*)*};
}

impl<'input> de::Deserializer<'input> for Value<'_, 'input> {
    type Error = Failure;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.peek() {
            Some(b'0'..=b'9') => self.bytes(visitor),
            Some(b'i') => self.int(visitor),
            Some(b'l') => self.list(visitor),
            Some(b'd') => self.dict(visitor),
            _ => self.mismatch(&visitor),
        }
    }

    deserialize_kinds! {
        bytes if b'0'..=b'9' => deserialize_bytes deserialize_byte_buf;
        int if b'i' => deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
            deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128;
        list if b'l' => deserialize_seq;
        dict if b'd' => deserialize_map;
    }

    fn deserialize_bool<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.cursor.rest() {
            [b'i', b'0', b'e', ..] => {
                self.cursor.int()?;
                visitor.visit_bool(false)
            }
            [b'i', b'1', b'e', ..] => {
                self.cursor.int()?;
                visitor.visit_bool(true)
            }
            _ => self.mismatch(&visitor),
        }
    }

    #[inline]
    fn deserialize_str<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.peek() {
            Some(b'0'..=b'9') => Text(self.cursor.bytes()?).deserialize_str(visitor),
            _ => self.mismatch(&visitor),
        }
    }

    #[inline]
    fn deserialize_string<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    /// An integer would be taken for a float, and might lose digits.
    fn deserialize_f32<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.mismatch(&visitor)
    }

    fn deserialize_f64<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.mismatch(&visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'input>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if name == RAW_NAME {
            visitor.visit_borrowed_bytes(self.skip()?.as_bytes())
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'input>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'input>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'input>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.peek() {
            Some(b'0'..=b'9') => visitor.visit_enum(Text(self.cursor.bytes()?)),
            Some(b'd') => {
                let Self { cursor, .. } = self;
                cursor.open()?;
                let value = visitor.visit_enum(Variant {
                    cursor: &mut *cursor,
                })?;
                if !cursor.close() {
                    return Err(more_entries(cursor));
                }
                Ok(value)
            }
            _ => self.mismatch(&visitor),
        }
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'input>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.skip()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'input>>
        unit unit_struct tuple_struct identifier
    }
}

/// The items of a list.
struct Items<'de, 'input> {
    cursor: &'de mut Cursor<'input>,
}

impl<'input> de::SeqAccess<'input> for Items<'_, 'input> {
    type Error = Failure;

    #[inline]
    fn next_element_seed<S: de::DeserializeSeed<'input>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        // An item that drops the error would else be asked for again and again.
        if self.cursor.error().is_some() {
            return Err(Failure::Refused);
        }
        if self.cursor.peek() == Some(b'e') {
            return Ok(None);
        }
        let item = Value {
            cursor: &mut *self.cursor,
            expected: Expected::ValueOrEnd,
        };
        Ok(Some(seed.deserialize(item)?))
    }
}

/// The entries of a dictionary.
struct Entries<'de, 'input> {
    cursor: &'de mut Cursor<'input>,
    last_key: Option<&'input [u8]>,
}

impl<'input> de::MapAccess<'input> for Entries<'_, 'input> {
    type Error = Failure;

    #[inline]
    fn next_key_seed<S: de::DeserializeSeed<'input>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        let Self {
            cursor, last_key, ..
        } = self;
        if cursor.peek() == Some(b'e') {
            return Ok(None);
        }
        let key = cursor.key(*last_key)?;
        *last_key = Some(key);
        seed.deserialize(Text(key)).map(Some)
    }

    #[inline]
    fn next_value_seed<S: de::DeserializeSeed<'input>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Failure> {
        seed.deserialize(Value {
            cursor: &mut *self.cursor,
            expected: Expected::Value,
        })
    }
}

/// The one entry of a dictionary that stands for an enum.
struct Variant<'de, 'input> {
    cursor: &'de mut Cursor<'input>,
}

impl<'de, 'input> Variant<'de, 'input> {
    fn value(self) -> Value<'de, 'input> {
        Value {
            cursor: self.cursor,
            expected: Expected::Value,
        }
    }
}

impl<'input> de::EnumAccess<'input> for Variant<'_, 'input> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<S: de::DeserializeSeed<'input>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self), Failure> {
        if self.cursor.peek() == Some(b'e') {
            return Err(de::Error::custom("the dictionary of an enum is empty"));
        }
        let name = self.cursor.key(None)?;
        Ok((seed.deserialize(Text(name))?, self))
    }
}

impl<'input> de::VariantAccess<'input> for Variant<'_, 'input> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Err(de::Error::custom("the variant takes no value"))
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'input>>(
        self,
        seed: S,
    ) -> Result<S::Value, Failure> {
        seed.deserialize(self.value())
    }

    fn tuple_variant<V: Visitor<'input>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        de::Deserializer::deserialize_seq(self.value(), visitor)
    }

    fn struct_variant<V: Visitor<'input>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        de::Deserializer::deserialize_map(self.value(), visitor)
    }
}
