//! A place in the input, and steps from it over what is no list or dictionary: what reader and deserializer share.

use alloc::vec::Vec;

use crate::options::{Mode, Options, Trailing};
use crate::scan::{self, Judged, Scanned};
use crate::{DecodeError, DecodeErrorKind, Departure, Expected, Int, Raw, Remark};

/// A list or dictionary whose end has not come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Container<'input> {
    List,
    Dict { last_key: Option<&'input [u8]> },
}

/// The input is not what the options ask for; [`Cursor::error`] says why.
///
/// The reason stays behind, so that what each step hands on is small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused;

/// What is left of the input, and what may still come.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'input> {
    rest: &'input [u8],
    /// Bytes of the whole input.
    length: usize,
    /// Values and keys that may still come.
    items_left: u32,
    /// Lists and dictionaries that are open.
    depth: u16,
    options: Options,
    remarks: Vec<Remark>,
    error: Option<DecodeError>,
}

impl<'input> Cursor<'input> {
    /// The start of the input.
    #[inline]
    pub(crate) fn new(input: &'input [u8], options: &Options) -> Self {
        Self {
            rest: input,
            length: input.len(),
            items_left: options.max_items,
            depth: 0,
            options: *options,
            remarks: Vec::new(),
            error: None,
        }
    }

    /// Judges how long the input is.
    #[inline]
    pub(crate) fn check_length(&mut self) -> Result<(), Refused> {
        let (length, limit) = (self.length, self.options.max_input_length);
        if length > limit {
            return Err(self.refuse(DecodeErrorKind::InputTooLong { length, limit }.at(limit)));
        }
        Ok(())
    }

    /// What was wrong first.
    #[inline]
    pub(crate) fn error(&self) -> Option<DecodeError> {
        self.error
    }

