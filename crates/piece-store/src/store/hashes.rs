//! Hashes of the merkle trees of v2 files, for peers that ask for them (BEP 52).

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};

use rarest_hash::Sha256Digest;
use rarest_metainfo::merkle::{self, HashRequest, ProofError, Tree};
use rarest_metainfo::{Block, File, PieceIndex};

use super::{MAX_READ_LENGTH, PieceStore, ReadError};
use crate::Storage;

/// Longest piece of which leaves are computed for a peer, in bytes. Longer ones are rare, and one request would keep the disk for a second.
pub const MAX_HASHED_PIECE_LENGTH: u32 = 64 * 1024 * 1024;

/// Trees that are kept, of the files that peers asked for last: a peer asks for the hashes of a long file bit by bit. A tree has 64 bytes
/// a piece.
pub const MAX_KEPT_TREES: usize = 4;

/// Why a peer gets no hashes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashesError {
    /// No file has a tree with that root.
    #[error("no file of the torrent has that merkle root")]
    UnknownRoot,
    /// The tree has no such hashes.
    #[error(transparent)]
    Request(#[from] ProofError),
    /// The piece layer of the file is not known.
    #[error("the piece layer of the file is not known")]
    LayerUnknown,
    /// The hashes below the piece layer that are asked for are of several pieces, of a piece of padding or of one longer than
    /// [`MAX_HASHED_PIECE_LENGTH`].
    #[error("leaves are computed for one piece of moderate length at a time")]
    TooMuch,
    /// The leaves cannot be computed of what is on disk.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The trees that were asked for last, the last one in front.
#[derive(Debug, Default)]
pub(super) struct KeptTrees(VecDeque<(Sha256Digest, Arc<Tree>)>);

impl KeptTrees {
    fn get(&mut self, root: &Sha256Digest) -> Option<Arc<Tree>> {
        let found = self.0.iter().position(|(other, _)| other == root)?;
        let kept = self.0.remove(found)?;
        let tree = Arc::clone(&kept.1);
        self.0.push_front(kept);
        Some(tree)
    }

    fn keep(&mut self, root: Sha256Digest, tree: &Arc<Tree>) {
        self.0.push_front((root, Arc::clone(tree)));
        self.0.truncate(MAX_KEPT_TREES);
    }
}

impl<S: Storage> PieceStore<S> {
    /// The answer to a hash request of a peer: the hashes, then the uncles (BEP 52).
    ///
    /// Hashes from the piece layer up are those of the metainfo. Those below are computed of a piece that is verified, which is read for
    /// that: the caller is to bound how often a peer can make it happen.
    ///
    /// # Errors
    /// [`HashesError`]: the request is to be rejected.
    pub fn hashes(
        &self,
        pieces_root: &Sha256Digest,
        request: &HashRequest,
    ) -> Result<Vec<Sha256Digest>, HashesError> {
        let metainfo = self.metainfo();
        let info = metainfo.info();
        let mut files = info.files();
        let file = files
            .find(|file| file.pieces_root().as_ref() == Some(pieces_root))
            .ok_or(HashesError::UnknownRoot)?;
        let height = merkle::height(file.length());
        request.check(height)?;
        let piece_length = self.geometry.nominal_piece_length();
        let is_one_piece = file.length() <= u64::from(piece_length);
        let piece_height = merkle::height(piece_length.into());
        if !is_one_piece && request.base_layer >= piece_height {
            return Ok(self.tree(pieces_root)?.answer(request)?);
        }
        // Below the piece layer: what is asked for must lie in the subtree of one piece. Its uncles need not.
        let subtree_height = if is_one_piece { height } else { piece_height };
        if request.base_layer + request.length.ilog2() > subtree_height {
            return Err(HashesError::TooMuch);
        }
        let number = request.index >> (subtree_height - request.base_layer);
        let subtree = self.subtree(&file, number, subtree_height)?;
        let first = number << (subtree_height - request.base_layer);
        let of_subtree = HashRequest::with_whole_proof(
            request.base_layer,
            request.index - first,
            request.length,
            subtree_height,
        );
        let mut answer = subtree.answer(&of_subtree)?;
        let wanted = request.length as usize + request.uncle_count() as usize;
        if answer.len() < wanted {
            let above = self.tree(pieces_root)?;
            let mut position = number as usize;
            for level in subtree_height..height {
                answer.extend(above.node(level, position ^ 1));
                position /= 2;
            }
        }
        answer.truncate(wanted);
        Ok(answer)
    }

    /// Lets go of what was kept to answer requests for hashes.
    pub fn forget_hashes(&self) {
        self.kept_trees().0.clear();
    }

    /// Number of trees that are kept, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn kept_trees_count(&self) -> usize {
        self.kept_trees().0.len()
    }

    /// The tree of a file of several pieces, from its piece layer up.
    fn tree(&self, pieces_root: &Sha256Digest) -> Result<Arc<Tree>, HashesError> {
        if let Some(tree) = self.kept_trees().get(pieces_root) {
            return Ok(tree);
        }
        let tree = self.metainfo().hash_tree(pieces_root);
        let tree = Arc::new(tree.ok_or(HashesError::LayerUnknown)?);
        self.kept_trees().keep(*pieces_root, &tree);
        Ok(tree)
    }

    /// The tree of one verified piece of a file, down to the leaves.
    fn subtree(&self, file: &File<'_>, number: u32, height: u32) -> Result<Tree, HashesError> {
        let metainfo = self.metainfo();
        let mut pieces = metainfo.info().pieces_of(file.index());
        let count = pieces.len();
        let first = pieces.next().filter(|_| (number as usize) < count);
        let piece = first.and_then(|first| self.geometry.piece(first.get() + number));
        let is_moderate =
            |&piece: &PieceIndex| self.geometry.piece_length(piece) <= MAX_HASHED_PIECE_LENGTH;
        let piece = piece.filter(is_moderate).ok_or(HashesError::TooMuch)?;
        let leaves = self.leaves(piece, file.range().end)?;
        let length = u64::from(merkle::LEAF_LENGTH) << height;
        Ok(Tree::new(leaves, 0, length))
    }

    /// The leaves of what a verified piece has before `end` in the piece space.
    fn leaves(&self, piece: PieceIndex, end: u64) -> Result<Vec<Sha256Digest>, ReadError> {
        let in_file = |block: &Block| self.geometry.range(*block).start < end;
        let blocks: Vec<_> = self.geometry.blocks(piece).filter(in_file).collect();
        let mut leaves = Vec::with_capacity(blocks.len());
        let mut data = Vec::new();
        for run in blocks.chunks(MAX_READ_LENGTH / merkle::LEAF_LENGTH as usize) {
            self.read(run, &mut data)?;
            let in_file: Vec<&[u8]> = run
                .iter()
                .zip(&data)
                .map(|(&block, data)| {
                    let left = end - self.geometry.range(block).start;
                    let left = usize::try_from(left).unwrap_or(usize::MAX);
                    &data[..left.min(data.len())]
                })
                .collect();
            leaves.extend(merkle::leaves(&in_file));
            data.clear();
        }
        Ok(leaves)
    }

    fn kept_trees(&self) -> MutexGuard<'_, KeptTrees> {
        self.kept_trees
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
