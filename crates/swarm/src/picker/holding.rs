//! Pieces that are wanted and not fetched for now: their hash is not known, or they are being looked at.

use rarest_metainfo::PieceIndex;

use super::Picker;
use crate::Priority;
use crate::has::common_words;
use crate::piece::Stage;

/// What follows when pieces are no longer verified.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// Verified until now.
    pub(crate) gone: Vec<PieceIndex>,
    /// To be fetched from now on.
    pub(crate) fetchable: Vec<PieceIndex>,
}

impl Picker {
    /// Whether the piece is not to be fetched, wanted or not.
    pub(super) fn is_held_back(&self, index: PieceIndex) -> bool {
        self.hash_unknown.contains(index) || self.doubted.contains(index)
    }

    /// Whether the piece may be fetched now.
    pub(crate) fn is_fetchable(&self, index: PieceIndex) -> bool {
        self.fetchable.contains(index)
    }

    /// Whether the piece was handed out as whole, and not answered yet.
    pub(crate) fn is_completing(&self, index: PieceIndex) -> bool {
        let piece = self.begun.get(&index);
        piece.is_some_and(|piece| piece.stage == Stage::Completing)
    }

    /// Number of pieces that are wanted and missing, and whose hash is not known.
    pub(crate) fn without_hash(&self) -> u32 {
        if self.hash_unknown.is_empty() {
            return 0;
        }
        common_words(&self.lacking, &self.hash_unknown)
            .map(|(_, word)| word.count_ones())
            .sum()
    }

    /// Whether pieces are missing and none of them has a known hash.
    pub(crate) fn awaits_hashes(&self) -> bool {
        self.fetchable.is_empty()
            && !self.lacking.is_empty()
            && self.without_hash() == self.lacking.count()
    }

    /// The store does not know the hash of a whole piece: it waits. Says whether it was taken to be fetchable.
    pub(crate) fn hash_missing(&mut self, index: PieceIndex) -> bool {
        if !self.is_completing(index) {
            return false;
        }
        self.hash_unknown.insert(index);
        self.change(index, |piece| piece.stage = Stage::Withheld);
        self.fetchable.remove(index)
    }

    /// The hashes of these pieces are known now. Gives those that may be fetched from now on.
    pub(crate) fn hashes_known(&mut self, pieces: &[PieceIndex]) -> Vec<PieceIndex> {
        let mut news = Vec::new();
        for &piece in pieces {
            if self.hash_unknown.remove(piece) && self.release(piece) {
                news.push(piece);
            }
        }
        news
    }

    /// These pieces are being looked at and count as missing until it is known whether they are. Gives those that were verified.
    pub(crate) fn doubt(&mut self, pieces: &[PieceIndex]) -> Vec<PieceIndex> {
        let mut gone = Vec::new();
        for &piece in pieces {
            if self.unverify(piece) {
                self.doubted.insert(piece);
                gone.push(piece);
            }
        }
        gone
    }

    /// These pieces were verified, in doubt or spilled in part, and are not on disk.
    pub(crate) fn lose(&mut self, pieces: &[PieceIndex]) -> Lost {
        let mut lost = Lost::default();
        for &piece in pieces {
            let was_verified = self.unverify(piece);
            let was_doubted = self.doubted.remove(piece);
            if was_verified {
                lost.gone.push(piece);
            }
            if (was_verified || was_doubted) && self.release(piece) {
                lost.fetchable.push(piece);
            }
            self.change(piece, |piece| {
                // What is with the store ends in an answer of its own.
                if piece.may_spill() {
                    piece.lose_spilled();
                }
            });
        }
        lost
    }

    /// Pieces that are in doubt.
    pub(crate) fn doubted(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.doubted.iter()
    }

    fn unverify(&mut self, index: PieceIndex) -> bool {
        if !self.have.remove(index) {
            return false;
        }
        let length = u64::from(self.geometry.piece_length(index));
        self.left += length;
        if self.priority(index) != Priority::Off {
            self.lacking.insert(index);
            self.wanted_left += length;
        }
        true
    }

    /// One reason less to hold the piece back. Says whether it may be fetched now.
    fn release(&mut self, index: PieceIndex) -> bool {
        if self.is_held_back(index) {
            return false;
        }
        let is_fetchable = self.lacking.contains(index) && self.fetchable.insert(index);
        if self.begun.contains_key(&index) {
            self.change(index, |piece| {
                if piece.stage == Stage::Withheld {
                    piece.stage = Stage::Gathering;
                }
            });
            self.freed = true;
            self.complete_if_whole(index);
        } else {
            self.open(index);
        }
        is_fetchable
    }
}
