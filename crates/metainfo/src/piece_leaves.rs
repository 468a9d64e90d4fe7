//! The leaves of one piece, by which a wrong block is told from the right ones (BEP 52).

use rarest_hash::Sha256Digest;

use crate::merkle::{self, HashRequest, LEAF_LENGTH, ProofError};
use crate::piece_hash::SubtreeHash;

/// What to ask a peer for to get the leaves of a piece whose hash is known, and what they must hash to.
///
/// Made by [`Metainfo::piece_leaves`](crate::Metainfo::piece_leaves). No proof is asked for: the hash of the piece is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceLeaves {
    pieces_root: Sha256Digest,
    request: HashRequest,
    hash: SubtreeHash,
}

impl PieceLeaves {
    /// `number` is that of the piece in its file. `None` for a piece of one leaf, which is its own hash.
    pub(crate) fn new(pieces_root: Sha256Digest, number: u32, hash: SubtreeHash) -> Option<Self> {
        let length = 1_u32
            .checked_shl(hash.height)
            .filter(|&length| length > 1)?;
        Some(Self {
            pieces_root,
            request: HashRequest {
                base_layer: 0,
                index: number.checked_mul(length)?,
                length,
                proof_layers: 0,
            },
            hash,
        })
    }

    /// The root of the file's merkle tree.
    #[must_use]
    pub fn pieces_root(&self) -> Sha256Digest {
        self.pieces_root
    }

    /// What to ask for. Of very long pieces it is more than peers give.
    #[must_use]
    pub fn request(&self) -> HashRequest {
        self.request
    }

    /// Whether `leaves` are what was asked for.
    ///
    /// # Errors
    /// [`ProofError::WrongCount`] or [`ProofError::WrongRoot`].
    pub fn verify(&self, leaves: &[Sha256Digest]) -> Result<(), ProofError> {
        let expected = self.request.length as usize;
        if leaves.len() != expected {
            return Err(ProofError::WrongCount {
                actual: leaves.len(),
                expected,
            });
        }
        if merkle::subtree_root(leaves, 0, self.hash.height) != self.hash.root {
            return Err(ProofError::WrongRoot);
        }
        Ok(())
    }

    /// Whether `block`, the `number`th of the piece, has that leaf. What lies beyond the end of the file is not looked at: it is padding.
    #[must_use]
    pub fn block_matches(&self, number: u32, block: &[u8], leaf: &Sha256Digest) -> bool {
        let offset = u64::from(number) * u64::from(LEAF_LENGTH);
        let left = u64::from(self.hash.data_length).saturating_sub(offset);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let in_file = &block[..left.min(block.len())];
        in_file.is_empty() || merkle::leaves(&[in_file])[..] == [*leaf]
    }
}
