//! Bodies of scrapes.
#![no_main]

#[path = "../../crates/tracker/tests/it/any_input.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod any_input;

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_input::scrape_bodies(input));
