//! The decisions of one torrent: rarest-first, choking, pipelines and peers, without sockets or clocks.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
