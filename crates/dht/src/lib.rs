//! The BitTorrent DHT: a node as a pure state machine, lookups, storage of peers and items; a driver for tokio behind a feature.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod bloom;
#[cfg(feature = "driver")]
pub mod driver;
mod error;
mod event;
pub mod item;
pub mod krpc;
mod limits;
mod lookup;
mod node;
mod node_id;
mod store;
mod table;
mod tokens;

pub use address::Family;
pub use bloom::BloomFilter;
pub use error::{Busy, StateError};
pub use event::Event;
pub use limits::{
    DEFAULT_OUTGOING_RATE, INCOMING_WINDOW, MAX_COUNTED_HOSTS, MAX_DATAGRAMS_PER_HOST,
};
pub use lookup::{
    CONCURRENCY, LookupId, LookupSummary, MAX_CANDIDATES, MAX_FALSE_TIPS, MAX_QUERIES_PER_LOOKUP,
    MAX_TIPS_PER_ANSWER,
};
pub use node::{
    Announce, Config, Families, GetTarget, MAX_CHECKS, MAX_LOOKUPS, MAX_PEERS_PER_LOOKUP,
    MAX_ROUTERS, Node, QUERY_TIMEOUT, SLOW_AFTER, Transmit, VOTES_TO_CHANGE_ID,
};
pub use node_id::{Distance, NodeId, is_exempt};
pub use store::{
    ITEM_LIFETIME, MAX_INFO_HASHES, MAX_ITEMS, MAX_PEERS_PER_HASH, MAX_PEERS_PER_HOST,
    PEER_LIFETIME,
};
pub use table::{BUCKET_SIZE, MAX_FAILURES, MAX_NODES_PER_SUBNET, MAX_REPLACEMENTS, SILENCE};
pub use tokens::TOKEN_ROTATION;

/// Where the virtual time of a test begins.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
fn origin() -> std::time::Instant {
    std::time::Instant::now()
}
