//! The messages of the peer protocol, as they stand on the wire: well formed, not yet believed.

pub(crate) mod decode;
pub(crate) mod encode;
mod id;

use bytes::Bytes;
use rarest_metainfo::merkle::HashRequest;
use rarest_metainfo::{BlockRequest, Sha256Digest};

use crate::limits::{MAX_HASHES, MAX_PROOF_LAYERS};

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

impl HashRange {
    /// Length on the wire, in bytes.
    pub(crate) const ENCODED_LENGTH: usize = 48;

    /// The hashes that `request` asks for of the file whose merkle tree has this root.
    #[must_use]
    pub fn new(pieces_root: &Sha256Digest, request: HashRequest) -> Self {
        let HashRequest {
            base_layer,
            index,
            length,
            proof_layers,
        } = request;
        Self {
            pieces_root: pieces_root.0,
            base_layer,
            index,
            length,
            proof_layers,
        }
    }

    /// What is asked for of the file, as its [`Tree`](rarest_metainfo::merkle::Tree) answers it.
    #[must_use]
    pub fn request(&self) -> HashRequest {
        HashRequest {
            base_layer: self.base_layer,
            index: self.index,
            length: self.length,
            proof_layers: self.proof_layers,
        }
    }

    /// Whether the range can be asked for: `length` is a power of two between 2 and
    /// [`MAX_HASHES`](crate::limits::MAX_HASHES), `index` a multiple of it, and the layers are those of a tree of at
    /// most 2^64 leaves.
    ///
    /// Whether the tree has such a layer, only its owner knows.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        (2..=MAX_HASHES).contains(&self.length)
            && self.length.is_power_of_two()
            && self.index.is_multiple_of(self.length)
            && self.index.checked_add(self.length).is_some()
            && self.base_layer < MAX_PROOF_LAYERS
            && self.proof_layers < MAX_PROOF_LAYERS
    }
}
