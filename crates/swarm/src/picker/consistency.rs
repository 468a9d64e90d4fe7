//! Counts everything anew, for tests.

use std::cmp::Reverse;

use super::interest::Usefulness;
use super::{PeerPieces, Picker};
use crate::Priority;
use crate::piece::{PeerSlot, Stage, block_at};
use crate::pipeline::Pipeline;

impl Picker {
    /// Panics when something that is kept up to date differs from what it would be if counted anew.
    pub(crate) fn assert_consistent(&self) {
        let mut requests = 0;
        let (mut buffered, mut spilling) = (0, 0);
        for (&index, piece) in &self.begun {
            assert!(!self.have.contains(index), "a verified piece is begun");
            assert!(!self.availability.is_open(index), "a begun piece is open");
            requests += piece.requests() as usize;
            buffered += piece.buffered();
            spilling += piece.spilling_bytes();
            let is_in_hand = self.in_hand.contains(&(piece.begun, index));
            assert_eq!(
                is_in_hand,
                piece.requests() > 0,
                "in hand is what has requests"
            );
            let entry = (Reverse(self.priority(index)), piece.begun, index);
            let has_free = piece.stage == Stage::Gathering
                && piece.free_count() > 0
                && self.priority(index) != Priority::Off;
            assert_eq!(
                self.with_free.contains(&entry),
                has_free,
                "listed is what has free blocks"
            );
            assert_eq!(
                piece.stage == Stage::Withheld,
                self.is_held_back(index),
                "withheld is what is held back"
            );
            let is_waiting = piece.is_whole() && piece.stage == Stage::Gathering;
            assert!(!is_waiting, "a whole piece is handed out");
        }
        assert_eq!(self.requests, requests);
        assert_eq!(self.buffered, buffered);
        assert_eq!(self.spilling, spilling);
        assert!(self.in_hand.len() <= self.begun.len());
        assert!(self.with_free.len() <= self.begun.len());
        let wanted = |piece| !self.have.contains(piece) && self.priority(piece) != Priority::Off;
        for piece in self.geometry.pieces() {
            assert_eq!(self.lacking.contains(piece), wanted(piece));
            let is_fetchable = wanted(piece) && !self.is_held_back(piece);
            assert_eq!(self.fetchable.contains(piece), is_fetchable);
            let is_doubted = self.doubted.contains(piece);
            assert!(
                !is_doubted || !self.have.contains(piece),
                "what is in doubt is not verified"
            );
            let is_open = is_fetchable && !self.begun.contains_key(&piece);
            assert_eq!(self.availability.is_open(piece), is_open);
        }
    }

    /// Panics when there are not as many witnesses as peers of use.
    pub(crate) fn assert_witnesses(&self, peers_of_use: usize) {
        assert_eq!(self.witnesses.len(), peers_of_use);
    }

    /// Panics when what is asked of a peer is not what the picker believes, or whether the peer is of use.
    pub(crate) fn assert_agrees(&self, slot: PeerSlot, pieces: &PeerPieces, pipeline: &Pipeline) {
        match pieces.usefulness {
            Usefulness::None => assert_eq!(self.count_of_use(pieces), 0),
            Usefulness::Witness(piece) => {
                assert!(pieces.has.contains(piece) && self.fetchable.contains(piece));
                assert!(self.witnesses.contains(&(piece, slot)));
            }
            Usefulness::Unknown => panic!("nobody looked whether a peer is of use"),
        }
        for (&index, piece) in &self.begun {
            for number in 0..piece.block_count() {
                if piece.requesters(number).any(|other| other == slot) {
                    let block = block_at(&self.geometry, index, number);
                    assert!(
                        pipeline.wanted().any(|wanted| wanted == block),
                        "{block:?} counts as asked of a peer that was not asked"
                    );
                }
            }
        }
    }
}
