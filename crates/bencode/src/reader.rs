//! A pull reader: one event at a time, no index and nothing kept but the way to the root.

use alloc::vec::Vec;

use crate::options::{Mode, Options, Trailing};
use crate::scan::{self, Scanned};
use crate::{DecodeError, DecodeErrorKind, Departure, Expected, Int, Kind, Raw, Remark};

/// One step through a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event<'input> {
    /// An integer.
    Int(Int<'input>),
    /// A byte string that is a value.
    Bytes(&'input [u8]),
    /// A list begins; its items follow, then [`Event::End`].
    List,
    /// A dictionary begins; keys and values follow in turn, then [`Event::End`].
    Dict,
    /// A key; its value follows.
    Key(&'input [u8]),
    /// The innermost list or dictionary ends.
    End,
}

/// Reads one value as a sequence of [`Event`]s.
///
/// It judges like [`Document`](crate::Document), with one exception: where lenient reading has accepted keys out of order, a repeated key is
/// remarked only behind its twin.
///
/// ```
/// use rarest_bencode::{Event, Reader};
///
/// let mut reader = Reader::new(b"d4:infod4:name1:ae5:otheri7ee");
/// assert_eq!(reader.next_event()?, Some(Event::Dict));
/// assert_eq!(reader.next_event()?, Some(Event::Key(b"info")));
/// assert_eq!(reader.skip()?.as_deref(), Some(&b"d4:name1:ae"[..]));
/// assert_eq!(reader.next_event()?, Some(Event::Key(b"other")));
/// # Ok::<(), rarest_bencode::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'input> {
    input: &'input [u8],
    options: Options,
    at: usize,
    items_left: u32,
    open: Vec<Container<'input>>,
    next: Next,
    remarks: Vec<Remark>,
}

#[derive(Clone, Copy, Debug)]
enum Container<'input> {
    List,
    Dict { last_key: Option<&'input [u8]> },
}

/// What has to come next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Value,
    ItemOrEnd,
    KeyOrEnd,
    /// The value has ended; what follows it has not been looked at.
    EndOfInput,
    Nothing,
    Failed(DecodeError),
}

impl<'input> Reader<'input> {
    /// Reads canonical input that is wholly one value, within the default limits.
    #[must_use]
    pub fn new(input: &'input [u8]) -> Self {
        Self::with_options(input, &Options::canonical())
    }

    /// Reads the value at the start of `input`.
    #[must_use]
    pub fn with_options(input: &'input [u8], options: &Options) -> Self {
        let (length, limit) = (input.len(), options.max_input_length);
        let next = if length > limit {
            Next::Failed(DecodeErrorKind::InputTooLong { length, limit }.at(limit))
        } else {
            Next::Value
        };
        Self {
            input,
            options: *options,
            at: 0,
            items_left: options.max_items,
            open: Vec::new(),
            next,
            remarks: Vec::new(),
        }
    }

