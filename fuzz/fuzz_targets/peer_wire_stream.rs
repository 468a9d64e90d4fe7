//! Any stream of messages, whole and byte by byte.
#![no_main]

#[path = "../../crates/peer-wire/tests/it/strangers.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod strangers;

libfuzzer_sys::fuzz_target!(|input: &[u8]| strangers::streams_do_no_harm(input));
