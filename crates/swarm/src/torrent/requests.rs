//! What is asked of peers, and whether we want anything of them.

use std::time::Instant;

use rarest_peer_wire::connection::Command;

use super::{Disk, Endgame, Store, Torrent};
use crate::peers::{OurInterest, Peer, Permission};
use crate::picker::{Asked, Standing};
use crate::piece::PeerSlot;

impl Torrent {
    /// Tells the peer when what we want of it begins or ends.
    pub(super) fn update_interest(&mut self, now: Instant, slot: PeerSlot) {
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        let pieces = &mut peer.pieces;
        let interest = if self.picker.is_of_use(slot, pieces, &mut self.rng) {
            OurInterest::Interested
        } else {
            OurInterest::NotInterested
        };
        if std::mem::replace(&mut peer.our_interest, interest) == interest {
            return;
        }
        peer.last_use = now;
        match interest {
            OurInterest::Interested => self.command(slot, Command::Interested),
            OurInterest::NotInterested => {
                self.hungry.remove(&slot);
                self.command(slot, Command::NotInterested);
            }
        }
    }

    /// Asks the peer for as many blocks as keep it busy.
    pub(super) fn refill(&mut self, now: Instant, slot: PeerSlot) {
        let delivers = |peer: &Peer| peer.download.total() > 0 && !peer.pipeline.is_snubbed();
        let standing = if self.peers.get(slot).is_some_and(delivers) {
            Standing::Proven
        } else {
            Standing::Unproven
        };
        self.refill_by(now, slot, standing);
    }

    fn refill_by(&mut self, now: Instant, slot: PeerSlot, standing: Standing) {
        let may_request = self.may_request();
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        let is_idle = peer.our_interest == OurInterest::NotInterested
            || (peer.permission == Permission::Choked && !peer.pieces.has_allowed_fast());
        let room = peer.pipeline.room();
        if !may_request || is_idle || room == 0 {
            self.hungry.remove(&slot);
            return;
        }
        let mut blocks = Vec::new();
        let asked = Asked {
            slot,
            pieces: &mut peer.pieces,
            pipeline: &peer.pipeline,
            standing,
            unchoking_peers: self.unchoking_peers,
        };
        match peer.permission {
            Permission::Unchoked => {
                self.picker.pick(asked, room, &mut self.rng, &mut blocks);
            }
            Permission::Choked => self.picker.pick_allowed_fast(&asked, room, &mut blocks),
        }
        for &block in &blocks {
            peer.pipeline.sent(now, block);
        }
        if blocks.len() < room {
            self.hungry.insert(slot);
        } else {
            self.hungry.remove(&slot);
        }
        self.watch_asked(now, &blocks);
        for block in blocks {
            self.command(slot, Command::Request(block));
        }
    }

    pub(super) fn may_request(&self) -> bool {
        self.store == Store::Working && self.disk == Disk::Known
    }

    /// Looks for work for every peer.
    pub(super) fn refill_all(&mut self, now: Instant) {
        for slot in self.peers.slots() {
            self.refill(now, slot);
        }
    }

    /// Gives blocks that became free to peers that have nothing to do.
    pub(super) fn wake_hungry(&mut self, now: Instant) {
        let endgame = if self.picker.has_free() {
            Endgame::NotYet
        } else {
            Endgame::Begun
        };
        let begins =
            std::mem::replace(&mut self.endgame, endgame) != endgame && endgame == Endgame::Begun;
        if self.picker.take_freed() || begins {
            for slot in self.hungry.clone() {
                if !begins && !self.picker.has_free() {
                    break;
                }
                self.refill(now, slot);
            }
            self.complete_whole_pieces();
        }
    }

    /// Looks for work for every peer that has none. What waited for a better peer until now waits no longer.
    pub(super) fn refill_hungry(&mut self, now: Instant) {
        for slot in self.hungry.clone() {
            self.refill_by(now, slot, Standing::Proven);
        }
    }

    /// Takes blocks away from peers that owe them for too long. Each keeps one request, to show that it came back.
    pub(super) fn check_snubs(&mut self, now: Instant) {
        for slot in self.peers.slots() {
            let Some(peer) = self.peers.get_mut(slot) else {
                continue;
            };
            if !peer.pipeline.check_snub(now) {
                self.take_back_hoarded(now, slot);
                self.refill(now, slot);
                continue;
            }
            let blocks: Vec<_> = peer.pipeline.wanted().collect();
            self.picker.release_alone(slot, &mut peer.pieces);
            self.choker.snubbed(slot);
            for &block in &blocks {
                self.picker.returned(slot, block);
            }
            for &block in blocks.iter().skip(1) {
                self.cancel(slot, block);
            }
        }
    }

    /// Takes blocks away from a peer that became too slow for all it was asked for, when there is somebody else to ask.
    fn take_back_hoarded(&mut self, now: Instant, slot: PeerSlot) {
        if self.unchoking_peers < 2 {
            return;
        }
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        let blocks = peer.pipeline.hoarded(now);
        if blocks.is_empty() {
            return;
        }
        self.picker.release_alone(slot, &mut peer.pieces);
        for block in blocks {
            self.picker.returned(slot, block);
            self.cancel(slot, block);
        }
    }

    /// Cancels every request: what comes could not be kept, or is not wanted.
    pub(super) fn cancel_all(&mut self) {
        for slot in self.peers.slots() {
            let Some(peer) = self.peers.get_mut(slot) else {
                continue;
            };
            let blocks: Vec<_> = peer.pipeline.wanted().collect();
            for block in blocks {
                self.picker.returned(slot, block);
                self.cancel(slot, block);
            }
        }
        self.hungry.clear();
    }
}
