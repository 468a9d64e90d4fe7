//! The metadata of a magnet link, of peers that say anything in any order; an honest one ends it.
#![no_main]

#[path = "../../crates/swarm/tests/it/any_metadata.rs"]
mod any_metadata;

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_metadata::fetch_lives_through(input));
