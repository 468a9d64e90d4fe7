//! Blocks of unfinished pieces, kept where they will belong, unverified.

use std::collections::BTreeSet;

use bytes::Bytes;
use rarest_metainfo::{Block, PieceIndex};

use super::{PieceStore, runs::Placed};
use crate::{Storage, StoreError};

/// The 16 KiB blocks of one piece that were spilled, by their position in it.
pub(super) type SpilledBlocks = BTreeSet<u32>;

impl<S: Storage> PieceStore<S> {
    /// Writes blocks of unfinished pieces to where they belong, to free the memory they take. Nothing is verified by that: when the rest of a
    /// piece has come, [`complete`](Self::complete) reads them back.
    ///
    /// Blocks of verified pieces are passed over: they are there already.
    ///
    /// # Errors
    /// [`StoreError`]; keep all blocks of the batch that [`spilled_blocks`](Self::spilled_blocks) does not name.
    ///
    /// # Panics
    /// When the bytes of a block are not as long as the block.
    pub fn spill(&self, blocks: &[(Block, Bytes)]) -> Result<(), StoreError> {
        let _claim = self
            .claims
            .claim(blocks.iter().map(|(block, _)| block.piece()));
        let mut placed = Vec::with_capacity(blocks.len());
        for (owner, (block, bytes)) in blocks.iter().enumerate() {
            assert_eq!(
                bytes.len(),
                block.length() as usize,
                "a block comes with its bytes"
            );
            if !self.verified.contains(block.piece()) {
                let start = self.geometry.range(*block).start;
                placed.push(Placed {
                    start,
                    bytes,
                    owner,
                });
            }
        }
        let written: Vec<usize> = placed.iter().map(|placed| placed.owner).collect();
        let writing = self.begin_writing();
        let failed = self.write_runs(placed);
        self.note_written(written.iter().map(|&owner| blocks[owner].0.piece()));
        let mut spilled = self.spilled();
        for owner in written {
            let block = blocks[owner].0;
            let is_whole = self
                .geometry
                .block_at(block.piece(), block.index_in_piece())
                == Some(block);
            if is_whole && !failed.iter().any(|(failed, _)| *failed == owner) {
                spilled
                    .entry(block.piece())
                    .or_default()
                    .insert(block.index_in_piece());
            }
        }
        drop(spilled);
        drop(writing);
        match failed.into_iter().next() {
            None => Ok(()),
            Some((_, error)) => {
                self.lose_unnoticed(&error);
                Err(error)
            }
        }
    }

    /// The blocks that are spilled, of every piece that has any: after a restart, those that need not be downloaded again.
    #[must_use]
    pub fn spilled_blocks(&self) -> Vec<(PieceIndex, Vec<Block>)> {
        self.spilled()
            .iter()
            .map(|(&piece, indices)| {
                let blocks = indices
                    .iter()
                    .filter_map(|&index| self.geometry.block_at(piece, index));
                (piece, blocks.collect())
            })
            .collect()
    }
}
