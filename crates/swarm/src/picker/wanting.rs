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
    pub(crate) fn joined(&mut self, slot: PeerSlot, pieces: &mut PeerPieces, has: Has) {
        self.availability.leave(&pieces.has);
        self.availability.join(&has);
        pieces.has = has;
        self.recount(slot, pieces);
    }

    /// The peer is gone.
    pub(crate) fn left_by(&mut self, slot: PeerSlot, pieces: &mut PeerPieces) {
        self.availability.leave(&pieces.has);
        self.doubt_use(slot, pieces);
    }

    /// The peer has one more piece.
    pub(crate) fn gained(&mut self, slot: PeerSlot, pieces: &mut PeerPieces, piece: PieceIndex) {
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
            self.offer_witness(slot, pieces, piece);
            pieces.nothing_open_at = None;
        }
    }

    /// The peer has one piece less.
    pub(crate) fn dropped(&mut self, slot: PeerSlot, pieces: &mut PeerPieces, piece: PieceIndex) {
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
        self.doubt_witness(slot, pieces, piece);
    }

    /// These pieces may be fetched from now on: the peer is of use, if it has any.
    pub(crate) fn peer_gained_use(
        &mut self,
        slot: PeerSlot,
        pieces: &mut PeerPieces,
        news: &[PieceIndex],
    ) {
        let words = self.geometry.piece_count() as usize / 64;
        if news.len() > words {
            self.doubt_use(slot, pieces);
        } else if let Some(&piece) = news.iter().find(|&&piece| pieces.has.contains(piece)) {
            self.offer_witness(slot, pieces, piece);
        }
    }

    /// What is wanted has changed, or what the peer has: whether it is of use is to be found out anew.
    pub(crate) fn recount(&mut self, slot: PeerSlot, pieces: &mut PeerPieces) {
        self.doubt_use(slot, pieces);
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
