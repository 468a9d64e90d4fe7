//! Datagrams, wishes and times in any order.
#![no_main]

#[path = "../../crates/dht/tests/it/any_input.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod any_input;

libfuzzer_sys::fuzz_target!(|input: &[u8]| any_input::nodes(input));
