//! A decoded input that borrows its bytes: a flat index, and views on the values in it.

use core::fmt;
use core::ops::Range;

use crate::index::{Index, next_sibling};
use crate::{DecodeError, Int, Options, Raw, Remark};

/// One value, decoded in one pass into a flat index over the borrowed input.
///
/// The index takes 8 bytes for a value or key, 16 for a container; there is no allocation for each value, and neither
/// decoding, walking nor dropping recurses. To keep a document beside the bytes it was made from, keep [`ValueRef::range`]s.
#[derive(Clone)]
pub struct Document<'input> {
    input: &'input [u8],
    index: Index,
}

impl<'input> Document<'input> {
    /// Decodes canonical input that is wholly one value, within the default limits.
    ///
    /// # Errors
    /// What is wrong with the input, and where.
    pub fn parse(input: &'input [u8]) -> Result<Self, DecodeError> {
        Self::parse_with(input, &Options::canonical())
    }

    /// Decodes the value at the start of `input`.
    ///
    /// # Errors
    /// What is wrong with the input, and where.
    pub fn parse_with(input: &'input [u8], options: &Options) -> Result<Self, DecodeError> {
        let index = Index::build(input, options)?;
        Ok(Self { input, index })
    }

    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> ValueRef<'_, 'input> {
        ValueRef {
            document: self,
            token: 0,
        }
    }

    /// All that the document was made from, what follows the value included.
    #[must_use]
    pub fn input(&self) -> &'input [u8] {
        self.input
    }

    /// Where the value ended, counted in bytes from the start of the input.
    #[must_use]
    pub fn end(&self) -> usize {
        self.root().range().end
    }

    /// What follows the value; empty unless [`Trailing::Allow`](crate::Trailing::Allow) was set.
    #[must_use]
    pub fn trailing(&self) -> &'input [u8] {
        &self.input[self.end()..]
    }

    /// What is not canonical, in the order of the input; empty after canonical decoding.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.index.remarks
    }

    /// Whether the value has its canonical encoding.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        self.index.remarks.is_empty()
    }

    fn next_sibling(&self, token: u32) -> u32 {
        next_sibling(&self.index.tokens, self.input, token)
    }

    fn first_byte(&self, token: u32) -> u8 {
        self.input[self.start(token)]
    }

    fn start(&self, token: u32) -> usize {
        self.index.tokens[token as usize].start as usize
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("input_length", &self.input.len())
            .field("tokens", &self.index.tokens.len())
            .field("remarks", &self.index.remarks)
            .finish_non_exhaustive()
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An integer.
    Int,
    /// A byte string.
    Bytes,
    /// A list.
    List,
    /// A dictionary.
    Dict,
}

/// A value of a [`Document`].
#[derive(Clone, Copy)]
pub struct ValueRef<'doc, 'input> {
    document: &'doc Document<'input>,
    token: u32,
}

impl<'doc, 'input> ValueRef<'doc, 'input> {
    /// What the value is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.document.first_byte(self.token) {
            b'i' => Kind::Int,
            b'l' => Kind::List,
            b'd' => Kind::Dict,
            _ => Kind::Bytes,
        }
    }

    /// The integer, if the value is one.
    #[must_use]
    pub fn as_int(self) -> Option<Int<'input>> {
        let Range { start, end } = self.range();
        (self.kind() == Kind::Int).then(|| Int::new(&self.document.input[start + 1..end - 1]))
    }

    /// The integer, if the value is one and in `i64`.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        self.as_int()?.to_i64()
    }

    /// The integer, if the value is one and in `u64`.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        self.as_int()?.to_u64()
    }

    /// The content, if the value is a byte string.
    #[must_use]
    pub fn as_bytes(self) -> Option<&'input [u8]> {
        let document = self.document;
        (self.kind() == Kind::Bytes).then(|| document.index.content(document.input, self.token))
    }

    /// The content, if the value is a byte string in UTF-8.
    #[must_use]
    pub fn as_str(self) -> Option<&'input str> {
        core::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The list, if the value is one.
    #[must_use]
    pub fn as_list(self) -> Option<List<'doc, 'input>> {
        (self.kind() == Kind::List).then_some(List { value: self })
    }

    /// The dictionary, if the value is one.
    #[must_use]
    pub fn as_dict(self) -> Option<Dict<'doc, 'input>> {
        (self.kind() == Kind::Dict).then_some(Dict { value: self })
    }

    /// The value of `key`, if this is a dictionary that has it; see [`Dict::get`].
    #[must_use]
    pub fn get(self, key: impl AsRef<[u8]>) -> Option<Self> {
        self.as_dict()?.get(key)
    }

    /// The bytes of the value exactly as they stand, length and delimiters included.
    #[must_use]
    pub fn raw(self) -> &'input [u8] {
        &self.document.input[self.range()]
    }

    /// The bytes of the value exactly as they stand, known to be one value.
    #[must_use]
    pub fn to_raw(self) -> Raw<'input> {
        Raw::from_checked(self.raw())
    }

    /// Where the value stands in the input, in bytes.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        let document = self.document;
        document.start(self.token)..document.start(document.next_sibling(self.token))
    }

    /// Where the content of a byte string stands in the input, in bytes; `None` for other values.
    #[must_use]
    pub fn content_range(self) -> Option<Range<usize>> {
        let range = self.range();
        let content = self.as_bytes()?;
        Some(range.end - content.len()..range.end)
    }

    /// What is not canonical in this value, in the order of the input.
    #[must_use]
    pub fn remarks(self) -> &'doc [Remark] {
        let range = self.range();
        let remarks = &self.document.index.remarks;
        let position = |bound: usize| remarks.partition_point(|r| (r.offset as usize) < bound);
        &remarks[position(range.start)..position(range.end)]
    }

    /// Whether this value has its canonical encoding.
    #[must_use]
    pub fn is_canonical(self) -> bool {
        self.remarks().is_empty()
    }
}

