//! A responder with any request, of somebody who knows the key or not.
#![no_main]

#[path = "../../crates/peer-wire/tests/it/mse_strangers.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod mse_strangers;

libfuzzer_sys::fuzz_target!(|input: &[u8]| mse_strangers::responders_do_no_harm(input));
