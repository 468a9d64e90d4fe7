//! What happened, so that two runs can be compared.

use std::fmt;
use std::time::Duration;

/// Lines that are kept. A run has more; the hash covers all of them.
const KEPT_LINES: usize = 10_000;

/// The events of a run, and a hash over them. Two runs with the same seed have the same hash.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Vec<String>,
    count: u64,
    hash: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            count: 0,
            // The offset basis of FNV-1a: the hash must be the same in every build.
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }
}

impl Log {
    pub(crate) fn write(&mut self, at: Duration, line: fmt::Arguments<'_>) {
        let line = format!("{:>12} us  {line}", at.as_micros());
        for &byte in line.as_bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.count += 1;
        if self.lines.len() < KEPT_LINES {
            self.lines.push(line);
        }
    }

    /// The first lines, in order.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Number of lines, those that were not kept among them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// FNV-1a over all lines.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
