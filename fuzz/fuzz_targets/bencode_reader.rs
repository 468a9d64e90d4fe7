//! Reader and document tell the same story.
#![no_main]

#[path = "../../crates/bencode/tests/it/agreement.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod agreement;

libfuzzer_sys::fuzz_target!(|input: &[u8]| agreement::reader_and_document_agree(input));
