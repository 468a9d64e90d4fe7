//! Stories of one torrent, told through its public surface in virtual time.
#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

mod any_hashes;
mod any_input;
mod any_metadata;
mod any_order;
mod choking;
mod connecting;
mod corruption;
mod downloading;
mod endgame;
mod exchange;
mod hashes;
mod layers;
mod leaves;
mod magnets;
mod marks;
mod metadata;
mod news;
mod stage;
mod storing;
mod wanting;
mod web_seeds;
