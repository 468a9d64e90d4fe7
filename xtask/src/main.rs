//! `cargo xtask`: the checks that people and CI run alike.
#![forbid(unsafe_code)]

fn main() {}
