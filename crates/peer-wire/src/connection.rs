//! One connection to a peer: what came in becomes [`Event`]s, [`Command`]s become what goes out.
//!
//! [`Connection`] is driven by whoever owns the socket:
//!
//! 1. Write [`Connection::output`] whenever it has something.
//! 2. Read into a `BytesMut` and call [`Connection::handle_input`].
//! 3. When [`Connection::awaiting_accept`] shows the handshake of the peer, tell the torrent, call
//!    [`Connection::accept`], and `handle_input` once more: more may have come in the same read.
//! 4. Drain [`Connection::poll_event`], and pass the events on as one batch.
//! 5. Take the peer's requests out with [`Connection::poll_upload_request`] as the rate limit and
//!    [`Output::waiting_payload`] allow, and answer with [`Connection::send_block`] or [`Connection::reject`].
//! 6. Call [`Connection::handle_timeout`] when [`Connection::next_timeout`] has come. It changes with every call.

mod active;
mod command;
mod config;
mod error;
mod event;
mod hash_requests;
mod output;
mod outward;
mod remote_pieces;
mod requests;
mod uploads;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use rarest_metainfo::{Block, PeerId};

pub use command::Command;
pub use config::{Config, LocalPieces, LocalTorrent, Privacy, Role, SwarmId};
pub use error::{CloseReason, ProtocolViolation};
pub use event::Event;
pub use output::Output;

use crate::handshake::{Handshake, Reserved};
use crate::limits::{HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, KEEP_ALIVE_INTERVAL};
use crate::message::Message;
use active::Active;
use outward::Outward;

/// Who made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The remote peer dialled us.
    Incoming,
    /// We dialled.
    Outgoing,
}

/// Which of two connections to the same peer both sides keep: the one that the peer with the higher id dialled.
///
/// Says the direction as seen from `ours`; the other side comes to the same connection. Ids that are the same are our own.
#[must_use]
pub fn direction_to_keep(ours: PeerId, theirs: PeerId) -> Direction {
    if ours > theirs {
        Direction::Outgoing
    } else {
        Direction::Incoming
    }
}

/// Whether both sides speak the fast extension (BEP 6), which changes what a choke, a cancel and a refusal mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Base,
    Fast,
}

/// One connection, without its socket and clock.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    remote_addr: SocketAddr,
    phase: Phase,
    out: Outward,
}

#[derive(Debug)]
enum Phase {
    /// We dialled and have said who we are.
    AwaitingReply {
        deadline: Instant,
        swarm: SwarmId,
    },
    /// The peer dialled; we say nothing until we know what for.
    AwaitingHandshake {
        deadline: Instant,
    },
    /// The owner decides whether there is such a torrent, and what we have of it.
    AwaitingAccept {
        deadline: Instant,
        direction: Direction,
        remote: Handshake,
    },
    Active(Box<Active>),
    Closed(CloseReason),
}

/// Bytes of a connection until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of blocks that came and were passed on.
    pub received_payload: u64,
    /// Bytes of blocks that came after we had given up their request.
    pub received_late: u64,
    /// All other bytes that were read.
    pub received_overhead: u64,
    /// Bytes of blocks that the socket took.
    pub sent_payload: u64,
    /// All other bytes that the socket took.
    pub sent_overhead: u64,
}

impl Connection {
    /// A connection that we dialled, just established. Our handshake is in the output.
    #[must_use]
    pub fn outgoing(
        config: Arc<Config>,
        remote_addr: SocketAddr,
        swarm: impl Into<SwarmId>,
        now: Instant,
    ) -> Self {
        let swarm = swarm.into();
        let deadline = now + HANDSHAKE_TIMEOUT;
        let phase = Phase::AwaitingReply { deadline, swarm };
        let mut this = Self::in_phase(phase, config, remote_addr, now);
        this.send_handshake(now, swarm, swarm.info_hash.0);
        this
    }

    /// A connection that the peer dialled, just established.
    #[must_use]
    pub fn incoming(config: Arc<Config>, remote_addr: SocketAddr, now: Instant) -> Self {
        let deadline = now + HANDSHAKE_TIMEOUT;
        let phase = Phase::AwaitingHandshake { deadline };
        Self::in_phase(phase, config, remote_addr, now)
    }

    fn in_phase(phase: Phase, config: Arc<Config>, remote_addr: SocketAddr, now: Instant) -> Self {
        Self {
            config,
            remote_addr,
            phase,
            out: Outward::new(now),
        }
    }

    /// The address of the peer.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    /// The handshake of the peer, once it has come and as long as the connection is open.
    #[must_use]
    pub fn remote_handshake(&self) -> Option<&Handshake> {
        match &self.phase {
            Phase::AwaitingAccept { remote, .. } => Some(remote),
            Phase::Active(active) => Some(&active.remote),
            _ => None,
        }
    }

