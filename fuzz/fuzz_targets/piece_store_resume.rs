//! Resume data from anywhere.
#![no_main]

#[path = "../../crates/piece-store/tests/it/foreign.rs"]
mod foreign;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| foreign::resume_data_does_no_harm(bytes));
