//! BitTorrent trackers: HTTP and UDP announce and scrape, tiers and back-off; pure protocol, clients behind features.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod announce;
#[cfg(any(feature = "http", feature = "udp"))]
pub mod client;
mod compact;
mod error;
pub mod http;
pub mod schedule;
mod scrape;
#[cfg(feature = "server")]
pub mod server;
mod tiers;
pub mod udp;
mod url;

pub use announce::{Announce, AnnounceReply, Event, Failure, Family, MAX_TEXT_LENGTH, Peer, Retry};
pub use error::{Error, RedirectError, ReplyError};
pub use schedule::{Schedule, ScheduleConfig};
pub use scrape::{MAX_HASHES_PER_SCRAPE, ScrapeReply, SwarmCounts};
pub use tiers::{MAX_TRACKERS, Tiers, TrackerKey};
pub use url::{MAX_URL_LENGTH, Protocol, TrackerUrl, TrackerUrlError};
