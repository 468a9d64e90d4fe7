//! Where the bytes of a torrent live: files or memory, verified piece by piece, resumed after any stop.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
