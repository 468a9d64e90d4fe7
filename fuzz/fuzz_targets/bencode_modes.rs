//! The strict mode accepts exactly what the lenient accepts without a remark.
#![no_main]

#[path = "../../crates/bencode/tests/it/agreement.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod agreement;

libfuzzer_sys::fuzz_target!(|input: &[u8]| agreement::strict_is_lenient_without_remarks(input));
