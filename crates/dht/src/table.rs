//! The routing table: nodes that answered us, many close to our id and few far away.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::address::{Subnet, host};
use crate::krpc::NodeInfo;
use crate::node_id::NodeId;

/// Nodes of a bucket, and of a good answer: the `k` of Kademlia.
pub const BUCKET_SIZE: usize = 8;

/// Nodes of a bucket that wait for another one to fail.
pub const MAX_REPLACEMENTS: usize = 8;

/// Queries in a row that a node leaves unanswered before another takes its place; one loss is nothing.
pub const MAX_FAILURES: u8 = 2;

/// Most nodes of one network (a /24 of IPv4, a /48 of IPv6) in a table. One owner could otherwise fill it.
pub const MAX_NODES_PER_SUBNET: u8 = 2;

/// After this silence it is asked whether a node is still there (BEP 5).
pub const SILENCE: Duration = Duration::from_secs(15 * 60);

/// How long a node that failed is left alone before it is asked again; doubled with each failure.
const RETRY: Duration = Duration::from_secs(60);

/// What became of a node that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is in the table, new or not.
    Inside,
    /// Its bucket is full; it waits for a place.
    Waiting,
    /// Its address, network or id is taken, or it has our id.
    Refused,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    node: NodeInfo,
    /// When it last answered; `None` if it never did in this run.
    answered_at: Option<Instant>,
    /// When it was last asked.
    asked_at: Option<Instant>,
    /// Queries in a row that it left unanswered.
    failures: u8,
}

impl Entry {
    fn is_failing(&self) -> bool {
        self.failures >= MAX_FAILURES
    }

    /// Whether it should be asked if it is still there.
    fn is_due(&self, now: Instant) -> bool {
        let Some(last) = self.answered_at.max(self.asked_at) else {
            return true;
        };
        let patience = match self.failures {
            0 => SILENCE,
            failures => SILENCE.min(RETRY * 2_u32.pow(u32::from(failures.min(5)) - 1)),
        };
        now.saturating_duration_since(last) >= patience
    }
}

/// The nodes that share the same number of leading bits with our id.
#[derive(Debug, Default)]
struct Bucket {
    live: Vec<Entry>,
    /// The latest last.
    replacements: Vec<Entry>,
}

impl Bucket {
    fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.live.iter_mut().chain(&mut self.replacements)
    }
}

/// One family's nodes.
#[derive(Debug)]
pub(crate) struct RoutingTable {
    own: NodeId,
    /// By the number of bits that ids share with ours.
    buckets: Vec<Bucket>,
    /// One node a host, replacements included.
    hosts: HashMap<SocketAddr, NodeId>,
    /// Nodes of each network, replacements included.
    subnets: HashMap<Subnet, u8>,
    live: usize,
}

