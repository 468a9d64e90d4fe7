//! Whole swarms, from the first dial to the last piece, in virtual time.
#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

mod dht;
mod encrypted;
mod exchange;
mod fast_lines;
mod faults;
mod magnets;
mod swarms;
mod v2;

use std::time::Instant;

/// The seed of a test, or the one that the environment names: a failing run says which.
fn seed(default: u64) -> u64 {
    std::env::var("RAREST_SIM_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(default)
}

/// Some first instant: nothing depends on which.
#[expect(clippy::disallowed_methods, reason = "virtual time needs a beginning")]
fn start() -> Instant {
    Instant::now()
}
