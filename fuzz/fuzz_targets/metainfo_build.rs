//! Any files as a torrent: what is made is read back.
#![no_main]

#[path = "../../crates/metainfo/tests/it/agreement.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod agreement;

libfuzzer_sys::fuzz_target!(|input: (u8, u32, Vec<(String, Vec<u8>)>)| {
    use rarest_metainfo::Version::{Hybrid, V1, V2};
    let version = [V1, V2, Hybrid][usize::from(input.0 % 3)];
    agreement::what_is_built_is_read_back(version, input.1, &input.2);
});
