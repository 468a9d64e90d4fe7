//! The candidates of a lookup in one family: who is asked next, who may be believed, when it is enough.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use bytes::Bytes;

use super::{Candidate, Found};
use crate::address::{Subnet, host};
use crate::krpc::NodeInfo;
use crate::node_id::{Distance, NodeId};
use crate::table::{BUCKET_SIZE, MAX_NODES_PER_SUBNET};

/// Nodes that are asked at the same time: the alpha of Kademlia. Those that are slow are not counted.
pub const CONCURRENCY: usize = 4;

/// Most nodes that are waited for at the same time, slow ones included.
const MAX_WAITED_FOR: usize = 4 * CONCURRENCY;

/// Most candidates of a lookup in each family. Only the closest matter; a liar could send thousands.
pub const MAX_CANDIDATES: usize = 128;

/// Most nodes that are asked in a lookup in each family. An honest network is crossed in about 30, ours with a third of liars in 60.
pub const MAX_QUERIES_PER_LOOKUP: usize = 256;

/// Most nodes that are taken of one answer, of each family. Nodes give [`BUCKET_SIZE`]; some give 16.
pub const MAX_TIPS_PER_ANSWER: usize = 16;

/// After so many nodes that did not exist, and none that did, nobody else is asked whom the same node told of.
pub const MAX_FALSE_TIPS: u32 = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    New,
    Asked,
    /// Asked a while ago.
    Slow,
    Answered {
        token: Option<Bytes>,
    },
    Failed,
}

#[derive(Debug)]
struct Entry {
    addr: SocketAddr,
    id: Option<NodeId>,
    /// Those with an unknown id (hosts to begin with) come first.
    distance: Option<Distance>,
    is_allowed: bool,
    /// How many nodes, one behind the other, led here.
    step: u32,
    /// Who told of it first; `None` if we knew.
    teller: Option<SocketAddr>,
    state: State,
}

/// What became of the nodes that somebody told of.
#[derive(Clone, Copy, Debug, Default)]
struct Tips {
    good: u32,
    bad: u32,
}

impl Tips {
    fn are_believed(self) -> bool {
        self.good > 0 || self.bad < MAX_FALSE_TIPS
    }
}

/// The candidates of one family, sorted by distance.
#[derive(Debug)]
pub(super) struct Frontier {
    target: NodeId,
    entries: Vec<Entry>,
    /// Every host that ever was a candidate: it comes back only as [`Frontier::make_way`] says. Bounded, as queries and tips are.
    seen: HashSet<SocketAddr>,
    subnets: HashMap<Subnet, u8>,
    tellers: HashMap<SocketAddr, Tips>,
    queries: usize,
}

impl Frontier {
    pub(super) fn new(target: NodeId) -> Self {
        Self {
            target,
            entries: Vec::new(),
            seen: HashSet::new(),
            subnets: HashMap::new(),
            tellers: HashMap::new(),
            queries: 0,
        }
    }

    pub(super) fn start_at(&mut self, addr: SocketAddr, id: Option<NodeId>) {
        self.add(addr, id, 1, None);
    }

    /// `teller`, who stands at `step`, told of a node.
    pub(super) fn told(&mut self, tip: NodeInfo, teller: SocketAddr, step: u32) {
        self.add(tip.addr, Some(tip.id), step + 1, Some(teller));
    }

    fn add(&mut self, addr: SocketAddr, id: Option<NodeId>, step: u32, teller: Option<SocketAddr>) {
        let distance = id.map(|id| id.distance(self.target));
        let too_far = |last: &Entry| distance >= last.distance;
        if self.entries.len() >= MAX_CANDIDATES && self.entries.last().is_some_and(too_far) {
            return;
        }
        if self.seen.contains(&host(addr)) && !self.make_way(addr, distance) {
            return;
        }
        if let Some(subnet) = Subnet::of(addr.ip()) {
            let count = self.subnets.entry(subnet).or_default();
            if *count >= MAX_NODES_PER_SUBNET {
                return;
            }
            *count += 1;
        }
        self.seen.insert(host(addr));
        self.insert(Entry {
            addr,
            id,
            distance,
            is_allowed: id.is_none_or(|id| id.is_allowed_for(addr.ip())),
            step,
            teller,
            state: State::New,
        });
        if self.entries.len() > MAX_CANDIDATES {
            let furthest = self.entries.iter().rposition(|e| e.state == State::New);
            if let Some(furthest) = furthest {
                self.entries.remove(furthest);
            }
        }
    }

