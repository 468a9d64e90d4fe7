//! Any input as a torrent: refused, or sound.
#![no_main]

#[path = "../../crates/metainfo/tests/it/agreement.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod agreement;

libfuzzer_sys::fuzz_target!(|input: &[u8]| agreement::a_torrent_is_refused_or_sound(input));
