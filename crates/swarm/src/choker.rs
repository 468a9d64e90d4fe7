//! Whom to serve.
//!
//! While downloading, those are served who give most, and one of five slots goes to somebody new to find out what they
//! give (BEP 3). While seeding, everybody gets a turn, those who waited longest first. A slot that is free is never
//! kept for the next round.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rand::{Rng, RngExt};

use crate::UploadSlots;
use crate::limits::{AUTOMATIC_SLOTS_MIN, CHOKE_ROUND, OPTIMISTIC_ROUND, RATE_PER_SLOT};
use crate::piece::PeerSlot;
use crate::rate::Rate;

/// One in this many slots is given to peers that did not earn it.
const OPTIMISTIC_FRACTION: usize = 5;

/// What the torrent does, and so what peers are served for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Those are served who give.
    Downloading,
    /// All are served in turn.
    Seeding,
}

/// A change that the peer must be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Choke(PeerSlot),
    Unchoke(PeerSlot),
}

#[derive(Debug)]
pub(crate) struct Choker {
    slots: UploadSlots,
    seats: BTreeMap<PeerSlot, Seat>,
    /// Interested peers that are choked, the one that waits longest first.
    waiting: BTreeSet<(Instant, PeerSlot)>,
    /// Interested peers that are unchoked.
    served: usize,
    upload: Rate,
    next_round: Instant,
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
struct Seat {
    interest: Interest,
    service: Service,
    /// Bytes it gave us in this round and the one before.
    received: [u64; 2],
    is_snubbing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    NotInterested,
    Interested,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Choked { since: Instant },
    Unchoked { since: Instant },
}

impl Choker {
    pub(crate) fn new(slots: UploadSlots, now: Instant) -> Self {
        Self {
            slots,
            seats: BTreeMap::new(),
            waiting: BTreeSet::new(),
            served: 0,
            upload: Rate::new(now),
            next_round: now + CHOKE_ROUND,
            changes: Vec::new(),
        }
    }

    /// What peers must be told, in order.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub(crate) fn next_round(&self) -> Instant {
        self.next_round
    }

    pub(crate) fn upload(&self) -> &Rate {
        &self.upload
    }

    pub(crate) fn is_unchoked(&self, peer: PeerSlot) -> bool {
        self.seats
            .get(&peer)
            .is_some_and(|seat| matches!(seat.service, Service::Unchoked { .. }))
    }

    pub(crate) fn is_interested(&self, peer: PeerSlot) -> bool {
        self.seats
            .get(&peer)
            .is_some_and(|seat| seat.interest == Interest::Interested)
    }

    pub(crate) fn set_slots(&mut self, now: Instant, slots: UploadSlots) {
        self.slots = slots;
        self.fill(now);
    }

    pub(crate) fn join(&mut self, now: Instant, peer: PeerSlot) {
        let seat = Seat {
            interest: Interest::NotInterested,
            service: Service::Choked { since: now },
            received: [0; 2],
            is_snubbing: false,
        };
        self.seats.insert(peer, seat);
    }

    pub(crate) fn leave(&mut self, now: Instant, peer: PeerSlot) {
        let Some(seat) = self.seats.remove(&peer) else {
            return;
        };
        match (seat.interest, seat.service) {
            (Interest::Interested, Service::Choked { since }) => {
                self.waiting.remove(&(since, peer));
            }
            (Interest::Interested, Service::Unchoked { .. }) => self.served -= 1,
            (Interest::NotInterested, _) => {}
        }
        self.fill(now);
    }

    /// The peer wants something of us.
    pub(crate) fn interested(&mut self, now: Instant, peer: PeerSlot) {
        let slots = self.slot_count(now);
        let Some(seat) = self.seats.get_mut(&peer) else {
            return;
        };
        if std::mem::replace(&mut seat.interest, Interest::Interested) == Interest::Interested {
            return;
        }
        match seat.service {
            Service::Unchoked { .. } => {
                self.served += 1;
                if self.served > slots {
                    // It kept its unchoke while it wanted nothing, and others took the slots.
                    self.choke(now, peer);
                }
            }
            Service::Choked { .. } => {
                seat.service = Service::Choked { since: now };
                self.waiting.insert((now, peer));
                self.fill(now);
            }
        }
    }

