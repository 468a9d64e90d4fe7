//! Connections: dialling, bytes on their way, uploads, and the end.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rand::RngExt;
use rarest_metainfo::{Block, InfoHash};
use rarest_peer_wire::connection::{CloseReason, Command, Connection, LocalTorrent, Privacy, Role};
use rarest_peer_wire::mse::Opening;
use rarest_swarm::Direction;

use super::{Happening, World, ended};
use crate::encryption::{Heard, Layer, Misunderstood};
use crate::network::{Stream, transmission};
use crate::swarm::{Dial, Dialect, End, EndId, Habit, NodeId, Reading, Sending, State, start};

/// Blocks that are read from disk at once for one peer.
const READ_BATCH: usize = 64;

/// Bytes that wait for the line before no more is read for a peer.
const READ_AHEAD: usize = 1024 * 1024;

impl World {
    fn end(&mut self, id: EndId) -> Option<&mut End> {
        let wire = self.wires.get_mut(id.wire)?.as_mut()?;
        Some(&mut wire[id.side])
    }

    /// An end that has not hung up.
    fn open_end(&mut self, id: EndId) -> Option<&mut End> {
        self.end(id).filter(|end| end.state == State::Open)
    }

    pub(super) fn dial(&mut self, from: NodeId, to: SocketAddr) {
        let node = &self.nodes[from.0];
        let encryption = node.model.encryption;
        let known = node.openings.get(&to).copied();
        let opening = known.unwrap_or_else(|| encryption.first());
        let second = encryption.second(opening);
        self.dial_so(from, to, Dial { opening, second });
    }

    fn dial_so(&mut self, from: NodeId, to: SocketAddr, dial: Dial) {
        let latency = self.nodes[from.0].model.link.latency * 2;
        self.agenda
            .plan_in(latency, Happening::Dialled { from, to, dial });
    }

    pub(super) fn dialled(&mut self, from: NodeId, to: SocketAddr, dial: Dial) {
        let target = self.by_ip.get(&to.ip()).copied();
        let Some(target) = target.filter(|&target| self.is_there(target)) else {
            let failed = Happening::DialFailed {
                node: from,
                addr: to,
            };
            self.agenda
                .plan_in(self.nodes[from.0].model.link.latency * 2, failed);
            return;
        };
        if !self.is_there(from) {
            return;
        }
        let now = self.agenda.now();
        let info_hash = self.info_hash();
        let (dialler, listener) = (&self.nodes[from.0], &self.nodes[target.0]);
        let mut outgoing = Connection::outgoing(Arc::clone(&dialler.config), to, info_hash, now);
        let incoming = Connection::incoming(Arc::clone(&listener.config), dialler.addr, now);
        let rng = &mut self.rng;
        let near = Layer::dialling(dial.opening, info_hash, &mut outgoing, rng);
        let far = Layer::accepting(listener.model.encryption, rng);
        let ends = [
            End::new(from, to, outgoing, near, dial, now),
            End::new(target, dialler.addr, incoming, far, dial, now),
        ];
        let wire = self.wires.len();
        self.wires.push(Some(Box::new(ends)));
        if let Some(lifetime) = self.network.lifetime(&mut self.rng) {
            self.agenda.plan_in(lifetime, Happening::Break(wire));
        }
        for side in 0..2 {
            self.tend(EndId { wire, side });
        }
    }

    pub(super) fn dial_failed(&mut self, node: NodeId, addr: SocketAddr) {
        let now = self.agenda.now();
        self.nodes[node.0].torrent.handle_dial_failed(now, addr);
        self.attend(node);
    }

    pub(super) fn command(&mut self, id: EndId, commands: Vec<Command>) {
        let now = self.agenda.now();
        if let Some(end) = self.open_end(id) {
            end.connection.handle_commands(now, commands);
            self.tend(id);
        }
    }

    /// After anything was done with a connection: events go to the torrent, bytes to the line.
    pub(super) fn tend(&mut self, id: EndId) {
        let now = self.agenda.now();
        let Some(end) = self.open_end(id) else { return };
        let mut events = Vec::new();
        while let Some(event) = end.connection.poll_event() {
            events.push(event);
        }
        let (node, key) = (end.node, end.key);
        if let Some(key) = key
            && !events.is_empty()
        {
            self.nodes[node.0]
                .torrent
                .handle_peer_events(now, key, events);
        }
        self.serve(id);
        let Some(end) = self.end(id) else { return };
        if end.connection.close_reason().is_some() {
            self.fail(id);
            return;
        }
        self.line_up(id);
        self.plan_wake(id);
    }

