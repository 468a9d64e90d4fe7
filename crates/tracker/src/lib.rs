//! BitTorrent trackers: HTTP and UDP announce and scrape, tiers and back-off; pure protocol, clients behind features.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
