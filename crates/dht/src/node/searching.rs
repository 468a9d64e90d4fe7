//! Lookups under way: what each is for, and what its answers mean.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use rarest_metainfo::InfoHash;

use super::asking::Purpose;
use super::{Announce, GetTarget, Node};
use crate::address::Family;
use crate::error::Busy;
use crate::event::Event;
use crate::item::{Item, Salt};
use crate::krpc::{
    MAX_ITEM_DATAGRAM_LENGTH, Method, NodeInfo, PeerKind, PeersWanted, Response, Scrape,
};
use crate::lookup::{Found, Lookup, LookupId};
use crate::node_id::NodeId;
use crate::table::BUCKET_SIZE;

/// Most lookups at once: each has a few queries under way, and hundreds of candidates in memory.
pub const MAX_LOOKUPS: usize = 64;

/// Most peers that one lookup tells of. No swarm's client can use more, and liars have many.
pub const MAX_PEERS_PER_LOOKUP: usize = 2_000;

/// Room in the outgoing rate that a query is waited for, in bytes.
const QUERY_ROOM: usize = 256;

/// What a lookup is for.
#[derive(Debug)]
pub(super) enum Goal {
    /// The nodes around our own id.
    OwnPlace { id: NodeId, family: Family },
    /// The peers of a swarm.
    Peers {
        info_hash: InfoHash,
        announce: Option<Announce>,
        told: BTreeSet<SocketAddr>,
    },
    /// An item.
    Get {
        target: NodeId,
        salt: Salt,
        found: Option<Item>,
    },
    /// Storing an item.
    Put { item: Item, cas: Option<i64> },
    /// Info-hashes.
    Sample { target: NodeId },
}

impl Goal {
    pub(super) fn peers(info_hash: InfoHash, announce: Option<Announce>) -> Self {
        Self::Peers {
            info_hash,
            announce,
            told: BTreeSet::new(),
        }
    }

    pub(super) fn get(target: GetTarget) -> Self {
        Self::Get {
            target: target.target(),
            salt: match target {
                GetTarget::Immutable(_) => Salt::default(),
                GetTarget::Mutable { salt, .. } => salt,
            },
            found: None,
        }
    }

    fn target(&self) -> NodeId {
        match self {
            Self::OwnPlace { id, .. } => *id,
            Self::Peers { info_hash, .. } => (*info_hash).into(),
            Self::Get { target, .. } | Self::Sample { target } => *target,
            Self::Put { item, .. } => item.target(),
        }
    }

    /// What is asked on the way.
    fn step(&self) -> Method {
        match self {
            Self::OwnPlace { id, .. } => Method::FindNode { target: *id },
            Self::Peers {
                info_hash,
                announce,
                ..
            } => Method::GetPeers {
                info_hash: *info_hash,
                peers: match announce.map(|announce| announce.kind) {
                    Some(PeerKind::Seed) => PeersWanted::NoSeeds,
                    Some(PeerKind::Downloader) | None => PeersWanted::All,
                },
                scrape: Scrape::No,
            },
            Self::Get { target, found, .. } => Method::Get {
                target: *target,
                newer_than: match found {
                    Some(Item::Mutable(item)) => Some(item.seq()),
                    Some(Item::Immutable(_)) | None => None,
                },
            },
            Self::Put { item, .. } => Method::Get {
                target: item.target(),
                newer_than: match item {
                    Item::Mutable(item) => Some(item.seq()),
                    Item::Immutable(_) => None,
                },
            },
            Self::Sample { target } => Method::SampleInfohashes { target: *target },
        }
    }

    /// What is said in the end to the closest nodes; `None` if there is nothing to store.
    fn store(&self, token: bytes::Bytes) -> Option<Method> {
        match self {
            Self::Peers {
                info_hash,
                announce,
                ..
            } => announce.map(|announce| Method::AnnouncePeer {
                info_hash: *info_hash,
                port: announce.port,
                kind: announce.kind,
                token,
            }),
            Self::Put { item, cas } => Some(Method::Put {
                item: item.to_put(*cas),
                token,
            }),
            Self::OwnPlace { .. } | Self::Get { .. } | Self::Sample { .. } => None,
        }
    }
}

#[derive(Debug)]
enum Phase {
    Searching,
    Storing {
        /// Who is still to be told.
        queue: VecDeque<Found>,
        /// Who was told and did not answer yet.
        waiting: usize,
    },
}

/// A lookup under way.
#[derive(Debug)]
pub(super) struct Search {
    goal: Goal,
    lookup: Lookup,
    phase: Phase,
    stored: u32,
}

