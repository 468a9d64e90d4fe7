//! Peer exchange with the connected peers (BEP 11).

use std::net::SocketAddr;
use std::time::Instant;

use rarest_peer_wire::Extension;
use rarest_peer_wire::connection::{Command, Privacy, Role};
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::extension::pex::{Pex, PexFlags};

use super::{Torrent, canonical};
use crate::limits::MAX_EXCHANGED;
use crate::output::DisconnectReason;
use crate::peer_exchange::{Hearing, is_of_use_to};
use crate::peers::Peer;
use crate::piece::PeerSlot;
use crate::{Direction, PeerSource};

impl Torrent {
    /// A handshake may begin or end the exchange with a peer.
    pub(super) fn exchange_agreed(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        handshake: &ExtensionHandshake,
    ) {
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        if let Some(prefers) = handshake.prefers_encryption {
            peer.speaks.set(PexFlags::PREFERS_ENCRYPTION, prefers);
        }
        if let Some(id) = handshake.id(Extension::Holepunch) {
            peer.speaks.set(PexFlags::HOLEPUNCH, id != 0);
        }
        if self.config.privacy == Privacy::Private {
            return;
        }
        match (handshake.id(Extension::Pex), &peer.told) {
            (Some(0), Some(told)) => {
                self.exchange.leave(slot, told);
                peer.told = None;
            }
            // Whoever says it again and again is told no more often for that: it would be told from the beginning otherwise.
            (Some(1..), None) if peer.hearing.is_none() => {
                peer.hearing = Some(Hearing::new(now));
                peer.told = Some(self.exchange.join(now, slot));
            }
            _ => {}
        }
    }

    /// Tells those peers of others whose turn it is.
    pub(super) fn exchange_peers(&mut self, now: Instant) {
        while let Some(slot) = self.exchange.next_turn(now) {
            let Some((mut told, to)) = self.peers.get(slot).and_then(|peer| {
                let to = peer.listens_at.unwrap_or(peer.addr);
                Some((peer.told?, to))
            }) else {
                debug_assert!(false, "a peer that left has no turn");
                return;
            };
            let peers = &self.peers;
            let flags = |slot| peers.get(slot).map(flags).unwrap_or_default();
            let message = self.exchange.tell(now, slot, &mut told, to, flags);
            if let Some(peer) = self.peers.get_mut(slot) {
                peer.told = Some(told);
            }
            if let Some(message) = message {
                let payload = message.encode().into();
                let extension = Extension::Pex;
                self.command(slot, Command::Extended { extension, payload });
            }
        }
    }

    /// A peer tells of others.
    pub(super) fn peers_told(&mut self, now: Instant, slot: PeerSlot, payload: &[u8]) {
        if self.config.privacy == Privacy::Private {
            return;
        }
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        // Some send before their handshake has said that they would listen.
        let hearing = peer.hearing.get_or_insert_with(|| Hearing::new(now));
        if !hearing.may_tell(now) {
            return;
        }
        let teller = peer.addr.ip();
        let Ok(message) = Pex::decode(payload) else {
            self.disconnect(now, slot, DisconnectReason::UnreadableMessage);
            return;
        };
        for told in message.added.into_iter().take(MAX_EXCHANGED) {
            let addr = canonical(told.addr);
            if !is_of_use_to(addr.ip(), teller) {
                continue;
            }
            let source = PeerSource::PeerExchange;
            let is_new = self.book.add_told(addr, source, teller, &mut self.rng);
            if is_new && told.flags.has(PexFlags::UPLOAD_ONLY) {
                self.book.is_complete(addr);
            }
        }
    }

    /// A peer can be reached at an address, as the book knows.
    pub(super) fn listens_at(&mut self, slot: PeerSlot, addr: SocketAddr) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.listens_at = Some(addr);
            self.exchange.met(addr, slot);
        }
    }

    pub(super) fn exchange_ended(&mut self, slot: PeerSlot, peer: &Peer) {
        if let Some(addr) = peer.listens_at {
            self.exchange.lost(addr, slot);
        }
        if let Some(told) = &peer.told {
            self.exchange.leave(slot, told);
        }
    }
}

/// What others are told of a peer.
fn flags(peer: &Peer) -> PexFlags {
    let mut flags = peer.speaks;
    let wants_nothing = peer.role == Role::UploadOnly || peer.pieces.has.is_complete();
    flags.set(PexFlags::UPLOAD_ONLY, wants_nothing);
    flags.set(PexFlags::REACHABLE, peer.direction == Direction::Outgoing);
    flags
}
