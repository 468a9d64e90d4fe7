//! Pieces on their way to the disk: whole, spilled, verified or corrupt.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use rarest_metainfo::{Block, PieceIndex};

use super::Picker;
use crate::Priority;
use crate::output::BlockData;
use crate::piece::{PeerSlot, Piece, Share, Stage, block_at};

impl Picker {
    /// Blocks of begun pieces that are on disk, unverified.
    pub(crate) fn on_disk(&self) -> impl Iterator<Item = Block> + '_ {
        self.begun.iter().flat_map(move |(&index, piece)| {
            piece
                .spilled()
                .map(move |number| block_at(&self.geometry, index, number))
        })
    }

    /// A piece that became whole and must be verified, with its contents.
    pub(crate) fn take_whole(&mut self) -> Option<(PieceIndex, Vec<BlockData>)> {
        while let Some(index) = self.whole.pop_front() {
            if let Some(piece) = self.begun.get(&index) {
                return Some((index, piece.parts()));
            }
        }
        None
    }

    /// Takes back what was asked for of a piece.
    pub(crate) fn take_requests(&mut self, index: PieceIndex) -> Vec<(PeerSlot, Block)> {
        let geometry = Arc::clone(&self.geometry);
        let mut requests = Vec::new();
        if self
            .begun
            .get(&index)
            .is_some_and(|piece| piece.requests() > 0)
        {
            self.change(index, |piece| {
                piece.take_requests(|number, slot| {
                    requests.push((slot, block_at(&geometry, index, number)));
                });
            });
        }
        requests
    }

    /// The piece is on disk, and nothing is asked for of it. Says whether that is new.
    pub(crate) fn verified(&mut self, index: PieceIndex) -> bool {
        if let Some(piece) = self.begun.remove(&index) {
            self.buffered -= piece.buffered();
            self.spilling -= piece.spilling_bytes();
            self.with_free
                .remove(&(Reverse(self.priority(index)), piece.begun, index));
        }
        self.alone.remove(&index);
        self.availability.close(index);
        let is_new = self.have.insert(index);
        let length = u64::from(self.geometry.piece_length(index));
        if is_new {
            self.left -= length;
        }
        if self.lacking.remove(index) {
            self.wanted_left -= length;
        }
        self.fetchable.remove(index);
        self.hash_unknown.remove(index);
        self.doubted.remove(index);
        is_new
    }

    /// The piece does not fit its hash: all of its blocks are needed again, of one peer alone so that it is known who lied
    /// should it be corrupt again. Gives who sent them.
    pub(crate) fn corrupt(&mut self, index: PieceIndex) -> Vec<Option<IpAddr>> {
        let is_expected = |piece: &Piece| piece.stage == Stage::Completing;
        if !self.begun.get(&index).is_some_and(is_expected) {
            return Vec::new();
        }
        let geometry = Arc::clone(&self.geometry);
        let contributors = self
            .change(index, |piece| {
                let contributors = piece.contributors();
                piece.restart(&geometry, index, Share::Alone(None));
                contributors
            })
            .unwrap_or_default();
        if self.priority(index) == Priority::Off {
            self.begun.remove(&index);
            self.alone.remove(&index);
        } else {
            self.alone.insert(index);
        }
        contributors
    }

    /// Who sent each block of a begun piece.
    pub(crate) fn contributors(&self, index: PieceIndex) -> Vec<Option<IpAddr>> {
        self.begun
            .get(&index)
            .map(Piece::contributors)
            .unwrap_or_default()
    }

    /// Whether one address sent all of a piece, as far as that is known.
    pub(crate) fn has_one_contributor(&self, index: PieceIndex) -> bool {
        let mut known: Vec<_> = self.contributors(index).into_iter().flatten().collect();
        known.dedup();
        known.len() == 1 && !self.has_unknown_contributor(index)
    }

    /// A corrupt piece keeps its blocks until it is known which of them are wrong.
    pub(crate) fn dispute(&mut self, index: PieceIndex) {
        self.change(index, |piece| {
            if piece.stage == Stage::Completing {
                piece.stage = Stage::Disputed;
            }
        });
    }

    /// It is not found out: the piece is as it was when the store found it to be corrupt.
    pub(crate) fn give_up_dispute(&mut self, index: PieceIndex) {
        self.change(index, |piece| {
            if piece.stage == Stage::Disputed {
                piece.stage = Stage::Completing;
            }
        });
    }

    /// These blocks are wrong, and all others in memory right. What was on disk does not count any more.
    pub(crate) fn end_dispute(&mut self, index: PieceIndex, wrong: &[u32]) {
        self.change(index, |piece| {
            if piece.stage == Stage::Disputed {
                piece.stage = Stage::Gathering;
                piece.lose_spilled();
                piece.discard(wrong);
            }
        });
    }

    /// These blocks of a piece in the making are wrong. Whether they could be taken away.
    pub(crate) fn discard(&mut self, index: PieceIndex, wrong: &[u32]) -> bool {
        let discarded = self.change(index, |piece| {
            let may_discard = piece.may_spill();
            if may_discard {
                piece.discard(wrong);
            }
            may_discard
        });
        discarded == Some(true)
    }

    /// Whether blocks of the piece are on disk.
    pub(crate) fn has_spilled(&self, index: PieceIndex) -> bool {
        let piece = self.begun.get(&index);
        piece.is_some_and(|piece| piece.spilled().next().is_some())
    }

    /// The blocks of a piece that are in memory, and who sent them.
    pub(crate) fn gathered(
        &self,
        index: PieceIndex,
    ) -> impl Iterator<Item = (u32, &Bytes, IpAddr)> + '_ {
        self.begun.get(&index).into_iter().flat_map(Piece::gathered)
    }

    /// Who lied about a piece is known: it may be asked of anyone again.
    pub(crate) fn trust_again(&mut self, index: PieceIndex) {
        if self.alone.remove(&index)
            && let Some(piece) = self.begun.get_mut(&index)
        {
            piece.share = Share::Anyone;
            self.freed = true;
        }
    }

    /// Whether blocks of an earlier run are part of the piece.
    pub(crate) fn has_unknown_contributor(&self, index: PieceIndex) -> bool {
        self.begun
            .get(&index)
            .is_some_and(Piece::has_unknown_contributor)
    }

    /// Gives up what the address sent of pieces that are not whole yet: it lied before.
    pub(crate) fn discard_from(&mut self, ip: IpAddr) {
        let begun: Vec<_> = self.begun.keys().copied().collect();
        for index in begun {
            self.change(index, |piece| {
                if piece.may_spill() {
                    piece.discard_from(ip);
                }
            });
        }
    }

    /// The store could not write the piece; it waits in memory.
    pub(crate) fn stall(&mut self, index: PieceIndex) {
        self.change(index, |piece| {
            if piece.stage == Stage::Completing {
                piece.stage = Stage::Stalled;
            }
        });
    }

    /// What was on disk of a piece is gone: those blocks are needed again.
    pub(crate) fn lose_spilled(&mut self, index: PieceIndex) {
        self.change(index, |piece| {
            if piece.stage == Stage::Completing {
                piece.stage = Stage::Gathering;
                piece.lose_spilled();
            }
        });
        self.complete_if_whole(index);
    }

    /// The store works again: pieces that waited for it are handed out once more.
    pub(crate) fn retry_stalled(&mut self) {
        for (&index, piece) in &mut self.begun {
            if piece.stage == Stage::Stalled {
                piece.stage = Stage::Completing;
                self.whole.push_back(index);
            }
        }
    }

    /// Hands out blocks to be written, until not more than `target` bytes stay in memory. First those of pieces
    /// that cannot be completed, then of those that nobody works at, then of those that lack most.
    pub(crate) fn spill(&mut self, target: u64) -> Vec<(Block, Bytes)> {
        let mut pieces: Vec<_> = self
            .begun
            .iter()
            .filter(|(_, piece)| piece.may_spill() && piece.buffered() > 0)
            .map(|(&index, piece)| {
                let is_held_back = piece.stage == Stage::Withheld;
                let is_worked_at = piece.requests() > 0;
                let missing = Reverse(piece.missing());
                ((!is_held_back, is_worked_at, missing), index)
            })
            .collect();
        pieces.sort_unstable();
        let mut blocks = Vec::new();
        for (_, index) in pieces {
            if self.buffered - self.spilling <= target {
                break;
            }
            self.spill_piece(index, &mut blocks);
        }
        blocks
    }

    /// Hands out the blocks of one piece to be written.
    pub(crate) fn spill_piece(&mut self, index: PieceIndex, blocks: &mut Vec<(Block, Bytes)>) {
        let geometry = Arc::clone(&self.geometry);
        let mut spilling = 0;
        self.change(index, |piece| {
            if piece.may_spill() {
                piece.spill(|number, data| {
                    spilling += data.len() as u64;
                    blocks.push((block_at(&geometry, index, number), data));
                });
            }
        });
        self.spilling += spilling;
    }

    /// A block that was handed out to be spilled is on disk.
    pub(crate) fn spill_done(&mut self, block: Block) {
        let bytes = self.change(block.piece(), |piece| {
            piece.spill_done(block.index_in_piece())
        });
        self.spilling -= bytes.unwrap_or(0);
        self.complete_if_whole(block.piece());
    }

    /// A block that was handed out to be spilled could not be written.
    pub(crate) fn spill_failed(&mut self, block: Block) {
        let bytes = self.change(block.piece(), |piece| {
            piece.spill_failed(block.index_in_piece())
        });
        self.spilling -= bytes.unwrap_or(0);
        self.complete_if_whole(block.piece());
    }

    pub(super) fn found_on_disk(&mut self, block: Block) {
        let index = block.piece();
        let is_aligned = self.geometry.block_at(index, block.index_in_piece()) == Some(block);
        if self.have.contains(index) || !is_aligned {
            return;
        }
        if !self.begun.contains_key(&index) {
            self.begin(index);
        }
        self.change(index, |piece| {
            piece.found_on_disk(block.index_in_piece(), block.length());
        });
        self.complete_if_whole(index);
    }
}
