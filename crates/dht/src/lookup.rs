//! A lookup: from the nodes we know, step by step, to those closest to a target.

mod frontier;

use std::net::SocketAddr;

use bytes::Bytes;

use crate::address::Family;
use crate::krpc::{NodeInfo, Response};
use crate::node_id::NodeId;
use frontier::Frontier;

pub use frontier::{
    CONCURRENCY, MAX_CANDIDATES, MAX_FALSE_TIPS, MAX_QUERIES_PER_LOOKUP, MAX_TIPS_PER_ANSWER,
};

/// Names a lookup of a node. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub(crate) u64);

/// What a lookup took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookupSummary {
    /// How many nodes one behind the other led to the closest ones that were found.
    pub steps: u32,
    /// How many nodes one behind the other led to the first that had what was looked for.
    pub steps_to_find: Option<u32>,
    /// Nodes that were asked.
    pub queries: u32,
    /// Those that answered.
    pub answers: u32,
    /// Closest nodes that took what was to be stored.
    pub stored: u32,
}

/// A node to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) addr: SocketAddr,
    /// Its id, if somebody told.
    pub(crate) id: Option<NodeId>,
}

/// A node that answered, and where something may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) node: NodeInfo,
    pub(crate) token: Option<Bytes>,
}

/// The state of a lookup: one frontier a family, because the closest nodes of each are wanted (BEP 32).
#[derive(Debug)]
pub(crate) struct Lookup {
    v4: Option<Frontier>,
    v6: Option<Frontier>,
    summary: LookupSummary,
}

impl Lookup {
    /// A lookup in the families that are `reachable`, which knows no node yet.
    pub(crate) fn new(target: NodeId, reachable: impl Fn(Family) -> bool) -> Self {
        let frontier = |family| reachable(family).then(|| Frontier::new(target));
        Self {
            v4: frontier(Family::V4),
            v6: frontier(Family::V6),
            summary: LookupSummary::default(),
        }
    }

    /// Adds a node to begin with.
    pub(crate) fn start_at(&mut self, addr: SocketAddr, id: Option<NodeId>) {
        if let Some(frontier) = self.frontier_mut(addr) {
            frontier.start_at(addr, id);
        }
    }

    /// The next node to ask; it counts as asked.
    pub(crate) fn next(&mut self) -> Option<Candidate> {
        let mut frontiers = self.v4.iter_mut().chain(&mut self.v6);
        let next = frontiers.find_map(Frontier::next)?;
        self.summary.queries += 1;
        Some(next)
    }

    /// A node that was asked answered.
    pub(crate) fn answered(&mut self, from: SocketAddr, response: &Response) {
        let Some(frontier) = self.frontier_mut(from) else {
            return;
        };
        let Some(step) = frontier.answered(from, response.id, response.token.clone()) else {
            return;
        };
        self.summary.answers += 1;
        for nodes in [&response.nodes, &response.nodes6] {
            for tip in nodes.iter().take(MAX_TIPS_PER_ANSWER) {
                if let Some(frontier) = self.frontier_mut(tip.addr) {
                    frontier.told(*tip, from, step);
                }
            }
        }
    }

    /// A node that answered had what is looked for.
    pub(crate) fn found_at(&mut self, from: SocketAddr) {
        let step = self.frontier_mut(from).and_then(|f| f.step_of(from));
        let earliest = self.summary.steps_to_find;
        self.summary.steps_to_find = earliest.into_iter().chain(step).min();
    }

    /// A node takes its time: another may be asked meanwhile.
    pub(crate) fn is_slow(&mut self, addr: SocketAddr) {
        if let Some(frontier) = self.frontier_mut(addr) {
            frontier.is_slow(addr);
        }
    }

    /// A node is there, but does not do what was asked.
    pub(crate) fn refused(&mut self, addr: SocketAddr) {
        if let Some(frontier) = self.frontier_mut(addr) {
            frontier.refused(addr);
        }
    }

    /// A node did not answer.
    pub(crate) fn failed(&mut self, addr: SocketAddr) {
        if let Some(frontier) = self.frontier_mut(addr) {
            frontier.failed(addr);
        }
    }

    /// Whether the closest nodes have answered, or there is nobody left to ask.
    pub(crate) fn is_done(&self) -> bool {
        let mut frontiers = self.v4.iter().chain(&self.v6);
        frontiers.all(Frontier::is_done)
    }

    /// Whether any node answered.
    pub(crate) fn has_answers(&self) -> bool {
        self.summary.answers > 0
    }

    /// The closest nodes of each family that answered; those with an id of their address first.
    pub(crate) fn closest(&self) -> Vec<Found> {
        let frontiers = self.v4.iter().chain(&self.v6);
        frontiers.flat_map(Frontier::closest).collect()
    }

    pub(crate) fn summary(&self) -> LookupSummary {
        let frontiers = self.v4.iter().chain(&self.v6);
        LookupSummary {
            steps: frontiers.map(Frontier::steps).max().unwrap_or(0),
            ..self.summary
        }
    }

    fn frontier_mut(&mut self, addr: SocketAddr) -> Option<&mut Frontier> {
        match Family::of(addr.ip()) {
            Family::V4 => self.v4.as_mut(),
            Family::V6 => self.v6.as_mut(),
        }
    }
}