    /// The handshake of the peer while the connection waits for [`Self::accept`]. Of a connection that we dialled, it
    /// is for the swarm that we asked for.
    #[must_use]
    pub fn awaiting_accept(&self) -> Option<&Handshake> {
        match &self.phase {
            Phase::AwaitingAccept { remote, .. } => Some(remote),
            _ => None,
        }
    }

    /// Goes on with the torrent that the peer came for, as it is now. Every piece verified from now on must be told
    /// with [`Command::Have`].
    ///
    /// Does nothing unless the connection [waits for it](Self::awaiting_accept).
    pub fn accept(&mut self, now: Instant, torrent: LocalTorrent) {
        let Phase::AwaitingAccept {
            direction, remote, ..
        } = self.phase
        else {
            return;
        };
        if direction == Direction::Incoming {
            let answer = match torrent.swarm.upgrade {
                Some(upgrade) if remote.reserved.has(Reserved::V2_UPGRADE) => upgrade,
                _ => remote.info_hash,
            };
            self.send_handshake(now, torrent.swarm, answer.0);
        }
        self.phase = Phase::Active(Box::new(Active::begin(
            Arc::clone(&self.config),
            remote,
            self.remote_addr.ip(),
            torrent,
            now,
            &mut self.out,
        )));
    }

    fn send_handshake(&mut self, now: Instant, swarm: SwarmId, info_hash: [u8; 20]) {
        let mut reserved = Reserved::EXTENSION_PROTOCOL.with(Reserved::FAST);
        if self.config.dht_port.is_some() {
            reserved = reserved.with(Reserved::DHT);
        }
        if swarm.upgrade.is_some() {
            reserved = reserved.with(Reserved::V2_UPGRADE);
        }
        let handshake = Handshake {
            reserved,
            info_hash: rarest_metainfo::InfoHash(info_hash),
            peer_id: self.config.peer_id,
        };
        self.out.send_bytes(now, &handshake.to_bytes());
    }

    /// Reads what came from the peer. What is not a whole message yet stays in `input`; what comes next is to be put
    /// behind it.
    ///
    /// While the connection waits for [`Self::accept`], nothing is taken. The peer counts as alive by the call, also without
    /// new bytes: who does not read for a while, because of a rate limit, is to call it before a time-out.
    ///
    /// # Errors
    /// Why the connection is closed, now or before. Events of what came first can still be drained.
    pub fn handle_input(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), CloseReason> {
        let before = input.len();
        let result = self.read(now, input);
        self.out.received.total += (before - input.len()) as u64;
        if let Err(reason) = result {
            self.close(reason);
        }
        self.close_if_not_read();
        self.check_open()
    }

    fn read(&mut self, now: Instant, input: &mut BytesMut) -> Result<(), CloseReason> {
        let (direction, expected) = match &mut self.phase {
            Phase::Active(active) => {
                active.handle_input(now, input, &mut self.out)?;
                return Ok(());
            }
            Phase::AwaitingAccept { .. } => return Ok(()),
            Phase::Closed(reason) => return Err(reason.clone()),
            Phase::AwaitingReply { swarm, .. } => (Direction::Outgoing, Some(*swarm)),
            Phase::AwaitingHandshake { .. } => (Direction::Incoming, None),
        };
        let handshake = Handshake::decode(input).map_err(ProtocolViolation::from)?;
        let Some(remote) = handshake else {
            return Ok(());
        };
        if remote.peer_id == self.config.peer_id {
            return Err(CloseReason::Ourselves);
        }
        if let Some(swarm) = expected
            && remote.info_hash != swarm.info_hash
            && Some(remote.info_hash) != swarm.upgrade
        {
            return Err(CloseReason::Violation(ProtocolViolation::WrongInfoHash {
                expected: swarm.info_hash,
                actual: remote.info_hash,
            }));
        }
        self.phase = Phase::AwaitingAccept {
            deadline: now + HANDSHAKE_TIMEOUT,
            direction,
            remote,
        };
        Ok(())
    }

    /// Bytes that are missing until the message at the front of `input` is whole, as far as can be told.
    ///
    /// Who reads from a socket can make room for them, so that a long message is not moved while it grows.
    #[must_use]
    pub fn missing(&self, input: &[u8]) -> usize {
        match &self.phase {
            Phase::Active(active) => active.missing(input),
            Phase::Closed(_) => 0,
            _ => Handshake::LENGTH.saturating_sub(input.len()),
        }
    }

