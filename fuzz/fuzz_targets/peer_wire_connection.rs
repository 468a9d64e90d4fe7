//! A connection with any peer, any owner and any clock.
#![no_main]

#[path = "../../crates/peer-wire/tests/it/strangers.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod strangers;

libfuzzer_sys::fuzz_target!(|input: &[u8]| strangers::connections_do_no_harm(input));
