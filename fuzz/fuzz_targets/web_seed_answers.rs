//! A web seed whose server answers anything in any order.
#![no_main]

#[path = "../../crates/web-seed/tests/it/any_input.rs"]
mod any_input;
#[path = "../../crates/web-seed/tests/it/stage.rs"]
#[expect(dead_code, reason = "the stories need more of it")]
mod stage;

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_input::seed_lives_through(input));
