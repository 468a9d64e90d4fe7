//! What is wrong with an input, and where.

/// Why input was refused, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}, at byte {offset}")]
pub struct DecodeError {
    /// Where in the input, counted in bytes from its start.
    pub offset: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

impl DecodeError {
    /// Whether more input could make it valid: it ended too early, and nothing in it is wrong.
    ///
    /// For inputs that arrive in parts, with [`Trailing::Allow`](crate::Trailing::Allow).
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        matches!(
            self.kind,
            DecodeErrorKind::UnexpectedEnd | DecodeErrorKind::StringCutShort { .. }
        )
    }
}

/// What is wrong with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The input ends inside a value, or is empty.
    #[error("the input ends before the value does")]
    UnexpectedEnd,
    /// A byte string is declared longer than the rest of the input.
    #[error("a byte string of {declared} bytes is declared, but only {available} follow")]
    StringCutShort {
        /// The declared length, in bytes.
        declared: u64,
        /// Bytes that the input has behind the colon.
        available: usize,
    },
    /// A byte that cannot stand here.
    #[error("expected {expected}, found the byte {byte:#04x}")]
    UnexpectedByte {
        /// The byte.
        byte: u8,
        /// What could have stood here.
        expected: Expected,
    },
    /// An integer longer than [`MAX_INTEGER_LENGTH`](crate::MAX_INTEGER_LENGTH) or outside of `i128`.
    #[error("the integer does not fit into 128 bits")]
    IntegerTooLarge,
    /// The length before a byte string has more than [`MAX_LENGTH_DIGITS`](crate::MAX_LENGTH_DIGITS) digits.
    #[error("the length of a byte string has more than {limit} digits", limit = crate::MAX_LENGTH_DIGITS)]
    LengthTooLarge,
    /// Canonical input was asked for, and this is not.
    #[error("not canonical: {0}")]
    NotCanonical(Departure),
    /// Bytes behind the value.
    #[error("{length} bytes follow the value")]
    TrailingData {
        /// How many.
        length: usize,
    },
    /// More containers inside each other than allowed.
    #[error("more than {limit} containers inside each other")]
    TooDeep {
        /// [`Options::max_depth`](crate::Options::max_depth).
        limit: u16,
    },
    /// More values and keys than allowed.
    #[error("more than {limit} values and keys")]
    TooManyItems {
        /// [`Options::max_items`](crate::Options::max_items).
        limit: u32,
    },
    /// A longer input than allowed.
    #[error("the input of {length} bytes is above the limit of {limit}")]
    InputTooLong {
        /// Bytes of the input.
        length: usize,
        /// [`Options::max_input_length`](crate::Options::max_input_length).
        limit: usize,
    },
}

impl DecodeErrorKind {
    /// The error of this kind at `offset`.
    pub(crate) fn at(self, offset: usize) -> DecodeError {
        DecodeError { offset, kind: self }
    }
}

/// What could have stood where an unexpected byte was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expected {
    /// `i`, `l`, `d` or the length of a byte string.
    Value,
    /// A value, or the `e` of a list.
    ValueOrEnd,
    /// A byte string that is a key, or the `e` of a dictionary.
    KeyOrEnd,
    /// A decimal digit.
    Digit,
    /// A decimal digit or the `e` of an integer.
    DigitOrEnd,
    /// A decimal digit or the `:` in front of a byte string.
    DigitOrColon,
}

impl core::fmt::Display for Expected {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Value => "a value",
            Self::ValueOrEnd => "a value or the end of the list",
            Self::KeyOrEnd => "a key or the end of the dictionary",
            Self::Digit => "a digit",
            Self::DigitOrEnd => "a digit or the end of the integer",
            Self::DigitOrColon => "a digit or the colon of a byte string",
        })
    }
}

/// A way in which readable input departs from the canonical encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Departure {
    /// An integer with zeros in front, like `i03e`.
    #[error("an integer has leading zeros")]
    LeadingZeros,
    /// `i-0e`.
    #[error("an integer is a negative zero")]
    NegativeZero,
    /// A byte string whose length has zeros in front, like `01:a`.
    #[error("the length of a byte string has leading zeros")]
    LeadingZerosInLength,
    /// A key that sorts before the key in front of it.
    #[error("a key is out of order")]
    UnsortedKey,
    /// A key that its dictionary has already had.
    #[error("a key is repeated")]
    DuplicateKey,
}

/// Where lenient decoding met something that is not canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{departure}, at byte {offset}")]
pub struct Remark {
    /// Where the value or key begins, counted in bytes from the start of the input.
    pub offset: u32,
    /// What is not canonical there.
    pub departure: Departure,
}
