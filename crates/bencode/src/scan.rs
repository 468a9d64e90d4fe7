//! Byte strings and integers at the front of the input: the one grammar that reader, document and deserializer share.

use core::cmp::Ordering;

use crate::{
    DecodeError, DecodeErrorKind, Departure, Expected, Int, MAX_INTEGER_LENGTH, MAX_LENGTH_DIGITS,
};

/// A byte string or integer.
#[derive(Clone, Copy)]
pub(crate) struct Scanned<'input> {
    /// The bytes of the string, or the text of the integer between `i` and `e`.
    pub(crate) content: &'input [u8],
    /// The input behind it.
    pub(crate) rest: &'input [u8],
}

/// What was found where a canonical byte string or integer was not, and how it departs from the canonical.
pub(crate) type Judged<'input> = Result<(Scanned<'input>, Option<Departure>), DecodeError>;

/// Most digits of a number that surely fits into 63 bits; nearly all have far fewer.
const COMMON_DIGITS: usize = 18;

/// Reads a canonical byte string in front of `input`; `None` if there is none, which [`any_byte_string`] judges.
#[inline]
pub(crate) fn byte_string(input: &[u8]) -> Option<Scanned<'_>> {
    let (length, behind) = natural(input, b':')?;
    let (content, rest) = behind.split_at_checked(length.try_into().ok()?)?;
    Some(Scanned { content, rest })
}

/// Reads a natural number in front of `input`, without zeros in front and of common size, and the byte that has to end it.
#[inline]
pub(crate) fn natural(input: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let mut number = u64::from(digit(*input.first()?)?);
    let mut at = 1;
    loop {
        let byte = *input.get(at)?;
        at += 1;
        if byte == end {
            return Some((number, &input[at..]));
        }
        if number == 0 || at > COMMON_DIGITS {
            return None;
        }
        number = number * 10 + u64::from(digit(byte)?);
    }
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    Some(byte.wrapping_sub(b'0')).filter(|&digit| digit < 10)
}

/// Reads any byte string in front of `input`, which stands at `start` of the whole.
#[cold]
pub(crate) fn any_byte_string(input: &[u8], start: usize) -> Judged<'_> {
    let mut length = 0_u64;
    for (digits, &byte) in input.iter().enumerate() {
        match byte {
            b'0'..=b'9' if digits < MAX_LENGTH_DIGITS => {
                length = length * 10 + u64::from(byte - b'0');
            }
            b'0'..=b'9' => return Err(DecodeErrorKind::LengthTooLarge.at(start)),
            b':' => {
                let behind = &input[digits + 1..];
                let split = usize::try_from(length).map(|length| behind.split_at_checked(length));
                let Ok(Some((content, rest))) = split else {
                    let kind = DecodeErrorKind::StringCutShort {
                        declared: length,
                        available: behind.len(),
                    };
                    return Err(kind.at(start));
                };
                let departure =
                    (digits > 1 && input[0] == b'0').then_some(Departure::LeadingZerosInLength);
                return Ok((Scanned { content, rest }, departure));
            }
            _ => {
                let expected = Expected::DigitOrColon;
                return Err(DecodeErrorKind::UnexpectedByte { byte, expected }.at(start + digits));
            }
        }
    }
    Err(DecodeErrorKind::UnexpectedEnd.at(start + input.len()))
}

/// Reads a canonical integer of common size in front of `input`; `None` if there is none, which [`any_integer`] judges.
#[inline]
pub(crate) fn integer(input: &[u8]) -> Option<Scanned<'_>> {
    let text = input.strip_prefix(b"i")?;
    let sign = usize::from(text.first() == Some(&b'-'));
    let mut at = sign;
    while digit(*text.get(at)?).is_some() {
        at += 1;
    }
    // Zero has no sign, and no digits behind it.
    if at == sign || at - sign > COMMON_DIGITS || text[sign] == b'0' && at > 1 {
        return None;
    }
    let (content, rest) = text.split_at(at);
    let rest = rest.strip_prefix(b"e")?;
    Some(Scanned { content, rest })
}

/// Reads any integer in front of `input`, which stands at `start` of the whole.
#[cold]
pub(crate) fn any_integer(input: &[u8], start: usize) -> Judged<'_> {
    let text = &input[1..];
    let sign = usize::from(text.first() == Some(&b'-'));
    let digits = &text[sign..];
    let count = (digits.iter().take(MAX_INTEGER_LENGTH + 1))
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (content, rest) = text.split_at(sign + count);
    // Only texts near the longest can be outside of 128 bits.
    if content.len() > MAX_INTEGER_LENGTH
        || content.len() >= MAX_INTEGER_LENGTH - 1 && Int::new(content).to_i128().is_none()
    {
        return Err(DecodeErrorKind::IntegerTooLarge.at(start));
    }
    let rest = match rest {
        [b'e', rest @ ..] if count > 0 => rest,
        _ => return Err(no_end_of_integer(rest, count, start + 1 + content.len())),
    };
    let departure = match (digits[0], count) {
        (b'0', 1) if sign > 0 => Some(Departure::NegativeZero),
        (b'0', 2..) => Some(Departure::LeadingZeros),
        _ => None,
    };
    Ok((Scanned { content, rest }, departure))
}

/// What is wrong with `rest`, which stands at `at` behind as many digits of an integer.
fn no_end_of_integer(rest: &[u8], digits: usize, at: usize) -> DecodeError {
    let expected = if digits > 0 {
        Expected::DigitOrEnd
    } else {
        Expected::Digit
    };
    match rest.first() {
        Some(&byte) => DecodeErrorKind::UnexpectedByte { byte, expected }.at(at),
        None => DecodeErrorKind::UnexpectedEnd.at(at),
    }
}

/// What is not canonical about `key` behind the key `last`.
#[inline]
pub(crate) fn key_departure(last: &[u8], key: &[u8]) -> Option<Departure> {
    // The first bytes tell most keys apart without a call to compare memory.
    if let ([last, ..], [key, ..]) = (last, key)
        && last < key
    {
        return None;
    }
    match last.cmp(key) {
        Ordering::Less => None,
        Ordering::Equal => Some(Departure::DuplicateKey),
        Ordering::Greater => Some(Departure::UnsortedKey),
    }
}
