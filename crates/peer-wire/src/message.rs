//! The messages of the peer protocol, as they stand on the wire: well formed, not yet believed.

use bytes::Bytes;
use rarest_metainfo::BlockRequest;

/// One message behind the handshake.
///
/// Sources: [BEP 3](https://www.bittorrent.org/beps/bep_0003.html),
/// [BEP 5](https://www.bittorrent.org/beps/bep_0005.html) (`Port`),
/// [BEP 6](https://www.bittorrent.org/beps/bep_0006.html) (fast extension),
/// [BEP 10](https://www.bittorrent.org/beps/bep_0010.html) (`Extended`) and
/// [BEP 52](https://www.bittorrent.org/beps/bep_0052.html) (hashes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// No id, no content: the sender is still there.
    KeepAlive,
    /// The sender will not answer requests.
    Choke,
    /// The sender will answer requests.
    Unchoke,
    /// The sender wants pieces of the receiver.
    Interested,
    /// The sender wants no piece of the receiver.
    NotInterested,
    /// The sender has verified one more piece.
    Have {
        /// Number of the piece.
        piece: u32,
    },
    /// All that the sender has, bit 7 of byte 0 being piece 0.
    Bitfield(Bytes),
    /// The sender asks for a block.
    Request(BlockRequest),
    /// A block.
    Piece {
        /// Number of the piece.
        piece: u32,
        /// First byte, counted from the beginning of the piece.
        offset: u32,
        /// The bytes.
        data: Bytes,
    },
    /// The sender no longer wants a block it asked for.
    Cancel(BlockRequest),
    /// The UDP port of the sender's DHT node.
    Port(u16),
    /// The sender would like to send this piece (BEP 6).
    SuggestPiece {
        /// Number of the piece.
        piece: u32,
    },
    /// The sender has every piece (BEP 6).
    HaveAll,
    /// The sender has no piece (BEP 6).
    HaveNone,
    /// The sender will not answer this request (BEP 6).
    RejectRequest(BlockRequest),
    /// The sender answers requests for this piece even while it chokes (BEP 6).
    AllowedFast {
        /// Number of the piece.
        piece: u32,
    },
    /// A message of an extension (BEP 10); id 0 is the extension handshake.
    Extended {
        /// The id that the receiver gave to the extension.
        id: u8,
        /// What follows the id.
        payload: Bytes,
    },
    /// The sender asks for hashes of a file's merkle tree (BEP 52).
    HashRequest(HashRange),
    /// Hashes of a file's merkle tree (BEP 52).
    Hashes {
        /// The range that was asked for.
        range: HashRange,
        /// `range.length` hashes, then the uncles towards the root; 32 bytes each.
        hashes: Bytes,
    },
    /// The sender will not answer this hash request (BEP 52).
    HashReject(HashRange),
}

/// Which hashes of a merkle tree are meant (BEP 52).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashRange {
    /// The root of the file's tree.
    pub pieces_root: [u8; 32],
    /// The layer of the first hash; 0 is the leaves, one for 16 KiB.
    pub base_layer: u32,
    /// First hash in that layer; a multiple of `length`.
    pub index: u32,
    /// Number of hashes; a power of two, at least 2.
    pub length: u32,
    /// Number of layers above the base for which uncles are wanted.
    pub proof_layers: u32,
}
