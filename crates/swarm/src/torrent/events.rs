//! What peers do.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::{Bitfield, Block, PieceIndex};
use rarest_peer_wire::connection::{Command, Event, Role};
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::{Extension, Reserved, allowed_fast_set};

use super::Torrent;
use crate::has::Has;
use crate::limits::ALLOWED_FAST;
use crate::output::BanReason;
use crate::peers::Permission;
use crate::piece::PeerSlot;
use crate::{Direction, PeerKey};

impl Torrent {
    /// What one read of a peer's socket brought.
    pub fn handle_peer_events(&mut self, now: Instant, key: PeerKey, events: Vec<Event>) {
        let Some(slot) = self.peers.slot(key) else {
            return;
        };
        for event in events {
            self.handle_event(now, slot, event);
        }
        // Once for all events: a peer may change what it has with every few bytes.
        self.update_interest(now, slot);
        self.refill(now, slot);
        self.ask_for_hashes(now, slot);
        self.settle(now);
    }

    pub(super) fn handle_event(&mut self, now: Instant, slot: PeerSlot, event: Event) {
        match event {
            Event::Has(pieces) => self.peer_has(now, slot, pieces),
            Event::Have(piece) => self.peer_gained(now, slot, piece),
            Event::DontHave(piece) => self.peer_dropped(slot, piece),
            Event::Choked => self.peer_chokes(slot),
            Event::Unchoked => self.peer_unchokes(slot),
            Event::Interested => self.choker.interested(now, slot),
            Event::NotInterested => {
                self.used(now, slot);
                self.choker.not_interested(now, slot);
            }
            Event::Block { block, data } => self.block_came(now, slot, block, data),
            Event::Returned(block) => self.block_returned(now, slot, block),
            Event::Suggested(piece) => {
                if let Some(peer) = self.peers.get_mut(slot) {
                    peer.pieces.suggest(piece);
                }
            }
            Event::AllowedFast(piece) => {
                if let Some(peer) = self.peers.get_mut(slot) {
                    peer.pieces.allow_fast(piece);
                }
            }
            Event::Uploaded { bytes } => self.uploaded(now, slot, bytes),
            Event::ExtensionHandshake(handshake) => {
                self.peer_introduced(slot, &handshake);
                self.exchange_agreed(now, slot, &handshake);
                self.metadata_offered(now, slot, &handshake);
                self.part_if_both_complete(now, slot);
            }
            Event::Extended {
                extension: Extension::Pex,
                payload,
            } => self.peers_told(now, slot, &payload),
            Event::Extended {
                extension: Extension::Metadata,
                payload,
            } => self.metadata_message(now, slot, &payload),
            Event::HashesRequested(range) => self.hashes_wanted(now, slot, range),
            Event::Hashes { range, hashes } => self.hashes_came(now, slot, &range, &hashes),
            Event::HashesReturned(range) => self.hashes_returned(now, slot, &range),
            // What later versions tell of is of no concern here.
            _ => {}
        }
    }

    fn peer_has(&mut self, now: Instant, slot: PeerSlot, pieces: Bitfield) {
        if let Some(peer) = self.peers.get_mut(slot) {
            self.picker.joined(slot, &mut peer.pieces, Has::new(pieces));
        }
        self.allow_fast(slot);
        self.part_if_both_complete(now, slot);
    }

    /// Gives a peer that has nothing to trade some pieces to begin with, even while it is choked (BEP 6).
    fn allow_fast(&mut self, slot: PeerSlot) {
        let Some(peer) = self.peers.get(slot) else {
            return;
        };
        let (IpAddr::V4(ip), Some(swarm)) = (peer.addr.ip(), self.info_hashes.swarms().next())
        else {
            return;
        };
        let has = peer.pieces.has.count(self.geometry.piece_count()) as usize;
        if has >= ALLOWED_FAST || !peer.dialect.has(Reserved::FAST) {
            return;
        }
        for piece in allowed_fast_set(ip, swarm, &self.geometry, ALLOWED_FAST) {
            if self.picker.have().contains(piece) {
                self.command(slot, Command::AllowFast(piece));
            }
        }
    }