impl Node {
    /// Begins a lookup at the closest nodes of the tables; if they are few, also at the hosts that the bootstrap began at.
    pub(super) fn begin(&mut self, now: Instant, goal: Goal) -> Result<LookupId, Busy> {
        if self.searches.len() >= MAX_LOOKUPS {
            return Err(Busy);
        }
        let target = goal.target();
        let wanted = |family| match goal {
            Goal::OwnPlace { family: own, .. } => family == own,
            _ => true,
        };
        let reachable = |family| wanted(family) && self.presence(family).is_some();
        let mut lookup = Lookup::new(target, reachable);
        for family in Family::ALL {
            let Some(presence) = self.presence(family) else {
                continue;
            };
            let known = presence.table.closest_or_failing(target, BUCKET_SIZE);
            for node in &known {
                lookup.start_at(node.addr, Some(node.id));
            }
            if known.len() < BUCKET_SIZE {
                let routers = self.upkeep.routers();
                routers.for_each(|addr| lookup.start_at(addr, None));
            }
        }
        let id = LookupId(self.next_lookup);
        self.next_lookup += 1;
        let search = Search {
            goal,
            lookup,
            phase: Phase::Searching,
            stored: 0,
        };
        self.searches.insert(id, search);
        self.look_here(now, id);
        self.drive(now, id);
        Ok(id)
    }

    /// What others stored here is found without a query.
    fn look_here(&mut self, now: Instant, id: LookupId) {
        let Some(search) = self.searches.get_mut(&id) else {
            return;
        };
        match &mut search.goal {
            Goal::Peers {
                info_hash, told, ..
            } => {
                let info_hash = *info_hash;
                let mut peers = Vec::new();
                for family in Family::ALL {
                    peers.extend(self.peers.some_peers(
                        now,
                        info_hash,
                        family,
                        PeersWanted::All,
                        BUCKET_SIZE * BUCKET_SIZE,
                        &mut self.rng,
                    ));
                }
                told.extend(peers.iter().copied());
                if !peers.is_empty() {
                    self.events.push_back(Event::Peers { lookup: id, peers });
                }
            }
            Goal::Get { target, found, .. } => {
                if let Some(item) = self.items.get(now, *target) {
                    *found = Some(item.clone());
                    self.events.push_back(Event::Item {
                        lookup: id,
                        item: Box::new(item.clone()),
                    });
                }
            }
            Goal::OwnPlace { .. } | Goal::Put { .. } | Goal::Sample { .. } => {}
        }
    }

    pub(super) fn drive_all(&mut self, now: Instant) {
        let lookups: Vec<_> = self.searches.keys().copied().collect();
        for lookup in lookups {
            self.drive(now, lookup);
        }
    }

    /// Asks whom a lookup can ask now, and ends it when that is nobody.
    fn drive(&mut self, now: Instant, id: LookupId) {
        while let Some(search) = self.searches.get_mut(&id) {
            let (room, searching) = match &search.phase {
                Phase::Searching => (QUERY_ROOM, true),
                Phase::Storing { .. } => (MAX_ITEM_DATAGRAM_LENGTH, false),
            };
            if let Err(ready_at) = self.outgoing.has_room(now, room) {
                // A lookup that is done needs no room to end, but the next turn is soon enough.
                self.starved_until = Some(ready_at);
                return;
            }
            if searching {
                if search.goal.is_reached() || search.lookup.is_done() {
                    self.searched(now, id);
                    return;
                }
                let Some(candidate) = search.lookup.next() else {
                    return;
                };
                let method = search.goal.step();
                self.query(now, candidate.addr, method, Purpose::Step(id));
            } else if !self.store_next(now, id) {
                return;
            }
        }
    }

    /// The closest nodes are found: stores there what there is to store.
    fn searched(&mut self, now: Instant, id: LookupId) {
        let Some(search) = self.searches.get_mut(&id) else {
            return;
        };
        let stores = search.goal.store(bytes::Bytes::new()).is_some();
        let mut queue: VecDeque<_> = search.lookup.closest().into();
        queue.retain(|found| stores && found.token.is_some());
        search.phase = Phase::Storing { queue, waiting: 0 };
        self.drive(now, id);
    }

    /// Tells one more node what to store; ends the lookup if all were told and answered. Returns whether there may be more to tell.
    fn store_next(&mut self, now: Instant, id: LookupId) -> bool {
        let Some(search) = self.searches.get_mut(&id) else {
            return false;
        };
        let Phase::Storing { queue, waiting } = &mut search.phase else {
            return false;
        };
        let Some(found) = queue.pop_front() else {
            if *waiting == 0 {
                self.finish(now, id);
            }
            return false;
        };
        let method = found.token.and_then(|token| search.goal.store(token));
        if let Some(method) = method {
            *waiting += 1;
            self.query(now, found.node.addr, method, Purpose::Store(id));
        }
        true
    }

