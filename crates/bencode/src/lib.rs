//! Bencode without recursion: a borrowed document, a pull reader, a writer and serde.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
