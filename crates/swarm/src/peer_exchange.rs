//! Peer exchange: who was met and lost, in order, and how far each peer was told of it.
//!
//! All peers read one log, each from a place of its own: what a thousand peers were told takes a thousand numbers, and a peer
//! that there is nothing to tell costs one look a minute.
//!
//! Source: [BEP 11](https://www.bittorrent.org/beps/bep_0011.html).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use rarest_metainfo::Reach;
use rarest_peer_wire::extension::pex::{Pex, PexFlags, PexPeer};

use crate::limits::{
    MAX_EARLY_EXCHANGES, MAX_EXCHANGED, MAX_LOST_REMEMBERED, PEER_EXCHANGE_DELAY,
    PEER_EXCHANGE_INTERVAL,
};
use crate::piece::PeerSlot;

/// The peers that were met and lost.
#[derive(Debug, Default)]
pub(crate) struct PeerExchange {
    /// The last thing that happened to each address, by when it did. Times count from one.
    log: BTreeMap<Moment, Change>,
    by_addr: BTreeMap<SocketAddr, Moment>,
    last: Moment,
    /// When peers were lost, the oldest first; some were met again.
    lost: VecDeque<Moment>,
    /// When each peer that takes part may be told next.
    turns: BTreeSet<(Instant, PeerSlot)>,
}

/// A place in the log.
type Moment = u64;

#[derive(Clone, Copy, Debug)]
enum Change {
    Met { addr: SocketAddr, slot: PeerSlot },
    Lost { addr: SocketAddr, met: Moment },
}

/// How far a peer was told: of all that happened after `from`, up to and with `until`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    from: Moment,
    until: Moment,
    turn: Instant,
}

/// What a peer may still tell us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hearing {
    /// Messages that may come at once.
    allowance: u32,
    since: Instant,
}

impl PeerExchange {
    /// A connected peer can be reached at an address.
    pub(crate) fn met(&mut self, addr: SocketAddr, slot: PeerSlot) {
        if let Some(&at) = self.by_addr.get(&addr) {
            if let Some(Change::Met { .. }) = self.log.get(&at) {
                return;
            }
            self.log.remove(&at);
        }
        self.write(addr, Change::Met { addr, slot });
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self, addr: SocketAddr, slot: PeerSlot) {
        let Some(&met) = self.by_addr.get(&addr) else {
            return;
        };
        match self.log.get(&met) {
            Some(Change::Met { slot: other, .. }) if *other == slot => {}
            _ => return,
        }
        self.log.remove(&met);
        self.write(addr, Change::Lost { addr, met });
        self.lost.push_back(self.last);
        if self.lost.len() > MAX_LOST_REMEMBERED
            && let Some(oldest) = self.lost.pop_front()
            && let Some(&Change::Lost { addr, .. }) = self.log.get(&oldest)
        {
            self.log.remove(&oldest);
            self.by_addr.remove(&addr);
        }
    }

    fn write(&mut self, addr: SocketAddr, change: Change) {
        self.last += 1;
        self.log.insert(self.last, change);
        self.by_addr.insert(addr, self.last);
    }

    /// A peer takes part. It is told of those that were met last: of most others somebody else will tell, and were each told of the
    /// same ones, all would dial the same ones.
    pub(crate) fn join(&mut self, now: Instant, slot: PeerSlot) -> Told {
        let met = self
            .log
            .iter()
            .rev()
            .filter(|(_, change)| matches!(change, Change::Met { .. }));
        let from = met
            .take(MAX_EXCHANGED)
            .last()
            .map_or(self.last, |(&at, _)| at - 1);
        let turn = now + PEER_EXCHANGE_DELAY;
        self.turns.insert((turn, slot));
        Told {
            from,
            until: from,
            turn,
        }
    }

    /// A peer takes part no more.
    pub(crate) fn leave(&mut self, slot: PeerSlot, told: &Told) {
        self.turns.remove(&(told.turn, slot));
    }

    /// The next peer that may be told something. It must be given to [`tell`](Self::tell).
    pub(crate) fn next_turn(&self, now: Instant) -> Option<PeerSlot> {
        let &(turn, slot) = self.turns.first()?;
        (turn <= now).then_some(slot)
    }

    /// What a peer at `to` is told now, if anything.
    pub(crate) fn tell(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        told: &mut Told,
        to: SocketAddr,
        flags: impl Fn(PeerSlot) -> PexFlags,
    ) -> Option<Pex> {
        self.turns.remove(&(told.turn, slot));
        told.turn = now + PEER_EXCHANGE_INTERVAL;
        self.turns.insert((told.turn, slot));
        let mut message = Pex::default();
        let news = self.log.range(told.until + 1..);
        let (known_from, known_until) = (told.from, told.until);
        for (&at, change) in news {
            match *change {
                Change::Met { addr, slot: who } => {
                    if who != slot && addr != to && is_of_use_to(addr.ip(), to.ip()) {
                        if message.added.len() == MAX_EXCHANGED {
                            break;
                        }
                        let flags = flags(who);
                        message.added.push(PexPeer { addr, flags });
                    }
                }
                Change::Lost { addr, met } => {
                    let was_told = known_from < met && met <= known_until;
                    if was_told && addr != to && is_of_use_to(addr.ip(), to.ip()) {
                        if message.dropped.len() == MAX_EXCHANGED {
                            break;
                        }
                        message.dropped.push(addr);
                    }
                }
            }
            told.until = at;
        }
        (message != Pex::default()).then_some(message)
    }

    /// Panics when its parts do not agree.
    pub(crate) fn assert_consistent(&self) {
        assert_eq!(self.log.len(), self.by_addr.len());
        for (&at, &(Change::Met { addr, .. } | Change::Lost { addr, .. })) in &self.log {
            assert_eq!(self.by_addr.get(&addr), Some(&at));
        }
        assert!(self.lost.len() <= MAX_LOST_REMEMBERED);
    }

    /// Whether a peer is told of others, for tests.
    pub(crate) fn has_turn(&self, slot: PeerSlot, told: &Told) -> bool {
        self.turns.contains(&(told.turn, slot))
    }

    /// Number of peers that are told of others.
    pub(crate) fn listeners(&self) -> usize {
        self.turns.len()
    }
}

impl Hearing {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            allowance: 1 + MAX_EARLY_EXCHANGES,
            since: now,
        }
    }

    /// Whether the peer may tell us something now: a message a minute, and a few that come early.
    pub(crate) fn may_tell(&mut self, now: Instant) -> bool {
        let full = 1 + MAX_EARLY_EXCHANGES;
        while self.allowance < full && now >= self.since + PEER_EXCHANGE_INTERVAL {
            self.allowance += 1;
            self.since += PEER_EXCHANGE_INTERVAL;
        }
        if self.allowance == full {
            self.since = now;
        }
        let may = self.allowance > 0;
        self.allowance -= u32::from(may);
        may
    }
}

/// Whether whoever is at `to` may reach `addr`, or be let know it: not what lies in another machine or network than its own. The other way round,
/// somebody far away does not have us dial our own machine and network.
pub(crate) fn is_of_use_to(addr: IpAddr, to: IpAddr) -> bool {
    addr != IpAddr::V4(Ipv4Addr::BROADCAST) && Reach::of(addr) >= Reach::of(to)
}
