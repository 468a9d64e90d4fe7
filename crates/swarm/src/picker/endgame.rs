//! Asking several peers for one block: at the end of a download, and while too many pieces are in the making.

use std::sync::Arc;

use rarest_metainfo::{Block, PieceIndex};

use super::{Asked, Picker};
use crate::Priority;
use crate::piece::block_at;

/// Blocks that are looked at for one peer at a time, up to the end of a piece. The next search goes on where the last
/// one ended.
const PROBES: usize = 4096;

impl Picker {
    /// Adds blocks that others were asked for, those asked last first: they are the farthest from coming.
    pub(super) fn pick_duplicates(
        &mut self,
        asked: &Asked<'_>,
        wanted: usize,
        blocks: &mut Vec<Block>,
    ) {
        let start = (self.endgame_cursor, self.first());
        // A search that saw everything begins at the newest piece again.
        self.endgame_cursor = u64::MAX;
        let mut probes = 0;
        // From the cursor down to the oldest piece, then from the newest down to the cursor.
        let (oldest, newest) = ((0, self.first()), (u64::MAX, self.first()));
        for (lowest, mut above) in [(oldest, start), (start, newest)] {
            while let Some(&piece) = self.in_hand.range(lowest..above).next_back() {
                if blocks.len() >= wanted || probes >= PROBES {
                    self.endgame_cursor = piece.0 + 1;
                    return;
                }
                probes += self.duplicate_from(piece.1, asked, wanted, blocks);
                above = piece;
            }
        }
    }

    /// Adds blocks of one piece; gives how many were looked at.
    fn duplicate_from(
        &mut self,
        index: PieceIndex,
        asked: &Asked<'_>,
        wanted: usize,
        blocks: &mut Vec<Block>,
    ) -> usize {
        let geometry = Arc::clone(&self.geometry);
        if self.priority(index) == Priority::Off || !asked.pieces.has.contains(index) {
            return 1;
        }
        self.change(index, |piece| {
            if !piece.is_open_to(asked.slot) {
                return 1;
            }
            for number in (0..piece.block_count()).rev() {
                let block = block_at(&geometry, index, number);
                if blocks.len() < wanted
                    && piece.may_duplicate(number, asked.slot)
                    && !asked.pipeline.is_outstanding(block)
                {
                    piece.duplicate(number, asked.slot);
                    blocks.push(block);
                }
            }
            piece.block_count() as usize
        })
        .unwrap_or(1)
    }

    fn first(&self) -> PieceIndex {
        self.geometry.piece(0).expect("there is at least one piece")
    }
}