/// The bytes of the value, shortened.
impl fmt::Debug for ValueRef<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_raw())
    }
}

/// A list of a [`Document`].
#[derive(Clone, Copy, Debug)]
pub struct List<'doc, 'input> {
    value: ValueRef<'doc, 'input>,
}

impl<'doc, 'input> List<'doc, 'input> {
    /// The list as a value.
    #[must_use]
    pub fn as_value(self) -> ValueRef<'doc, 'input> {
        self.value
    }

    /// Whether it has no items.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// The items in order; each step is a jump over the item.
    #[must_use]
    pub fn iter(self) -> ListIter<'doc, 'input> {
        ListIter {
            document: self.value.document,
            token: self.value.token + 1,
        }
    }
}

impl<'doc, 'input> IntoIterator for List<'doc, 'input> {
    type Item = ValueRef<'doc, 'input>;
    type IntoIter = ListIter<'doc, 'input>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The items of a [`List`].
#[derive(Clone, Debug)]
pub struct ListIter<'doc, 'input> {
    document: &'doc Document<'input>,
    token: u32,
}

impl<'doc, 'input> Iterator for ListIter<'doc, 'input> {
    type Item = ValueRef<'doc, 'input>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { document, token } = *self;
        if document.first_byte(token) == b'e' {
            return None;
        }
        self.token = document.next_sibling(token);
        Some(ValueRef { document, token })
    }
}

impl core::iter::FusedIterator for ListIter<'_, '_> {}

/// A dictionary of a [`Document`].
#[derive(Clone, Copy, Debug)]
pub struct Dict<'doc, 'input> {
    value: ValueRef<'doc, 'input>,
}

impl<'doc, 'input> Dict<'doc, 'input> {
    /// The dictionary as a value.
    #[must_use]
    pub fn as_value(self) -> ValueRef<'doc, 'input> {
        self.value
    }

    /// Whether it has no entries.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// The value of `key`: the first one, if lenient decoding accepted several.
    ///
    /// Walks the keys from the first, over the values in one step each.
    #[must_use]
    pub fn get(self, key: impl AsRef<[u8]>) -> Option<ValueRef<'doc, 'input>> {
        let key = key.as_ref();
        self.iter().find(|&(k, _)| k == key).map(|(_, value)| value)
    }

    /// All values of `key`; more than one only where lenient decoding accepted a repeated key.
    pub fn get_all(self, key: impl AsRef<[u8]>) -> impl Iterator<Item = ValueRef<'doc, 'input>> {
        self.iter()
            .filter(move |&(k, _)| k == key.as_ref())
            .map(|(_, value)| value)
    }

    /// Keys and values in the order of the input; each step is a jump over the value.
    #[must_use]
    pub fn iter(self) -> DictIter<'doc, 'input> {
        DictIter {
            document: self.value.document,
            token: self.value.token + 1,
        }
    }
}

impl<'doc, 'input> IntoIterator for Dict<'doc, 'input> {
    type Item = (&'input [u8], ValueRef<'doc, 'input>);
    type IntoIter = DictIter<'doc, 'input>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The entries of a [`Dict`].
#[derive(Clone, Debug)]
pub struct DictIter<'doc, 'input> {
    document: &'doc Document<'input>,
    token: u32,
}

impl<'doc, 'input> Iterator for DictIter<'doc, 'input> {
    type Item = (&'input [u8], ValueRef<'doc, 'input>);

    fn next(&mut self) -> Option<Self::Item> {
        let Self { document, token } = *self;
        if document.first_byte(token) == b'e' {
            return None;
        }
        let key = document.index.content(document.input, token);
        let token = token + 1;
        self.token = document.next_sibling(token);
        Some((key, ValueRef { document, token }))
    }
}

impl core::iter::FusedIterator for DictIter<'_, '_> {}