    fn finish(&mut self, now: Instant, id: LookupId) {
        let Some(search) = self.searches.remove(&id) else {
            return;
        };
        if let Goal::OwnPlace { id, family } = search.goal {
            self.found_own_place(now, id, family, search.lookup.has_answers());
            return;
        }
        let mut summary = search.lookup.summary();
        summary.stored = search.stored;
        self.events.push_back(Event::Done {
            lookup: id,
            summary,
        });
    }

    pub(super) fn step_answered(
        &mut self,
        now: Instant,
        id: LookupId,
        from: SocketAddr,
        mut response: Response,
    ) {
        let Some(search) = self.searches.get_mut(&id) else {
            return;
        };
        search.lookup.answered(from, &response);
        if let Some(event) = search.take_finding(id, from, &mut response) {
            search.lookup.found_at(from);
            self.events.push_back(event);
        }
        self.drive(now, id);
    }

    pub(super) fn step_is_slow(&mut self, now: Instant, id: LookupId, addr: SocketAddr) {
        if let Some(search) = self.searches.get_mut(&id) {
            search.lookup.is_slow(addr);
            self.drive(now, id);
        }
    }

    pub(super) fn step_failed(&mut self, now: Instant, id: LookupId, addr: SocketAddr) {
        if let Some(search) = self.searches.get_mut(&id) {
            search.lookup.failed(addr);
            self.drive(now, id);
        }
    }

    pub(super) fn step_refused(&mut self, now: Instant, id: LookupId, addr: SocketAddr) {
        if let Some(search) = self.searches.get_mut(&id) {
            search.lookup.refused(addr);
            self.drive(now, id);
        }
    }

    pub(super) fn store_answered(&mut self, now: Instant, id: LookupId) {
        if let Some(search) = self.searches.get_mut(&id) {
            search.stored += 1;
            self.store_ended(now, id);
        }
    }

    pub(super) fn store_failed(&mut self, now: Instant, id: LookupId) {
        self.store_ended(now, id);
    }

    fn store_ended(&mut self, now: Instant, id: LookupId) {
        if let Some(search) = self.searches.get_mut(&id)
            && let Phase::Storing { waiting, .. } = &mut search.phase
        {
            *waiting = waiting.saturating_sub(1);
            self.drive(now, id);
        }
    }
}

impl Goal {
    /// Whether nothing more can be found. A value has one hash, so the first that is found is the one.
    fn is_reached(&self) -> bool {
        matches!(
            self,
            Self::Get {
                found: Some(Item::Immutable(_)),
                ..
            }
        )
    }
}

impl Search {
    /// What an answer holds of what is looked for and was not known yet.
    fn take_finding(
        &mut self,
        lookup: LookupId,
        from: SocketAddr,
        response: &mut Response,
    ) -> Option<Event> {
        match &mut self.goal {
            Goal::OwnPlace { .. } => None,
            Goal::Peers { told, .. } => {
                let mut peers = std::mem::take(&mut response.peers);
                peers.retain(|peer| told.len() < MAX_PEERS_PER_LOOKUP && told.insert(*peer));
                (!peers.is_empty()).then_some(Event::Peers { lookup, peers })
            }
            Goal::Get {
                target,
                salt,
                found,
            } => {
                let item = Item::from_got(*response.item.take()?, response.seq, *target, salt);
                let item = item.ok().filter(|item| is_newer(item, found.as_ref()))?;
                *found = Some(item.clone());
                let item = Box::new(item);
                Some(Event::Item { lookup, item })
            }
            Goal::Put { item, .. } => {
                let Item::Mutable(ours) = &*item else {
                    return None;
                };
                let got = *response.item.take()?;
                let theirs = Item::from_got(got, response.seq, ours.target(), ours.salt()).ok();
                let item = theirs.filter(|theirs| is_newer(theirs, Some(item)))?;
                let item = Box::new(item);
                Some(Event::Item { lookup, item })
            }
            Goal::Sample { .. } => {
                let id = response.id;
                Some(Event::Samples {
                    lookup,
                    from: NodeInfo { id, addr: from },
                    samples: response.samples.take()?,
                })
            }
        }
    }
}

fn is_newer(item: &Item, known: Option<&Item>) -> bool {
    match (item, known) {
        (_, None) => true,
        (Item::Mutable(item), Some(Item::Mutable(known))) => item.seq() > known.seq(),
        (_, Some(_)) => false,
    }
}
