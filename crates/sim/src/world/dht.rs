//! Nodes of the DHT: datagrams on their way, and the peers that are found.

use std::net::SocketAddr;

use bytes::Bytes;
use rarest_dht::krpc::{AnnouncedPort, PeerKind};
use rarest_dht::{Announce, Event};
use rarest_swarm::PeerSource;

use super::{ANNOUNCE_INTERVAL, Happening, World};
use crate::swarm::NodeId;

impl World {
    /// The node looks for its place in the DHT, and then for peers, again and again.
    pub(super) fn enter_dht(&mut self, id: NodeId, routers: &[SocketAddr]) {
        let now = self.agenda.now();
        if let Some(dht) = &mut self.nodes[id.0].dht {
            dht.node.bootstrap(now, routers);
        }
        self.agenda
            .plan_in(ANNOUNCE_INTERVAL, Happening::Announce(id));
        self.tend_dht(id);
    }

    /// Looks for the peers of the torrent, and tells of us where others will look.
    pub(super) fn look_in_dht(&mut self, id: NodeId) {
        self.begin_lookup(id);
        self.tend_dht(id);
    }

    fn begin_lookup(&mut self, id: NodeId) {
        let now = self.agenda.now();
        let info_hash = self.info_hash();
        let node = &mut self.nodes[id.0];
        let kind = match node.torrent.is_complete() {
            true => PeerKind::Seed,
            false => PeerKind::Downloader,
        };
        let announce = Announce {
            port: AnnouncedPort::Explicit(node.addr.port()),
            kind,
        };
        if let Some(dht) = &mut node.dht {
            // A node that is busy with lookups finds peers by them.
            let _ = dht.node.get_peers(now, info_hash, Some(announce));
        }
    }

    /// A datagram reaches an address.
    pub(super) fn datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: &Bytes) {
        let now = self.agenda.now();
        let target = self.by_ip.get(&to.ip()).copied();
        let Some(id) = target.filter(|&target| self.is_there(target)) else {
            return;
        };
        if let Some(dht) = &mut self.nodes[id.0].dht {
            dht.node.handle_datagram(now, from, bytes);
            self.tend_dht(id);
        }
    }

    pub(super) fn wake_dht(&mut self, id: NodeId) {
        let now = self.agenda.now();
        let is_there = self.is_there(id);
        let Some(dht) = self.nodes[id.0].dht.as_mut().filter(|_| is_there) else {
            return;
        };
        if dht.wake_at.is_some_and(|planned| planned <= now) {
            dht.wake_at = None;
        }
        if dht.node.next_timeout().is_some_and(|at| at <= now) {
            dht.node.handle_timeout(now);
        }
        self.tend_dht(id);
    }

    /// After anything was done with a node of the DHT: events are heard, datagrams sent, its next timeout is planned.
    fn tend_dht(&mut self, id: NodeId) {
        while let Some(event) = self.nodes[id.0]
            .dht
            .as_mut()
            .and_then(|dht| dht.node.poll_event())
        {
            match event {
                Event::Peers { peers, .. } => self.introduce(id, PeerSource::Dht, &peers),
                Event::Bootstrapped { nodes, .. } if nodes > 0 => self.begin_lookup(id),
                _ => {}
            }
        }
        while let Some(transmit) = self.nodes[id.0]
            .dht
            .as_mut()
            .and_then(|dht| dht.node.poll_transmit())
        {
            self.post(id, transmit.to, transmit.datagram);
        }
        let Some(dht) = &mut self.nodes[id.0].dht else {
            return;
        };
        if let Some(at) = dht.node.next_timeout()
            && dht.wake_at.is_none_or(|planned| at < planned)
        {
            dht.wake_at = Some(at);
            self.agenda.plan(at, Happening::WakeDht(id));
        }
    }

    /// Sends a datagram on its way. It is short, and takes no time on the line.
    fn post(&mut self, id: NodeId, to: SocketAddr, bytes: Bytes) {
        if self.network.loses_datagram(&mut self.rng) {
            return;
        }
        let from = &self.nodes[id.0];
        let there = self.by_ip.get(&to.ip()).map(|other| &self.nodes[other.0]);
        let Some(there) = there else { return };
        let way = from.model.link.latency + there.model.link.latency;
        let arrival = Happening::Datagram {
            from: from.addr,
            to,
            bytes,
        };
        let jitter = self.network.jitter(&mut self.rng);
        self.agenda.plan_in(way + jitter, arrival);
    }
}
