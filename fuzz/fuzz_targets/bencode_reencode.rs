//! Canonical input, decoded and encoded again, is the same.
#![no_main]

#[path = "../../crates/bencode/tests/it/agreement.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod agreement;

libfuzzer_sys::fuzz_target!(|input: &[u8]| agreement::encoding_gives_back_canonical_input(input));
