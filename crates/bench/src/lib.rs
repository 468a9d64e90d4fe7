//! What the crates of `rarest` are measured by: paired runs beside other libraries, and counted instructions.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod contest;
pub mod inputs;
pub mod libtorrent;