    /// The next byte.
    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// All that is left of the input.
    #[inline]
    pub(crate) fn rest(&self) -> &'input [u8] {
        self.rest
    }

    /// Where the next byte stands, counted from the start of the input.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    pub(crate) fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    pub(crate) fn into_remarks(self) -> Vec<Remark> {
        self.remarks
    }

    /// Steps over the byte string that begins here.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'input [u8], Refused> {
        self.count()?;
        let Scanned { content, rest } = match scan::byte_string(self.rest) {
            Some(scanned) => scanned,
            None => self.judge(scan::any_byte_string)?,
        };
        self.rest = rest;
        Ok(content)
    }

    /// Steps over the integer that begins here.
    #[inline]
    pub(crate) fn int(&mut self) -> Result<Int<'input>, Refused> {
        self.count()?;
        let Scanned { content, rest } = match scan::integer(self.rest) {
            Some(scanned) => scanned,
            None => self.judge(scan::any_integer)?,
        };
        self.rest = rest;
        Ok(Int::new(content))
    }

    /// Steps over the integer that begins here, if it is natural and common; else nothing is done.
    #[inline]
    #[cfg(feature = "serde")]
    pub(crate) fn natural(&mut self) -> Result<Option<u64>, Refused> {
        let digits = self.rest.strip_prefix(b"i");
        let Some((number, rest)) = digits.and_then(|digits| scan::natural(digits, b'e')) else {
            return Ok(None);
        };
        self.count()?;
        self.rest = rest;
        Ok(Some(number))
    }

    /// Steps over the key that has to begin here, behind the key `last`.
    #[inline]
    pub(crate) fn key(&mut self, last: Option<&[u8]>) -> Result<&'input [u8], Refused> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected(Expected::KeyOrEnd));
        }
        let start = self.offset();
        let key = self.bytes()?;
        if let Some(last) = last
            && let Some(departure) = scan::key_departure(last, key)
        {
            self.depart(start, departure)?;
        }
        Ok(key)
    }

    /// Steps over the first byte of the list or dictionary that begins here.
    #[inline]
    pub(crate) fn open(&mut self) -> Result<(), Refused> {
        self.count()?;
        let limit = self.options.max_depth;
        if self.depth >= limit {
            return Err(self.refuse(DecodeErrorKind::TooDeep { limit }.at(self.offset())));
        }
        self.depth += 1;
        self.rest = &self.rest[1..];
        Ok(())
    }

    /// Steps over the `e` of the innermost list or dictionary, if it is here.
    #[inline]
    pub(crate) fn close(&mut self) -> bool {
        match self.rest {
            [b'e', rest @ ..] => {
                self.rest = rest;
                self.depth -= 1;
                true
            }
            _ => false,
        }
    }

    /// Steps over the value that begins here, with all that is inside.
    pub(crate) fn skip(&mut self, mut expected: Expected) -> Result<Raw<'input>, Refused> {
        let start = self.rest;
        let mut open: Vec<Container<'input>> = Vec::new();
        loop {
            match self.peek() {
                Some(b'0'..=b'9') => {
                    self.bytes()?;
                }
                Some(b'i') => {
                    self.int()?;
                }
                Some(b'l') => {
                    self.open()?;
                    open.push(Container::List);
                }
                Some(b'd') => {
                    self.open()?;
                    open.push(Container::Dict { last_key: None });
                }
                _ => return Err(self.unexpected(expected)),
            }
            // A value has ended, or a list or dictionary has begun: up to the next value.
            loop {
                match open.last_mut() {
                    None => return Ok(self.raw_since(start)),
                    Some(_) if self.close() => {
                        open.pop();
                    }
                    Some(Container::List) => {
                        expected = Expected::ValueOrEnd;
                        break;
                    }
                    Some(Container::Dict { last_key }) => {
                        *last_key = Some(self.key(*last_key)?);
                        expected = Expected::Value;
                        break;
                    }
                }
            }
        }
    }

    /// The one value or key that was stepped over since `start` was left of the input.
    pub(crate) fn raw_since(&self, start: &'input [u8]) -> Raw<'input> {
        Raw::from_checked(&start[..start.len() - self.rest.len()])
    }

    /// Judges what follows the value.
    #[inline]
    pub(crate) fn check_trailing(&mut self) -> Result<(), Refused> {
        let length = self.rest.len();
        if length > 0 && self.options.trailing == Trailing::Refuse {
            let kind = DecodeErrorKind::TrailingData { length };
            return Err(self.refuse(kind.at(self.offset())));
        }
        Ok(())
    }

    /// Refuses the input because none of `expected` is here.
    #[cold]
    pub(crate) fn unexpected(&mut self, expected: Expected) -> Refused {
        let kind = match self.peek() {
            Some(byte) => DecodeErrorKind::UnexpectedByte { byte, expected },
            None => DecodeErrorKind::UnexpectedEnd,
        };
        self.refuse(kind.at(self.offset()))
    }

    /// Remarks that something at `start` is not canonical, or refuses the input because of it.
    #[cold]
    pub(crate) fn depart(&mut self, start: usize, departure: Departure) -> Result<(), Refused> {
        if self.options.mode == Mode::Canonical {
            return Err(self.refuse(DecodeErrorKind::NotCanonical(departure).at(start)));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "inputs have at most `MAX_INPUT_LENGTH` bytes"
        )]
        let offset = start as u32;
        self.remarks.push(Remark { offset, departure });
        Ok(())
    }

    /// Counts the value or key that begins here.
    #[inline]
    fn count(&mut self) -> Result<(), Refused> {
        let Some(left) = self.items_left.checked_sub(1) else {
            let limit = self.options.max_items;
            return Err(self.refuse(DecodeErrorKind::TooManyItems { limit }.at(self.offset())));
        };
        self.items_left = left;
        Ok(())
    }

    /// Reads what is not canonical, too long to be common, or wrong.
    #[cold]
    fn judge(
        &mut self,
        scan: fn(&'input [u8], usize) -> Judged<'input>,
    ) -> Result<Scanned<'input>, Refused> {
        let start = self.offset();
        let (scanned, departure) = scan(self.rest, start).map_err(|error| self.refuse(error))?;
        if let Some(departure) = departure {
            self.depart(start, departure)?;
        }
        Ok(scanned)
    }

    #[cold]
    fn refuse(&mut self, error: DecodeError) -> Refused {
        self.error.get_or_insert(error);
        Refused
    }
}
