//! A BitTorrent session on tokio: many torrents, one port, limits, events.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
