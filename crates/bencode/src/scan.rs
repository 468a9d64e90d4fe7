//! Byte strings and integers at a place of the input: the one grammar that reader and document share.

use crate::{
    DecodeError, DecodeErrorKind, Departure, Expected, Int, MAX_INTEGER_LENGTH, MAX_LENGTH_DIGITS,
};

/// What was found, and whether it is canonical.
#[derive(Clone, Copy)]
pub(crate) struct Scanned {
    /// Bytes in front of the content: the length and its colon, or `i`.
    pub(crate) header: usize,
    /// Where the value ends in the input.
    pub(crate) end: usize,
    pub(crate) departure: Option<Departure>,
}

/// Reads the byte string at `start`, whose first byte is known to be a digit.
#[inline]
pub(crate) fn byte_string(input: &[u8], start: usize) -> Result<Scanned, DecodeError> {
    let mut length = 0_u64;
    let mut at = start;
    let first = input[start];
    loop {
        let Some(&byte) = input.get(at) else {
            return Err(DecodeErrorKind::UnexpectedEnd.at(input.len()));
        };
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            if byte == b':' {
                break;
            }
            let expected = Expected::DigitOrColon;
            return Err(DecodeErrorKind::UnexpectedByte { byte, expected }.at(at));
        }
        if at - start >= MAX_LENGTH_DIGITS {
            return Err(DecodeErrorKind::LengthTooLarge.at(start));
        }
        length = length * 10 + u64::from(digit);
        at += 1;
    }
    let content = at + 1;
    let available = input.len() - content;
    if length > available as u64 {
        let declared = length;
        return Err(DecodeErrorKind::StringCutShort {
            declared,
            available,
        }
        .at(start));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is at most `available`, a usize"
    )]
    let end = content + length as usize;
    let departure = (first == b'0' && at > start + 1).then_some(Departure::LeadingZerosInLength);
    Ok(Scanned {
        header: content - start,
        end,
        departure,
    })
}

/// Reads the integer at `start`, whose first byte is known to be `i`.
#[inline]
pub(crate) fn integer(input: &[u8], start: usize) -> Result<Scanned, DecodeError> {
    let text = start + 1;
    let digits = text + usize::from(input.get(text) == Some(&b'-'));
    let mut at = digits;
    loop {
        let Some(&byte) = input.get(at) else {
            return Err(DecodeErrorKind::UnexpectedEnd.at(input.len()));
        };
        if !byte.is_ascii_digit() {
            if byte == b'e' && at > digits {
                break;
            }
            let expected = if at > digits {
                Expected::DigitOrEnd
            } else {
                Expected::Digit
            };
            return Err(DecodeErrorKind::UnexpectedByte { byte, expected }.at(at));
        }
        at += 1;
        if at - text > MAX_INTEGER_LENGTH {
            return Err(DecodeErrorKind::IntegerTooLarge.at(start));
        }
    }
    // Only texts near the longest can be outside of 128 bits.
    if at - text >= MAX_INTEGER_LENGTH - 1 && Int::new(&input[text..at]).to_i128().is_none() {
        return Err(DecodeErrorKind::IntegerTooLarge.at(start));
    }
    let departure = match (input[digits], at - digits) {
        (b'0', 1) if digits > text => Some(Departure::NegativeZero),
        (b'0', 2..) => Some(Departure::LeadingZeros),
        _ => None,
    };
    Ok(Scanned {
        header: 1,
        end: at + 1,
        departure,
    })
}
