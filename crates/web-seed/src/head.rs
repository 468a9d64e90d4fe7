//! The head of an answer, as far as it matters.

use std::time::Duration;

use crate::limits::{MAX_HEADER_LENGTH, MAX_RETRY_AFTER};

/// Status and headers of an answer. Headers that are not understood are as if they were not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub(crate) status: u16,
    pub(crate) content_length: Option<u64>,
    pub(crate) content_range: Option<ContentRange>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) is_encoded: bool,
}

/// What part of a file an answer holds: `bytes 0-99/1000`.
///
/// Source: [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#name-content-range), section 14.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub first: u64,
    /// The last byte, not before the first.
    pub last: u64,
    /// Length of the file, if the server says it.
    pub of: Option<u64>,
}

impl Head {
    /// The head of an answer of that status, without headers.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            content_length: None,
            content_range: None,
            retry_after: None,
            is_encoded: false,
        }
    }

    /// Adds a header. The name may be in any case.
    #[must_use]
    pub fn with(mut self, name: &str, value: &[u8]) -> Self {
        let value = value.trim_ascii();
        if value.len() > MAX_HEADER_LENGTH {
            return self;
        }
        if name.eq_ignore_ascii_case("content-length") {
            self.content_length = number(value);
        } else if name.eq_ignore_ascii_case("content-range") {
            self.content_range = ContentRange::parse(value);
        } else if name.eq_ignore_ascii_case("retry-after") {
            // The other form, a date, needs a clock that is right at both ends.
            let seconds = number(value).map(Duration::from_secs);
            self.retry_after = seconds.map(|wait| wait.min(MAX_RETRY_AFTER));
        } else if name.eq_ignore_ascii_case("content-encoding") {
            self.is_encoded = !value.is_empty() && !value.eq_ignore_ascii_case(b"identity");
        }
        self
    }
}

impl ContentRange {
    /// Reads the value of the header. `None` for another unit, a range that was not satisfied, and whatever makes no sense.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (unit, rest) = value.split_at_checked(5)?;
        if !unit.eq_ignore_ascii_case(b"bytes") || !rest.starts_with(b" ") {
            return None;
        }
        let rest = rest.trim_ascii_start();
        let dash = rest.iter().position(|&byte| byte == b'-')?;
        let slash = rest.iter().position(|&byte| byte == b'/')?;
        let first = number(rest.get(..dash)?)?;
        let last = number(rest.get(dash + 1..slash)?)?;
        let of = match rest.get(slash + 1..)? {
            b"*" => None,
            length => Some(number(length)?),
        };
        let is_sound = first <= last && last < of.unwrap_or(u64::MAX);
        is_sound.then_some(Self { first, last, of })
    }

    /// Number of bytes.
    pub(crate) fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

/// Digits and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok()?;
    is_number.then(|| text.parse().ok()).flatten()
}