    /// Waits for a turn on the line, when there is something that may be sent.
    fn line_up(&mut self, id: EndId) {
        let now = self.agenda.now();
        let Some(end) = self.open_end(id) else { return };
        let may_send = end.layer.has_output(&end.connection)
            && end.stream.room() > 0
            && end.sending == Sending::Idle;
        if may_send {
            end.sending = Sending::InTurn;
            let node = end.node;
            if self.nodes[node.0].uplink.join(id) {
                self.agenda.plan(now, Happening::UplinkFree(node));
            }
        }
    }

    fn plan_wake(&mut self, id: EndId) {
        let Some(end) = self.end(id) else { return };
        let Some(at) = end.connection.next_timeout() else {
            return;
        };
        if end.wake_at.is_none_or(|planned| at < planned) {
            end.wake_at = Some(at);
            self.agenda.plan(at, Happening::WakeEnd(id));
        }
    }

    pub(super) fn wake_end(&mut self, id: EndId) {
        let now = self.agenda.now();
        let Some(end) = self.open_end(id) else { return };
        if end.wake_at.is_some_and(|planned| planned <= now) {
            end.wake_at = None;
        }
        let node = end.node;
        if end.connection.next_timeout().is_some_and(|at| at <= now) {
            end.connection.handle_timeout(now);
            self.tend(id);
            self.attend(node);
        } else {
            self.plan_wake(id);
        }
    }

    /// Sends what one connection of the node may send in its turn.
    pub(super) fn send_turn(&mut self, node: NodeId) {
        let Some(id) = self.nodes[node.0].uplink.next() else {
            return;
        };
        let now = self.agenda.now();
        let network = self.network;
        let jitter = network.jitter(&mut self.rng);
        let link = self.nodes[node.0].model.link;
        let mut sent_until = now;
        if let Some(end) = self.open_end(id) {
            end.sending = Sending::Idle;
            let room = end.stream.room();
            let bytes = end.layer.take_turn(&mut end.connection, room, link.upload);
            end.stream.send(bytes.len());
            sent_until += transmission(bytes.len(), link.upload);
            self.put_on_wire(id, bytes, sent_until + jitter + link.latency);
            self.tend(id);
        }
        self.agenda.plan(sent_until, Happening::UplinkFree(node));
        self.attend(node);
    }

    fn put_on_wire(&mut self, id: EndId, bytes: Bytes, at: std::time::Instant) {
        let Some(other) = self.end(id.other()).map(|end| end.node) else {
            return;
        };
        let other_link = self.nodes[other.0].model.link;
        let Some(node) = self.end(id).map(|end| end.node) else {
            return;
        };
        let speaks_fast = [node, other]
            .into_iter()
            .all(|node| self.nodes[node.0].model.dialect == Dialect::Modern);
        let Some(end) = self.end(id) else { return };
        let arrives = end.stream.arrival(at + other_link.latency);
        let bytes = if speaks_fast || end.dial.opening == Opening::Encrypted {
            bytes
        } else {
            Stream::without_fast(&mut end.stream, bytes)
        };
        let reach = Happening::Reach {
            end: id.other(),
            bytes,
        };
        self.agenda.plan(arrives, reach);
    }

    pub(super) fn reach(&mut self, id: EndId, bytes: Bytes) {
        let now = self.agenda.now();
        let Some(node) = self.end(id).map(|end| end.node) else {
            return;
        };
        let node = &mut self.nodes[node.0];
        let time = transmission(bytes.len(), node.model.link.download);
        node.downlink_free_at = node.downlink_free_at.max(now) + time;
        let at = node.downlink_free_at;
        self.agenda.plan(at, Happening::Arrive { end: id, bytes });
    }

    pub(super) fn arrive(&mut self, id: EndId, bytes: &Bytes) {
        self.tell_sender(id, bytes.len());
        let Some(end) = self.open_end(id) else { return };
        let start = end.input.len();
        end.input.extend_from_slice(bytes);
        let node = end.node;
        self.hear(id, start);
        self.tend(id);
        self.attend(node);
    }

    /// Tells the other end that its bytes have arrived. Such segments are too small to take time on the line.
    fn tell_sender(&mut self, id: EndId, bytes: usize) {
        let sender = id.other();
        let nodes = [id, sender].map(|id| self.end(id).map(|end| end.node));
        let [Some(here), Some(there)] = nodes else {
            return;
        };
        let latency =
            self.nodes[here.0].model.link.latency + self.nodes[there.0].model.link.latency;
        let told = Happening::Acknowledged { end: sender, bytes };
        self.agenda.plan_in(latency, told);
    }

    pub(super) fn acknowledged(&mut self, id: EndId, bytes: usize) {
        if let Some(end) = self.end(id) {
            end.stream.acknowledge(bytes);
            self.line_up(id);
        }
    }

