//! A BitTorrent session on tokio: many torrents, one port, limits, events.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod add;
mod announcer;
mod config;
mod dht;
mod disk;
mod encryption;
mod error;
mod events;
mod handle;
mod handshaking;
mod limiter;
mod listener;
mod local_discovery;
mod memory;
mod peer_task;
mod priority;
mod rate;
mod registry;
mod session;
mod sockets;
mod stats;
mod torrent_task;
mod uploads;
mod watched;
mod web_seed_task;

use rarest_metainfo::InfoHash;
// What stands in the signatures of this crate, under the versions that fit it.
pub use rarest_metainfo as metainfo;
pub use rarest_peer_wire::mse::{Method as EncryptionMethod, Methods as EncryptionMethods};
pub use rarest_piece_store as piece_store;
pub use rarest_swarm as swarm;
pub use rarest_tracker as tracker;
pub use rarest_web_seed as web_seed;

pub use add::{AddTorrent, ExistingData, TorrentSource};
pub use announcer::Scrape;
pub use config::{
    Builder, DEFAULT_MAX_CONNECTIONS, DEFAULT_MEMORY_BUDGET, DEFAULT_RESUME_BYTES,
    DEFAULT_STALL_TIMEOUT, MIN_MEMORY_BUDGET, MIN_RESUME_BYTES, MIN_RESUME_INTERVAL,
};
pub use dht::BOOTSTRAP as DHT_BOOTSTRAP;
pub use encryption::{Encryption, EncryptionPolicy};
pub use error::{AddError, CommandError, Gone, Incomplete, ShutdownError, StallCause, StartError};
pub use events::{Event, EventStream, TorrentEvent};
pub use handle::TorrentHandle;
pub use priority::FilePriority;
pub use rate::{Limits, Rate};
pub use session::Session;
pub use stats::{Stats, TorrentState};

/// Which torrent of a session: its info-hash; the v1 one of a hybrid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TorrentId(pub(crate) InfoHash);

impl TorrentId {
    /// The info-hash.
    #[must_use]
    pub fn info_hash(self) -> InfoHash {
        self.0
    }
}

impl std::fmt::Display for TorrentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for TorrentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}
