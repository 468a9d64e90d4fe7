//! The world: nodes, wires between them, and what happens when.

mod dht;
mod traffic;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rarest_metainfo::{Block, Geometry, PieceIndex};
use rarest_peer_wire::HashRange;
use rarest_peer_wire::connection::{CloseReason, Command};
use rarest_swarm::{
    Ended, Output, PeerKey, PeerSource, PeerStats, PieceResult, SpillResult, Stats, Torrent,
    TorrentEvent,
};

use crate::clock::Agenda;
use crate::disk::Content;
use crate::log::Log;
use crate::network::Network;
use crate::swarm::{Dial, End, EndId, Habit, Introduction, Node, NodeId, NodeModel, Presence};

/// Addresses that a node learns with each announce.
const ANNOUNCED_PEERS: usize = 50;

/// Time between two announces of a node.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(60);

/// How often a node whose disk failed tries again.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// Longest time between two changes of mind of a fickle node.
const FICKLE_MS: u64 = 3000;

/// A swarm of nodes in virtual time.
///
/// Everything follows from the seed: two worlds with the same seed and the same nodes have the same [`Log`].
pub struct World {
    seed: u64,
    rng: Xoshiro256PlusPlus,
    network: Network,
    content: Content,
    agenda: Agenda<Happening>,
    nodes: Vec<Node>,
    by_ip: BTreeMap<IpAddr, NodeId>,
    wires: Vec<Option<Box<[End; 2]>>>,
    log: Log,
}

#[derive(Debug)]
enum Happening {
    Join(NodeId),
    Announce(NodeId),
    Leave(NodeId),
    /// A dial reaches the other node.
    Dialled {
        from: NodeId,
        to: SocketAddr,
        dial: Dial,
    },
    DialFailed {
        node: NodeId,
        addr: SocketAddr,
    },
    /// The line of a node can send again.
    UplinkFree(NodeId),
    /// Bytes reach the line of the node they are for, and then the node.
    Reach {
        end: EndId,
        bytes: Bytes,
    },
    Arrive {
        end: EndId,
        bytes: Bytes,
    },
    /// An end hears that so many of its bytes have arrived.
    Acknowledged {
        end: EndId,
        bytes: usize,
    },
    /// The other end of a connection was closed.
    Hangup(EndId),
    /// A connection breaks.
    Break(usize),
    WakeTorrent(NodeId),
    WakeEnd(EndId),
    PieceDone {
        node: NodeId,
        piece: PieceIndex,
        result: PieceResult,
    },
    Spilled {
        node: NodeId,
        blocks: Vec<Block>,
        result: SpillResult,
    },
    Read {
        end: EndId,
        blocks: Vec<Block>,
        bytes: Vec<Bytes>,
    },
    HashesRead {
        node: NodeId,
        peer: PeerKey,
        range: Box<HashRange>,
        hashes: Option<Bytes>,
    },
    /// A datagram reaches the node at an address, should there be one.
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Bytes,
    },
    WakeDht(NodeId),
    RetryStore(NodeId),
    ChangeMind(NodeId),
}

/// A run did not come to the end that was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Run the same world again with this.
    pub seed: u64,
    /// How long it ran.
    pub after: Duration,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, after } = self;
        write!(
            f,
            "not finished after {after:?}; run it again with RAREST_SIM_SEED={seed}"
        )
    }
}

impl std::error::Error for Unfinished {}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("elapsed", &self.agenda.elapsed())
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}

/// A test that fails says how to run it again.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with RAREST_SIM_SEED={}", self.seed);
        }
    }
}

impl World {
    /// A world without nodes. `start` is any instant; nothing depends on which.
    #[must_use]
    pub fn new(seed: u64, network: Network, content: Content, start: Instant) -> Self {
        Self {
            seed,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            network,
            content,
            agenda: Agenda::new(start),
            nodes: Vec::new(),
            by_ip: BTreeMap::new(),
            wires: Vec::new(),
            log: Log::default(),
        }
    }

    /// Adds a node.
    pub fn add(&mut self, model: NodeModel) -> NodeId {
        let id = NodeId(self.nodes.len());
        let joins_after = model.joins_after;
        let now = self.agenda.now();
        let node = Node::new(id, model, &self.content, self.seed, now);
        self.by_ip.insert(node.addr.ip(), id);
        self.nodes.push(node);
        self.agenda.plan_in(joins_after, Happening::Join(id));
        id
    }

