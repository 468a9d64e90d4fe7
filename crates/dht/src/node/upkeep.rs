//! What a node does by itself: it finds its place, asks silent nodes whether they are still there, and forgets.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Node;
use super::asking::Purpose;
use super::searching::Goal;
use crate::address::{Family, canonical};
use crate::event::Event;
use crate::krpc::{Method, NodeInfo};
use crate::node_id::NodeId;

/// Most nodes that are checked at the same time. Strangers make us check nodes: whoever asks, and whom the checked tell of.
pub const MAX_CHECKS: usize = 8;

/// Most hosts that are remembered to begin at.
pub const MAX_ROUTERS: usize = 32;

/// How often one silent node of each table is asked whether it is still there. A full table is gone through in its
/// quarter of an hour, and nobody notices the traffic.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(6);

/// How often a bucket that is not full is looked after, while no node is silent.
const REFINE_INTERVAL: Duration = Duration::from_secs(60);

/// How often what is too old is dropped.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// How long after a bootstrap without an answer the next one begins; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// See [`FIRST_RETRY`].
const LAST_RETRY: Duration = Duration::from_secs(5 * 60);

/// Room in the outgoing rate that a check needs, in bytes: lookups come first.
const CHECK_ROOM: usize = 1_024;

/// Fewer nodes than this are no place among the others; it is looked for again.
const FEW_NODES: usize = 2;

/// The clocks of what a node does by itself.
#[derive(Debug)]
pub(super) struct Upkeep {
    next_at: Instant,
    refine_at: Instant,
    expire_at: Instant,
    routers: Vec<SocketAddr>,
    v4: Place,
    v6: Place,
}

/// How far the search for our own place in one family is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Nobody asked for it, or it was found.
    Settled,
    /// It is being looked for.
    Searching { retry: Duration },
    /// Nobody answered; it is looked for again.
    Waiting { until: Instant, retry: Duration },
}

