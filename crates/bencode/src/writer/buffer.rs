//! The bytes of a value while it grows, and the sorting of its dictionaries.

use alloc::vec::Vec;

use super::{DictWriter, DuplicateKey, ListWriter};

/// One entry of an open dictionary, as offsets into the buffer.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    key: usize,
    value: usize,
    end: usize,
}

impl Entry {
    fn key<'buffer>(&self, bytes: &'buffer [u8]) -> &'buffer [u8] {
        &bytes[self.key..self.value]
    }
}

/// A dictionary that is being filled.
#[derive(Debug)]
pub(crate) struct OpenDict {
    first_entry: usize,
}

/// An entry of which the key was written.
#[derive(Debug)]
pub(crate) struct OpenEntry {
    start: usize,
    key: usize,
    value: usize,
}

/// The encoded bytes of one value while it grows.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Entries of all open dictionaries, the innermost last.
    entries: Vec<Entry>,
    /// Where the entries of a dictionary are put in order.
    sorted: Vec<u8>,
    /// The first key that was given twice.
    duplicate: Option<DuplicateKey>,
}

/// Room that is made at once: enough for most messages of peers, trackers and DHT nodes.
const FIRST_BYTES: usize = 256;

/// Entries of open dictionaries that there is room for at once.
const FIRST_ENTRIES: usize = 8;

impl Default for Buffer {
    fn default() -> Self {
        Self {
            bytes: Vec::with_capacity(FIRST_BYTES),
            entries: Vec::with_capacity(FIRST_ENTRIES),
            sorted: Vec::new(),
            duplicate: None,
        }
    }
}

impl Buffer {
    /// The encoded value; a repeated key is an error, and forgotten by it.
    pub(super) fn value(&mut self) -> Result<&[u8], DuplicateKey> {
        match self.duplicate.take() {
            None => Ok(&self.bytes),
            Some(duplicate) => {
                self.bytes.clear();
                Err(duplicate)
            }
        }
    }

    /// Makes room for the next value.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, DuplicateKey> {
        match self.duplicate {
            Some(duplicate) => Err(duplicate),
            None => Ok(self.bytes),
        }
    }

    pub(crate) fn int(&mut self, value: i128) {
        self.bytes.push(b'i');
        if value < 0 {
            self.bytes.push(b'-');
        }
        self.decimal(value.unsigned_abs());
        self.bytes.push(b'e');
    }

    pub(crate) fn byte_string(&mut self, value: &[u8]) {
        self.decimal(value.len() as u128);
        self.bytes.push(b':');
        self.bytes.extend_from_slice(value);
    }

    fn decimal(&mut self, value: u128) {
        // The digits of `u128::MAX`.
        let mut text = [0; 39];
        let mut first = text.len();
        let mut digit = |digit: u8| {
            first -= 1;
            text[first] = b'0' + digit;
        };
        // Division of 128 bits is slow, and hardly any number needs it.
        let mut high = value;
        let mut low = loop {
            match u64::try_from(high) {
                Ok(low) => break low,
                Err(_) => {
                    digit((high % 10) as u8);
                    high /= 10;
                }
            }
        };
        loop {
            digit((low % 10) as u8);
            low /= 10;
            if low == 0 {
                break;
            }
        }
        self.bytes.extend_from_slice(&text[first..]);
    }

    pub(crate) fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    pub(super) fn list(&mut self, fill: impl FnOnce(&mut ListWriter<'_>)) {
        self.begin_list();
        fill(&mut ListWriter { buffer: self });
        self.end_list();
    }

    pub(super) fn dict(&mut self, fill: impl FnOnce(&mut DictWriter<'_>)) {
        let dict = self.begin_dict();
        fill(&mut DictWriter { buffer: self });
        self.end_dict(dict);
    }

    pub(super) fn entry(&mut self, key: &[u8], value: impl FnOnce(&mut Self)) {
        let key = self.begin_entry(key);
        value(self);
        self.end_entry(key);
    }

    pub(crate) fn begin_list(&mut self) {
        self.bytes.push(b'l');
    }

    pub(crate) fn end_list(&mut self) {
        self.bytes.push(b'e');
    }

    pub(crate) fn begin_dict(&mut self) -> OpenDict {
        self.bytes.push(b'd');
        OpenDict {
            first_entry: self.entries.len(),
        }
    }

    pub(crate) fn end_dict(&mut self, OpenDict { first_entry }: OpenDict) {
        self.sort_entries(first_entry);
        self.entries.truncate(first_entry);
        self.bytes.push(b'e');
    }

    pub(crate) fn begin_entry(&mut self, key: &[u8]) -> OpenEntry {
        let start = self.bytes.len();
        self.byte_string(key);
        let value = self.bytes.len();
        OpenEntry {
            start,
            key: value - key.len(),
            value,
        }
    }

    pub(crate) fn end_entry(&mut self, OpenEntry { start, key, value }: OpenEntry) {
        let end = self.bytes.len();
        self.entries.push(Entry {
            start,
            key,
            value,
            end,
        });
    }

    /// Whether the entry has a value by now.
    #[cfg(feature = "serde")]
    pub(crate) fn has_value(&self, entry: &OpenEntry) -> bool {
        self.bytes.len() > entry.value
    }

    /// Takes the key of an entry back.
    #[cfg(feature = "serde")]
    pub(crate) fn cancel_entry(&mut self, OpenEntry { start, .. }: OpenEntry) {
        self.bytes.truncate(start);
    }

    /// Bytes of the value so far.
    #[cfg(feature = "serde")]
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Puts the entries of the innermost dictionary, which are those from `first`, into the order of their keys.
    fn sort_entries(&mut self, first: usize) {
        let bytes = &self.bytes;
        let entries = &mut self.entries[first..];
        if entries.is_sorted_by(|a, b| a.key(bytes) < b.key(bytes)) {
            return;
        }
        let start = entries[0].start;
        entries.sort_unstable_by(|a, b| a.key(bytes).cmp(b.key(bytes)));
        let repeated = entries
            .windows(2)
            .find(|pair| pair[0].key(bytes) == pair[1].key(bytes));
        if let (Some(pair), None) = (repeated, &self.duplicate) {
            let key = pair[0].key(bytes).into();
            self.duplicate = Some(DuplicateKey { key });
        }
        self.sorted.clear();
        for entry in &*entries {
            self.sorted
                .extend_from_slice(&bytes[entry.start..entry.end]);
        }
        self.bytes.truncate(start);
        self.bytes.extend_from_slice(&self.sorted);
    }
}
