//! The store over real files and memory.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "what fails in a test fails the test, and its numbers are small"
)]

mod damage;
mod faults;
mod files;
mod foreign;
mod hashes;
mod kill;
mod made;
mod model;
mod pieces;
mod resume;
mod selection;
mod sync;
mod whole;
