//! New pieces, until peers are told of them.

use std::time::Instant;

use rarest_metainfo::PieceIndex;
use rarest_peer_wire::connection::Command;

use super::Torrent;
use crate::limits::HAVE_INTERVAL;
use crate::piece::PeerSlot;

/// Pieces that were verified and not told yet.
#[derive(Debug)]
pub(super) struct News {
    pieces: Vec<PieceIndex>,
    not_before: Instant,
}

impl News {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            pieces: Vec::new(),
            not_before: now,
        }
    }

    fn add(&mut self, piece: PieceIndex) {
        self.pieces.push(piece);
    }

    /// When there is something to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.pieces.is_empty()).then_some(self.not_before)
    }

    fn take(&mut self, now: Instant) -> Vec<PieceIndex> {
        if self.pieces.is_empty() || now < self.not_before {
            return Vec::new();
        }
        self.not_before = now + HAVE_INTERVAL;
        std::mem::take(&mut self.pieces)
    }
}

impl Torrent {
    /// A piece was verified. Peers that join later hear of it with the rest of what we have.
    pub(super) fn note_news(&mut self, piece: PieceIndex) {
        if self.peers.len() > 0 {
            self.news.add(piece);
        }
    }

    /// Tells each peer that does not have everything of the new pieces, also of those that it has: a seed that shows its pieces one by one
    /// waits to hear that one has arrived before it shows the next (BEP 16).
    pub(super) fn tell_news(&mut self, now: Instant) {
        let mut pieces = self.news.take(now);
        if pieces.is_empty() {
            return;
        }
        // Some may have been lost in the meantime.
        pieces.retain(|&piece| self.picker.have().contains(piece));
        for (slot, peer) in self.peers.iter_mut() {
            if peer.pieces.has.is_complete() {
                continue;
            }
            let was_empty = peer.outbox.is_empty();
            peer.outbox
                .extend(pieces.iter().copied().map(Command::Have));
            if was_empty {
                self.with_commands.push_back(slot);
            }
        }
    }

    /// The peer lost a piece: if we have it, the peer may not have been told of that, as it had everything.
    pub(super) fn tell_of_ours(&mut self, slot: PeerSlot, piece: PieceIndex) {
        if self.picker.have().contains(piece) {
            self.command(slot, Command::Have(piece));
        }
    }
}
