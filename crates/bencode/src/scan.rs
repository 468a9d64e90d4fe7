//! Byte strings and integers at a place of the input: the one grammar that reader and document share.

use core::cmp::Ordering;

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
    // Nearly all lengths have one digit or two.
    let (length, header) = match input[start..] {
        [digit, b':', ..] => (u64::from(digit - b'0'), 2),
        [ten @ b'1'..=b'9', one @ b'0'..=b'9', b':', ..] => {
            (u64::from(ten - b'0') * 10 + u64::from(one - b'0'), 3)
        }
        _ => length(input, start)?,
    };
    let content = start + header;
    let available = input.len() - content;
    if length > available as u64 {
        let declared = length;
        let kind = DecodeErrorKind::StringCutShort {
            declared,
            available,
        };
        return Err(kind.at(start));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is at most `available`, a usize"
    )]
    let end = content + length as usize;
    let departure = (header > 2 && input[start] == b'0').then_some(Departure::LeadingZerosInLength);
    Ok(Scanned {
        header,
        end,
        departure,
    })
}

/// Reads a length of any number of digits; gives it, and how many bytes it has with its colon.
fn length(input: &[u8], start: usize) -> Result<(u64, usize), DecodeError> {
    let mut length = 0_u64;
    for (digits, &byte) in input[start..].iter().enumerate() {
        match byte {
            b'0'..=b'9' if digits < MAX_LENGTH_DIGITS => {
                length = length * 10 + u64::from(byte - b'0');
            }
            b'0'..=b'9' => return Err(DecodeErrorKind::LengthTooLarge.at(start)),
            b':' => return Ok((length, digits + 1)),
            _ => {
                let expected = Expected::DigitOrColon;
                return Err(DecodeErrorKind::UnexpectedByte { byte, expected }.at(start + digits));
            }
        }
    }
    Err(DecodeErrorKind::UnexpectedEnd.at(input.len()))
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

/// What is not canonical about `key` behind the key `last`.
#[inline]
pub(crate) fn key_departure(last: &[u8], key: &[u8]) -> Option<Departure> {
    // The first bytes tell most keys apart without a call to compare memory.
    let order = match (last.first(), key.first()) {
        (Some(last), Some(key)) if last != key => last.cmp(key),
        _ => last.cmp(key),
    };
    match order {
        Ordering::Less => None,
        Ordering::Equal => Some(Departure::DuplicateKey),
        Ordering::Greater => Some(Departure::UnsortedKey),
    }
}
