//! Fetching: from several peers at once, so that in the end the copy of an honest one is found, whatever the others do.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_metainfo::InfoHashes;
use rarest_peer_wire::extension::metadata::MetadataMessage;

use super::copy::{Copy, Makers};
use crate::limits::{
    MAX_METADATA_COPIES, MAX_METADATA_LENGTH, MAX_METADATA_REST, METADATA_REQUESTS, METADATA_REST,
    METADATA_TIMEOUT, METADATA_TURN,
};

/// The info dictionary of a magnet link, until it is there.
///
/// Tell it of every peer that [offers](Self::peer_offers) it, of what they send and when they leave, carry the
/// [requests](Self::poll_request) to them, and call [`handle_timeout`](Self::handle_timeout) when
/// [`next_timeout`](Self::next_timeout) has come.
///
/// Nobody is believed. What peers say of its length is kept apart, a copy for each length, so that a lie costs those who share it and
/// nobody else. A copy is made by all peers that agree on the length, until one turns out wrong to which several have contributed:
/// from then on each peer makes a copy alone and answers for it. There is room for a few copies at a time; who waits longest comes next, and
/// who keeps others waiting loses its place. So the turn of an honest peer comes, and its copy is the right one.
#[derive(Debug)]
pub struct Fetch<P> {
    wanted: InfoHashes,
    peers: BTreeMap<P, Peer>,
    copies: BTreeMap<CopyId, Copy<P>>,
    next_copy: u64,
    division: Division,
    requests: VecDeque<(P, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CopyId(u64);

/// How the work is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Division {
    /// All who agree on the length make one copy.
    Shared,
    /// A copy of several was wrong: each makes its own.
    Alone,
}

/// Whether there is room for one more copy. Once there is none, there is none for all others who wait: hundreds need not look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Perhaps,
    None,
}

#[derive(Debug)]
struct Peer {
    ip: IpAddr,
    /// What it says the dictionary to be long, in bytes.
    size: u32,
    /// Turns that came to nothing.
    failures: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It may be asked, when there is room.
    Waiting { since: Instant },
    /// It works on a copy, and owes these parts: none while others owe all that is missing.
    Working {
        copy: CopyId,
        parts: Vec<u32>,
        /// When it sent a part, or began to owe some.
        last_heard: Instant,
    },
    /// It is left alone for a while.
    Resting { until: Instant },
}

/// What a message of a peer led to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Arrived {
    /// More is missing.
    Incomplete,
    /// The raw bytes of the info dictionary: their hash is right. Nothing more is wanted.
    Whole(Bytes),
    /// A whole copy was wrong, and all of it came from this address.
    Lie(IpAddr),
}

impl<P: std::marker::Copy + Ord> Fetch<P> {
    /// Nothing is there yet. `wanted` is what the magnet link says: one hash, or both, which then both must fit.
    #[must_use]
    pub fn new(wanted: InfoHashes) -> Self {
        Self {
            wanted,
            peers: BTreeMap::new(),
            copies: BTreeMap::new(),
            next_copy: 0,
            division: Division::Shared,
            requests: VecDeque::new(),
        }
    }

    /// A peer that receives `ut_metadata` says that the dictionary has `size` bytes. A later call counts.
    ///
    /// Lengths that no torrent has are not heard: nothing and more than [`MAX_METADATA_LENGTH`].
    pub fn peer_offers(&mut self, now: Instant, peer: P, ip: IpAddr, size: u32) {
        if self
            .peers
            .get(&peer)
            .is_some_and(|known| known.size == size)
        {
            return;
        }
        let failures = self.peers.get(&peer).map_or(0, |known| known.failures);
        self.forget(peer);
        if size == 0 || size > MAX_METADATA_LENGTH {
            return self.assign(now);
        }
        let state = State::Waiting { since: now };
        let offer = Peer {
            ip,
            size,
            failures,
            state,
        };
        self.peers.insert(peer, offer);
        self.assign(now);
    }

    /// The connection ended, or the peer switched the extension off.
    pub fn peer_left(&mut self, now: Instant, peer: P) {
        self.forget(peer);
        self.assign(now);
    }

    /// A peer sent a message. What was not asked for is not looked at, and costs next to nothing.
    pub fn handle_message(&mut self, now: Instant, peer: P, message: &MetadataMessage) -> Arrived {
        let arrived = match message {
            MetadataMessage::Data {
                piece,
                total_size,
                data,
            } if self.owes(peer, *piece) => self.handle_part(now, peer, *piece, *total_size, data),
            MetadataMessage::Reject { piece } if self.owes(peer, *piece) => {
                self.fail(now, peer);
                Arrived::Incomplete
            }
            // BEP 9: a type that is not known "MUST be ignored". What is asked of us we do not have.
            _ => return Arrived::Incomplete,
        };
        self.assign(now);
        arrived
    }

