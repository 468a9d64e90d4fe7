//! Encoding: canonical by construction, whatever the order of the calls.

use alloc::vec::Vec;
use core::fmt;

pub(crate) mod buffer;

use buffer::Buffer;

use crate::{Integer, Raw, Sink};

/// A key was given twice to one dictionary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key \"{}\" was given twice to one dictionary", key.escape_ascii())]
pub struct DuplicateKey {
    /// The key.
    pub key: Vec<u8>,
}

/// Why a value was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError<E> {
    /// A mistake of the caller; nothing of the value has reached the sink.
    #[error(transparent)]
    DuplicateKey(#[from] DuplicateKey),
    /// The sink failed, and may have taken a part of the value.
    #[error("the sink failed: {0}")]
    Sink(E),
}

/// Encodes one dictionary into a vector.
///
/// ```
/// let ping = rarest_bencode::encode_dict(|message| {
///     message.bytes("t", b"aa").bytes("y", b"q").bytes("q", b"ping");
///     message.dict("a", |arguments| {
///         arguments.bytes("id", b"abcdefghij0123456789");
///     });
/// })?;
/// assert_eq!(ping, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe");
/// # Ok::<(), rarest_bencode::DuplicateKey>(())
/// ```
///
/// # Errors
/// [`DuplicateKey`] if a dictionary was given a key twice.
pub fn encode_dict(fill: impl FnOnce(&mut DictWriter<'_>)) -> Result<Vec<u8>, DuplicateKey> {
    let mut buffer = Buffer::default();
    buffer.dict(fill);
    buffer.finish()
}

/// Encodes one list into a vector.
///
/// # Errors
/// [`DuplicateKey`] if a dictionary inside was given a key twice.
pub fn encode_list(fill: impl FnOnce(&mut ListWriter<'_>)) -> Result<Vec<u8>, DuplicateKey> {
    let mut buffer = Buffer::default();
    buffer.list(fill);
    buffer.finish()
}

/// Encodes values into a [`Sink`], one behind the other.
///
/// Each value is gathered in memory before it goes to the sink, because its keys may have to be sorted; the
/// memory is used again for the next.
///
/// ```
/// use rarest_bencode::Writer;
///
/// let mut writer = Writer::new(Vec::new());
/// writer.list(|list| {
///     list.int(-3).bytes("spam").dict(|dict| {
///         dict.int("b", 2).int("a", 1);
///     });
/// })?;
/// assert_eq!(writer.into_sink(), b"li-3e4:spamd1:ai1e1:bi2eee");
/// # Ok::<(), rarest_bencode::WriteError<std::convert::Infallible>>(())
/// ```
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    buffer: Buffer,
}

impl<S: Sink> Writer<S> {
    /// A writer that has written nothing.
    #[must_use]
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            buffer: Buffer::default(),
        }
    }

    /// Writes an integer.
    ///
    /// # Errors
    /// [`WriteError::Sink`].
    pub fn int(&mut self, value: impl Integer) -> Result<(), WriteError<S::Error>> {
        self.buffer.int(value.to_i128());
        self.flush()
    }

    /// Writes a byte string.
    ///
    /// # Errors
    /// [`WriteError::Sink`].
    pub fn bytes(&mut self, value: impl AsRef<[u8]>) -> Result<(), WriteError<S::Error>> {
        self.buffer.byte_string(value.as_ref());
        self.flush()
    }

    /// Writes a value that is encoded already, as it stands.
    ///
    /// # Errors
    /// [`WriteError::Sink`].
    pub fn raw(&mut self, value: Raw<'_>) -> Result<(), WriteError<S::Error>> {
        self.buffer.raw(value.as_bytes());
        self.flush()
    }

    /// Writes the list that `fill` makes.
    ///
    /// # Errors
    /// [`WriteError::DuplicateKey`] if a dictionary inside was given a key twice, [`WriteError::Sink`].
    pub fn list(
        &mut self,
        fill: impl FnOnce(&mut ListWriter<'_>),
    ) -> Result<(), WriteError<S::Error>> {
        self.buffer.list(fill);
        self.flush()
    }

    /// Writes the dictionary that `fill` makes.
    ///
    /// # Errors
    /// [`WriteError::DuplicateKey`] if a dictionary was given a key twice, [`WriteError::Sink`].
    pub fn dict(
        &mut self,
        fill: impl FnOnce(&mut DictWriter<'_>),
    ) -> Result<(), WriteError<S::Error>> {
        self.buffer.dict(fill);
        self.flush()
    }

    /// The sink.
    #[must_use]
    pub fn into_sink(self) -> S {
        self.sink
    }

    fn flush(&mut self) -> Result<(), WriteError<S::Error>> {
        let value = self.buffer.value()?;
        let result = self.sink.write(value).map_err(WriteError::Sink);
        self.buffer.clear();
        result
    }
}

/// Fills a list.
pub struct ListWriter<'buffer> {
    buffer: &'buffer mut Buffer,
}

