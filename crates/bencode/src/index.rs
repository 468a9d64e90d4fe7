//! The flat index of a document, and the one pass over the input that makes it.

use alloc::vec::Vec;

use crate::cursor::{Cursor, Refused};
use crate::{DecodeError, Departure, Expected, Options, Remark};

/// One value, key or end of a container, in the order of the input.
///
/// There are no gaps: each token ends where the next begins, and one last token marks the end of the root. What a token is
/// can be read from the byte at `start`, so that 8 bytes are enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// Where it begins in the input.
    pub(crate) start: u32,
    /// List and dictionary: the number of the token behind its end. Byte string: bytes of length and colon. Else unused.
    pub(crate) link: u32,
}

/// All tokens of one input.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) tokens: Vec<Token>,
    /// What is not canonical, by offset.
    pub(crate) remarks: Vec<Remark>,
}

/// The container that is being filled.
#[derive(Clone, Copy)]
enum Place<'input> {
    Root,
    List,
    /// With the key that ended last.
    Dict(Option<&'input [u8]>),
}

/// The parent of the root.
const NO_TOKEN: u32 = u32::MAX;

/// Room for tokens that is made at once: enough for a DHT message. More comes as tokens come, never from a declared length.
const FIRST_TOKENS: usize = 64;

struct Builder<'input> {
    input: &'input [u8],
    cursor: Cursor<'input>,
    tokens: Vec<Token>,
    /// Dictionaries with a key out of order, possibly more than once: their duplicates need not be neighbours.
    unsorted: Vec<u32>,
    /// The open container; its `link` is its own parent until it ends.
    parent: u32,
}

impl Index {
    pub(crate) fn build(input: &[u8], options: &Options) -> Result<Self, DecodeError> {
        let mut builder = Builder {
            input,
            cursor: Cursor::new(input, options),
            tokens: Vec::new(),
            unsorted: Vec::new(),
            parent: NO_TOKEN,
        };
        match builder.root() {
            Ok(()) => Ok(builder.finish()),
            Err(Refused) => Err(builder.cursor.error().expect("it says why it refused")),
        }
    }

    /// The content of the byte string at `token`.
    pub(crate) fn content<'input>(&self, input: &'input [u8], token: u32) -> &'input [u8] {
        content(&self.tokens, input, token)
    }
}

fn content<'input>(tokens: &[Token], input: &'input [u8], token: u32) -> &'input [u8] {
    let Token { start, link } = tokens[token as usize];
    let end = tokens[token as usize + 1].start;
    &input[(start + link) as usize..end as usize]
}

/// An offset or a number of tokens, neither of which is above the length of the input.
#[expect(
    clippy::cast_possible_truncation,
    reason = "inputs have at most `MAX_INPUT_LENGTH` bytes, and no token has less than one"
)]
fn narrow(number: usize) -> u32 {
    number as u32
}

impl<'input> Builder<'input> {
    /// Reads the whole input.
    fn root(&mut self) -> Result<(), Refused> {
        self.cursor.check_length()?;
        self.tokens.reserve(FIRST_TOKENS.min(self.input.len() + 1));
        self.value()?;
        self.cursor.check_trailing()?;
        self.push(self.cursor.offset(), 0);
        Ok(())
    }

    /// Reads the root value and all inside it.
    fn value(&mut self) -> Result<(), Refused> {
        let mut place = Place::Root;
        loop {
            let start = self.cursor.offset();
            match self.cursor.peek() {
                Some(b'0'..=b'9') => {
                    let content = self.cursor.bytes()?;
                    self.push_string(start, content);
                }
                Some(b'i') => {
                    self.cursor.int()?;
                    self.push(start, 0);
                }
                Some(b'l') => {
                    self.cursor.open()?;
                    self.open(start);
                    place = Place::List;
                    continue;
                }
                Some(b'd') => {
                    self.cursor.open()?;
                    self.open(start);
                    place = Place::Dict(None);
                }
                _ => match place {
                    Place::List if self.cursor.close() => {
                        place = self.close(start);
                    }
                    Place::List => return Err(self.cursor.unexpected(Expected::ValueOrEnd)),
                    Place::Root | Place::Dict(_) => {
                        return Err(self.cursor.unexpected(Expected::Value));
                    }
                },
            }
            // A value has ended or a dictionary has begun: up to the next value.
            loop {
                let start = self.cursor.offset();
                match place {
                    Place::Root => return Ok(()),
                    Place::List => break,
                    Place::Dict(_) if self.cursor.close() => {
                        place = self.close(start);
                    }
                    Place::Dict(last_key) => {
                        place = Place::Dict(Some(self.key(start, last_key)?));
                        break;
                    }
                }
            }
        }
    }

