//! The flat index of a document, and the one pass over the input that makes it.

use alloc::vec::Vec;

use crate::options::{Mode, Options, Trailing};
use crate::scan::{self, Scanned};
use crate::{DecodeError, DecodeErrorKind, Departure, Expected, Remark};

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
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    List,
    Dict,
}

/// The parent of the root.
const NO_TOKEN: u32 = u32::MAX;

/// Room for tokens that is made at once: enough for a DHT message. More comes as tokens come, never from a declared length.
const FIRST_TOKENS: usize = 64;

struct Builder<'input> {
    input: &'input [u8],
    mode: Mode,
    tokens: Vec<Token>,
    remarks: Vec<Remark>,
    /// Dictionaries with a key out of order, possibly more than once: their duplicates need not be neighbours.
    unsorted: Vec<u32>,
    /// Values and keys that may still come.
    items_left: u32,
    place: Place,
    /// The open container; its `link` is its own parent until it ends.
    parent: u32,
    /// The key in front of the value that ended last in the open dictionary.
    last_key: Option<u32>,
}

impl Index {
    pub(crate) fn build(input: &[u8], options: &Options) -> Result<Self, DecodeError> {
        let limit = options.max_input_length;
        if input.len() > limit {
            let length = input.len();
            return Err(DecodeErrorKind::InputTooLong { length, limit }.at(limit));
        }
        let mut builder = Builder {
            input,
            mode: options.mode,
            tokens: Vec::with_capacity(FIRST_TOKENS.min(input.len() + 1)),
            remarks: Vec::new(),
            unsorted: Vec::new(),
            items_left: options.max_items,
            place: Place::Root,
            parent: NO_TOKEN,
            last_key: None,
        };
        let end = builder.value(options)?;
        if end < input.len() && options.trailing == Trailing::Refuse {
            let length = input.len() - end;
            return Err(DecodeErrorKind::TrailingData { length }.at(end));
        }
        builder.push(end, 0);
        builder.find_distant_duplicates();
        Ok(Self {
            tokens: builder.tokens,
            remarks: builder.remarks,
        })
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

impl Builder<'_> {
    /// Reads the root value and all inside it; gives where it ends.
    fn value(&mut self, options: &Options) -> Result<usize, DecodeError> {
        let input = self.input;
        let mut at = 0;
        let mut depth = 0_u16;
        loop {
            let Some(&byte) = input.get(at) else {
                return Err(DecodeErrorKind::UnexpectedEnd.at(at));
            };
            match byte {
                b'0'..=b'9' => {
                    self.count(at, options)?;
                    let scanned = scan::byte_string(input, at)?;
                    at = self.scalar(at, scanned)?;
                }
                b'i' => {
                    self.count(at, options)?;
                    let scanned = scan::integer(input, at)?;
                    at = self.scalar(at, scanned)?;
                }
                b'l' | b'd' => {
                    self.count(at, options)?;
                    if depth == options.max_depth {
                        return Err(DecodeErrorKind::TooDeep { limit: depth }.at(at));
                    }
                    depth += 1;
                    let opened = narrow(self.tokens.len());
                    self.push(at, self.parent);
                    self.parent = opened;
                    at += 1;
                    if byte == b'l' {
                        self.place = Place::List;
                        continue;
                    }
                    self.place = Place::Dict;
                    self.last_key = None;
                }
                b'e' if self.place == Place::List => {
                    self.close(at);
                    depth -= 1;
                    at += 1;
                }
                byte => {
                    let expected = match self.place {
                        Place::List => Expected::ValueOrEnd,
                        Place::Root | Place::Dict => Expected::Value,
                    };
                    return Err(DecodeErrorKind::UnexpectedByte { byte, expected }.at(at));
                }
            }
            // A value has ended or a dictionary has begun: up to the next value.
            loop {
                match self.place {
                    Place::Root => return Ok(at),
                    Place::List => break,
                    Place::Dict => {}
                }
                match input.get(at) {
                    Some(b'0'..=b'9') => {
                        self.count(at, options)?;
                        at = self.key(at)?;
                        break;
                    }
                    Some(b'e') => {
                        self.close(at);
                        depth -= 1;
                        at += 1;
                    }
                    Some(&byte) => {
                        let expected = Expected::KeyOrEnd;
                        return Err(DecodeErrorKind::UnexpectedByte { byte, expected }.at(at));
                    }
                    None => return Err(DecodeErrorKind::UnexpectedEnd.at(at)),
                }
            }
        }
    }

    #[inline]
    fn push(&mut self, start: usize, link: u32) {
        let start = narrow(start);
        self.tokens.push(Token { start, link });
    }

    /// Counts a value or key that begins at `at`.
    #[inline]
    fn count(&mut self, at: usize, options: &Options) -> Result<(), DecodeError> {
        let Some(left) = self.items_left.checked_sub(1) else {
            let limit = options.max_items;
            return Err(DecodeErrorKind::TooManyItems { limit }.at(at));
        };
        self.items_left = left;
        Ok(())
    }

    /// Keeps an integer or byte string that is a value; gives where it ends.
    #[inline]
    fn scalar(&mut self, start: usize, scanned: Scanned) -> Result<usize, DecodeError> {
        if let Some(departure) = scanned.departure {
            self.depart(start, departure)?;
        }
        // The key of this value; meaningless, and not looked at, outside of a dictionary.
        self.last_key = narrow(self.tokens.len()).checked_sub(1);
        self.push(start, narrow(scanned.header));
        Ok(scanned.end)
    }

    /// Keeps the key at `start`; gives where it ends.
    #[inline]
    fn key(&mut self, start: usize) -> Result<usize, DecodeError> {
        let scanned = scan::byte_string(self.input, start)?;
        if let Some(departure) = scanned.departure {
            self.depart(start, departure)?;
        }
        if let Some(last) = self.last_key {
            let last = content(&self.tokens, self.input, last);
            let key = &self.input[start + scanned.header..scanned.end];
            if let Some(departure) = scan::key_departure(last, key) {
                self.key_out_of_order(start, departure)?;
            }
        }
        self.push(start, narrow(scanned.header));
        Ok(scanned.end)
    }

    #[cold]
    fn key_out_of_order(&mut self, start: usize, departure: Departure) -> Result<(), DecodeError> {
        self.depart(start, departure)?;
        if departure == Departure::UnsortedKey && self.unsorted.last() != Some(&self.parent) {
            self.unsorted.push(self.parent);
        }
        Ok(())
    }

    #[cold]
    fn depart(&mut self, start: usize, departure: Departure) -> Result<(), DecodeError> {
        match self.mode {
            Mode::Canonical => Err(DecodeErrorKind::NotCanonical(departure).at(start)),
            Mode::Lenient => {
                let offset = narrow(start);
                self.remarks.push(Remark { offset, departure });
                Ok(())
            }
        }
    }

    /// Ends the open container with the `e` at `at`.
    #[inline]
    fn close(&mut self, at: usize) {
        self.push(at, 0);
        let behind = narrow(self.tokens.len());
        let closed = self.parent;
        let token = &mut self.tokens[closed as usize];
        self.parent = core::mem::replace(&mut token.link, behind);
        self.last_key = closed.checked_sub(1);
        self.place = match self.tokens.get(self.parent as usize) {
            None => Place::Root,
            Some(parent) if self.input[parent.start as usize] == b'd' => Place::Dict,
            Some(_) => Place::List,
        };
    }

    /// Remarks the keys of unsorted dictionaries that repeat a key other than the one in front of them.
    fn find_distant_duplicates(&mut self) {
        if self.unsorted.is_empty() {
            return;
        }
        self.unsorted.sort_unstable();
        self.unsorted.dedup();
        let mut keys: Vec<(&[u8], u32)> = Vec::new();
        for &dict in &self.unsorted {
            keys.clear();
            let behind = self.tokens[dict as usize].link;
            let mut key = dict + 1;
            while key + 1 < behind {
                keys.push((
                    content(&self.tokens, self.input, key),
                    self.tokens[key as usize].start,
                ));
                key = next_sibling(&self.tokens, self.input, key + 1);
            }
            keys.sort_unstable();
            for pair in keys.windows(2) {
                if pair[0].0 == pair[1].0 {
                    self.remarks.push(Remark {
                        offset: pair[1].1,
                        departure: Departure::DuplicateKey,
                    });
                }
            }
        }
        self.remarks.sort_unstable();
        // Neighbours that are equal were remarked on the way.
        self.remarks.dedup();
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
