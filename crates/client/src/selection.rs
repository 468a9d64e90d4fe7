//! Files of a torrent by their numbers: `0,2-4`.

use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::{Result, bail};

/// Numbers of files, as ranges in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection(Vec<RangeInclusive<usize>>);

/// Why a text selects nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the numbers of files from 0, with commas and ranges: 0,2-4")]
pub(crate) struct SelectionError;

impl FromStr for Selection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| SelectionError);
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first)?..=number(last)?;
            if range.is_empty() {
                Err(SelectionError)
            } else {
                Ok(range)
            }
        };
        text.split(',')
            .map(range)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Selection {
    /// The numbers in order, none twice; all of them lie below `count`.
    pub(crate) fn numbers(&self, count: usize) -> Result<Vec<usize>> {
        if let Some(range) = self.0.iter().find(|range| *range.end() >= count) {
            bail!(
                "there is no file {}: the torrent has {count} files, the last is {}",
                range.end(),
                count - 1
            );
        }
        let mut numbers: Vec<usize> = self.0.iter().cloned().flatten().collect();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_put_in_order() {
        let selection: Selection = "5, 2-4,3".parse().unwrap();
        assert_eq!(selection.numbers(6).unwrap(), [2, 3, 4, 5]);
    }

    #[test]
    fn a_number_beyond_the_last_file_is_refused() {
        let selection: Selection = "0-18446744073709551615".parse().unwrap();
        assert!(selection.numbers(6).is_err());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "a", "1-", "4-2", "1,,2", "-1"] {
            assert_eq!(text.parse::<Selection>(), Err(SelectionError), "{text}");
        }
    }
}
