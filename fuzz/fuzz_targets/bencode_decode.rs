//! Any input, in all modes, with a walk over all of what is accepted.
#![no_main]

#[path = "../../crates/bencode/tests/it/agreement.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod agreement;

libfuzzer_sys::fuzz_target!(|input: &[u8]| agreement::decoding_never_panics(input));
