//! What a node stores for others: peers of swarms, and items.

mod items;
mod peers;

pub(crate) use items::ItemStore;
pub use items::{ITEM_LIFETIME, MAX_ITEMS};
pub(crate) use peers::PeerStore;
pub use peers::{MAX_INFO_HASHES, MAX_PEERS_PER_HASH, MAX_PEERS_PER_HOST, PEER_LIFETIME};