    /// The peer wants nothing of us. It stays unchoked, but takes no slot.
    pub(crate) fn not_interested(&mut self, now: Instant, peer: PeerSlot) {
        let Some(seat) = self.seats.get_mut(&peer) else {
            return;
        };
        if std::mem::replace(&mut seat.interest, Interest::NotInterested) == Interest::NotInterested
        {
            return;
        }
        match seat.service {
            Service::Choked { since } => {
                self.waiting.remove(&(since, peer));
            }
            Service::Unchoked { .. } => {
                self.served -= 1;
                self.fill(now);
            }
        }
    }

    pub(crate) fn received(&mut self, peer: PeerSlot, bytes: u64) {
        if let Some(seat) = self.seats.get_mut(&peer) {
            seat.received[0] += bytes;
            seat.is_snubbing = false;
        }
    }

    pub(crate) fn snubbed(&mut self, peer: PeerSlot) {
        if let Some(seat) = self.seats.get_mut(&peer) {
            seat.is_snubbing = true;
        }
    }

    /// Bytes went out. More slots may be justified.
    pub(crate) fn uploaded(&mut self, now: Instant, bytes: u64) {
        self.upload.add(now, bytes);
        self.fill(now);
    }

    /// Number of peers that are served at a time.
    pub(crate) fn slot_count(&self, now: Instant) -> usize {
        match self.slots {
            UploadSlots::Fixed(slots) => slots,
            UploadSlots::Automatic => {
                let fed = self.upload.per_second(now) / RATE_PER_SLOT;
                usize::try_from(fed)
                    .unwrap_or(usize::MAX)
                    .max(AUTOMATIC_SLOTS_MIN)
            }
        }
    }

    /// Gives the slots anew, if it is time.
    pub(crate) fn handle_timeout(&mut self, now: Instant, mode: Mode, rng: &mut impl Rng) {
        if now < self.next_round {
            return;
        }
        self.next_round = now + CHOKE_ROUND;
        let slots = self.slot_count(now);
        if self.served + self.waiting.len() > slots {
            let served = match mode {
                Mode::Downloading => self.best_givers(now, slots, rng),
                Mode::Seeding => self.next_turns(now, slots),
            };
            self.serve(now, &served);
        } else {
            self.fill(now);
        }
        for seat in self.seats.values_mut() {
            seat.received = [0, seat.received[0]];
        }
    }

    /// Panics when something that is kept up to date differs from what it would be if counted anew.
    pub(crate) fn assert_consistent(&self, now: Instant) {
        let mut served = 0;
        let mut waiting = BTreeSet::new();
        for (peer, seat) in self.interested_seats() {
            match seat.service {
                Service::Unchoked { .. } => served += 1,
                Service::Choked { since } => _ = waiting.insert((since, peer)),
            }
        }
        assert_eq!(self.served, served);
        assert_eq!(self.waiting, waiting);
        let is_slot_kept = served < self.slot_count(now) && !waiting.is_empty();
        assert!(!is_slot_kept, "a slot is free while somebody waits");
    }

