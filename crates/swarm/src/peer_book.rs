//! The addresses where peers may be found: which to dial, when again, and which never more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use crate::PeerSource;
use crate::limits::{
    FIRST_BACK_OFF, MAX_BACK_OFF, MAX_BANNED, MAX_FAILURES, MAX_KNOWN_PEERS, MAX_OWN_ADDRESSES,
    MAX_TOLD_BY_ONE,
};

#[derive(Debug, Default)]
pub(crate) struct PeerBook {
    known: BTreeMap<SocketAddr, Entry>,
    /// Addresses to dial, those without failures first, else in random order.
    ready: BTreeSet<(Rank, SocketAddr)>,
    /// Addresses that must not be dialled before some time.
    waiting: BTreeSet<(Instant, SocketAddr)>,
    dialling: usize,
    banned: BTreeSet<IpAddr>,
    banned_order: VecDeque<IpAddr>,
    /// Addresses that turned out to be our own.
    ours: BTreeSet<SocketAddr>,
    /// How many of the known addresses each peer told us of.
    told: BTreeMap<IpAddr, usize>,
}

/// What stands first is dialled first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    failures: u8,
    source: PeerSource,
    random: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    rank: Rank,
    state: State,
    completeness: Completeness,
    /// The peer that told of it, until somebody was reached there.
    told_by: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Waiting(Instant),
    Dialling,
    Connected,
}

/// What is known of a peer's pieces from an earlier connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completeness {
    Unknown,
    Complete,
}

/// Whom to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Anyone,
    /// Peers that were complete are of no use to a torrent that is.
    NoSeeds,
}

impl PeerBook {
    /// Learns an address. Says whether it may be dialled and is new.
    pub(crate) fn add(&mut self, addr: SocketAddr, source: PeerSource, rng: &mut impl Rng) -> bool {
        if addr.port() == 0
            || addr.ip().is_unspecified()
            || addr.ip().is_multicast()
            || self.is_banned(addr.ip())
            || self.ours.contains(&addr)
            || self.known.contains_key(&addr)
        {
            return false;
        }
        if self.known.len() >= MAX_KNOWN_PEERS && !self.forget_worst() {
            return false;
        }
        let rank = Rank {
            failures: 0,
            source,
            random: rng.random(),
        };
        let entry = Entry {
            rank,
            state: State::Ready,
            completeness: Completeness::Unknown,
            told_by: None,
        };
        self.known.insert(addr, entry);
        self.ready.insert((rank, addr));
        true
    }

    /// Learns an address of a peer, unless it has told us of so many already. Says whether it may be dialled and is new.
    pub(crate) fn add_told(
        &mut self,
        addr: SocketAddr,
        source: PeerSource,
        teller: IpAddr,
        rng: &mut impl Rng,
    ) -> bool {
        let told = self.told.get(&teller).copied().unwrap_or_default();
        if told >= MAX_TOLD_BY_ONE || !self.add(addr, source, rng) {
            return false;
        }
        if let Some(entry) = self.known.get_mut(&addr) {
            entry.told_by = Some(teller);
            *self.told.entry(teller).or_default() += 1;
        }
        true
    }

    /// It counts no longer among what a peer told.
    fn forget_teller(&mut self, teller: Option<IpAddr>) {
        if let Some(teller) = teller
            && let Some(told) = self.told.get_mut(&teller)
        {
            *told -= 1;
            if *told == 0 {
                self.told.remove(&teller);
            }
        }
    }

    /// Drops the address that would be dialled last. Those dialled or connected stay.
    fn forget_worst(&mut self) -> bool {
        let worst = self
            .waiting
            .last()
            .map(|&(_, addr)| addr)
            .or_else(|| self.ready.last().map(|&(_, addr)| addr));
        worst.is_some_and(|addr| self.forget(addr))
    }

    fn forget(&mut self, addr: SocketAddr) -> bool {
        let Some(entry) = self.known.remove(&addr) else {
            return false;
        };
        self.unlist(addr, entry);
        self.forget_teller(entry.told_by);
        true
    }

    fn unlist(&mut self, addr: SocketAddr, entry: Entry) {
        match entry.state {
            State::Ready => _ = self.ready.remove(&(entry.rank, addr)),
            State::Waiting(until) => _ = self.waiting.remove(&(until, addr)),
            State::Dialling => self.dialling -= 1,
            State::Connected => {}
        }
    }

    fn set_state(&mut self, addr: SocketAddr, state: State) {
        let Some(entry) = self.known.get_mut(&addr) else {
            return;
        };
        let before = *entry;
        entry.state = state;
        let rank = entry.rank;
        self.unlist(addr, before);
        match state {
            State::Ready => _ = self.ready.insert((rank, addr)),
            State::Waiting(until) => _ = self.waiting.insert((until, addr)),
            State::Dialling => self.dialling += 1,
            State::Connected => {}
        }
    }

    /// The next address to dial. It counts as being dialled.
    pub(crate) fn next_to_dial(&mut self, now: Instant, wanted: Wanted) -> Option<SocketAddr> {
        self.wake(now);
        while let Some(&(_, addr)) = self.ready.first() {
            let is_complete = self.known[&addr].completeness == Completeness::Complete;
            if wanted == Wanted::NoSeeds && is_complete {
                self.set_state(addr, State::Waiting(now + MAX_BACK_OFF));
                continue;
            }
            self.set_state(addr, State::Dialling);
            return Some(addr);
        }
        None
    }