    /// Removes what is known of a host if what is told now is worth more: whoever tells of a node first, and falsely, would hide it.
    fn make_way(&mut self, addr: SocketAddr, distance: Option<Distance>) -> bool {
        let of_host = |entry: &Entry| host(entry.addr) == host(addr);
        let Some(at) = self.entries.iter().position(of_host) else {
            return false;
        };
        let entry = &self.entries[at];
        let is_worth_more = match entry.state {
            State::New => {
                let is_closer = entry.addr == addr && distance < entry.distance;
                is_closer || !is_believed(&self.tellers, entry)
            }
            // Each costs a query, of which there are so many.
            State::Failed => entry.addr != addr,
            State::Asked | State::Slow | State::Answered { .. } => false,
        };
        if is_worth_more {
            let gone = self.entries.remove(at);
            if gone.state == State::New {
                self.free_place(gone.addr);
            }
        }
        is_worth_more
    }

    fn free_place(&mut self, addr: SocketAddr) {
        if let Some(subnet) = Subnet::of(addr.ip())
            && let Some(count) = self.subnets.get_mut(&subnet)
        {
            *count = count.saturating_sub(1);
        }
    }

    fn insert(&mut self, entry: Entry) {
        let at = self
            .entries
            .partition_point(|e| e.distance <= entry.distance);
        self.entries.insert(at, entry);
    }

    pub(super) fn next(&mut self) -> Option<Candidate> {
        let asked = self.count(|state| *state == State::Asked);
        let slow = self.count(|state| *state == State::Slow);
        if asked >= CONCURRENCY
            || asked + slow >= MAX_WAITED_FOR
            || self.queries >= MAX_QUERIES_PER_LOOKUP
        {
            return None;
        }
        let end = self.end();
        let tellers = &self.tellers;
        let next = self.entries[..end]
            .iter_mut()
            .find(|entry| entry.state == State::New && is_believed(tellers, entry))?;
        next.state = State::Asked;
        self.queries += 1;
        Some(Candidate {
            addr: next.addr,
            id: next.id,
        })
    }

    fn count(&self, which: impl Fn(&State) -> bool) -> usize {
        self.entries
            .iter()
            .filter(|entry| which(&entry.state))
            .count()
    }

    /// Up to where candidates matter: behind the closest [`BUCKET_SIZE`] that answered and have an id of their address, or twice as many
    /// that answered with any id. Who stands close by choice does not hide those behind.
    fn end(&self) -> usize {
        let (mut allowed, mut any) = (0, 0);
        for (at, entry) in self.entries.iter().enumerate() {
            if matches!(entry.state, State::Answered { .. }) {
                any += 1;
                allowed += usize::from(entry.is_allowed);
                if allowed >= BUCKET_SIZE || any >= 2 * BUCKET_SIZE {
                    return at;
                }
            }
        }
        self.entries.len()
    }

    pub(super) fn is_done(&self) -> bool {
        let spent = self.queries >= MAX_QUERIES_PER_LOOKUP;
        self.entries[..self.end()]
            .iter()
            .all(|entry| match entry.state {
                State::New => spent || !is_believed(&self.tellers, entry),
                State::Asked | State::Slow => false,
                State::Answered { .. } | State::Failed => true,
            })
    }

    /// Returns the step of who answered; `None` if it was not asked.
    pub(super) fn answered(
        &mut self,
        from: SocketAddr,
        id: NodeId,
        token: Option<Bytes>,
    ) -> Option<u32> {
        let at = self.waited_for(from)?;
        // Sorted in anew: who we began with says now what its id is, and who told of another one may have lied.
        let mut entry = self.entries.remove(at);
        let as_told = entry.id.is_none_or(|told| told == id);
        self.judge(entry.teller, as_told);
        entry.id = Some(id);
        entry.distance = Some(id.distance(self.target));
        entry.is_allowed = id.is_allowed_for(from.ip());
        entry.state = State::Answered { token };
        let step = entry.step;
        self.insert(entry);
        Some(step)
    }

    pub(super) fn is_slow(&mut self, addr: SocketAddr) {
        if let Some(at) = self.waited_for(addr) {
            self.entries[at].state = State::Slow;
        }
    }

    pub(super) fn refused(&mut self, addr: SocketAddr) {
        if let Some(at) = self.waited_for(addr) {
            self.entries[at].state = State::Failed;
        }
    }

    pub(super) fn failed(&mut self, addr: SocketAddr) {
        let Some(at) = self.waited_for(addr) else {
            return;
        };
        self.entries[at].state = State::Failed;
        self.judge(self.entries[at].teller, false);
        // Another node of that network may be alive.
        self.free_place(addr);
    }

    fn judge(&mut self, teller: Option<SocketAddr>, as_told: bool) {
        if let Some(teller) = teller {
            let tips = self.tellers.entry(teller).or_default();
            if as_told {
                tips.good += 1;
            } else {
                tips.bad += 1;
            }
        }
    }

