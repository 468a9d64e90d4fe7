//! What the picker remembers of one peer, and whether the peer is of use.
//!
//! A peer is of use as long as it has a piece that may be fetched. One such piece, its witness, proves that; only when the witness is
//! fetched is another looked for. Witnesses are chosen at random, so that a piece that is done is that of few peers, and a peer needs
//! a number of them that grows with the logarithm of its pieces: a piece that is verified does not concern every peer.

use std::collections::{BTreeSet, VecDeque};

use rand::{Rng, RngExt};
use rarest_metainfo::PieceIndex;

use super::Picker;
use crate::has::{Has, nth_common};
use crate::limits::{MAX_ALLOWED_FAST, MAX_SUGGESTED};
use crate::piece::PeerSlot;

/// Pieces that are tried as a witness before the peer's are counted.
const PROBES: usize = 16;

/// Whether a peer has a piece that may be fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Usefulness {
    /// It has none.
    #[default]
    None,
    /// It has this one.
    Witness(PieceIndex),
    /// It had a witness, or more may be fetched than before: to be looked for.
    Unknown,
}

/// In which order a peer is asked for pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// The rarest first.
    #[default]
    Rarest,
    /// The one behind the last one, as long as none is wanted more: what lies in a row is one request to a web server (BEP 19).
    Runs,
}

#[derive(Debug, Default)]
pub(crate) struct PeerPieces {
    pub(crate) has: Has,
    pub(super) usefulness: Usefulness,
    /// The piece that the peer was asked for last.
    pub(super) current: Option<PieceIndex>,
    /// The state of the picker in which none of the peer's pieces was open.
    pub(super) nothing_open_at: Option<u64>,
    pub(super) order: Order,
    pub(super) suggested: VecDeque<PieceIndex>,
    pub(super) allowed_fast: BTreeSet<PieceIndex>,
}

impl PeerPieces {
    pub(crate) fn suggest(&mut self, piece: PieceIndex) {
        if self.suggested.len() == MAX_SUGGESTED {
            self.suggested.pop_front();
        }
        self.suggested.push_back(piece);
    }

    /// The peer is asked for pieces in a row.
    pub(crate) fn prefer_runs(&mut self) {
        self.order = Order::Runs;
    }

    pub(crate) fn allow_fast(&mut self, piece: PieceIndex) {
        if self.allowed_fast.len() < MAX_ALLOWED_FAST {
            self.allowed_fast.insert(piece);
        }
    }

    pub(crate) fn has_allowed_fast(&self) -> bool {
        !self.allowed_fast.is_empty()
    }
}

impl Picker {
    /// Whether the peer has a piece that may be fetched.
    pub(crate) fn is_of_use(
        &mut self,
        slot: PeerSlot,
        pieces: &mut PeerPieces,
        rng: &mut impl Rng,
    ) -> bool {
        if pieces.usefulness == Usefulness::Unknown {
            pieces.usefulness = match self.find_witness(&pieces.has, rng) {
                Some(piece) => {
                    self.witnesses.insert((piece, slot));
                    Usefulness::Witness(piece)
                }
                None => Usefulness::None,
            };
        }
        pieces.usefulness != Usefulness::None
    }

    fn find_witness(&self, has: &Has, rng: &mut impl Rng) -> Option<PieceIndex> {
        let pieces = match has {
            Has::Unknown => return None,
            Has::Some(pieces) => pieces,
            Has::All => &self.fetchable,
        };
        // All of them must be as likely: what is near to the start, or to what is there, may be fetched next.
        let found = (0..PROBES)
            .map(|_| rng.random_range(0..self.geometry.piece_count()))
            .filter_map(|index| self.geometry.piece(index))
            .find(|&piece| pieces.contains(piece) && self.fetchable.contains(piece));
        found.or_else(|| {
            let count = has.count_in(&self.fetchable);
            let number = (count > 0).then(|| rng.random_range(0..count))?;
            self.geometry
                .piece(nth_common(number, pieces, &self.fetchable)?)
        })
    }

    /// This one proves that the peer is of use, if nothing else does.
    pub(super) fn offer_witness(
        &mut self,
        slot: PeerSlot,
        pieces: &mut PeerPieces,
        piece: PieceIndex,
    ) {
        if pieces.usefulness == Usefulness::None {
            pieces.usefulness = Usefulness::Witness(piece);
            self.witnesses.insert((piece, slot));
        }
    }

    /// What proved that the peer is of use is to be looked for anew.
    pub(super) fn doubt_use(&mut self, slot: PeerSlot, pieces: &mut PeerPieces) {
        if let Usefulness::Witness(piece) = pieces.usefulness {
            self.witnesses.remove(&(piece, slot));
        }
        pieces.usefulness = Usefulness::Unknown;
    }

    /// The same, if it was this piece.
    pub(super) fn doubt_witness(
        &mut self,
        slot: PeerSlot,
        pieces: &mut PeerPieces,
        piece: PieceIndex,
    ) {
        if pieces.usefulness == Usefulness::Witness(piece) {
            self.doubt_use(slot, pieces);
        }
    }

    /// The peers of which a piece that is fetched no more is the witness.
    pub(crate) fn take_witnessed(&mut self, piece: PieceIndex) -> Vec<PeerSlot> {
        let of_piece = self.witnesses.range((piece, 0)..=(piece, PeerSlot::MAX));
        let slots: Vec<_> = of_piece.map(|&(_, slot)| slot).collect();
        for &slot in &slots {
            self.witnesses.remove(&(piece, slot));
        }
        slots
    }

    /// The witness of the peer was taken.
    pub(crate) fn witness_taken(pieces: &mut PeerPieces) {
        pieces.usefulness = Usefulness::Unknown;
    }

    /// Number of the peer's pieces that may be fetched, counted anew.
    pub(crate) fn count_of_use(&self, pieces: &PeerPieces) -> u32 {
        pieces.has.count_in(&self.fetchable)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;
    use rarest_metainfo::{Bitfield, Geometry};

    use super::*;

    #[test]
    fn a_peer_needs_few_witnesses_in_a_whole_download() {
        const PIECES: u32 = 1000;
        const PEERS: u32 = 300;
        let geometry = Arc::new(Geometry::contiguous(u64::from(PIECES) << 14, 1 << 14).unwrap());
        let none = || Bitfield::empty(&geometry);
        let mut picker = Picker::new(Arc::clone(&geometry), none(), none(), &[]);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut peers = Vec::new();
        for slot in 0..PEERS {
            let mut pieces = PeerPieces::default();
            let mut has = Bitfield::full(&geometry);
            has.remove(geometry.piece(slot).unwrap());
            picker.joined(slot, &mut pieces, Has::new(has));
            assert!(picker.is_of_use(slot, &mut pieces, &mut rng));
            peers.push(pieces);
        }
        let mut looked_for = 0;
        // In order, as when a film is watched: the worst for a search that favours what comes first.
        for piece in geometry.pieces() {
            picker.verified(piece);
            for slot in picker.take_witnessed(piece) {
                let pieces = &mut peers[slot as usize];
                Picker::witness_taken(pieces);
                let is_of_use = picker.is_of_use(slot, pieces, &mut rng);
                assert_eq!(is_of_use, picker.count_of_use(pieces) > 0);
                looked_for += 1;
            }
        }
        // The natural logarithm of the number of pieces is 7.
        assert!(looked_for < 10 * PEERS, "{looked_for}");
        let is_useless = |pieces: &PeerPieces| pieces.usefulness == Usefulness::None;
        assert!(peers.iter().all(is_useless));
    }
}