impl RoutingTable {
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            buckets: Vec::new(),
            hosts: HashMap::new(),
            subnets: HashMap::new(),
            live: 0,
        }
    }

    /// Nodes in it, those that wait not counted.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// The nodes in it, those close to us last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = NodeInfo> {
        let live = self.buckets.iter().flat_map(|bucket| &bucket.live);
        live.map(|entry| entry.node)
    }

    /// A node answered.
    pub(crate) fn answered(&mut self, now: Instant, node: NodeInfo) -> Admission {
        self.insert(node, Some(now))
    }

    /// A node that was in the table of an earlier run, and has not answered yet.
    pub(crate) fn remembered(&mut self, node: NodeInfo) -> Admission {
        self.insert(node, None)
    }

    /// A node was asked.
    pub(crate) fn asked(&mut self, now: Instant, addr: SocketAddr) {
        if let Some(entry) = self.entry_mut(addr) {
            entry.asked_at = Some(now);
        }
    }

    /// A node left a query unanswered.
    pub(crate) fn failed(&mut self, addr: SocketAddr) {
        let Some(entry) = self.entry_mut(addr) else {
            return;
        };
        entry.failures = entry.failures.saturating_add(1);
        if !entry.is_failing() {
            return;
        }
        let id = entry.node.id;
        let at = self.own.shared_bits(id);
        let bucket = &mut self.buckets[at];
        if let Some(waiting) = bucket.replacements.iter().position(|e| e.node.id == id) {
            let gone = bucket.replacements.remove(waiting);
            self.forget(gone.node.addr);
        } else if let Some(next) = bucket.replacements.pop() {
            // While nobody waits, a failing node keeps its place: that we are cut off should not empty the table.
            let place = bucket.live.iter_mut().find(|e| e.node.id == id);
            let place = place.expect("an entry that does not wait is live");
            let gone = std::mem::replace(place, next);
            self.forget(gone.node.addr);
        }
    }

    /// Whether a node that is not known yet would enter at once if it answered.
    pub(crate) fn has_room_for(&self, node: NodeInfo) -> bool {
        if node.id == self.own || self.hosts.contains_key(&host(node.addr)) {
            return false;
        }
        let full_network = Subnet::of(node.addr.ip())
            .and_then(|subnet| self.subnets.get(&subnet))
            .is_some_and(|count| *count >= MAX_NODES_PER_SUBNET);
        let bucket = self.buckets.get(self.own.shared_bits(node.id));
        !full_network
            && bucket.is_none_or(|bucket| {
                bucket.live.len() < BUCKET_SIZE || bucket.live.iter().any(Entry::is_failing)
            })
    }

    /// The `count` nodes closest to `target` that have not failed, closest first.
    pub(crate) fn closest(&self, target: NodeId, count: usize) -> Vec<NodeInfo> {
        self.closest_of(target, count, |entry| entry.failures == 0)
    }

    /// The same, but failing nodes are better than none.
    pub(crate) fn closest_or_failing(&self, target: NodeId, count: usize) -> Vec<NodeInfo> {
        let good = self.closest(target, count);
        if good.is_empty() {
            return self.closest_of(target, count, |_| true);
        }
        good
    }

    /// The node that has been silent for longest, if it is time to ask it, with the number of bits that its id shares with ours.
    pub(crate) fn most_silent(&self, now: Instant) -> Option<(NodeInfo, usize)> {
        let due = self.buckets.iter().enumerate().flat_map(|(at, bucket)| {
            let due = bucket.live.iter().filter(|entry| entry.is_due(now));
            due.map(move |entry| (entry, at))
        });
        // `None`, never heard of, is less than any time. Those close to us first, as they matter most.
        due.min_by_key(|(entry, at)| {
            let last = entry.answered_at.max(entry.asked_at);
            (last, std::cmp::Reverse(*at))
        })
        .map(|(entry, at)| (entry.node, at))
    }

    /// The bucket with the fewest nodes, of those that have closer ones behind them; `None` if all are full.
    pub(crate) fn emptiest_bucket(&self) -> Option<usize> {
        let buckets = self.buckets.iter().enumerate();
        buckets
            .filter(|(_, bucket)| bucket.live.len() < BUCKET_SIZE)
            .min_by_key(|(_, bucket)| bucket.live.len())
            .map(|(at, _)| at)
    }

    /// The same nodes, sorted around another id of ours.
    pub(crate) fn with_own_id(&self, own: NodeId) -> Self {
        let mut table = Self::new(own);
        let live = self.buckets.iter().flat_map(|bucket| &bucket.live);
        let waiting = self.buckets.iter().flat_map(|bucket| &bucket.replacements);
        for entry in live.chain(waiting) {
            table.insert(entry.node, entry.answered_at);
        }
        table
    }

    fn closest_of(
        &self,
        target: NodeId,
        count: usize,
        which: impl Fn(&Entry) -> bool,
    ) -> Vec<NodeInfo> {
        let shared = self.own.shared_bits(target);
        let mut closest = Vec::with_capacity(2 * BUCKET_SIZE);
        let take = |closest: &mut Vec<NodeInfo>, bucket: &Bucket| {
            let live = bucket.live.iter().filter(|entry| which(entry));
            closest.extend(live.map(|entry| entry.node));
        };
        // The nodes of the bucket that the target belongs to share more bits with it than any other. Those of all buckets closer
        // to us share as many as we do; those of each further one share fewer and fewer.
        if let Some(bucket) = self.buckets.get(shared) {
            take(&mut closest, bucket);
        }
        if closest.len() < count {
            let closer_to_us = self.buckets.iter().skip(shared + 1);
            closer_to_us.for_each(|bucket| take(&mut closest, bucket));
        }
        for bucket in self.buckets.iter().take(shared).rev() {
            if closest.len() >= count {
                break;
            }
            take(&mut closest, bucket);
        }
        closest.sort_by_cached_key(|node| node.id.distance(target));
        closest.truncate(count);
        closest
    }

    fn insert(&mut self, node: NodeInfo, answered_at: Option<Instant>) -> Admission {
        if node.id == self.own {
            return Admission::Refused;
        }
        if let Some(admission) = self.known(node, answered_at) {
            return admission;
        }
        let subnet = Subnet::of(node.addr.ip());
        let neighbours = subnet.and_then(|subnet| self.subnets.get(&subnet));
        if neighbours.is_some_and(|count| *count >= MAX_NODES_PER_SUBNET) {
            return Admission::Refused;
        }
        let at = self.own.shared_bits(node.id);
        if self.buckets.len() <= at {
            self.buckets.resize_with(at + 1, Bucket::default);
        }
        let bucket = &mut self.buckets[at];
        let entry = Entry {
            node,
            answered_at,
            asked_at: None,
            failures: 0,
        };
        let is_allowed = |node: NodeInfo| node.id.is_allowed_for(node.addr.ip());
        let failing = bucket.live.iter().position(Entry::is_failing);
        // A node that may have its id is worth more than one that chose it.
        let replaceable = failing.or_else(|| {
            let disallowed = bucket.live.iter().position(|e| !is_allowed(e.node));
            disallowed.filter(|_| is_allowed(node))
        });
        let (admission, gone) = if bucket.live.len() < BUCKET_SIZE {
            bucket.live.push(entry);
            self.live += 1;
            (Admission::Inside, None)
        } else if let Some(place) = replaceable {
            let gone = std::mem::replace(&mut bucket.live[place], entry);
            (Admission::Inside, Some(gone))
        } else {
            let full = bucket.replacements.len() >= MAX_REPLACEMENTS;
            let gone = full.then(|| bucket.replacements.remove(0));
            bucket.replacements.push(entry);
            (Admission::Waiting, gone)
        };
        if let Some(gone) = gone {
            self.forget(gone.node.addr);
        }
        self.hosts.insert(host(node.addr), node.id);
        if let Some(subnet) = subnet {
            *self.subnets.entry(subnet).or_default() += 1;
        }
        admission
    }

    /// Notes the answer of a node whose host or id the table knows already; `None` if it is as good as new.
    fn known(&mut self, node: NodeInfo, answered_at: Option<Instant>) -> Option<Admission> {
        if let Some(entry) = self.entry_mut(node.addr) {
            if entry.node == node {
                entry.failures = 0;
                entry.answered_at = answered_at.max(entry.answered_at);
                return Some(Admission::Inside);
            }
            // The same port with another id is a node that began anew. Another port of a host whose node still answers is a second
            // node there, and one is enough.
            let began_anew = entry.node.addr == node.addr;
            if !began_anew && !entry.is_failing() {
                return Some(Admission::Refused);
            }
            self.remove(node.addr);
        }
        // Whoever claims the id of another node gets its place only when that is gone.
        let bucket = self.buckets.get_mut(self.own.shared_bits(node.id))?;
        let twin = bucket
            .entries_mut()
            .find(|entry| entry.node.id == node.id)
            .map(|entry| (entry.node.addr, entry.is_failing()));
        match twin {
            Some((_, false)) => Some(Admission::Refused),
            Some((addr, true)) => {
                self.remove(addr);
                None
            }
            None => None,
        }
    }

    fn entry_mut(&mut self, addr: SocketAddr) -> Option<&mut Entry> {
        let id = *self.hosts.get(&host(addr))?;
        let bucket = self.buckets.get_mut(self.own.shared_bits(id))?;
        bucket.entries_mut().find(|entry| entry.node.id == id)
    }

    fn remove(&mut self, addr: SocketAddr) {
        let Some(id) = self.hosts.get(&host(addr)).copied() else {
            return;
        };
        let bucket = &mut self.buckets[self.own.shared_bits(id)];
        let before = bucket.live.len();
        bucket.live.retain(|entry| entry.node.id != id);
        bucket.replacements.retain(|entry| entry.node.id != id);
        self.live -= before - bucket.live.len();
        self.forget(addr);
    }

    /// Gives host and network free.
    fn forget(&mut self, addr: SocketAddr) {
        self.hosts.remove(&host(addr));
        if let Some(subnet) = Subnet::of(addr.ip())
            && let Some(count) = self.subnets.get_mut(&subnet)
        {
            *count -= 1;
            if *count == 0 {
                self.subnets.remove(&subnet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::origin;

    const OWN: NodeId = NodeId([0; 20]);

    /// A node in the bucket `shared`, at an address of its own, with an id that it may not have.
    fn node(shared: usize, number: u8) -> NodeInfo {
        let mut id = NodeId([0; 20]);
        id.0[shared / 8] = 0x80 >> (shared % 8);
        id.0[19] = number;
        NodeInfo {
            id,
            addr: SocketAddr::from(([20, u8::try_from(shared).unwrap(), number, 1], 6881)),
        }
    }

    fn full_bucket(now: Instant) -> RoutingTable {
        let mut table = RoutingTable::new(OWN);
        for number in 0..8 {
            assert_eq!(table.answered(now, node(1, number)), Admission::Inside);
        }
        table
    }

    #[test]
    fn a_full_bucket_lets_newcomers_wait_until_a_node_fails_twice() {
        let now = origin();
        let mut table = full_bucket(now);
        assert_eq!(table.answered(now, node(1, 8)), Admission::Waiting);
        table.failed(node(1, 3).addr);
        assert!(!table.iter().any(|inside| inside == node(1, 8)));
        table.failed(node(1, 3).addr);
        assert!(table.iter().any(|inside| inside == node(1, 8)));
        assert!(!table.iter().any(|inside| inside == node(1, 3)));
        assert_eq!(table.len(), BUCKET_SIZE);
    }

    #[test]
    fn an_answer_forgives_a_failure() {
        let now = origin();
        let mut table = full_bucket(now);
        table.answered(now, node(1, 8));
        table.failed(node(1, 3).addr);
        table.answered(now, node(1, 3));
        table.failed(node(1, 3).addr);
        assert!(table.iter().any(|inside| inside == node(1, 3)));
    }

    #[test]
    fn nobody_waiting_means_that_failing_nodes_stay_but_are_not_told() {
        let now = origin();
        let mut table = full_bucket(now);
        for number in 0..8 {
            table.failed(node(1, number).addr);
            table.failed(node(1, number).addr);
        }
        assert_eq!(table.len(), 8);
        assert_eq!(table.closest(OWN, 8), []);
        assert_eq!(table.closest_or_failing(OWN, 8).len(), 8);
        assert_eq!(table.answered(now, node(1, 9)), Admission::Inside);
        assert_eq!(table.len(), 8);
    }

    #[test]
    fn one_bucket_and_its_replacements_are_bounded() {
        let now = origin();
        let mut table = RoutingTable::new(OWN);
        for number in 0..=255 {
            table.answered(now, node(1, number));
        }
        assert_eq!(table.len(), BUCKET_SIZE);
        assert_eq!(table.hosts.len(), BUCKET_SIZE + MAX_REPLACEMENTS);
        assert_eq!(table.subnets.len(), BUCKET_SIZE + MAX_REPLACEMENTS);
    }

    #[test]
    fn one_network_has_two_places_and_one_host_one() {
        let now = origin();
        let mut table = RoutingTable::new(OWN);
        let at = |shared, last, port| NodeInfo {
            addr: SocketAddr::from(([20, 0, 0, last], port)),
            ..node(shared, 0)
        };
        assert_eq!(table.answered(now, at(1, 1, 1)), Admission::Inside);
        assert_eq!(table.answered(now, at(2, 1, 2)), Admission::Refused);
        assert_eq!(table.answered(now, at(2, 2, 1)), Admission::Inside);
        assert_eq!(table.answered(now, at(3, 3, 1)), Admission::Refused);
        assert!(!table.has_room_for(at(3, 3, 1)));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_node_that_began_anew_has_its_new_id() {
        let now = origin();
        let mut table = RoutingTable::new(OWN);
        table.answered(now, node(1, 1));
        let anew = NodeInfo {
            id: node(2, 1).id,
            ..node(1, 1)
        };
        assert_eq!(table.answered(now, anew), Admission::Inside);
        assert!(table.iter().eq([anew]));
    }

    #[test]
    fn an_id_belongs_to_who_had_it_first_while_that_answers() {
        let now = origin();
        let mut table = RoutingTable::new(OWN);
        table.answered(now, node(1, 1));
        let thief = NodeInfo {
            addr: SocketAddr::from(([30, 1, 1, 1], 1)),
            ..node(1, 1)
        };
        assert_eq!(table.answered(now, thief), Admission::Refused);
        table.failed(node(1, 1).addr);
        table.failed(node(1, 1).addr);
        assert_eq!(table.answered(now, thief), Admission::Inside);
        assert!(table.iter().eq([thief]));
    }

    #[test]
    fn a_node_with_an_id_of_its_address_replaces_one_without() {
        let now = origin();
        let mut table = full_bucket(now);
        let mut rng = StdRng::seed_from_u64(3);
        let addr = SocketAddr::from(([40, 1, 1, 1], 6881));
        let honest = loop {
            let id = NodeId::random_for(addr.ip(), &mut rng);
            if OWN.shared_bits(id) == 1 {
                break NodeInfo { id, addr };
            }
        };
        assert_eq!(table.answered(now, honest), Admission::Inside);
        assert!(table.iter().any(|inside| inside == honest));
    }

    #[test]
    fn the_closest_are_those_that_a_search_through_all_finds() {
        let mut rng = StdRng::seed_from_u64(4);
        let now = origin();
        let mut table = RoutingTable::new(NodeId::random(&mut rng));
        for number in 0..2_000_u32 {
            let [_, b, c, d] = (number << 8).to_be_bytes();
            let addr = SocketAddr::from(([50, b, c, d], 1));
            let id = NodeId::random(&mut rng);
            table.answered(now, NodeInfo { id, addr });
        }
        for _ in 0..100 {
            let target = NodeId::random(&mut rng);
            let mut all: Vec<_> = table.iter().collect();
            all.sort_by_key(|node| node.id.distance(target));
            assert_eq!(table.closest(target, 8), all[..8]);
        }
    }

    #[test]
    fn the_longest_silent_node_is_asked_first_and_none_before_its_time() {
        let start = origin();
        let minute = Duration::from_secs(60);
        let mut table = RoutingTable::new(OWN);
        table.answered(start, node(1, 1));
        table.answered(start + minute, node(2, 1));
        assert_eq!(table.most_silent(start + 14 * minute), None);
        let later = start + 16 * minute;
        assert_eq!(table.most_silent(later), Some((node(1, 1), 1)));
        table.asked(later, node(1, 1).addr);
        assert_eq!(table.most_silent(later), Some((node(2, 1), 2)));
        table.remembered(node(3, 1));
        assert_eq!(table.most_silent(start), Some((node(3, 1), 3)));
    }

    #[test]
    fn another_id_of_ours_sorts_the_nodes_anew() {
        let now = origin();
        let table = full_bucket(now);
        let own = NodeId([0x40; 20]);
        let sorted = table.with_own_id(own);
        assert_eq!(sorted.len(), 8);
        assert!(sorted.closest(own, 8).len() == 8);
    }
}
