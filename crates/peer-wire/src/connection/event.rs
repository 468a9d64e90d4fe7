//! What a connection tells the torrent it belongs to.

use bytes::Bytes;
use rarest_metainfo::{Bitfield, Block, PieceIndex};

use crate::extension::ExtensionHandshake;
use crate::{Extension, HashRange};

/// Something the remote peer did, already checked against the protocol and the geometry of the torrent.
///
/// A connection is drained once for each read of the socket, and the whole batch goes to the torrent at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// What the peer has. Comes exactly once, before any `Have`: a peer that sends no bitfield has nothing.
    Has(Bitfield),
    /// The peer has one more piece. Pieces it was known to have are not repeated.
    Have(PieceIndex),
    /// The peer no longer has a piece (BEP 54).
    DontHave(PieceIndex),
    /// The peer chokes us. A `Block` or `Returned` follows soon for each request in flight: blocks that are on
    /// their way are still taken for [two seconds](crate::limits::CHOKE_GRACE), or until the peer rejects them.
    Choked,
    /// The peer lets us request.
    Unchoked,
    /// The peer wants pieces of ours.
    Interested,
    /// The peer wants none of our pieces.
    NotInterested,
    /// A block that was asked for. `data` has `block.length()` bytes and shares the read buffer.
    Block {
        /// Which block.
        block: Block,
        /// Its bytes, not verified yet.
        data: Bytes,
    },
    /// A block that was asked for will not come: rejected, dropped by a choke, or too late.
    Returned(Block),
    /// The peer would like to send this piece (BEP 6).
    Suggested(PieceIndex),
    /// The peer answers requests for this piece even while it chokes (BEP 6).
    AllowedFast(PieceIndex),
    /// Payload bytes handed to the socket for this peer since the last such event.
    Uploaded {
        /// Bytes of blocks, headers left out.
        bytes: u64,
    },
    /// The peer's extension handshake (BEP 10). Later ones change only what they name.
    ExtensionHandshake(Box<ExtensionHandshake>),
    /// A message of an extension that the owner answers, as the peer sent it.
    Extended {
        /// Which extension.
        extension: Extension,
        /// What follows the id.
        payload: Bytes,
    },
    /// The peer's DHT node listens on this UDP port (BEP 5).
    Port(u16),
    /// The peer asks for hashes of a merkle tree (BEP 52); the range is well formed, but may not exist.
    HashesRequested(Box<HashRange>),
    /// Hashes that were asked for, not verified yet.
    Hashes {
        /// The range of the request.
        range: Box<HashRange>,
        /// The hashes, then the uncles towards the root; 32 bytes each.
        hashes: Bytes,
    },
    /// Hashes that were asked for will not come.
    HashesReturned(Box<HashRange>),
}
