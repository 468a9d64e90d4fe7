//! Sizes, rates and times as people write and read them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes: `262144`, `500k`, `2MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteCount(pub(crate) u64);

/// A number of bytes a second, more than none: `500k`, `2MiB`, `1.5 MB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRate(pub(crate) u64);

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuantityError {
    /// It does not begin with a number.
    #[error("write a number of bytes with or without a unit: 262144, 500k, 2MiB")]
    Number,
    /// The unit is unknown.
    #[error("`{0}` is no unit; k, M, G and Ki, Mi, Gi are, with or without a B")]
    Unit(String),
    /// The number is too large.
    #[error("the number is too large")]
    TooLarge,
    /// A rate of nothing would wait for ever.
    #[error("a rate must be more than 0; leave the flag out for no limit")]
    Zero,
}

/// 2^53: up to here a number with a fraction loses no byte.
const LARGEST: f64 = 9_007_199_254_740_992.0;

impl FromStr for ByteCount {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number: f64 = number.parse().map_err(|_| QuantityError::Number)?;
        let unit = unit.trim();
        let scale = match unit.strip_suffix(['B', 'b']).unwrap_or(unit) {
            "" => 1.0,
            "k" | "K" => 1e3,
            "m" | "M" => 1e6,
            "g" | "G" => 1e9,
            "ki" | "Ki" | "KI" => 1024.0,
            "mi" | "Mi" | "MI" => 1024.0 * 1024.0,
            "gi" | "Gi" | "GI" => 1024.0 * 1024.0 * 1024.0,
            _ => return Err(QuantityError::Unit(unit.to_owned())),
        };
        let bytes = (number * scale).round();
        if bytes > LARGEST {
            return Err(QuantityError::TooLarge);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded, at most 2^53, and the digits have no sign"
        )]
        let bytes = bytes as u64;
        Ok(Self(bytes))
    }
}

impl FromStr for ByteRate {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        let bytes: ByteCount = text.strip_suffix("/s").unwrap_or(text).parse()?;
        if bytes.0 == 0 {
            return Err(QuantityError::Zero);
        }
        Ok(Self(bytes.0))
    }
}

impl fmt::Display for ByteCount {
    /// Three digits and a unit: `1.50 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unit = "B";
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let mut number = self.0 as f64;
        for larger in ["KiB", "MiB", "GiB", "TiB"] {
            if number < 1000.0 {
                break;
            }
            number /= 1024.0;
            unit = larger;
        }
        match number {
            _ if unit == "B" => write!(f, "{number} B"),
            ..10.0 => write!(f, "{number:.2} {unit}"),
            ..100.0 => write!(f, "{number:.1} {unit}"),
            _ => write!(f, "{number:.0} {unit}"),
        }
    }
}

/// A number of things, for people: `1 piece`, `2 pieces`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// A time to wait, for people: `42s`, `3m05s`, `2h07m`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_a_thousand_and_of_1024() {
        let bytes = |text: &str| text.parse::<ByteCount>().map(|count| count.0);
        assert_eq!(bytes("262144"), Ok(262_144));
        assert_eq!(bytes("500k"), Ok(500_000));
        assert_eq!(bytes("2MiB"), Ok(2 * 1024 * 1024));
        assert_eq!(bytes("1.5 Gi"), Ok(1_610_612_736));
        assert_eq!(bytes("x"), Err(QuantityError::Number));
        assert_eq!(bytes("-1"), Err(QuantityError::Number));
        assert_eq!(bytes("1.2.3"), Err(QuantityError::Number));
        assert_eq!(bytes("1 mile"), Err(QuantityError::Unit("mile".to_owned())));
        assert_eq!(bytes("99999999999G"), Err(QuantityError::TooLarge));
    }

    #[test]
    fn a_rate_is_more_than_nothing() {
        assert_eq!("1.5 MB/s".parse(), Ok(ByteRate(1_500_000)));
        assert_eq!("0".parse::<ByteRate>(), Err(QuantityError::Zero));
    }

    #[test]
    fn three_digits_are_shown() {
        let shown = |bytes| ByteCount(bytes).to_string();
        assert_eq!(shown(999), "999 B");
        assert_eq!(shown(1024), "1.00 KiB");
        assert_eq!(shown(123 * 1024 * 1024), "123 MiB");
        assert_eq!(shown(1023 * 1024), "1.00 MiB");
    }

    #[test]
    fn times_have_two_units_at_most() {
        assert_eq!(duration(Duration::from_secs(42)), "42s");
        assert_eq!(duration(Duration::from_secs(185)), "3m05s");
        assert_eq!(duration(Duration::from_secs(7_620)), "2h07m");
    }
}
