//! A torrent with peers, a store and a user that do anything in any order.
#![no_main]

#[path = "../../crates/swarm/tests/it/any_input.rs"]
mod any_input;
#[path = "../../crates/swarm/tests/it/stage.rs"]
#[expect(dead_code, reason = "the stories need more of it")]
mod stage;

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_input::torrent_lives_through(input));
