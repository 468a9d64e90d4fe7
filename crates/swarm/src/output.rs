//! What a torrent wants done.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use rarest_metainfo::{Block, Metainfo, PieceIndex, Sha256Digest};
use rarest_peer_wire::HashRange;
use rarest_peer_wire::connection::Command;

use crate::{PeerKey, WebSeedId};

/// Something to do for whoever drives a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Hand these to the peer's connection, in order.
    Commands(PeerKey, Vec<Command>),
    /// Connect to the address. Ends in `handle_peer_connected` or `handle_dial_failed`.
    Dial(SocketAddr),
    /// Ask a web server for what the commands for this key say, and tell what comes as the events of a peer. Ends in `Disconnect` or
    /// `handle_web_seed_ended`.
    OpenWebSeed {
        /// By which it is known like a peer's connection.
        key: PeerKey,
        /// Which of those that were added.
        web_seed: WebSeedId,
    },
    /// Verify and write a piece. Ends in `handle_piece_done`.
    CompletePiece(CompletePiece),
    /// Write blocks to their place before their piece is whole, to free memory. Ends in `handle_spilled`.
    Spill(Vec<(Block, Bytes)>),
    /// The raw bytes of the info dictionary have come, and their hash is right. Ends in `handle_metadata`.
    Metadata(Bytes),
    /// Peers have sent piece layers that were missing (BEP 52), proven up to the roots. Let the store have them, then call
    /// [`handle_hashes_known`](crate::Torrent::handle_hashes_known) with the pieces.
    HashesFound {
        /// The torrent with all layers that are known.
        metainfo: Arc<Metainfo>,
        /// The pieces whose hashes are new.
        pieces: Vec<PieceIndex>,
    },
    /// A peer asks for hashes (BEP 52). Read them from the store. Ends in [`handle_hashes_read`](crate::Torrent::handle_hashes_read).
    AnswerHashes {
        /// Who asks.
        peer: PeerKey,
        /// What it asks for; it may not exist.
        range: Box<HashRange>,
    },
    /// Close the connection. The torrent has forgotten it; nothing need be said of it any more.
    Disconnect(PeerKey, DisconnectReason),
    /// Accept nothing from the address any more; the torrent does not.
    Ban(IpAddr, BanReason),
    /// Something that users may want to know.
    Event(TorrentEvent),
}

/// A whole piece, not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletePiece {
    /// Which piece.
    pub piece: PieceIndex,
    /// Its blocks in order.
    pub parts: Vec<BlockData>,
    /// Whether the digests of its blocks are wanted, should it be good. They always are when it is corrupt.
    pub digests: Digests,
}

/// Where the bytes of a block are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockData {
    /// Here.
    Memory(Bytes),
    /// In their place on disk, unverified.
    Spilled {
        /// Length in bytes.
        length: u32,
    },
    /// Nowhere: zeros by definition (BEP 47).
    Padding {
        /// Length in bytes.
        length: u32,
    },
}

/// Whether the digests of the blocks of a good piece are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digests {
    /// They are not looked at.
    Unneeded,
    /// The piece was corrupt before: they tell who lied.
    Wanted,
}

/// Why the torrent ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// Both ends have all that they want: nothing will flow (BEP 21).
    BothComplete,
    /// There is another connection to the same peer, which both ends keep.
    Duplicate,
    /// The peer sent corrupt data.
    Banned,
    /// The torrent was paused.
    Paused,
    /// The place is given to another peer: this one is of no use, or of lower canonical priority (BEP 40).
    Replaced,
    /// The peer sent a message of an extension that cannot be read.
    UnreadableMessage,
    /// We have far more or fewer pieces than the peer was told: it is told anew when it is connected again.
    PiecesChanged,
    /// The metadata says that the torrent is private (BEP 27), and this peer may be known from elsewhere than its tracker.
    Private,
}

/// Why an address is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BanReason {
    /// It sent every block of a corrupt piece.
    CorruptPiece(PieceIndex),
    /// Its block of a corrupt piece differs from the block of the good one.
    CorruptBlock(Block),
    /// It sent the whole info dictionary of another torrent, or none.
    WrongMetadata,
    /// It sent hashes that do not belong to the merkle tree with this root (BEP 52).
    WrongHashes(Sha256Digest),
}

/// What users may want to know of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TorrentEvent {
    /// A piece was verified and is on disk.
    PieceVerified(PieceIndex),
    /// A piece was corrupt; it is fetched again.
    PieceCorrupt(PieceIndex),
    /// All wanted pieces are there. Comes again when more was wanted later.
    Finished,
    /// All pieces are there.
    Completed,
    /// The store failed: nothing is requested until [`handle_store_recovered`](crate::Torrent::handle_store_recovered).
    UploadOnly,
    /// The store works again.
    DownloadResumed,
    /// Pieces are missing, but the hash of none of them is known: nothing is requested until
    /// [`handle_hashes_known`](crate::Torrent::handle_hashes_known).
    HashesMissing,
}
