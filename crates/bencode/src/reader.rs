//! A pull reader: one event at a time, no index and nothing kept but the way to the root.

use alloc::vec::Vec;

use crate::cursor::{Container, Cursor, Refused};
use crate::{DecodeError, Expected, Int, Kind, Options, Raw, Remark};

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
    cursor: Cursor<'input>,
    open: Vec<Container<'input>>,
    next: Next,
}

/// What has to come next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// The outermost value; how long the input is has not been looked at.
    Start,
    Value,
    ItemOrEnd,
    KeyOrEnd,
    /// The value has ended; what follows it has not been looked at.
    EndOfInput,
    Nothing,
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
        Self {
            cursor: Cursor::new(input, options),
            open: Vec::new(),
            next: Next::Start,
        }
    }

    /// The next event; `None` behind the value.
    ///
    /// # Errors
    /// What is wrong with the input, and where; the same again at each later call.
    pub fn next_event(&mut self) -> Result<Option<Event<'input>>, DecodeError> {
        self.unless_refused(Self::step)
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
        self.unless_refused(|reader| {
            let start = reader.cursor.rest();
            let expected = match reader.next {
                Next::Start | Next::Value => Expected::Value,
                Next::ItemOrEnd => Expected::ValueOrEnd,
                Next::KeyOrEnd | Next::EndOfInput | Next::Nothing => {
                    reader.step()?;
                    return Ok(Some(reader.cursor.raw_since(start)));
                }
            };
            reader.cursor.check_length()?;
            let raw = reader.cursor.skip(expected)?;
            reader.value_ended();
            Ok(Some(raw))
        })
    }

    /// What the next value or key is; `None` at an end, and where neither can begin.
    #[must_use]
    pub fn peek(&self) -> Option<Kind> {
        if self.is_at_end() {
            return None;
        }
        match self.cursor.peek()? {
            b'i' => Some(Kind::Int),
            b'l' => Some(Kind::List),
            b'd' => Some(Kind::Dict),
            b'0'..=b'9' => Some(Kind::Bytes),
            _ => None,
        }
    }

    /// Whether the innermost list or dictionary ends here, or the whole value has ended.
    fn is_at_end(&self) -> bool {
        match self.next {
            Next::ItemOrEnd | Next::KeyOrEnd => self.cursor.peek() == Some(b'e'),
            Next::EndOfInput | Next::Nothing => true,
            Next::Start | Next::Value => false,
        }
    }

    /// Where the next event begins, counted in bytes from the start of the input; behind the value, where it ended.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.cursor.offset()
    }

    /// How many lists and dictionaries are open.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// What was not canonical so far, in the order of the input.
    #[must_use]
    pub fn remarks(&self) -> &[Remark] {
        self.cursor.remarks()
    }

    /// Does something, unless the input was refused before.
    #[inline]
    fn unless_refused<T>(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<T, Refused>,
    ) -> Result<T, DecodeError> {
        if let Some(error) = self.cursor.error() {
            return Err(error);
        }
        action(self).map_err(|Refused| self.cursor.error().expect("it says why it refused"))
    }

    #[inline]
    fn step(&mut self) -> Result<Option<Event<'input>>, Refused> {
        match self.next {
            Next::Start => {
                self.cursor.check_length()?;
                self.value(Expected::Value).map(Some)
            }
            Next::Value => self.value(Expected::Value).map(Some),
            Next::ItemOrEnd | Next::KeyOrEnd if self.cursor.close() => {
                self.open.pop();
                self.value_ended();
                Ok(Some(Event::End))
            }
            Next::ItemOrEnd => self.value(Expected::ValueOrEnd).map(Some),
            Next::KeyOrEnd => self.key().map(Some),
            Next::EndOfInput => {
                self.cursor.check_trailing()?;
                self.next = Next::Nothing;
                Ok(None)
            }
            Next::Nothing => Ok(None),
        }
    }

    #[inline]
    fn value(&mut self, expected: Expected) -> Result<Event<'input>, Refused> {
        match self.cursor.peek() {
            Some(b'0'..=b'9') => {
                let bytes = self.cursor.bytes()?;
                self.value_ended();
                Ok(Event::Bytes(bytes))
            }
            Some(b'i') => {
                let int = self.cursor.int()?;
                self.value_ended();
                Ok(Event::Int(int))
            }
            Some(b'l') => {
                self.cursor.open()?;
                self.open.push(Container::List);
                self.next = Next::ItemOrEnd;
                Ok(Event::List)
            }
            Some(b'd') => {
                self.cursor.open()?;
                self.open.push(Container::Dict { last_key: None });
                self.next = Next::KeyOrEnd;
                Ok(Event::Dict)
            }
            _ => Err(self.cursor.unexpected(expected)),
        }
    }

    #[inline]
    fn key(&mut self) -> Result<Event<'input>, Refused> {
        let Some(Container::Dict { last_key }) = self.open.last_mut() else {
            unreachable!("keys are expected in dictionaries alone");
        };
        let key = self.cursor.key(*last_key)?;
        *last_key = Some(key);
        self.next = Next::Value;
        Ok(Event::Key(key))
    }

    fn value_ended(&mut self) {
        self.next = match self.open.last() {
            None => Next::EndOfInput,
            Some(Container::List) => Next::ItemOrEnd,
            Some(Container::Dict { .. }) => Next::KeyOrEnd,
        };
    }
}
