//! Tests of the crate from outside.
#![expect(
    clippy::unwrap_used,
    reason = "what fails in the helpers of a test fails the test"
)]
#![expect(clippy::cast_possible_truncation, reason = "tests have small numbers")]

mod agreement;
mod any_input;
#[cfg(feature = "create")]
mod builder;
mod content;
mod corpus;
mod fixtures;
mod geometry;
mod layers;
mod layout;
mod magnet;
mod merkle;
mod rules;