    fn peer_gained(&mut self, now: Instant, slot: PeerSlot, piece: PieceIndex) {
        if let Some(peer) = self.peers.get_mut(slot) {
            self.picker.gained(slot, &mut peer.pieces, piece);
        }
        self.part_if_both_complete(now, slot);
    }

    fn peer_dropped(&mut self, slot: PeerSlot, piece: PieceIndex) {
        if let Some(peer) = self.peers.get_mut(slot) {
            self.picker.dropped(slot, &mut peer.pieces, piece);
        }
        self.tell_of_ours(slot, piece);
    }

    fn peer_chokes(&mut self, slot: PeerSlot) {
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        if std::mem::replace(&mut peer.permission, Permission::Choked) == Permission::Unchoked {
            self.unchoking_peers -= 1;
        }
        self.picker.release_alone(slot, &mut peer.pieces);
        self.hungry.remove(&slot);
    }

    fn peer_unchokes(&mut self, slot: PeerSlot) {
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        if std::mem::replace(&mut peer.permission, Permission::Unchoked) == Permission::Choked {
            self.unchoking_peers += 1;
        }
        peer.pipeline.unchoked();
    }

    fn block_came(&mut self, now: Instant, slot: PeerSlot, block: Block, data: Bytes) {
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        let bytes = u64::from(block.length());
        let was_asked = peer.pipeline.arrived(now, block);
        if !was_asked || data.len() as u64 != bytes {
            return;
        }
        let from = peer.addr.ip();
        if self.is_false(block, &data) {
            self.picker.returned(slot, block);
            self.wasted += bytes;
            return self.punish(now, from, BanReason::CorruptBlock(block));
        }
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        peer.last_use = now;
        peer.download.add(now, bytes);
        self.download.add(now, bytes);
        if peer.web_seed.is_some() {
            self.from_web_seeds += bytes;
        }
        self.choker.received(slot, bytes);
        match self.picker.received(slot, peer.addr.ip(), block, data) {
            Some(others) => {
                for other in others {
                    self.cancel(other, block);
                }
            }
            None => self.wasted += bytes,
        }
    }

    fn block_returned(&mut self, now: Instant, slot: PeerSlot, block: Block) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.pipeline.returned(now, block);
        }
        self.picker.returned(slot, block);
    }

    fn uploaded(&mut self, now: Instant, slot: PeerSlot, bytes: u64) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.upload.add(now, bytes);
            peer.last_use = now;
        }
        self.choker.uploaded(now, bytes);
    }

    fn peer_introduced(&mut self, slot: PeerSlot, handshake: &ExtensionHandshake) {
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        if let Some(ours) = handshake.your_ip {
            self.our_address.said(ours, peer.addr.ip());
        }
        if let Some(requests) = handshake.request_queue {
            let limit = usize::try_from(requests).unwrap_or(usize::MAX);
            peer.pipeline
                .set_peer_limit(limit, self.config.max_requests_per_peer);
        }
        match handshake.upload_only {
            Some(true) => peer.role = Role::UploadOnly,
            Some(false) => peer.role = Role::Downloader,
            None => {}
        }
        // The first port counts: a peer that names another with each handshake would fill the book.
        if let (Direction::Incoming, None, Some(port)) =
            (peer.direction, peer.listens_at, handshake.listen_port)
        {
            let addr = SocketAddr::new(peer.addr.ip(), port);
            if self.book.introduced(addr, &mut self.rng) {
                self.listens_at(slot, addr);
            }
        }
    }

    pub(super) fn used(&mut self, now: Instant, slot: PeerSlot) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.last_use = now;
        }
    }

    /// Tells a peer that a block is no longer wanted.
    pub(super) fn cancel(&mut self, slot: PeerSlot, block: Block) {
        let was_wanted = self
            .peers
            .get_mut(slot)
            .is_some_and(|peer| peer.pipeline.cancel(block));
        if was_wanted {
            self.command(slot, Command::Cancel(block));
        }
    }
}
