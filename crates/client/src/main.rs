//! The `rarest` binary.
#![forbid(unsafe_code)]

fn main() {}
