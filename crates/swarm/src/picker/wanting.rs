//! What is wanted, and how much of it each peer has.

use std::cmp::Reverse;
use std::sync::Arc;

use rarest_metainfo::{Bitfield, Block, PieceIndex};

use super::{PeerPieces, Picker};
use crate::Priority;
use crate::has::Has;
use crate::piece::{PeerSlot, block_at};

impl Picker {
    /// The peer has these pieces: the whole of what it has so far.
    pub(crate) fn joined(&mut self, pieces: &mut PeerPieces, has: Has) {
        self.availability.leave(&pieces.has);
        self.availability.join(&has);
        pieces.of_use = has.count_in(&self.fetchable);
        pieces.has = has;
        pieces.nothing_open_at = None;
    }

    /// The peer is gone.
    pub(crate) fn left_by(&mut self, pieces: &PeerPieces) {
        self.availability.leave(&pieces.has);
    }

    /// The peer has one more piece.
    pub(crate) fn gained(&mut self, pieces: &mut PeerPieces, piece: PieceIndex) {
        if let Has::Unknown = pieces.has {
            pieces.has = Has::Some(Bitfield::empty(&self.geometry));
        }
        let Has::Some(bitfield) = &mut pieces.has else {
            return;
        };
        if !bitfield.insert(piece) {
            return;
        }
        self.availability.gain(piece);
        if self.fetchable.contains(piece) {
            pieces.of_use += 1;
            pieces.nothing_open_at = None;
        }
    }

    /// The peer has one piece less.
    pub(crate) fn dropped(&mut self, pieces: &mut PeerPieces, piece: PieceIndex) {
        match &mut pieces.has {
            Has::Unknown => return,
            Has::Some(bitfield) => {
                if !bitfield.remove(piece) {
                    return;
                }
                self.availability.lose(piece);
            }
            Has::All => {
                let mut bitfield = Bitfield::full(&self.geometry);
                bitfield.remove(piece);
                self.availability.seed_became_partial(&bitfield);
                pieces.has = Has::Some(bitfield);
            }
        }
        if self.fetchable.contains(piece) {
            pieces.of_use -= 1;
        }
    }

    /// A piece is fetched no more: the peer is of less use, if it has it. Says whether it is of none now.
    pub(crate) fn peer_lost_use(pieces: &mut PeerPieces, piece: PieceIndex) -> bool {
        let has = pieces.has.contains(piece);
        pieces.of_use -= u32::from(has);
        has && pieces.of_use == 0
    }

    /// These pieces may be fetched from now on: the peer is of more use, if it has any.
    pub(crate) fn peer_gained_use(&self, pieces: &mut PeerPieces, news: &[PieceIndex]) {
        let words = self.geometry.piece_count() as usize / 64;
        if news.len() > words {
            self.recount(pieces);
            return;
        }
        for &piece in news {
            pieces.of_use += u32::from(pieces.has.contains(piece));
        }
    }

    /// What is wanted has changed: counts anew how much of it the peer has.
    pub(crate) fn recount(&self, pieces: &mut PeerPieces) {
        pieces.of_use = pieces.has.count_in(&self.fetchable);
        pieces.nothing_open_at = None;
    }

    /// Changes what is wanted. Gives the requests that are wanted no longer.
    pub(crate) fn set_priorities(
        &mut self,
        changes: &[(PieceIndex, Priority)],
    ) -> Vec<(PeerSlot, Block)> {
        let mut unwanted = Vec::new();
        for &(index, _) in changes {
            self.availability.close(index);
        }
        self.availability.sort_later();
        for &(index, priority) in changes {
            self.set_priority(index, priority, &mut unwanted);
        }
        unwanted
    }

    fn set_priority(
        &mut self,
        index: PieceIndex,
        priority: Priority,
        unwanted: &mut Vec<(PeerSlot, Block)>,
    ) {
        let before = std::mem::replace(&mut self.priorities[index.as_usize()], priority);
        if self.have.contains(index) {
            return;
        }
        let length = u64::from(self.geometry.piece_length(index));
        if priority == Priority::Off {
            if self.lacking.remove(index) {
                self.wanted_left -= length;
            }
            self.fetchable.remove(index);
        } else {
            if self.lacking.insert(index) {
                self.wanted_left += length;
            }
            if !self.is_held_back(index) {
                self.fetchable.insert(index);
            }
        }
        let Some(piece) = self.begun.get_mut(&index) else {
            self.open(index);
            return;
        };
        if std::mem::take(&mut piece.is_listed) {
            self.with_free
                .remove(&(Reverse(before), piece.begun, index));
        }
        let geometry = Arc::clone(&self.geometry);
        self.change(index, |piece| {
            if priority == Priority::Off {
                piece.take_requests(|number, slot| {
                    unwanted.push((slot, block_at(&geometry, index, number)));
                });
            }
        });
        if priority == Priority::Off && self.begun[&index].is_untouched() {
            self.begun.remove(&index);
            self.alone.remove(&index);
        }
        self.freed = true;
    }
}
