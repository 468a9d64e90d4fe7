//! What can be wrong with a web seed, and what follows from it.

use std::time::Duration;

use crate::limits::{MAX_URL_LENGTH, MIN_PART};

/// Why a text is no web seed's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWebSeed {
    /// Longer than [`MAX_URL_LENGTH`].
    #[error("the web seed's URL has {length} bytes, above the limit of {MAX_URL_LENGTH}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It is no URL.
    #[error("the web seed's URL is malformed: {0}")]
    Malformed(#[from] url::ParseError),
    /// It is neither `http` nor `https`.
    #[error("the web seed's URL begins with {scheme}:, which is not spoken")]
    UnknownProtocol {
        /// What it begins with.
        scheme: String,
    },
}

/// What a web server did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// An answer without content.
    #[error("the web server answered with status {0}")]
    Status(u16),
    /// It is busy, and says when it will not be.
    #[error("the web server asks to come again after {} s", .0.as_secs())]
    Busy(Duration),
    /// The range is not the one that was asked for.
    #[error("the web server sent another range than it was asked for")]
    OtherRange,
    /// It gives so little at a time that it is not worth asking.
    #[error("the web server sends {length} bytes at a time, below the limit of {MIN_PART}")]
    Scraps {
        /// Length of its answer in bytes.
        length: u64,
    },
    /// It cannot begin where it was asked to, and that is far from the beginning.
    #[error("the web server knows no ranges, and {offset} bytes would be read for nothing")]
    NoRanges {
        /// Bytes in front of those that are wanted.
        offset: u64,
    },
    /// The body ended early.
    #[error("the web server's answer ends {missing} bytes early")]
    Short {
        /// Bytes that are missing.
        missing: u64,
    },
    /// The body did not end where it should.
    #[error("the web server's answer does not end where it should")]
    Long,
    /// The body is compressed, which nobody asked for.
    #[error("the web server compresses its answer, and was not asked to")]
    Encoded,
    /// It lacks all files, or so many that it seems so.
    #[error("the web server lacks the files")]
    LacksFiles,
    /// No answer, for a reason in one sentence.
    #[error("{0}")]
    NoAnswer(String),
}

/// What is to become of a web seed after a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It never helps: it is not asked again.
    GiveUp(Fault),
    /// It may help later.
    TryLater(Fault),
    /// It said when it may help.
    TryAfter(Duration, Fault),
}