    fn waited_for(&self, addr: SocketAddr) -> Option<usize> {
        self.entries.iter().position(|entry| {
            entry.addr == addr && matches!(entry.state, State::Asked | State::Slow)
        })
    }

    pub(super) fn step_of(&self, addr: SocketAddr) -> Option<u32> {
        let entry = self.entries.iter().find(|entry| entry.addr == addr)?;
        Some(entry.step)
    }

    fn closest_entries(&self) -> impl Iterator<Item = &Entry> {
        let answered = |entry: &&Entry| matches!(entry.state, State::Answered { .. });
        let allowed = self.entries.iter().filter(|entry| entry.is_allowed);
        let chosen = self.entries.iter().filter(|entry| !entry.is_allowed);
        allowed.chain(chosen).filter(answered).take(BUCKET_SIZE)
    }

    pub(super) fn closest(&self) -> Vec<Found> {
        let found = |entry: &Entry| {
            let State::Answered { token } = &entry.state else {
                return None;
            };
            Some(Found {
                node: NodeInfo {
                    id: entry.id?,
                    addr: entry.addr,
                },
                token: token.clone(),
            })
        };
        self.closest_entries().filter_map(found).collect()
    }

    pub(super) fn steps(&self) -> u32 {
        self.closest_entries().map(|e| e.step).max().unwrap_or(0)
    }
}

