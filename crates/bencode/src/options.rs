//! How input is judged: the grammar, what may follow the value, and the limits.

/// Longest input that can be decoded, in bytes: offsets are kept in 32 bits.
///
/// Longer input is refused with [`InputTooLong`](crate::DecodeErrorKind::InputTooLong), whatever the options say.
pub const MAX_INPUT_LENGTH: usize = u32::MAX as usize;

/// Containers inside each other that are accepted unless told otherwise.
///
/// Torrents nest about five deep; file trees of v2 as deep as their folders. libtorrent stops at 100 as well.
pub const DEFAULT_MAX_DEPTH: u16 = 100;

/// Values and keys of one input that are accepted unless told otherwise.
///
/// The index takes 8 bytes for each (16 for a container), so this bounds it to 48 MB. The largest torrents hold about a million.
pub const DEFAULT_MAX_ITEMS: u32 = 3_000_000;

/// Longest input that is accepted unless told otherwise, in bytes.
///
/// The largest torrents in circulation have some 20 MB; a stranger's input has no business above this.
pub const DEFAULT_MAX_INPUT_LENGTH: usize = 64 * 1024 * 1024;

/// Longest text of an integer between `i` and `e`, in bytes: that of [`i128::MIN`].
///
/// Longer integers are refused in both modes, so that no caller has to deal with a number of a megabyte.
pub const MAX_INTEGER_LENGTH: usize = 40;

/// Most digits of the length before a byte string: those of [`MAX_INPUT_LENGTH`].
pub const MAX_LENGTH_DIGITS: usize = 10;

/// Which grammar is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Only the one encoding that each value has: keys sorted and unique, no leading zeros, no negative zero.
    #[default]
    Canonical,
    /// Also what is unambiguous though not canonical; each departure is reported as a [`Remark`](crate::Remark).
    ///
    /// Malformed input (a sign `+`, a missing end, a key that is no string) is refused all the same.
    Lenient,
}

/// What may follow the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trailing {
    /// The value must fill the whole input.
    #[default]
    Refuse,
    /// Anything may follow; the decoder says where the value ended.
    Allow,
}

/// How input is judged.
///
/// ```
/// use rarest_bencode::{Document, Options, Trailing};
///
/// let options = Options::lenient().trailing(Trailing::Allow).max_depth(8);
/// let document = Document::parse_with(b"i007e and more", &options)?;
/// assert_eq!(document.end(), 5);
/// assert_eq!(document.remarks().len(), 1);
/// # Ok::<(), rarest_bencode::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub(crate) mode: Mode,
    pub(crate) trailing: Trailing,
    pub(crate) max_depth: u16,
    pub(crate) max_items: u32,
    pub(crate) max_input_length: usize,
}

impl Options {
    /// The strict grammar, nothing behind the value, the default limits.
    #[must_use]
    pub const fn canonical() -> Self {
        Self {
            mode: Mode::Canonical,
            trailing: Trailing::Refuse,
            max_depth: DEFAULT_MAX_DEPTH,
            max_items: DEFAULT_MAX_ITEMS,
            max_input_length: DEFAULT_MAX_INPUT_LENGTH,
        }
    }

    /// The lenient grammar, nothing behind the value, the default limits.
    #[must_use]
    pub const fn lenient() -> Self {
        Self {
            mode: Mode::Lenient,
            ..Self::canonical()
        }
    }

    /// Sets what may follow the value.
    #[must_use]
    pub const fn trailing(self, trailing: Trailing) -> Self {
        Self { trailing, ..self }
    }

    /// Sets how many containers may lie inside each other; 0 allows only an integer or a byte string.
    #[must_use]
    pub const fn max_depth(self, max_depth: u16) -> Self {
        Self { max_depth, ..self }
    }

    /// Sets how many values and keys the input may hold, containers counted.
    #[must_use]
    pub const fn max_items(self, max_items: u32) -> Self {
        Self { max_items, ..self }
    }

    /// Sets how many bytes the input may have, what follows the value counted; at most [`MAX_INPUT_LENGTH`].
    #[must_use]
    pub const fn max_input_length(self, bytes: usize) -> Self {
        Self {
            max_input_length: if bytes < MAX_INPUT_LENGTH {
                bytes
            } else {
                MAX_INPUT_LENGTH
            },
            ..self
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::canonical()
    }
}