    /// Adds many nodes that are alike.
    pub fn add_many(&mut self, count: usize, model: &NodeModel) -> Vec<NodeId> {
        (0..count).map(|_| self.add(model.clone())).collect()
    }

    /// Takes a node out of the world, without a word to its peers.
    pub fn leave(&mut self, node: NodeId) {
        self.agenda.plan_in(Duration::ZERO, Happening::Leave(node));
    }

    /// Changes how many bytes a second the line of a node sends.
    pub fn set_upload(&mut self, node: NodeId, bytes_per_s: u64) {
        self.nodes[node.0].model.link.upload = bytes_per_s;
    }

    /// Changes how many bytes fit on the disk of a node.
    pub fn set_disk_room(&mut self, node: NodeId, bytes: u64) {
        self.nodes[node.0].disk.set_room(bytes);
    }

    /// Lets time pass until `done`, which is asked after everything that happens.
    ///
    /// # Errors
    /// [`Unfinished`] when that is not so within `limit` of now, or nothing happens any more.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<Duration, Unfinished> {
        let end = self.agenda.now() + limit;
        while !done(self) {
            if self.agenda.next_at().is_none_or(|at| at > end) {
                return Err(Unfinished {
                    seed: self.seed,
                    after: self.agenda.elapsed(),
                });
            }
            if let Some(happening) = self.agenda.next() {
                self.happen(happening);
            }
        }
        Ok(self.agenda.elapsed())
    }

    /// Lets some time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.agenda.now() + time;
        while self.agenda.next_at().is_some_and(|at| at <= end)
            && let Some(happening) = self.agenda.next()
        {
            self.happen(happening);
        }
    }

    /// Time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.agenda.elapsed()
    }

    /// The torrent of a node.
    #[must_use]
    pub fn torrent(&self, node: NodeId) -> &Torrent {
        &self.nodes[node.0].torrent
    }

    /// The statistics of a node's torrent at this moment.
    #[must_use]
    pub fn stats(&self, node: NodeId) -> Stats {
        self.torrent(node).stats(self.agenda.now())
    }

    /// The statistics of how one node is connected to another at this moment, when it is.
    #[must_use]
    pub fn peer_stats(&self, of: NodeId, to: NodeId) -> Option<PeerStats> {
        let ip = self.nodes[to.0].addr.ip();
        let mut peers = self.torrent(of).peers(self.agenda.now());
        peers.find(|peer| peer.addr.ip() == ip)
    }

    /// The pieces of the torrent.
    #[must_use]
    pub fn geometry(&self) -> &Arc<Geometry> {
        self.content.metainfo.info().geometry()
    }

    /// When a node had everything, if it has.
    #[must_use]
    pub fn completed_after(&self, node: NodeId) -> Option<Duration> {
        self.nodes[node.0].completed_after
    }

    /// Whether what the node believes to be verified is what its disk has verified, piece by piece.
    #[must_use]
    pub fn is_consistent(&self, node: NodeId) -> bool {
        let node = &self.nodes[node.0];
        node.disk.store().verified() == *node.torrent.verified()
    }

    /// Whether the node is banned by another.
    #[must_use]
    pub fn has_banned(&self, judge: NodeId, node: NodeId) -> bool {
        let ban = format!("node {} bans {}:", judge.0, self.nodes[node.0].addr.ip());
        self.log.lines().any(|line| line.contains(&ban))
    }

    /// Number of bans until now, as far as the log keeps them.
    #[must_use]
    pub fn bans(&self) -> usize {
        self.log
            .lines()
            .filter(|line| line.contains(" bans "))
            .count()
    }

    /// What happened until now.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    fn note(&mut self, line: fmt::Arguments<'_>) {
        self.log.write(self.agenda.elapsed(), line);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Join(node) => self.join(node),
            Happening::Announce(node) => self.announce(node),
            Happening::Leave(node) => self.gone(node),
            Happening::Dialled { from, to, dial } => self.dialled(from, to, dial),
            Happening::DialFailed { node, addr } => self.dial_failed(node, addr),
            Happening::UplinkFree(node) => self.send_turn(node),
            Happening::Reach { end, bytes } => self.reach(end, bytes),
            Happening::Arrive { end, bytes } => self.arrive(end, &bytes),
            Happening::Acknowledged { end, bytes } => self.acknowledged(end, bytes),
            Happening::Hangup(end) => self.hung_up(end),
            Happening::Break(wire) => self.break_wire(wire),
            Happening::WakeTorrent(node) => self.wake_torrent(node),
            Happening::WakeEnd(end) => self.wake_end(end),
            Happening::PieceDone {
                node,
                piece,
                result,
            } => self.piece_done(node, piece, result),
            Happening::Spilled {
                node,
                blocks,
                result,
            } => self.spilled(node, &blocks, result),
            Happening::Read { end, blocks, bytes } => self.blocks_read(end, &blocks, bytes),
            Happening::HashesRead {
                node,
                peer,
                range,
                hashes,
            } => self.hashes_read(node, peer, range, hashes),
            Happening::Datagram { from, to, bytes } => self.datagram(from, to, &bytes),
            Happening::WakeDht(node) => self.wake_dht(node),
            Happening::RetryStore(node) => self.retry_store(node),
            Happening::ChangeMind(node) => self.change_mind(node),
        }
    }

    fn is_there(&self, node: NodeId) -> bool {
        self.nodes[node.0].presence == Presence::There
    }

    fn join(&mut self, id: NodeId) {
        self.nodes[id.0].presence = Presence::There;
        self.note(format_args!("node {} joins", id.0));
        if self.nodes[id.0].model.habit == Habit::Fickle {
            self.agenda
                .plan_in(Duration::ZERO, Happening::ChangeMind(id));
        }
        match self.nodes[id.0].model.introduction.clone() {
            Introduction::Tracker => self.announce(id),
            Introduction::Acquaintances(known) => {
                let addrs = self.addresses(&known);
                self.introduce(id, PeerSource::User, &addrs);
            }
            Introduction::Dht(known) => {
                let routers = self.addresses(&known);
                self.enter_dht(id, &routers);
            }
        }
    }

    fn addresses(&self, nodes: &[NodeId]) -> Vec<SocketAddr> {
        nodes.iter().map(|&node| self.nodes[node.0].addr).collect()
    }

    fn introduce(&mut self, id: NodeId, source: PeerSource, addrs: &[SocketAddr]) {
        let now = self.agenda.now();
        self.nodes[id.0].torrent.add_peers(now, source, addrs);
        self.attend(id);
    }

    fn announce(&mut self, id: NodeId) {
        if !self.is_there(id) {
            return;
        }
        self.agenda
            .plan_in(ANNOUNCE_INTERVAL, Happening::Announce(id));
        if self.nodes[id.0].dht.is_some() {
            self.look_in_dht(id);
            return;
        }
        let mut addrs: Vec<_> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|&(other, node)| other != id.0 && node.presence == Presence::There)
            .map(|(_, node)| node.addr)
            .collect();
        addrs.shuffle(&mut self.rng);
        addrs.truncate(ANNOUNCED_PEERS);
        self.introduce(id, PeerSource::Tracker, &addrs);
    }

    fn gone(&mut self, id: NodeId) {
        self.nodes[id.0].presence = Presence::Gone;
        self.note(format_args!("node {} leaves", id.0));
        for end in std::mem::take(&mut self.nodes[id.0].ends).into_values() {
            self.hang_up(end);
        }
    }

    /// Does what the torrent of a node asks for, and plans its next timeout.
    fn attend(&mut self, id: NodeId) {
        while let Some(output) = self.nodes[id.0].torrent.poll_output() {
            self.carry_out(id, output);
        }
        let node = &mut self.nodes[id.0];
        let Some(at) = node.torrent.next_timeout() else {
            return;
        };
        if node.wake_at.is_none_or(|planned| at < planned) {
            node.wake_at = Some(at);
            self.agenda.plan(at, Happening::WakeTorrent(id));
        }
    }

    fn carry_out(&mut self, id: NodeId, output: Output) {
        let now = self.agenda.now();
        match output {
            Output::Commands(key, commands) => {
                if let Some(&end) = self.nodes[id.0].ends.get(&key) {
                    self.command(end, commands);
                }
            }
            Output::Dial(addr) => self.dial(id, addr),
            Output::CompletePiece(whole) => {
                let node = &mut self.nodes[id.0];
                let piece = whole.piece;
                let result = node.disk.complete(whole);
                let at = node.disk.done_at(now);
                let done = Happening::PieceDone {
                    node: id,
                    piece,
                    result,
                };
                self.agenda.plan(at, done);
            }
            Output::Spill(blocks) => {
                let node = &mut self.nodes[id.0];
                let result = node.disk.spill(&blocks);
                let at = node.disk.done_at(now);
                let blocks = blocks.into_iter().map(|(block, _)| block).collect();
                let done = Happening::Spilled {
                    node: id,
                    blocks,
                    result,
                };
                self.agenda.plan(at, done);
            }
            Output::HashesFound { metainfo, pieces } => {
                self.note(format_args!("node {} learns {} hashes", id.0, pieces.len()));
                let node = &mut self.nodes[id.0];
                node.disk.store().set_metainfo(metainfo);
                node.torrent.handle_hashes_known(now, &pieces);
            }
            Output::AnswerHashes { peer, range } => {
                let hashes = self.nodes[id.0].disk.hashes(&range);
                let hashes = hashes.map(|hashes| self.as_told(id, hashes));
                let at = self.nodes[id.0].disk.done_at(now);
                let read = Happening::HashesRead {
                    node: id,
                    peer,
                    range,
                    hashes,
                };
                self.agenda.plan(at, read);
            }
            Output::Disconnect(key, reason) => {
                self.note(format_args!("node {} parts from {key:?}: {reason:?}", id.0));
                if let Some(end) = self.nodes[id.0].ends.remove(&key) {
                    self.hang_up(end);
                }
            }
            Output::Ban(ip, reason) => {
                self.note(format_args!("node {} bans {ip}: {reason:?}", id.0));
            }
            Output::Metadata(raw) => self.learn(id, &raw),
            Output::Event(event) => self.told(id, &event),
            other => unreachable!("unknown output {other:?}"),
        }
    }

    fn told(&mut self, id: NodeId, event: &TorrentEvent) {
        self.note(format_args!("node {}: {event:?}", id.0));
        match event {
            TorrentEvent::Completed => {
                self.nodes[id.0].completed_after = Some(self.agenda.elapsed());
            }
            TorrentEvent::UploadOnly => {
                self.agenda.plan_in(STORE_RETRY, Happening::RetryStore(id));
            }
            _ => {}
        }
    }

    fn wake_torrent(&mut self, id: NodeId) {
        let now = self.agenda.now();
        let node = &mut self.nodes[id.0];
        if node.wake_at.is_some_and(|planned| planned <= now) {
            node.wake_at = None;
        }
        if node.presence != Presence::There {
            return;
        }
        if node.torrent.next_timeout().is_some_and(|at| at <= now) {
            node.torrent.handle_timeout(now);
        }
        self.attend(id);
    }

    fn piece_done(&mut self, id: NodeId, piece: PieceIndex, result: PieceResult) {
        let now = self.agenda.now();
        self.nodes[id.0]
            .torrent
            .handle_piece_done(now, piece, result);
        self.attend(id);
    }

    fn spilled(&mut self, id: NodeId, blocks: &[Block], result: SpillResult) {
        let now = self.agenda.now();
        self.nodes[id.0].torrent.handle_spilled(now, blocks, result);
        self.attend(id);
    }

    fn hashes_read(
        &mut self,
        id: NodeId,
        peer: PeerKey,
        range: Box<HashRange>,
        hashes: Option<Bytes>,
    ) {
        let now = self.agenda.now();
        let torrent = &mut self.nodes[id.0].torrent;
        torrent.handle_hashes_read(now, peer, range, hashes);
        self.attend(id);
    }

    fn retry_store(&mut self, id: NodeId) {
        let now = self.agenda.now();
        self.nodes[id.0].torrent.handle_store_recovered(now);
        self.attend(id);
    }

    /// A fickle node chokes and unchokes past its own torrent.
    fn change_mind(&mut self, id: NodeId) {
        if !self.is_there(id) {
            return;
        }
        let ends: Vec<_> = self.nodes[id.0].ends.values().copied().collect();
        for end in ends {
            let command = if self.rng.random() {
                Command::Choke
            } else {
                Command::Unchoke
            };
            self.command(end, vec![command]);
        }
        let pause = Duration::from_millis(self.rng.random_range(1..=FICKLE_MS));
        self.agenda.plan_in(pause, Happening::ChangeMind(id));
    }
}

fn ended(reason: Option<&CloseReason>) -> Ended {
    match reason {
        Some(CloseReason::Violation(_)) => Ended::ProtocolViolation,
        Some(CloseReason::Idle | CloseReason::HandshakeTimeout) => Ended::TimedOut,
        _ => Ended::Closed,
    }
}
