//! A piece layer that peers send bit by bit, each bit proven (BEP 52).

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use rarest_hash::Sha256Digest;

use crate::merkle::{HashRequest, ProofError};

/// Hashes of a layer that are asked for at a time: what BEP 52 calls the most that should be.
const RANGE_LENGTH: u32 = 512;

/// A piece layer that is missing, in ranges that can be asked of different peers.
///
/// Made by [`Metainfo::missing_layers`](crate::Metainfo::missing_layers). What is added is proven up to the root, so that a wrong range is
/// told from a right one as soon as it comes. Takes memory only for what came.
///
/// Source: [BEP 52](https://www.bittorrent.org/beps/bep_0052.html), "hash request".
#[derive(Clone, Debug)]
pub struct PartialLayer {
    pieces_root: Sha256Digest,
    piece_height: u32,
    piece_count: u32,
    /// By number of the range: its hashes, without those of padding.
    known: BTreeMap<u32, Bytes>,
}

/// A piece layer that is known to be right, for [`Metainfo::add_proven_layer`](crate::Metainfo::add_proven_layer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenLayer {
    pub(crate) pieces_root: Sha256Digest,
    pub(crate) piece_height: u32,
    pub(crate) hashes: Bytes,
}

impl PartialLayer {
    /// The layer of a file of more than one piece.
    pub(crate) fn new(pieces_root: Sha256Digest, piece_height: u32, piece_count: u32) -> Self {
        Self {
            pieces_root,
            piece_height,
            piece_count,
            known: BTreeMap::new(),
        }
    }

    /// The root of the file's merkle tree.
    #[must_use]
    pub fn pieces_root(&self) -> Sha256Digest {
        self.pieces_root
    }

    /// Number of ranges, at least 1.
    #[must_use]
    pub fn range_count(&self) -> u32 {
        self.piece_count.div_ceil(self.range_length())
    }

    /// Whether that range was added.
    #[must_use]
    pub fn is_known(&self, range: u32) -> bool {
        self.known.contains_key(&range)
    }

    /// Whether all ranges were added.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.known.len() == self.range_count() as usize
    }

    /// What to ask a peer for to get that range with its proof; `None` when there are not as many.
    #[must_use]
    pub fn request(&self, range: u32) -> Option<HashRequest> {
        let length = self.range_length();
        let request = |index| {
            HashRequest::with_whole_proof(self.piece_height, index, length, self.tree_height())
        };
        (range < self.range_count()).then(|| request(range * length))
    }

    /// Adds what a peer answered to the [request](Self::request) for that range, if it is proven.
    ///
    /// # Errors
    /// [`ProofError`] when the answer has another length than it should or leads to another root: then nothing is added.
    pub fn add(&mut self, range: u32, answer: &[Sha256Digest]) -> Result<(), ProofError> {
        let height = self.tree_height();
        let request = self
            .request(range)
            .ok_or(ProofError::OutsideTree { height })?;
        let hashes = request.verify(&self.pieces_root, height, answer)?;
        let left = self.piece_count - request.index;
        let of_pieces = hashes.iter().take(left as usize);
        let bytes: Vec<u8> = of_pieces.flat_map(|hash| hash.0).collect();
        self.known.insert(range, bytes.into());
        Ok(())
    }

    /// The layer, when it is whole.
    #[must_use]
    pub fn proven(&self) -> Option<ProvenLayer> {
        let length = self.piece_count as usize * Sha256Digest::LENGTH;
        self.is_whole().then(|| {
            let mut hashes = BytesMut::with_capacity(length);
            for range in self.known.values() {
                hashes.extend_from_slice(range);
            }
            ProvenLayer {
                pieces_root: self.pieces_root,
                piece_height: self.piece_height,
                hashes: hashes.freeze(),
            }
        })
    }

    /// A layer of fewer hashes, filled up to a power of two, is one range.
    fn range_length(&self) -> u32 {
        self.width().min(RANGE_LENGTH)
    }

    fn width(&self) -> u32 {
        self.piece_count.next_power_of_two().max(2)
    }

    fn tree_height(&self) -> u32 {
        self.piece_height + self.width().ilog2()
    }
}

impl ProvenLayer {
    /// The root of the file's merkle tree.
    #[must_use]
    pub fn pieces_root(&self) -> Sha256Digest {
        self.pieces_root
    }

    /// 32 bytes a piece.
    #[must_use]
    pub fn hashes(&self) -> &Bytes {
        &self.hashes
    }
}