    /// Passes on what came to the connection, as far as it is decrypted.
    fn hear(&mut self, id: EndId, start: usize) {
        let skey = self.info_hash();
        let Some(end) = self.end(id) else { return };
        match end.layer.hear(&mut end.input, start, skey) {
            Ok(Heard::Stream) => self.read_input(id),
            Ok(Heard::NothingYet) => {}
            Err(Misunderstood) => end.connection.close(CloseReason::Local),
        }
    }

    pub(super) fn info_hash(&self) -> InfoHash {
        let info_hash = self.content.metainfo.info_hashes().swarms().next();
        info_hash.expect("every torrent has an info-hash")
    }

    fn read_input(&mut self, id: EndId) {
        let now = self.agenda.now();
        let Some(end) = self.end(id) else { return };
        // A refusal shows in `close_reason`, which `tend` looks at.
        let _ = end.connection.handle_input(now, &mut end.input);
        let Some(&handshake) = end.connection.awaiting_accept() else {
            return;
        };
        let (node, remote) = (end.node, end.remote);
        let direction = match id.side {
            0 => Direction::Outgoing,
            _ => Direction::Incoming,
        };
        let torrent = &mut self.nodes[node.0].torrent;
        let admitted = torrent.handle_peer_connected(now, remote, direction, &handshake);
        let key = match admitted {
            Ok(key) => key,
            Err(refused) => {
                self.note(format_args!("node {} refuses {remote}: {refused}", node.0));
                self.attend(node);
                self.hang_up(id);
                return;
            }
        };
        let local = self.local_torrent(node, handshake.info_hash);
        self.nodes[node.0].ends.insert(key, id);
        if id.side == 0
            && let Some(opening) = self.end(id).map(|end| end.dial.opening)
        {
            self.nodes[node.0].openings.insert(remote, opening);
        }
        let mut how = "";
        if let Some(end) = self.end(id) {
            if end.layer.is_encrypted() {
                how = ", encrypted";
            }
            end.key = Some(key);
            end.connection.accept(now, local);
            let _ = end.connection.handle_input(now, &mut end.input);
        }
        self.note(format_args!(
            "node {} is connected to {remote}{how}",
            node.0
        ));
    }

    fn local_torrent(&self, node: NodeId, swarm: InfoHash) -> LocalTorrent {
        let torrent = &self.nodes[node.0].torrent;
        if !torrent.knows_pieces() {
            return LocalTorrent::without_metadata(swarm);
        }
        let info = self.content.metainfo.info();
        let geometry = Arc::clone(info.geometry());
        let mut local = LocalTorrent::new(swarm, geometry, torrent.verified().clone());
        local.metadata_size = u32::try_from(info.raw().len()).ok();
        if torrent.is_finished() {
            local.role = Role::UploadOnly;
        }
        local
    }

    /// A node has fetched the metadata, and tells its connections.
    ///
    /// # Panics
    /// When it is not that of the torrent: a node believed a liar.
    pub(super) fn learn(&mut self, id: NodeId, raw: &Bytes) {
        assert_eq!(raw, self.content.metainfo.info().raw());
        self.note(format_args!("node {} has the metadata", id.0));
        let now = self.agenda.now();
        let node = &mut self.nodes[id.0];
        let verified = node.disk.store().verified();
        let start = start(&self.content, node.config.peer_id, verified);
        node.torrent.handle_metadata(now, start, Privacy::Public);
        node.torrent
            .set_metainfo(now, Arc::clone(&self.content.metainfo));
        let info_hash = self.content.metainfo.info_hashes().swarms().next();
        let info_hash = info_hash.expect("every torrent has an info-hash");
        let ends: Vec<_> = node.ends.values().copied().collect();
        for end_id in ends {
            let local = self.local_torrent(id, info_hash);
            if let Some(end) = self.open_end(end_id) {
                // Should it close the connection, that is found when it is tended.
                let _ = end.connection.handle_metadata(now, local);
                self.tend(end_id);
            }
        }
    }

    /// Reads blocks that the peer asked for.
    fn serve(&mut self, id: EndId) {
        let Some(end) = self.end(id) else { return };
        let node = end.node;
        let may_read = end.reading == Reading::Idle
            && end.connection.waiting_upload_requests() > 0
            && end.connection.output().waiting_payload() < READ_AHEAD;
        if !may_read || self.nodes[node.0].model.habit == Habit::Silent {
            return;
        }
        let Some(end) = self.end(id) else { return };
        end.reading = Reading::Busy;
        let blocks: Vec<_> = std::iter::from_fn(|| end.connection.poll_upload_request())
            .take(READ_BATCH)
            .collect();
        let now = self.agenda.now();
        let disk = &mut self.nodes[node.0].disk;
        let bytes = disk.read(&blocks);
        let at = disk.done_at(now);
        let read = Happening::Read {
            end: id,
            blocks,
            bytes,
        };
        self.agenda.plan(at, read);
    }

