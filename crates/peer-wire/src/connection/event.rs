//! What a connection tells the torrent it belongs to.

use bytes::Bytes;
use rarest_metainfo::{Bitfield, Block, PieceIndex};

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
    /// The peer chokes us. Without the fast extension a `Returned` follows for each request in flight.
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
}