    /// The next part to ask a peer for. Drain it after each call.
    pub fn poll_request(&mut self) -> Option<(P, u32)> {
        self.requests.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called, if nothing happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let of_peers = self.peers.values().filter_map(|peer| match &peer.state {
            State::Working {
                parts, last_heard, ..
            } => (!parts.is_empty()).then_some(*last_heard + METADATA_TIMEOUT),
            State::Resting { until } => Some(*until),
            State::Waiting { .. } => None,
        });
        // Whoever waits does so because no copy was overdue until now.
        let is_waited_for = self
            .peers
            .values()
            .any(|peer| matches!(peer.state, State::Waiting { .. }));
        let of_copies = self.copies.values().map(|copy| copy.turn_ends);
        of_peers.chain(of_copies.filter(|_| is_waited_for)).min()
    }

    /// Turns away from peers that do not answer, and to those that rested.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_late = |peer: &Peer| match &peer.state {
            State::Working {
                parts, last_heard, ..
            } => !parts.is_empty() && *last_heard + METADATA_TIMEOUT <= now,
            State::Waiting { .. } | State::Resting { .. } => false,
        };
        for peer in self.peers_that(is_late) {
            self.fail(now, peer);
        }
        self.assign(now);
    }

    /// Number of peers that offer the dictionary.
    #[must_use]
    pub fn offers(&self) -> usize {
        self.peers.len()
    }

    /// Bytes of parts in memory: at most [`MAX_METADATA_COPIES`] times [`MAX_METADATA_LENGTH`].
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.copies.values().map(Copy::held).sum()
    }

    fn peers_that(&self, which: impl Fn(&Peer) -> bool) -> Vec<P> {
        let known = self.peers.iter();
        known
            .filter(|(_, peer)| which(peer))
            .map(|(key, _)| *key)
            .collect()
    }

    fn owes(&self, peer: P, part: u32) -> bool {
        let state = self.peers.get(&peer).map(|peer| &peer.state);
        matches!(state, Some(State::Working { parts, .. }) if parts.contains(&part))
    }

    fn handle_part(
        &mut self,
        now: Instant,
        key: P,
        part: u32,
        total_size: u32,
        data: &[u8],
    ) -> Arrived {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Arrived::Incomplete;
        };
        let State::Working {
            copy: id,
            parts,
            last_heard,
        } = &mut peer.state
        else {
            return Arrived::Incomplete;
        };
        let id = *id;
        let Some(copy) = self.copies.get_mut(&id) else {
            return Arrived::Incomplete;
        };
        if !copy.fits(part, total_size, data) {
            self.fail(now, key);
            return Arrived::Incomplete;
        }
        *last_heard = now;
        parts.retain(|&asked| asked != part);
        copy.insert(part, data, peer.ip);
        if copy.is_whole() {
            return self.judge(now, id);
        }
        Arrived::Incomplete
    }

    /// A copy is whole: whether it is the right one.
    fn judge(&mut self, now: Instant, id: CopyId) -> Arrived {
        let Some(copy) = self.copies.remove(&id) else {
            return Arrived::Incomplete;
        };
        let bytes = copy.bytes();
        if self.wanted.are_of(&bytes) {
            self.copies.clear();
            self.peers.clear();
            self.requests.clear();
            return Arrived::Whole(bytes);
        }
        self.dismiss(now, id);
        let contributors = copy.contributors();
        match (contributors.first(), contributors.len()) {
            (Some(&liar), 1) => Arrived::Lie(liar),
            _ => {
                self.division = Division::Alone;
                Arrived::Incomplete
            }
        }
    }

    /// Nobody works on a copy any more.
    fn dismiss(&mut self, now: Instant, id: CopyId) {
        let is_at_it =
            |peer: &Peer| matches!(&peer.state, State::Working { copy, .. } if *copy == id);
        for key in self.peers_that(is_at_it) {
            self.give_back(key);
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.state = State::Waiting { since: now };
            }
        }
    }

    /// The peers that owe parts of a copy.
    fn owing(&self, id: CopyId) -> Vec<P> {
        self.peers_that(|peer| {
            matches!(&peer.state, State::Working { copy, parts, .. } if *copy == id && !parts.is_empty())
        })
    }

    /// The turn of a peer came to nothing: others come first.
    fn fail(&mut self, now: Instant, key: P) {
        self.give_back(key);
        if let Some(peer) = self.peers.get_mut(&key) {
            let rest = doubled(METADATA_REST, peer.failures).min(MAX_METADATA_REST);
            peer.failures += 1;
            peer.state = State::Resting { until: now + rest };
        }
    }

    fn forget(&mut self, key: P) {
        self.give_back(key);
        self.peers.remove(&key);
        self.copies
            .retain(|_, copy| copy.makers != Makers::One(key));
    }

    /// What a peer was asked for may be asked of others.
    fn give_back(&mut self, key: P) {
        self.requests.retain(|&(asked, _)| asked != key);
        if let Some(Peer {
            state: State::Working { copy, parts, .. },
            ..
        }) = self.peers.get(&key)
            && let Some(copy) = self.copies.get_mut(copy)
        {
            parts.iter().for_each(|&part| copy.given_back(part));
        }
    }

    /// Gives everybody something to do for whom there is room.
    fn assign(&mut self, now: Instant) {
        for peer in self.peers.values_mut() {
            if let State::Resting { until } = peer.state
                && until <= now
            {
                peer.state = State::Waiting { since: until };
            }
        }
        // Who loses a place to another may find one in the place of a third. A copy that was just begun is neither idle nor overdue, so that
        // each gives way once at most.
        while self.assign_waiting(now) {}
        self.ask(now);
    }

    /// Gives those a place who wait and for whom there is room, longest first. Whether there was anybody.
    fn assign_waiting(&mut self, now: Instant) -> bool {
        let mut room = Room::Perhaps;
        let mut was_given = false;
        for key in self.waiting() {
            let Some(copy) = self.place_for(now, key, &mut room) else {
                continue;
            };
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.state = State::Working {
                    copy,
                    parts: Vec::new(),
                    last_heard: now,
                };
                was_given = true;
            }
            // At once: a copy that nobody is asked for would be taken from it by the next.
            self.ask_one(now, key);
        }
        was_given
    }

    /// The peers that wait, longest first.
    fn waiting(&self) -> Vec<P> {
        let since = |(key, peer): (&P, &Peer)| match peer.state {
            State::Waiting { since } => Some((since, *key)),
            State::Working { .. } | State::Resting { .. } => None,
        };
        let mut waiting: Vec<_> = self.peers.iter().filter_map(since).collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, key)| key).collect()
    }

    /// The copy that a peer is to work on, if there is one or room for one.
    fn place_for(&mut self, now: Instant, key: P, room: &mut Room) -> Option<CopyId> {
        let Peer { size, failures, .. } = *self.peers.get(&key)?;
        let makers = match self.division {
            Division::Shared => Makers::All,
            Division::Alone => Makers::One(key),
        };
        let turn_ends = now + doubled(METADATA_TURN, failures);
        let same = |copy: &Copy<P>| copy.size == size && copy.makers == makers;
        let existing = self.copies.iter().find(|(_, copy)| same(copy));
        if let Some((&id, _)) = existing {
            let is_idle = self.owing(id).is_empty();
            if let Some(copy) = self.copies.get_mut(&id).filter(|_| is_idle) {
                copy.turn_ends = turn_ends;
            }
            return Some(id);
        }
        if *room == Room::None {
            return None;
        }
        if self.make_room(now).is_none() {
            *room = Room::None;
            return None;
        }
        let id = CopyId(self.next_copy);
        self.next_copy += 1;
        self.copies.insert(id, Copy::new(size, makers, turn_ends));
        Some(id)
    }

    /// Room for one more copy: a copy that nobody works on goes, or one that had its turn.
    fn make_room(&mut self, now: Instant) -> Option<()> {
        if self.copies.len() < MAX_METADATA_COPIES {
            return Some(());
        }
        let ids: Vec<_> = self.copies.keys().copied().collect();
        let idle = ids.iter().find(|&&id| self.owing(id).is_empty());
        let overdue = || ids.iter().find(|id| self.copies[id].turn_ends <= now);
        let id = *idle.or_else(overdue)?;
        for peer in self.owing(id) {
            self.fail(now, peer);
        }
        self.dismiss(now, id);
        self.copies.remove(&id);
        Some(())
    }

    /// Asks everybody who has a place for as many parts as keep it busy.
    fn ask(&mut self, now: Instant) {
        for (&key, peer) in &mut self.peers {
            ask_peer(now, key, peer, &mut self.copies, &mut self.requests);
        }
    }

    fn ask_one(&mut self, now: Instant, key: P) {
        if let Some(peer) = self.peers.get_mut(&key) {
            ask_peer(now, key, peer, &mut self.copies, &mut self.requests);
        }
    }
}

/// Asks a peer that has a place for as many parts as keep it busy.
fn ask_peer<P: std::marker::Copy>(
    now: Instant,
    key: P,
    peer: &mut Peer,
    copies: &mut BTreeMap<CopyId, Copy<P>>,
    requests: &mut VecDeque<(P, u32)>,
) {
    let State::Working {
        copy,
        parts,
        last_heard,
    } = &mut peer.state
    else {
        return;
    };
    let Some(copy) = copies.get_mut(copy) else {
        return;
    };
    if parts.is_empty() {
        *last_heard = now;
    }
    while parts.len() < METADATA_REQUESTS
        && let Some(part) = copy.next_part(parts)
    {
        parts.push(part);
        requests.push_back((key, part));
    }
}

fn doubled(time: Duration, times: u32) -> Duration {
    time * (1 << times.min(6))
}