    /// The next event; `None` behind the value.
    ///
    /// # Errors
    /// What is wrong with the input, and where; the same again at each later call.
    pub fn next_event(&mut self) -> Result<Option<Event<'input>>, DecodeError> {
        let result = match self.next {
            Next::Value => self.value(Expected::Value),
            Next::ItemOrEnd if self.input.get(self.at) == Some(&b'e') => Ok(Some(self.close())),
            Next::ItemOrEnd => self.value(Expected::ValueOrEnd),
            Next::KeyOrEnd => self.key_or_end(),
            Next::EndOfInput => self.end_of_input(),
            Next::Nothing => Ok(None),
            Next::Failed(error) => Err(error),
        };
        if let Err(error) = &result {
            self.next = Next::Failed(*error);
        }
        result
    }

    /// Reads over the next value or key, with all that is inside, and gives its bytes as they stand.
    ///
    /// `None`, and nothing is read, at the end of a list or dictionary and behind the value.
    ///
    /// # Errors
    /// What is wrong with the input, and where.
    pub fn skip(&mut self) -> Result<Option<Raw<'input>>, DecodeError> {
        if self.is_at_end() {
            return Ok(None);
        }
        let start = self.at;
        let depth = self.open.len();
        loop {
            if self.next_event()?.is_none() {
                return Ok(None);
            }
            if self.open.len() <= depth {
                return Ok(Some(Raw::from_checked(&self.input[start..self.at])));
            }
        }
    }

    /// What the next value or key is; `None` at an end, and where neither can begin.
    #[must_use]
    pub fn peek(&self) -> Option<Kind> {
        if self.is_at_end() {
            return None;
        }
        match self.input.get(self.at)? {
            b'i' => Some(Kind::Int),
            b'l' => Some(Kind::List),
            b'd' => Some(Kind::Dict),
            b'0'..=b'9' => Some(Kind::Bytes),
            _ => None,
        }
    }

    /// Whether the innermost list or dictionary ends here, or the whole value has ended.
    pub(crate) fn is_at_end(&self) -> bool {
        match self.next {
            Next::ItemOrEnd | Next::KeyOrEnd => self.input.get(self.at) == Some(&b'e'),
            Next::EndOfInput | Next::Nothing => true,
            Next::Value | Next::Failed(_) => false,
        }
    }

    /// Where the next event begins, counted in bytes from the start of the input; behind the value, where it ended.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// How many lists and dictionaries are open.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// What was not canonical so far, in the order of the input.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    #[inline]
    fn value(&mut self, expected: Expected) -> Result<Option<Event<'input>>, DecodeError> {
        let start = self.at;
        let Some(&byte) = self.input.get(start) else {
            return Err(DecodeErrorKind::UnexpectedEnd.at(start));
        };
        match byte {
            b'0'..=b'9' => {
                self.count()?;
                let scanned = scan::byte_string(self.input, start)?;
                let content = self.take(scanned)?;
                self.value_ended();
                Ok(Some(Event::Bytes(content)))
            }
            b'i' => {
                self.count()?;
                let scanned = scan::integer(self.input, start)?;
                let text = self.take(scanned)?;
                self.value_ended();
                Ok(Some(Event::Int(Int::new(&text[..text.len() - 1]))))
            }
            b'l' => {
                self.open(Container::List)?;
                self.next = Next::ItemOrEnd;
                Ok(Some(Event::List))
            }
            b'd' => {
                self.open(Container::Dict { last_key: None })?;
                self.next = Next::KeyOrEnd;
                Ok(Some(Event::Dict))
            }
            _ => Err(DecodeErrorKind::UnexpectedByte { byte, expected }.at(start)),
        }
    }

    #[inline]
    fn key_or_end(&mut self) -> Result<Option<Event<'input>>, DecodeError> {
        let start = self.at;
        match self.input.get(start) {
            Some(b'0'..=b'9') => {
                self.count()?;
                let scanned = scan::byte_string(self.input, start)?;
                let key = self.take(scanned)?;
                let departure = match self.open.last_mut() {
                    Some(Container::Dict { last_key }) => {
                        let last = last_key.replace(key);
                        last.and_then(|last| scan::key_departure(last, key))
                    }
                    Some(Container::List) | None => None,
                };
                self.remark(start, departure)?;
                self.next = Next::Value;
                Ok(Some(Event::Key(key)))
            }
            Some(b'e') => Ok(Some(self.close())),
            Some(&byte) => {
                let expected = Expected::KeyOrEnd;
                Err(DecodeErrorKind::UnexpectedByte { byte, expected }.at(start))
            }
            None => Err(DecodeErrorKind::UnexpectedEnd.at(start)),
        }
    }

    fn end_of_input(&mut self) -> Result<Option<Event<'input>>, DecodeError> {
        let length = self.input.len() - self.at;
        if length > 0 && self.options.trailing == Trailing::Refuse {
            return Err(DecodeErrorKind::TrailingData { length }.at(self.at));
        }
        self.next = Next::Nothing;
        Ok(None)
    }

    /// Counts the value or key that begins here.
    fn count(&mut self) -> Result<(), DecodeError> {
        let Some(left) = self.items_left.checked_sub(1) else {
            let limit = self.options.max_items;
            return Err(DecodeErrorKind::TooManyItems { limit }.at(self.at));
        };
        self.items_left = left;
        Ok(())
    }

    /// Steps over a byte string or integer; gives what stands behind its header.
    #[inline]
    fn take(&mut self, scanned: Scanned) -> Result<&'input [u8], DecodeError> {
        self.remark(self.at, scanned.departure)?;
        let content = &self.input[self.at + scanned.header..scanned.end];
        self.at = scanned.end;
        Ok(content)
    }

    #[inline]
    fn remark(&mut self, start: usize, departure: Option<Departure>) -> Result<(), DecodeError> {
        let Some(departure) = departure else {
            return Ok(());
        };
        if self.options.mode == Mode::Canonical {
            return Err(DecodeErrorKind::NotCanonical(departure).at(start));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "inputs have at most `MAX_INPUT_LENGTH` bytes"
        )]
        let offset = start as u32;
        self.remarks.push(Remark { offset, departure });
        Ok(())
    }

    fn open(&mut self, container: Container<'input>) -> Result<(), DecodeError> {
        self.count()?;
        let limit = self.options.max_depth;
        if self.open.len() >= usize::from(limit) {
            return Err(DecodeErrorKind::TooDeep { limit }.at(self.at));
        }
        self.open.push(container);
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) -> Event<'input> {
        self.open.pop();
        self.at += 1;
        self.value_ended();
        Event::End
    }

    fn value_ended(&mut self) {
        self.next = match self.open.last() {
            None => Next::EndOfInput,
            Some(Container::List) => Next::ItemOrEnd,
            Some(Container::Dict { .. }) => Next::KeyOrEnd,
        };
    }
}
