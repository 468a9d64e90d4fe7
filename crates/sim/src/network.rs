//! How bytes get from one node to another.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use crate::swarm::EndId;

/// The line of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Bytes a second that leave.
    pub upload: u64,
    /// Bytes a second that come in.
    pub download: u64,
    /// Time from the node to the middle of the network: a round trip between two nodes takes twice the sum of theirs.
    pub latency: Duration,
}

impl Link {
    /// 100 Mbit/s both ways, 10 ms from the middle.
    pub const FIBRE: Self = Self {
        upload: 12_500_000,
        download: 12_500_000,
        latency: Duration::from_millis(10),
    };

    /// 1 Mbit/s up, 10 Mbit/s down, 30 ms from the middle.
    pub const ADSL: Self = Self {
        upload: 125_000,
        download: 1_250_000,
        latency: Duration::from_millis(30),
    };
}

/// What all connections and datagrams suffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Up to so much is added to the way of each part of a stream and of each datagram. Streams stay in order.
    pub jitter: Duration,
    /// Connections break after this time on average; never without.
    pub mean_lifetime: Option<Duration>,
    /// One datagram in so many is lost; none without. With jitter they overtake each other.
    pub lost_datagrams: Option<u32>,
}

impl Network {
    pub(crate) fn jitter(&self, rng: &mut Xoshiro256PlusPlus) -> Duration {
        let most = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(rng.random_range(0..=most))
    }

    /// Whether a datagram is lost.
    pub(crate) fn loses_datagram(&self, rng: &mut Xoshiro256PlusPlus) -> bool {
        self.lost_datagrams
            .is_some_and(|one_in| rng.random_range(0..one_in.max(1)) == 0)
    }

    /// When a new connection breaks, if ever.
    pub(crate) fn lifetime(&self, rng: &mut Xoshiro256PlusPlus) -> Option<Duration> {
        let mean = self.mean_lifetime?;
        let most = u64::try_from(mean.as_micros() * 2).unwrap_or(u64::MAX);
        Some(Duration::from_micros(rng.random_range(0..=most)))
    }
}

/// How long a line sends for one connection before the next has its turn, in parts of a second: what is sent in a turn arrives
/// at once, and is to be short beside the way.
const TURNS_PER_S: u64 = 200;

/// Bytes of the shortest turn: one segment.
const MIN_TURN: usize = 1460;

/// Bytes of the longest turn, as a network card takes them.
const MAX_TURN: usize = 64 * 1024;

/// The sending side of a line: connections take turns.
#[derive(Debug, Default)]
pub(crate) struct Uplink {
    turns: VecDeque<EndId>,
    is_sending: bool,
}

impl Uplink {
    /// A connection has something to send. Says whether the line was idle.
    pub(crate) fn join(&mut self, end: EndId) -> bool {
        self.turns.push_back(end);
        !std::mem::replace(&mut self.is_sending, true)
    }

    /// Whose turn it is. The line is idle when there is none.
    pub(crate) fn next(&mut self) -> Option<EndId> {
        let next = self.turns.pop_front();
        self.is_sending = next.is_some();
        next
    }
}

/// Takes what one turn sends out of an output, at most `allowed` bytes.
pub(crate) fn take_turn(output: &mut impl Buf, allowed: usize, per_second: u64) -> Bytes {
    let turn = usize::try_from(per_second / TURNS_PER_S).unwrap_or(MAX_TURN);
    let turn = turn.clamp(MIN_TURN, MAX_TURN);
    let length = output.remaining().min(allowed).min(turn);
    output.copy_to_bytes(length)
}

/// How long bytes take on a line.
pub(crate) fn transmission(bytes: usize, per_second: u64) -> Duration {
    let nanos = bytes as u128 * 1_000_000_000 / u128::from(per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Bytes that a stream begins with before anything is acknowledged: ten segments, as TCP does (RFC 6928).
const FIRST_WINDOW: usize = 14_600;

/// Most bytes on their way in one stream: what systems allow that are set up for long lines.
const MAX_WINDOW: usize = 64 * 1024 * 1024;

/// One direction of a connection. As in TCP, the bytes on their way may double with each round trip; nothing is ever lost.
#[derive(Debug)]
pub(crate) struct Stream {
    sent: usize,
    window: usize,
    on_the_way: usize,
    last_arrival: Instant,
}

/// Where the bit of the fast extension stands in a handshake.
const FAST_BYTE: usize = 27;
const FAST_BIT: u8 = 0x04;

impl Stream {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            sent: 0,
            window: FIRST_WINDOW,
            on_the_way: 0,
            last_arrival: now,
        }
    }

    /// How many bytes may be sent now.
    pub(crate) fn room(&self) -> usize {
        self.window - self.on_the_way
    }

    pub(crate) fn send(&mut self, bytes: usize) {
        self.on_the_way += bytes;
    }

    /// The other end has told that bytes arrived.
    pub(crate) fn acknowledge(&mut self, bytes: usize) {
        // A window that is not used says nothing about the line.
        if self.on_the_way > self.window / 2 {
            self.window = (self.window + bytes).min(MAX_WINDOW);
        }
        self.on_the_way -= bytes;
    }

    /// When bytes arrive that would at `at`: not before those sent earlier.
    pub(crate) fn arrival(&mut self, at: Instant) -> Instant {
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    /// Takes the fast extension (BEP 6) out of the handshake, so that both ends believe the other lacks it.
    pub(crate) fn without_fast(&mut self, bytes: Bytes) -> Bytes {
        let from = self.sent;
        self.sent += bytes.len();
        if !(from..self.sent).contains(&FAST_BYTE) {
            return bytes;
        }
        let mut changed = BytesMut::from(&bytes[..]);
        changed[FAST_BYTE - from] &= !FAST_BIT;
        changed.freeze()
    }
}
