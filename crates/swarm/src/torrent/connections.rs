//! Peers that come and go.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rarest_peer_wire::connection::{Privacy, Role, direction_to_keep};
use rarest_peer_wire::{Handshake, peer_priority};

use super::{Activity, Torrent, canonical};
use crate::layers::HashRequests;
use crate::limits::{SIMULTANEOUS, USELESS_AFTER};
use crate::output::{BanReason, DisconnectReason, Output};
use crate::peer_book::Wanted;
use crate::peers::{OurInterest, Peer, Permission};
use crate::piece::PeerSlot;
use crate::{Direction, Ended, PeerKey, Refused, WebSeedEnd};

impl Torrent {
    /// A peer is connected and its handshake is read.
    ///
    /// `addr` is the other end of the connection.
    ///
    /// # Errors
    /// [`Refused`] when the connection is not wanted and should be closed.
    pub fn handle_peer_connected(
        &mut self,
        now: Instant,
        addr: SocketAddr,
        direction: Direction,
        handshake: &Handshake,
    ) -> Result<PeerKey, Refused> {
        let addr = canonical(addr);
        let result = self.admit(now, addr, direction, handshake);
        if let (Err(refused), Direction::Outgoing) = (&result, direction) {
            match refused {
                Refused::Ourselves { .. } => self.book.is_ours(addr),
                Refused::Paused | Refused::Full { .. } => self.book.not_dialled(addr),
                Refused::Duplicate { .. }
                | Refused::Banned { .. }
                | Refused::Private { .. }
                | Refused::OtherTorrent { .. } => self.book.failed(now, addr),
            }
        }
        self.settle(now);
        result
    }

    /// A connection ended.
    pub fn handle_peer_disconnected(&mut self, now: Instant, key: PeerKey, ended: Ended) {
        let Some(slot) = self.peers.slot(key) else {
            return;
        };
        if self
            .peers
            .get(slot)
            .is_some_and(|peer| peer.web_seed.is_some())
        {
            return self.handle_web_seed_ended(now, key, WebSeedEnd::TryLater);
        }
        if let Some(addr) = self.remove(now, slot) {
            match ended {
                Ended::Closed | Ended::Ours => self.book.disconnected(now, addr),
                Ended::TimedOut | Ended::ProtocolViolation => self.book.failed(now, addr),
            }
        }
        self.settle(now);
    }

    /// An address that was dialled could not be reached, or did not speak the protocol.
    pub fn handle_dial_failed(&mut self, now: Instant, addr: SocketAddr) {
        self.book.failed(now, canonical(addr));
        self.settle(now);
    }

    fn admit(
        &mut self,
        now: Instant,
        addr: SocketAddr,
        direction: Direction,
        handshake: &Handshake,
    ) -> Result<PeerKey, Refused> {
        let is_ours = |hash| hash == handshake.info_hash;
        if !self.info_hashes.swarms().any(is_ours) {
            return Err(Refused::OtherTorrent { addr });
        }
        if handshake.peer_id == self.peer_id {
            return Err(Refused::Ourselves { addr });
        }
        if self.book.is_banned(addr.ip()) {
            return Err(Refused::Banned { addr });
        }
        if self.activity == Activity::Paused {
            return Err(Refused::Paused);
        }
        let is_outgoing = direction == Direction::Outgoing;
        if is_outgoing && self.config.privacy == Privacy::Private && !self.book.is_known(addr) {
            return Err(Refused::Private { addr });
        }
        if let Some(other) = self.peers.by_id(handshake.peer_id) {
            if !self.supersedes(now, direction, other) {
                return Err(Refused::Duplicate { addr });
            }
            self.disconnect(now, other.key.slot, DisconnectReason::Duplicate);
        }
        self.make_room(now, addr)?;
        let limit = self.config.max_requests_per_peer;
        let hash_requests = self.hash_requests_of(direction, handshake);
        let peer_id = handshake.peer_id;
        let key = self.peers.insert(peer_id, |key| {
            let mut peer = Peer::new(now, key, addr, direction, peer_id, limit);
            peer.dialect = handshake.reserved;
            peer.hash_requests = hash_requests;
            peer
        });
        if direction == Direction::Outgoing {
            self.book.connected(addr);
            self.listens_at(key.slot, addr);
        }
        self.choker.join(now, key.slot);
        Ok(key)
    }

    /// Whether a new connection takes the place of another to the same peer.
    ///
    /// When both ends dialled at once, both keep the connection that was dialled by the one with the greater id. Otherwise
    /// the older one stays: somebody else may use the peer's id.
    fn supersedes(&self, now: Instant, direction: Direction, other: &Peer) -> bool {
        let age = now.saturating_duration_since(other.connected_at);
        if direction == other.direction || age > SIMULTANEOUS {
            return false;
        }
        direction == direction_to_keep(self.peer_id, other.peer_id)
    }

    /// Gives up a peer of no use, when there is no place left, or one whose place the newcomer is to have.
    fn make_room(&mut self, now: Instant, newcomer: SocketAddr) -> Result<(), Refused> {
        let limit = self.config.max_peers;
        if self.peers.len() < limit {
            return Ok(());
        }
        let slot = self
            .most_useless(now)
            .or_else(|| self.least_canonical(newcomer))
            .ok_or(Refused::Full { limit })?;
        self.disconnect(now, slot, DisconnectReason::Replaced);
        Ok(())
    }

