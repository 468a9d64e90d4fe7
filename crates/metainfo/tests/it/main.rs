//! Tests of the crate from outside.
#![expect(clippy::cast_possible_truncation, reason = "tests have small numbers")]

#[cfg(feature = "create")]
mod builder;
mod content;
