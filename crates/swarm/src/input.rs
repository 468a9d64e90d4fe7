//! What a torrent is told.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rarest_metainfo::{Bitfield, Block, Geometry, InfoHashes, PeerId};
use rarest_peer_wire::connection::Privacy;

/// A connection that the torrent agreed to. The number of one that ended is not given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Who told us of a peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PeerSource {
    /// The user.
    User,
    /// `x.pe` of a magnet link (BEP 9).
    Magnet,
    /// The resume data of an earlier run.
    Resume,
    /// A tracker.
    Tracker,
    /// Another peer (BEP 11).
    PeerExchange,
    /// The distributed hash table (BEP 5).
    Dht,
    /// The local network (BEP 14).
    LocalDiscovery,
    /// The peer dialled us, and named its port.
    Incoming,
}

impl PeerSource {
    /// Whether a private torrent may learn of peers there.
    pub(crate) fn is_trusted_by(self, privacy: Privacy) -> bool {
        match (privacy, self) {
            (Privacy::Public, _) => true,
            // The book knows those that dialled us, and they know us from the tracker.
            (Privacy::Private, Self::User | Self::Resume | Self::Tracker | Self::Incoming) => true,
            (
                Privacy::Private,
                Self::Magnet | Self::PeerExchange | Self::Dht | Self::LocalDiscovery,
            ) => false,
        }
    }
}

/// Why a connection ended, as far as whoever drove it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ended {
    /// The peer closed it, or the network did.
    Closed,
    /// The peer was silent too long.
    TimedOut,
    /// The peer broke the protocol.
    ProtocolViolation,
    /// We closed it for reasons of our own.
    Ours,
}

/// What the torrent begins with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The pieces of the torrent.
    pub geometry: Arc<Geometry>,
    /// The identity of the torrent: a hybrid has two swarms.
    pub info_hashes: InfoHashes,
    /// Our own name.
    pub peer_id: PeerId,
    /// Pieces that the store has verified.
    pub verified: Bitfield,
    /// Pieces whose hash is not known, of a v2 torrent whose piece layers are missing (BEP 52). They are not fetched before
    /// [`handle_hashes_known`](crate::Torrent::handle_hashes_known).
    pub hash_unknown: Bitfield,
    /// Blocks of other pieces that an earlier run left on disk, unverified.
    pub on_disk: Vec<Block>,
    /// The raw bytes of the info dictionary, to be served to peers that have only a magnet link (BEP 9). None is served without.
    pub metadata: Option<Bytes>,
}

/// SHA-1 of one 16 KiB block, by which a block of a corrupt piece is compared with the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockDigest(pub [u8; 20]);

/// What became of a piece that the store was to complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PieceResult {
    /// The hash fits and the piece is on disk.
    Verified {
        /// The digests of its blocks, in order, when they were asked for; else empty.
        block_digests: Vec<BlockDigest>,
    },
    /// The hash does not fit; nothing was written.
    Corrupt {
        /// The digests of its blocks, in order.
        block_digests: Vec<BlockDigest>,
    },
    /// What was spilled of it is gone; those blocks are fetched again.
    SpillLost,
    /// Its hash is not known after all. The piece waits, on disk where memory is short, for
    /// [`handle_hashes_known`](crate::Torrent::handle_hashes_known).
    HashUnknown,
    /// The store could not write. The torrent keeps the piece and goes into its upload-only state.
    StoreFailed,
}

/// What became of blocks that the store was to write before their piece was whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpillResult {
    /// They are on disk.
    Written,
    /// The store could not write. The torrent keeps them and goes into its upload-only state.
    StoreFailed,
}

/// Why a connection is not wanted; the driver closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The other end is ourselves.
    #[error("the peer at {addr} is ourselves")]
    Ourselves {
        /// Where we dialled.
        addr: SocketAddr,
    },
    /// There is a connection to this peer, and both ends keep that one.
    #[error("there is a connection to the peer at {addr} already")]
    Duplicate {
        /// The address of the connection that is refused.
        addr: SocketAddr,
    },
    /// The address sent us corrupt data before.
    #[error("the address {addr} is banned")]
    Banned {
        /// The address.
        addr: SocketAddr,
    },
    /// As many peers as allowed are connected, all of use.
    #[error("{limit} peers are connected already")]
    Full {
        /// Most connections of the torrent.
        limit: usize,
    },
    /// The torrent is paused.
    #[error("the torrent is paused")]
    Paused,
    /// It was dialled before the torrent turned out to be private, and no tracker has named it (BEP 27).
    #[error("the torrent is private, and no tracker named the peer at {addr}")]
    Private {
        /// The peer.
        addr: SocketAddr,
    },
    /// The peer came for another torrent.
    #[error("the peer at {addr} came for another torrent")]
    OtherTorrent {
        /// The peer.
        addr: SocketAddr,
    },
}