    /// Does what the torrent wants. Before the connection is accepted and after it is closed, requests are returned
    /// and all else is ignored.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        self.handle_commands(now, [command]);
    }

    /// Does what the torrent wants, in order.
    pub fn handle_commands(&mut self, now: Instant, commands: impl IntoIterator<Item = Command>) {
        match &mut self.phase {
            Phase::Active(active) => {
                for command in commands {
                    active.handle_command(now, command, &mut self.out);
                }
                active.send_requests(now, &mut self.out);
            }
            _ => {
                for command in commands {
                    match command {
                        Command::Request(block) => self.out.event(Event::Returned(block)),
                        Command::RequestHashes(range) => {
                            self.out.event(Event::HashesReturned(range));
                        }
                        _ => {}
                    }
                }
            }
        }
        self.close_if_not_read();
    }

    /// The metadata of a torrent that was accepted without it is known now; `torrent` is as it would be
    /// [accepted](Self::accept) now. What the peer has said of its pieces until now becomes events. It hears that we have the metadata
    /// (BEP 9), and that nothing is said of peers when the torrent turned out to be private. The role is told by a command.
    ///
    /// # Errors
    /// Why the connection is closed: what the peer has said does not fit the torrent.
    pub fn handle_metadata(
        &mut self,
        now: Instant,
        torrent: LocalTorrent,
    ) -> Result<(), CloseReason> {
        if let Phase::Active(active) = &mut self.phase
            && let Err(violation) = active.handle_metadata(now, torrent, &mut self.out)
        {
            self.close(violation.into());
        }
        self.check_open()
    }

    /// What is overdue happens now: time-outs, keep-alives, requests that are given up.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::AwaitingReply { deadline, .. }
            | Phase::AwaitingHandshake { deadline }
            | Phase::AwaitingAccept { deadline, .. } => {
                if *deadline <= now {
                    self.close(CloseReason::HandshakeTimeout);
                }
            }
            Phase::Active(active) => {
                if active.last_received + IDLE_TIMEOUT <= now {
                    self.close(CloseReason::Idle);
                    return;
                }
                active.handle_timeout(now, &mut self.out);
                if self.out.last_sent + KEEP_ALIVE_INTERVAL <= now {
                    self.out.send(now, &Message::KeepAlive);
                }
                self.close_if_not_read();
            }
            Phase::Closed(_) => {}
        }
    }

    /// When [`Self::handle_timeout`] has something to do, if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::AwaitingReply { deadline, .. }
            | Phase::AwaitingHandshake { deadline }
            | Phase::AwaitingAccept { deadline, .. } => Some(*deadline),
            Phase::Active(active) => {
                let idle = active.last_received + IDLE_TIMEOUT;
                let keep_alive = self.out.last_sent + KEEP_ALIVE_INTERVAL;
                active
                    .next_timeout()
                    .into_iter()
                    .chain([idle, keep_alive])
                    .min()
            }
            Phase::Closed(_) => None,
        }
    }

    /// The next thing that the peer did. Drain it until `None` after each call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.next_event()
    }

    /// What is to be written to the socket. Advance it by what was written.
    pub fn output(&mut self) -> &mut Output {
        &mut self.out.output
    }

    /// Whether there is anything to write.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.out.output.has_remaining()
    }

    /// Number of requests of the peer that wait to be taken.
    #[must_use]
    pub fn waiting_upload_requests(&self) -> usize {
        match &self.phase {
            Phase::Active(active) => active.uploads.waiting(),
            _ => 0,
        }
    }

    /// Takes the oldest request of the peer. Each is to be answered with [`Self::send_block`] or [`Self::reject`],
    /// in any order.
    pub fn poll_upload_request(&mut self) -> Option<Block> {
        match &mut self.phase {
            Phase::Active(active) => active.uploads.pop(),
            _ => None,
        }
    }

    /// Answers a request that was taken. When the peer has cancelled it, or was choked, nothing is sent.
    ///
    /// `data` must have the length of `block`; else the request is rejected.
    pub fn send_block(&mut self, now: Instant, block: Block, data: Bytes) {
        if let Phase::Active(active) = &mut self.phase {
            active.send_block(now, block, data, &mut self.out);
        }
    }

    /// Refuses a request that was taken: the block could not be read.
    pub fn reject(&mut self, now: Instant, block: Block) {
        if let Phase::Active(active) = &mut self.phase {
            active.reject(now, block, &mut self.out);
        }
    }

    /// Closes the connection: requests in flight are returned, what was not written is dropped. The first reason stays.
    pub fn close(&mut self, reason: CloseReason) {
        match &mut self.phase {
            Phase::Closed(_) => return,
            Phase::Active(active) => active.end(&mut self.out),
            _ => {}
        }
        self.phase = Phase::Closed(reason);
        self.out.output.clear();
    }

    /// Why the connection is closed, when it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<&CloseReason> {
        match &self.phase {
            Phase::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// Bytes until now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let received = self.out.received;
        Stats {
            received_payload: received.blocks,
            received_late: received.late_blocks,
            received_overhead: received.total - received.blocks - received.late_blocks,
            sent_payload: self.out.output.sent_payload(),
            sent_overhead: self.out.output.sent_overhead(),
        }
    }

    fn check_open(&self) -> Result<(), CloseReason> {
        match &self.phase {
            Phase::Closed(reason) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    fn close_if_not_read(&mut self) {
        let waiting = self.out.output.waiting_overhead();
        if waiting > self.out.backlog_limit {
            self.close(CloseReason::NotReading { waiting });
        }
    }
}
