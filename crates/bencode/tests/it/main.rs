//! The crate as its users see it.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod agreement;
mod canonical;
mod corpus;
mod defects;
mod document;
mod limits;
mod reader;
mod round_trip;
mod serde;
mod writer;
