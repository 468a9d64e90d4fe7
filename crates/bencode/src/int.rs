//! Integers: the digits as they stand, converted only when asked and never wrapped.

use core::fmt;

/// An integer as it stands in the input: an optional `-` and at least one digit.
///
/// Any accepted integer fits into `i128`. The conversions give `None` where the number does not fit their type.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Int<'input> {
    text: &'input [u8],
}

impl<'input> Int<'input> {
    /// `text` is known to be an optional `-` and at least one digit.
    pub(crate) fn new(text: &'input [u8]) -> Self {
        Self { text }
    }

    /// The text between `i` and `e`; not canonical where the input is not.
    #[must_use]
    pub fn digits(self) -> &'input [u8] {
        self.text
    }

    /// The number, if it is in `i64`.
    #[must_use]
    pub fn to_i64(self) -> Option<i64> {
        match self.text {
            [b'-', digits @ ..] => digits.iter().try_fold(0_i64, |number, digit| {
                number.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
            }),
            digits => digits.iter().try_fold(0_i64, |number, digit| {
                number.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
            }),
        }
    }

    /// The number, if it is in `u64`.
    #[inline]
    #[must_use]
    pub fn to_u64(self) -> Option<u64> {
        /// As many digits cannot be too large.
        const SAFE_DIGITS: usize = 19;
        let digits = match self.text {
            [b'-', digits @ ..] if digits.iter().all(|&digit| digit == b'0') => digits,
            [b'-', ..] => return None,
            digits => digits,
        };
        if digits.len() <= SAFE_DIGITS {
            let append = |number, digit: &u8| number * 10 + u64::from(digit - b'0');
            return Some(digits.iter().fold(0, append));
        }
        digits.iter().try_fold(0_u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
    }

    /// The number; `Some` for each integer that a decoder of this crate accepted.
    #[must_use]
    pub fn to_i128(self) -> Option<i128> {
        core::str::from_utf8(self.text).ok()?.parse().ok()
    }
}

impl fmt::Display for Int<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text
            .iter()
            .try_for_each(|&byte| fmt::Write::write_char(f, char::from(byte)))
    }
}

impl fmt::Debug for Int<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An integer type that can be written: all of Rust's up to `u64` and `i128`.
pub trait Integer: private::Sealed {
    /// The number.
    fn to_i128(self) -> i128;
}

mod private {
    pub trait Sealed {}
}

macro_rules! integers {
    ($($name:ty)*) => {$(
        impl private::Sealed for $name {}
        impl Integer for $name {
            #[inline]
            fn to_i128(self) -> i128 {
                self as i128
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 usize);
