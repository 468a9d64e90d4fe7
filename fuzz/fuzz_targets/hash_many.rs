//! Messages in any slices, hashed side by side, have the digests of the reference.
#![no_main]

#[path = "../../crates/hash/tests/it/reference.rs"]
mod reference;

libfuzzer_sys::fuzz_target!(|messages: Vec<Vec<&[u8]>>| reference::assert_all_match(&messages));
