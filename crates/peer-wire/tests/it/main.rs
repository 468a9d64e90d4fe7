//! Stories about two peers, or one peer and a script, in virtual time.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod choke;
mod corpus;
mod downloads;
mod extensions;
mod fast;
mod frames;
mod handshake;
mod hashes;
mod limits;
#[cfg(feature = "mse")]
mod mse;
#[cfg(feature = "mse")]
mod mse_corpus;
#[cfg(feature = "mse")]
mod mse_strangers;
mod output;
mod pair;
mod pieces;
mod properties;
mod strangers;
mod time;
mod uploads;
