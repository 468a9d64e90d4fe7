//! Any text as a magnet link: refused, or the same when printed and read again.
#![no_main]

#[path = "../../crates/metainfo/tests/it/agreement.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod agreement;

libfuzzer_sys::fuzz_target!(|input: &str| agreement::a_magnet_survives_printing(input));