    pub(super) fn blocks_read(&mut self, id: EndId, blocks: &[Block], bytes: Vec<Bytes>) {
        let now = self.agenda.now();
        let Some(node) = self.open_end(id).map(|end| end.node) else {
            return;
        };
        let bytes: Vec<_> = bytes
            .into_iter()
            .map(|bytes| self.as_told(node, bytes))
            .collect();
        let Some(end) = self.end(id) else { return };
        end.reading = Reading::Idle;
        let mut bytes = bytes.into_iter();
        for &block in blocks {
            match bytes.next() {
                Some(bytes) => end.connection.send_block(now, block, bytes),
                None => end.connection.reject(now, block),
            }
        }
        self.tend(id);
        self.attend(node);
    }

    /// What a node says is in a block, or which hashes it gives.
    pub(super) fn as_told(&mut self, node: NodeId, bytes: Bytes) -> Bytes {
        let Habit::LiesOnceIn(blocks) = self.nodes[node.0].model.habit else {
            return bytes;
        };
        if self.rng.random_range(0..blocks) != 0 {
            return bytes;
        }
        let mut lie = BytesMut::from(&bytes[..]);
        lie[0] ^= 0xff;
        lie.freeze()
    }

    /// Closes a wire from one end; the other hears of it when the bytes before have come.
    pub(super) fn hang_up(&mut self, id: EndId) {
        let now = self.agenda.now();
        let Some(end) = self.open_end(id) else { return };
        end.state = State::HungUp;
        let at = end.stream.arrival(now);
        let node = end.node;
        let latency = self.nodes[node.0].model.link.latency * 2;
        self.agenda
            .plan(at + latency, Happening::Hangup(id.other()));
    }

    /// A connection closed itself.
    fn fail(&mut self, id: EndId) {
        let now = self.agenda.now();
        let Some(end) = self.end(id) else { return };
        let Some(key) = end.key.take() else {
            let is_greeted = end.connection.remote_handshake().is_some();
            if !is_greeted && id.side == 0 {
                let (node, addr, dial) = (end.node, end.remote, end.dial);
                self.not_understood(node, addr, dial);
            }
            self.hang_up(id);
            return;
        };
        let why = ended(end.connection.close_reason());
        let (node, remote) = (end.node, end.remote);
        let reason = end.connection.close_reason().cloned();
        self.note(format_args!("node {} lost {remote}: {reason:?}", node.0));
        self.nodes[node.0].ends.remove(&key);
        self.nodes[node.0]
            .torrent
            .handle_peer_disconnected(now, key, why);
        self.hang_up(id);
    }

    pub(super) fn hung_up(&mut self, id: EndId) {
        let Some(end) = self.end(id) else { return };
        let node = end.node;
        self.end_of(id);
        self.wires[id.wire] = None;
        self.attend(node);
    }

    pub(super) fn break_wire(&mut self, wire: usize) {
        if self.wires[wire].is_none() {
            return;
        }
        self.note(format_args!("wire {wire} breaks"));
        let ends = [EndId { wire, side: 0 }, EndId { wire, side: 1 }];
        let nodes = ends.map(|id| self.end(id).map(|end| end.node));
        for id in ends {
            self.end_of(id);
        }
        self.wires[wire] = None;
        for node in nodes.into_iter().flatten() {
            self.attend(node);
        }
    }

    /// Tells a torrent that a connection ended.
    fn end_of(&mut self, id: EndId) {
        let now = self.agenda.now();
        let Some(end) = self.open_end(id) else { return };
        let (owner, key, remote, dial) = (end.node, end.key, end.remote, end.dial);
        let node = &mut self.nodes[owner.0];
        match key {
            Some(key) => {
                node.ends.remove(&key);
                node.torrent
                    .handle_peer_disconnected(now, key, rarest_swarm::Ended::Closed);
            }
            None if id.side == 0 => self.not_understood(owner, remote, dial),
            None => {}
        }
    }

    /// A dial came to nothing: perhaps the other node speaks otherwise.
    fn not_understood(&mut self, from: NodeId, to: SocketAddr, dial: Dial) {
        let now = self.agenda.now();
        match dial.second {
            Some(opening) => {
                let second = None;
                self.dial_so(from, to, Dial { opening, second });
            }
            None => self.nodes[from.0].torrent.handle_dial_failed(now, to),
        }
    }
}