fn is_believed(tellers: &HashMap<SocketAddr, Tips>, entry: &Entry) -> bool {
    let teller = entry.teller.and_then(|teller| tellers.get(&teller));
    teller.is_none_or(|tips| tips.are_believed())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: NodeId = NodeId([0; 20]);

    /// A node at `distance` in the last bytes, at an address of its own.
    fn node(distance: u16) -> NodeInfo {
        let [a, b] = distance.to_be_bytes();
        let mut id = TARGET;
        id.0[18..].copy_from_slice(&[a, b]);
        // Local addresses may have any id.
        NodeInfo {
            id,
            addr: SocketAddr::from(([10, a, b, 1], 6881)),
        }
    }

    fn start(frontier: &mut Frontier, nodes: impl IntoIterator<Item = u16>) {
        for distance in nodes {
            let node = node(distance);
            frontier.start_at(node.addr, Some(node.id));
        }
    }

    fn ask_all(frontier: &mut Frontier) -> Vec<SocketAddr> {
        std::iter::from_fn(|| frontier.next())
            .map(|next| next.addr)
            .collect()
    }

    fn answer(frontier: &mut Frontier, distance: u16) {
        let node = node(distance);
        frontier.answered(node.addr, node.id, None).unwrap();
    }

    #[test]
    fn the_closest_are_asked_first_and_few_at_a_time() {
        let mut frontier = Frontier::new(TARGET);
        start(&mut frontier, [9, 3, 7, 1, 5]);
        let asked = ask_all(&mut frontier);
        assert_eq!(asked, [1, 3, 5, 7].map(|distance| node(distance).addr));
        frontier.is_slow(node(5).addr);
        assert_eq!(ask_all(&mut frontier), [node(9).addr]);
    }

    #[test]
    fn it_is_done_when_the_closest_have_answered_not_when_all_have() {
        let mut frontier = Frontier::new(TARGET);
        start(&mut frontier, 1..30);
        for distance in 1..=8 {
            assert!(!frontier.is_done());
            frontier.next();
            answer(&mut frontier, distance);
        }
        assert!(frontier.is_done());
        assert_eq!(frontier.next(), None);
        assert_eq!(frontier.closest().len(), BUCKET_SIZE);
    }

    #[test]
    fn who_does_not_answer_does_not_stop_it() {
        let mut frontier = Frontier::new(TARGET);
        start(&mut frontier, 1..5);
        for distance in 1..5 {
            frontier.next();
            frontier.failed(node(distance).addr);
        }
        assert!(frontier.is_done());
        assert_eq!(frontier.closest(), []);
    }

    #[test]
    fn a_liar_with_many_candidates_fills_no_memory_and_cannot_ask_us_to_ask_forever() {
        let mut frontier = Frontier::new(TARGET);
        let liar = node(u16::MAX);
        start(&mut frontier, [u16::MAX]);
        frontier.next();
        answer(&mut frontier, u16::MAX);
        for distance in (0..u16::MAX).rev() {
            frontier.told(node(distance), liar.addr, 1);
            assert!(frontier.entries.len() <= MAX_CANDIDATES);
        }
        // Somebody else stands surety, so that they go on being believed.
        frontier.tellers.entry(liar.addr).or_default().good = 1;
        let mut queries = 0;
        while let Some(next) = frontier.next() {
            queries += 1;
            frontier.failed(next.addr);
            let closer = node(60_000 - queries);
            frontier.told(closer, liar.addr, 1);
        }
        assert!(usize::from(queries) < MAX_QUERIES_PER_LOOKUP);
        assert!(frontier.is_done());
    }

    #[test]
    fn who_told_of_three_that_do_not_exist_is_not_believed_any_more() {
        let mut frontier = Frontier::new(TARGET);
        start(&mut frontier, [500, 600]);
        ask_all(&mut frontier);
        answer(&mut frontier, 500);
        answer(&mut frontier, 600);
        (1..=8).for_each(|distance| frontier.told(node(distance), node(500).addr, 1));
        (101..=108).for_each(|distance| frontier.told(node(distance), node(600).addr, 1));
        let mut asked = Vec::new();
        while let Some(next) = frontier.next() {
            asked.push(next.addr);
            match next.id.unwrap().0[19] {
                false_tip @ 1..=8 => frontier.failed(node(false_tip.into()).addr),
                other => answer(&mut frontier, other.into()),
            }
        }
        assert_eq!(
            asked
                .iter()
                .filter(|addr| addr.ip() < node(100).addr.ip())
                .count(),
            3
        );
        assert_eq!(frontier.closest().len(), 8);
    }

    #[test]
    fn who_tells_a_false_id_of_a_real_node_does_not_hide_it() {
        let mut frontier = Frontier::new(TARGET);
        let real = node(7);
        let lie = NodeInfo {
            id: node(40_000).id,
            ..real
        };
        frontier.told(lie, node(500).addr, 1);
        frontier.next();
        frontier.answered(real.addr, real.id, None).unwrap();
        assert_eq!(frontier.closest()[0].node, real);
        assert_eq!(frontier.tellers[&node(500).addr].bad, 1);
    }

    #[test]
    fn who_tells_first_and_falsely_of_a_node_does_not_hide_it() {
        let (liar, honest) = (node(500).addr, node(600).addr);
        let mut frontier = Frontier::new(TARGET);
        let real = node(7);
        let far = NodeInfo {
            id: node(40_000).id,
            ..real
        };
        frontier.told(far, liar, 1);
        frontier.told(real, honest, 1);
        assert_eq!(frontier.next().unwrap().id, Some(real.id));
        assert_eq!(frontier.next(), None);

        let real = NodeInfo {
            id: node(3).id,
            addr: SocketAddr::from(([9, 9, 9, 9], 6881)),
        };
        let other_port = NodeInfo {
            addr: SocketAddr::from(([9, 9, 9, 9], 1)),
            ..real
        };
        frontier.told(other_port, liar, 1);
        frontier.told(real, honest, 1);
        assert_eq!(frontier.next().unwrap().addr, other_port.addr);
        frontier.failed(other_port.addr);
        frontier.told(other_port, liar, 1);
        assert_eq!(frontier.next(), None);
        frontier.told(real, honest, 1);
        assert_eq!(frontier.next().unwrap().addr, real.addr);
    }

    #[test]
    fn one_network_has_two_candidates_and_one_host_one() {
        let mut frontier = Frontier::new(TARGET);
        for (last, port) in [(1, 1), (1, 2), (2, 1), (3, 1), (4, 1)] {
            frontier.start_at(
                SocketAddr::from(([9, 9, 9, last], port)),
                Some(node(last.into()).id),
            );
        }
        assert_eq!(ask_all(&mut frontier).len(), 2);
    }

    #[test]
    fn those_with_an_id_of_their_address_are_preferred_to_those_that_chose_it() {
        use rand::SeedableRng;
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let mut frontier = Frontier::new(TARGET);
        let chosen: Vec<_> = (1..=8)
            .map(|n| NodeInfo {
                id: node(n.into()).id,
                addr: SocketAddr::from(([20, n, 1, 1], 1)),
            })
            .collect();
        let honest: Vec<_> = (1..=8_u8)
            .map(|n| {
                let addr = SocketAddr::from(([21, n, 1, 1], 1));
                NodeInfo {
                    id: NodeId::random_for(addr.ip(), &mut rng),
                    addr,
                }
            })
            .collect();
        for node in chosen.iter().chain(&honest) {
            frontier.start_at(node.addr, Some(node.id));
        }
        while let Some(next) = frontier.next() {
            frontier.answered(next.addr, next.id.unwrap(), None);
        }
        let found = frontier.closest();
        assert!(found.iter().all(|found| honest.contains(&found.node)));
        assert_eq!(found.len(), 8);
    }
}
