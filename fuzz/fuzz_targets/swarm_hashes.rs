//! A v2 torrent whose peers say anything of hashes and blocks in any order.
#![no_main]

#[path = "../../crates/swarm/tests/it/any_hashes.rs"]
mod any_hashes;
#[path = "../../crates/swarm/tests/it/stage.rs"]
#[expect(dead_code, reason = "the stories need more of it")]
mod stage;

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_hashes::hashes_live_through(input));
