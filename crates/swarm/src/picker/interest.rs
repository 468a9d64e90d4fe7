//! What the picker remembers of one peer.

use std::collections::{BTreeSet, VecDeque};

use rarest_metainfo::PieceIndex;

use crate::has::Has;
use crate::limits::{MAX_ALLOWED_FAST, MAX_SUGGESTED};

#[derive(Debug, Default)]
pub(crate) struct PeerPieces {
    pub(crate) has: Has,
    /// How many of its pieces may be fetched.
    pub(crate) of_use: u32,
    /// The piece that the peer was asked for last.
    pub(super) current: Option<PieceIndex>,
    /// The state of the picker in which none of the peer's pieces was open.
    pub(super) nothing_open_at: Option<u64>,
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

    pub(crate) fn allow_fast(&mut self, piece: PieceIndex) {
        if self.allowed_fast.len() < MAX_ALLOWED_FAST {
            self.allowed_fast.insert(piece);
        }
    }

    pub(crate) fn has_allowed_fast(&self) -> bool {
        !self.allowed_fast.is_empty()
    }
}
