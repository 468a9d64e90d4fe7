//! A seeded network and disk in virtual time, in which whole BitTorrent swarms run in one process.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
