//! The decisions of one torrent: rarest-first, choking, pipelines and peers, without sockets or clocks.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod choker;
mod config;
mod has;
mod input;
mod layers;
pub mod limits;
pub mod metadata;
mod our_address;
mod output;
mod peer_book;
mod peer_exchange;
mod peers;
mod picker;
mod piece;
mod pipeline;
mod priority;
mod rate;
mod stats;
mod suspicion;
mod torrent;
mod web_seeds;

pub use config::{Config, UploadSlots};
pub use input::{
    BlockDigest, Ended, PeerKey, PeerSource, PieceResult, Refused, SpillResult, Start,
};
pub use output::{
    BanReason, BlockData, CompletePiece, Digests, DisconnectReason, Output, TorrentEvent,
};
pub use priority::Priority;
pub use rarest_peer_wire::connection::{Direction, Privacy};
pub use stats::{PeerStats, Stats};
pub use torrent::{Torrent, WorkLimit};
pub use web_seeds::{WebSeedEnd, WebSeedId};