    #[inline]
    fn push(&mut self, start: usize, link: u32) {
        let start = narrow(start);
        self.tokens.push(Token { start, link });
    }

    /// Keeps the string at `start`, which the cursor has just stepped over.
    #[inline]
    fn push_string(&mut self, start: usize, content: &[u8]) {
        let header = self.cursor.offset() - content.len() - start;
        self.push(start, narrow(header));
    }

    /// Keeps the key at `start`, behind the key `last`.
    #[inline]
    fn key(&mut self, start: usize, last: Option<&[u8]>) -> Result<&'input [u8], Refused> {
        let remarks = self.cursor.remarks().len();
        let key = self.cursor.key(last)?;
        self.push_string(start, key);
        if self.cursor.remarks().len() != remarks {
            self.find_out_of_order();
        }
        Ok(key)
    }

    /// Remembers the open dictionary, if its last key was just found to be out of order.
    #[cold]
    fn find_out_of_order(&mut self) {
        let is_unsorted = (self.cursor.remarks().last())
            .is_some_and(|remark| remark.departure == Departure::UnsortedKey);
        if is_unsorted && self.unsorted.last() != Some(&self.parent) {
            self.unsorted.push(self.parent);
        }
    }

    /// Begins the list or dictionary at `start`.
    #[inline]
    fn open(&mut self, start: usize) {
        let opened = narrow(self.tokens.len());
        self.push(start, self.parent);
        self.parent = opened;
    }

    /// Ends the open container with the `e` at `start`; gives where that leads.
    #[inline]
    fn close(&mut self, start: usize) -> Place<'input> {
        self.push(start, 0);
        let behind = narrow(self.tokens.len());
        let closed = self.parent;
        let token = &mut self.tokens[closed as usize];
        self.parent = core::mem::replace(&mut token.link, behind);
        match self.tokens.get(self.parent as usize) {
            None => Place::Root,
            Some(parent) if self.input[parent.start as usize] == b'd' => {
                // Its key is the token in front.
                Place::Dict(Some(content(&self.tokens, self.input, closed - 1)))
            }
            Some(_) => Place::List,
        }
    }

    fn finish(self) -> Index {
        let distant = self.distant_duplicates();
        let mut remarks = self.cursor.into_remarks();
        if !distant.is_empty() {
            remarks.extend(distant);
            remarks.sort_unstable();
            // Neighbours that are equal were remarked on the way.
            remarks.dedup();
        }
        Index {
            tokens: self.tokens,
            remarks,
        }
    }

    /// Remarks on the keys of unsorted dictionaries that repeat a key, whether or not it is the one in front of them.
    fn distant_duplicates(&self) -> Vec<Remark> {
        let mut unsorted = self.unsorted.clone();
        unsorted.sort_unstable();
        unsorted.dedup();
        let mut remarks = Vec::new();
        let mut keys: Vec<(&[u8], u32)> = Vec::new();
        for &dict in &unsorted {
            keys.clear();
            let behind = self.tokens[dict as usize].link;
            let mut key = dict + 1;
            while key + 1 < behind {
                let content = content(&self.tokens, self.input, key);
                keys.push((content, self.tokens[key as usize].start));
                key = next_sibling(&self.tokens, self.input, key + 1);
            }
            keys.sort_unstable();
            let twins = keys.windows(2).filter(|pair| pair[0].0 == pair[1].0);
            remarks.extend(twins.map(|pair| Remark {
                offset: pair[1].1,
                departure: Departure::DuplicateKey,
            }));
        }
        remarks
    }
}

/// The token behind the value at `token` and all inside it.
#[inline]
pub(crate) fn next_sibling(tokens: &[Token], input: &[u8], token: u32) -> u32 {
    let Token { start, link } = tokens[token as usize];
    match input[start as usize] {
        b'l' | b'd' => link,
        _ => token + 1,
    }
}