impl ListWriter<'_> {
    /// Appends an integer.
    pub fn int(&mut self, value: impl Integer) -> &mut Self {
        self.buffer.int(value.to_i128());
        self
    }

    /// Appends a byte string.
    pub fn bytes(&mut self, value: impl AsRef<[u8]>) -> &mut Self {
        self.buffer.byte_string(value.as_ref());
        self
    }

    /// Appends a value that is encoded already, as it stands.
    pub fn raw(&mut self, value: Raw<'_>) -> &mut Self {
        self.buffer.raw(value.as_bytes());
        self
    }

    /// Appends the list that `fill` makes.
    pub fn list(&mut self, fill: impl FnOnce(&mut ListWriter<'_>)) -> &mut Self {
        self.buffer.list(fill);
        self
    }

    /// Appends the dictionary that `fill` makes.
    pub fn dict(&mut self, fill: impl FnOnce(&mut DictWriter<'_>)) -> &mut Self {
        self.buffer.dict(fill);
        self
    }
}

/// Fills a dictionary. Entries may come in any order; a key that comes twice is an error of the whole value.
pub struct DictWriter<'buffer> {
    buffer: &'buffer mut Buffer,
}

impl DictWriter<'_> {
    /// Adds an integer.
    pub fn int(&mut self, key: impl AsRef<[u8]>, value: impl Integer) -> &mut Self {
        self.entry(key.as_ref(), |buffer| buffer.int(value.to_i128()))
    }

    /// Adds a byte string.
    pub fn bytes(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.entry(key.as_ref(), |buffer| buffer.byte_string(value.as_ref()))
    }

    /// Adds a value that is encoded already, as it stands.
    pub fn raw(&mut self, key: impl AsRef<[u8]>, value: Raw<'_>) -> &mut Self {
        self.entry(key.as_ref(), |buffer| buffer.raw(value.as_bytes()))
    }

    /// Adds the list that `fill` makes.
    pub fn list(
        &mut self,
        key: impl AsRef<[u8]>,
        fill: impl FnOnce(&mut ListWriter<'_>),
    ) -> &mut Self {
        self.entry(key.as_ref(), |buffer| buffer.list(fill))
    }

    /// Adds the dictionary that `fill` makes.
    pub fn dict(
        &mut self,
        key: impl AsRef<[u8]>,
        fill: impl FnOnce(&mut DictWriter<'_>),
    ) -> &mut Self {
        self.entry(key.as_ref(), |buffer| buffer.dict(fill))
    }

    fn entry(&mut self, key: &[u8], value: impl FnOnce(&mut Buffer)) -> &mut Self {
        self.buffer.entry(key, value);
        self
    }
}

impl fmt::Debug for ListWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListWriter").finish_non_exhaustive()
    }
}

impl fmt::Debug for DictWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DictWriter").finish_non_exhaustive()
    }
}