    /// The peer of the lowest canonical priority, if the newcomer has a higher one (BEP 40). Both ends of a connection come to the same
    /// priority, so that those who are full do not drop each other at random; and nobody can choose it.
    fn least_canonical(&self, newcomer: SocketAddr) -> Option<PeerSlot> {
        // Ports count only between addresses that are the same.
        let priority = |peer: SocketAddr| {
            let ours = self.our_address.towards(peer.ip())?;
            Some(peer_priority(SocketAddr::new(ours, 0), peer))
        };
        let others = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.web_seed.is_none());
        let known = others.filter_map(|(slot, peer)| Some((priority(peer.addr)?, slot)));
        let (lowest, slot) = known.min()?;
        (priority(newcomer)? > lowest).then_some(slot)
    }

    fn most_useless(&self, now: Instant) -> Option<PeerSlot> {
        self.peers
            .iter()
            .filter(|&(slot, peer)| {
                peer.our_interest == OurInterest::NotInterested
                    && peer.web_seed.is_none()
                    && !self.choker.is_interested(slot)
                    && now.saturating_duration_since(peer.last_use) >= USELESS_AFTER
            })
            .min_by_key(|(_, peer)| peer.last_use)
            .map(|(slot, _)| slot)
    }

    /// While all places are taken and there are addresses to try, the most useless peer goes.
    pub(super) fn replace_useless(&mut self, now: Instant) {
        if self.peers.len() >= self.config.max_peers
            && self.book.has_ready()
            && let Some(slot) = self.most_useless(now)
        {
            self.disconnect(now, slot, DisconnectReason::Replaced);
        }
    }

    pub(super) fn may_dial(&self) -> bool {
        self.activity == Activity::Running
            && self.book.dialling() < self.config.max_half_open
            && self.peers.len() + self.book.dialling() < self.config.max_peers
    }

    pub(super) fn dial(&mut self, now: Instant) {
        let wanted = if self.is_finished() {
            Wanted::NoSeeds
        } else {
            Wanted::Anyone
        };
        while self.may_dial()
            && let Some(addr) = self.book.next_to_dial(now, wanted)
        {
            self.outputs.push_back(Output::Dial(addr));
        }
    }

    pub(super) fn disconnect_all(&mut self, now: Instant, reason: DisconnectReason) {
        for slot in self.peers.slots() {
            self.disconnect(now, slot, reason);
        }
    }

    pub(super) fn disconnect(&mut self, now: Instant, slot: PeerSlot, reason: DisconnectReason) {
        let Some((key, web_seed)) = self.peers.get(slot).map(|peer| (peer.key, peer.web_seed))
        else {
            return;
        };
        if let Some(addr) = self.remove(now, slot) {
            match reason {
                // It was of use, and is again: as soon as the torrent goes on, or at once.
                DisconnectReason::Paused | DisconnectReason::PiecesChanged => {
                    self.book.not_dialled(addr);
                }
                DisconnectReason::UnreadableMessage => self.book.failed(now, addr),
                _ => self.book.disconnected(now, addr),
            }
        }
        if let Some(id) = web_seed {
            match reason {
                DisconnectReason::Banned => {
                    self.web_seeds.ended(now, id, WebSeedEnd::GiveUp, false);
                }
                _ => self.web_seeds.closed(id),
            }
        }
        self.outputs.push_back(Output::Disconnect(key, reason));
    }

    /// Bans an address that lied.
    pub(super) fn punish(&mut self, now: Instant, ip: IpAddr, reason: BanReason) {
        if self.book.is_banned(ip) {
            return;
        }
        self.drop_banned(now, ip);
        self.picker.discard_from(ip);
        // Nobody could come from the place of a web seed.
        if !self.web_seeds.is_one(ip) {
            self.outputs.push_back(Output::Ban(ip, reason));
        }
    }

    pub(super) fn drop_banned(&mut self, now: Instant, ip: IpAddr) {
        self.book.ban(ip);
        let banned: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.addr.ip() == ip)
            .map(|(slot, _)| slot)
            .collect();
        for slot in banned {
            self.disconnect(now, slot, DisconnectReason::Banned);
        }
    }

    /// Parts from a peer when nothing will flow either way (BEP 21). A peer that has pieces has the metadata too, and does
    /// not want that of us.
    pub(super) fn part_if_both_complete(&mut self, now: Instant, slot: PeerSlot) {
        let Some(peer) = self.peers.get(slot) else {
            return;
        };
        let is_complete = peer.pieces.has.is_complete();
        if is_complete && let Some(addr) = peer.listens_at {
            self.book.is_complete(addr);
        }
        let wants_nothing = match peer.role {
            Role::UploadOnly => peer.pieces.has.count(1) > 0,
            Role::Downloader => is_complete,
        };
        if wants_nothing && self.is_finished() {
            self.disconnect(now, slot, DisconnectReason::BothComplete);
        }
    }

    /// Forgets a connection; gives the address if the book knows it.
    pub(super) fn remove(&mut self, now: Instant, slot: PeerSlot) -> Option<SocketAddr> {
        let mut peer = self.peers.remove(slot)?;
        self.exchange_ended(slot, &peer);
        for block in peer.pipeline.wanted() {
            self.picker.returned(slot, block);
        }
        self.picker.release_alone(slot, &mut peer.pieces);
        self.picker.left_by(slot, &mut peer.pieces);
        self.choker.leave(now, slot);
        self.metadata.peer_left(now, slot);
        self.hungry.remove(&slot);
        if peer.permission == Permission::Unchoked {
            self.unchoking_peers -= 1;
        }
        let hashes: Vec<_> = peer
            .hash_requests
            .iter()
            .flat_map(HashRequests::pending)
            .collect();
        self.give_back_hashes(now, &hashes);
        peer.listens_at
    }
}