    /// Whether there is somebody to dial now.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the next address may be dialled that may not now.
    pub(crate) fn next_ready(&self) -> Option<Instant> {
        self.waiting.first().map(|&(until, _)| until)
    }

    fn wake(&mut self, now: Instant) {
        while let Some(&(until, addr)) = self.waiting.first()
            && until <= now
        {
            self.set_state(addr, State::Ready);
        }
    }

    /// Number of addresses that are being dialled.
    pub(crate) fn dialling(&self) -> usize {
        self.dialling
    }

    /// Whether it holds no address, neither one to dial nor one to keep away from.
    pub(crate) fn is_blank(&self) -> bool {
        self.known.is_empty() && self.banned.is_empty()
    }

    /// Number of addresses known.
    pub(crate) fn known(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn connected(&mut self, addr: SocketAddr) {
        if let Some(entry) = self.known.get_mut(&addr) {
            let before = *entry;
            entry.rank.failures = 0;
            entry.state = State::Connected;
            entry.told_by = None;
            self.unlist(addr, before);
            self.forget_teller(before.told_by);
        }
    }

    /// A peer that dialled us listens at the address. Says whether it counts as connected from now on: not while we dial
    /// it, and not when another connection leads there.
    pub(crate) fn introduced(&mut self, addr: SocketAddr, rng: &mut impl Rng) -> bool {
        self.add(addr, PeerSource::Incoming, rng);
        let state = self.known.get(&addr).map(|entry| entry.state);
        let is_idle = matches!(state, Some(State::Ready | State::Waiting(_)));
        if is_idle {
            self.connected(addr);
        }
        is_idle
    }

    pub(crate) fn is_complete(&mut self, addr: SocketAddr) {
        if let Some(entry) = self.known.get_mut(&addr) {
            entry.completeness = Completeness::Complete;
        }
    }

    /// The connection ended in good order. It may be dialled again after a while.
    pub(crate) fn disconnected(&mut self, now: Instant, addr: SocketAddr) {
        self.set_state(addr, State::Waiting(now + FIRST_BACK_OFF));
    }

    /// The peer could not be reached, or misbehaved. It is dialled again later and later, and then no more.
    pub(crate) fn failed(&mut self, now: Instant, addr: SocketAddr) {
        let Some(entry) = self.known.get_mut(&addr) else {
            return;
        };
        let before = *entry;
        entry.rank.failures += 1;
        let failures = entry.rank.failures;
        let until = now + back_off(failures);
        entry.state = State::Waiting(until);
        self.unlist(addr, before);
        self.waiting.insert((until, addr));
        if failures >= MAX_FAILURES {
            self.forget(addr);
        }
    }

    /// Nothing speaks against the address: it may be dialled at once.
    pub(crate) fn not_dialled(&mut self, addr: SocketAddr) {
        self.set_state(addr, State::Ready);
    }

    /// The address is our own.
    pub(crate) fn is_ours(&mut self, addr: SocketAddr) {
        self.forget(addr);
        if self.ours.len() < MAX_OWN_ADDRESSES {
            self.ours.insert(addr);
        }
    }

    /// Forgets the addresses that came from elsewhere.
    pub(crate) fn keep_sources(&mut self, is_kept: impl Fn(PeerSource) -> bool) {
        let others: Vec<_> = self
            .known
            .iter()
            .filter(|(_, entry)| !is_kept(entry.rank.source))
            .map(|(&addr, _)| addr)
            .collect();
        for addr in others {
            self.forget(addr);
        }
    }

    pub(crate) fn is_known(&self, addr: SocketAddr) -> bool {
        self.known.contains_key(&addr)
    }

    pub(crate) fn ban(&mut self, ip: IpAddr) {
        if !self.banned.insert(ip) {
            return;
        }
        self.banned_order.push_back(ip);
        if self.banned_order.len() > MAX_BANNED
            && let Some(oldest) = self.banned_order.pop_front()
        {
            self.banned.remove(&oldest);
        }
        let first = SocketAddr::new(ip, 0);
        let last = SocketAddr::new(ip, u16::MAX);
        let addrs: Vec<_> = self
            .known
            .range(first..=last)
            .map(|(&addr, _)| addr)
            .collect();
        for addr in addrs {
            self.forget(addr);
        }
    }

    pub(crate) fn is_banned(&self, ip: IpAddr) -> bool {
        self.banned.contains(&ip)
    }

    /// More is wanted now: peers that were put off for being complete may be dialled.
    pub(crate) fn wake_complete(&mut self) {
        let complete: Vec<_> = self
            .known
            .iter()
            .filter(|(_, entry)| {
                entry.completeness == Completeness::Complete
                    && entry.rank.failures == 0
                    && matches!(entry.state, State::Waiting(_))
            })
            .map(|(&addr, _)| addr)
            .collect();
        for addr in complete {
            self.set_state(addr, State::Ready);
        }
    }
}

fn back_off(failures: u8) -> Duration {
    let doublings = u32::from(failures.saturating_sub(1)).min(16);
    (FIRST_BACK_OFF * (1 << doublings)).min(MAX_BACK_OFF)
}