    fn best_givers(&self, now: Instant, slots: usize, rng: &mut impl Rng) -> BTreeSet<PeerSlot> {
        let mut interested = self.interested_seats();
        interested.sort_by_key(|(peer, seat)| {
            let given = if seat.is_snubbing { 0 } else { seat.given() };
            (std::cmp::Reverse(given), seat.choked_since(), *peer)
        });
        let optimistic = slots.div_ceil(OPTIMISTIC_FRACTION).min(slots);
        let regular = (slots - optimistic).min(interested.len());
        let rest = interested.split_off(regular);
        let mut served: BTreeSet<_> = interested.iter().map(|&(peer, _)| peer).collect();
        // An optimistic unchoke lasts three rounds; then those that wait come, in random order.
        let mut others: Vec<_> = rest
            .into_iter()
            .map(|(peer, seat)| (seat.in_turn(now).is_none(), rng.random::<u32>(), peer))
            .collect();
        others.sort_unstable();
        served.extend(
            others
                .iter()
                .take(slots - regular)
                .map(|&(_, _, peer)| peer),
        );
        served
    }

    fn next_turns(&self, now: Instant, slots: usize) -> BTreeSet<PeerSlot> {
        let mut interested = self.interested_seats();
        interested.sort_by_key(|(peer, seat)| {
            // Turns go on, then those begin that waited longest, then old turns are prolonged.
            let class = match (seat.in_turn(now), seat.service) {
                (Some(_), _) => 0,
                (None, Service::Choked { .. }) => 1,
                (None, Service::Unchoked { .. }) => 2,
            };
            (class, seat.since(), *peer)
        });
        interested
            .iter()
            .take(slots)
            .map(|&(peer, _)| peer)
            .collect()
    }

    fn interested_seats(&self) -> Vec<(PeerSlot, &Seat)> {
        self.seats
            .iter()
            .filter(|(_, seat)| seat.interest == Interest::Interested)
            .map(|(&peer, seat)| (peer, seat))
            .collect()
    }

    fn serve(&mut self, now: Instant, served: &BTreeSet<PeerSlot>) {
        let (stop, start): (Vec<_>, Vec<_>) = self
            .interested_seats()
            .into_iter()
            .map(|(peer, seat)| (peer, matches!(seat.service, Service::Unchoked { .. })))
            .filter(|&(peer, is_served)| is_served != served.contains(&peer))
            .partition(|&(_, is_served)| is_served);
        stop.iter().for_each(|&(peer, _)| self.choke(now, peer));
        start.iter().for_each(|&(peer, _)| self.unchoke(now, peer));
    }

    /// Gives free slots to those that wait longest.
    fn fill(&mut self, now: Instant) {
        if self.waiting.is_empty() {
            return;
        }
        let slots = self.slot_count(now);
        while self.served < slots
            && let Some(&(_, peer)) = self.waiting.first()
        {
            self.unchoke(now, peer);
        }
    }

    fn unchoke(&mut self, now: Instant, peer: PeerSlot) {
        if let Some(seat) = self.seats.get_mut(&peer)
            && let Service::Choked { since } = seat.service
        {
            self.waiting.remove(&(since, peer));
            seat.service = Service::Unchoked { since: now };
            self.served += 1;
            self.changes.push(Change::Unchoke(peer));
        }
    }

    fn choke(&mut self, now: Instant, peer: PeerSlot) {
        if let Some(seat) = self.seats.get_mut(&peer)
            && let Service::Unchoked { .. } = seat.service
        {
            seat.service = Service::Choked { since: now };
            self.waiting.insert((now, peer));
            self.served -= 1;
            self.changes.push(Change::Choke(peer));
        }
    }
}

impl Seat {
    fn given(&self) -> u64 {
        self.received.iter().sum()
    }

    fn since(&self) -> Instant {
        let (Service::Choked { since } | Service::Unchoked { since }) = self.service;
        since
    }

    /// Since when it waits; those that are served come last.
    fn choked_since(&self) -> Option<Instant> {
        match self.service {
            Service::Choked { since } => Some(since),
            Service::Unchoked { .. } => None,
        }
    }

    /// Since when it is served, if its turn is not over.
    fn in_turn(&self, now: Instant) -> Option<Instant> {
        match self.service {
            Service::Unchoked { since }
                if now.saturating_duration_since(since) < OPTIMISTIC_ROUND =>
            {
                Some(since)
            }
            _ => None,
        }
    }
}