impl Upkeep {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next_at: now + UPKEEP_INTERVAL,
            refine_at: now + REFINE_INTERVAL,
            expire_at: now + EXPIRY_INTERVAL,
            routers: Vec::new(),
            v4: Place::Settled,
            v6: Place::Settled,
        }
    }

    pub(super) fn next_at(&self) -> Instant {
        let waits = |place| match place {
            Place::Waiting { until, .. } => Some(until),
            Place::Settled | Place::Searching { .. } => None,
        };
        let retries = [waits(self.v4), waits(self.v6)];
        retries
            .into_iter()
            .flatten()
            .fold(self.next_at, Instant::min)
    }

    pub(super) fn routers(&self) -> impl Iterator<Item = SocketAddr> {
        self.routers.iter().copied()
    }

    fn place_mut(&mut self, family: Family) -> &mut Place {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

impl Node {
    pub(super) fn remember_routers(&mut self, routers: &[SocketAddr]) {
        let known = &mut self.upkeep.routers;
        for router in routers.iter().copied().map(canonical) {
            if known.len() < MAX_ROUTERS && !known.contains(&router) {
                known.push(router);
            }
        }
    }

    /// Looks for the nodes closest to our id, unless that is being done.
    pub(super) fn find_own_place(&mut self, now: Instant, family: Family) {
        let Some(id) = self.id(family) else {
            return;
        };
        let place = self.upkeep.place_mut(family);
        let retry = match *place {
            Place::Searching { .. } => return,
            Place::Waiting { retry, .. } => retry,
            Place::Settled => FIRST_RETRY,
        };
        *place = Place::Searching { retry };
        if self.begin(now, Goal::OwnPlace { id, family }).is_err() {
            // Other lookups come first; what they meet enters the table as well.
            let until = now + retry;
            *self.upkeep.place_mut(family) = Place::Waiting { until, retry };
        }
    }

    /// The nodes closest to `id` were looked for.
    pub(super) fn found_own_place(
        &mut self,
        now: Instant,
        id: NodeId,
        family: Family,
        answered: bool,
    ) {
        let place = self.upkeep.place_mut(family);
        *place = match *place {
            Place::Searching { retry } | Place::Waiting { retry, .. } if !answered => {
                Place::Waiting {
                    until: now + retry,
                    retry: LAST_RETRY.min(2 * retry),
                }
            }
            _ => Place::Settled,
        };
        let nodes = self.table_len(family);
        self.events.push_back(Event::Bootstrapped { family, nodes });
        // The first answers may have told where others see us, and so given us another place.
        if answered && self.id(family) != Some(id) {
            self.find_own_place(now, family);
        }
    }

    /// Takes an id that belongs to `ip`, and finds the place that goes with it.
    pub(super) fn change_id(&mut self, now: Instant, family: Family, ip: IpAddr) {
        let id = NodeId::random_for(ip, &mut self.rng);
        let Some(presence) = self.presence_mut(family) else {
            return;
        };
        presence.id = id;
        presence.table = presence.table.with_own_id(id);
        self.events.push_back(Event::IdChanged { family, id });
        self.find_own_place(now, family);
    }

    /// Checks a node that is not known, if there would be a place for it.
    pub(super) fn consider(&mut self, now: Instant, node: NodeInfo) {
        let table = self.table_of(node.addr);
        if table.is_some_and(|table| table.has_room_for(node)) {
            self.check(now, node.addr, Purpose::Check);
        }
    }

    /// Asks a node whether it is there, and whom it knows near us.
    pub(super) fn check(&mut self, now: Instant, addr: SocketAddr, purpose: Purpose) {
        if let Some(own) = self.id_towards(addr) {
            self.check_near(now, addr, own, purpose);
        }
    }

    fn check_near(&mut self, now: Instant, addr: SocketAddr, target: NodeId, purpose: Purpose) {
        if self.transactions.checks() < MAX_CHECKS
            && !self.transactions.is_checking(addr)
            && self.outgoing.has_room(now, CHECK_ROOM).is_ok()
        {
            self.query(now, addr, Method::FindNode { target }, purpose);
        }
    }

    pub(super) fn keep_up(&mut self, now: Instant) {
        for family in Family::ALL {
            if let Place::Waiting { until, .. } = *self.upkeep.place_mut(family)
                && until <= now
            {
                self.find_own_place(now, family);
            }
        }
        if now < self.upkeep.next_at {
            return;
        }
        self.upkeep.next_at = now + UPKEEP_INTERVAL;
        let refines = now >= self.upkeep.refine_at;
        if refines {
            self.upkeep.refine_at = now + REFINE_INTERVAL;
        }
        for family in Family::ALL {
            if self.presence(family).is_none() {
                continue;
            }
            self.ask_silent_node(now, family, refines);
            if self.table_len(family) < FEW_NODES && self.upkeep.routers().next().is_some() {
                self.retry_own_place(now, family);
            }
        }
        if now >= self.upkeep.expire_at {
            self.upkeep.expire_at = now + EXPIRY_INTERVAL;
            self.peers.expire(now);
            self.items.expire(now);
            self.incoming.expire(now);
        }
    }

    fn retry_own_place(&mut self, now: Instant, family: Family) {
        let place = self.upkeep.place_mut(family);
        if let Place::Settled = *place {
            *place = Place::Waiting {
                until: now + FIRST_RETRY,
                retry: 2 * FIRST_RETRY,
            };
        }
    }

    /// Asks the node that has been silent for longest, for others of its bucket: one query keeps the node, and fills the bucket. When nobody is
    /// silent, `refines` asks the closest to the emptiest bucket.
    fn ask_silent_node(&mut self, now: Instant, family: Family, refines: bool) {
        let Some(presence) = self.presence(family) else {
            return;
        };
        let own = presence.id;
        let silent = presence.table.most_silent(now);
        let emptiest = presence.table.emptiest_bucket().filter(|_| refines);
        let Some(bucket) = silent.map(|(_, bucket)| bucket).or(emptiest) else {
            return;
        };
        let target = own.random_sharing(bucket, &mut self.rng);
        let node = silent.map(|(node, _)| node).or_else(|| {
            let table = &self.presence(family)?.table;
            table.closest(target, 1).first().copied()
        });
        if let Some(node) = node {
            self.check_near(now, node.addr, target, Purpose::Refresh);
        }
    }
}
