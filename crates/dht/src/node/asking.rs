//! Queries of ours, and what comes back.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::RngExt;

use super::Node;
use crate::address::{Family, may_be_told};
use crate::krpc::{Body, Message, Method, NodeInfo, Query, Response, Transaction, Want};
use crate::lookup::LookupId;

/// After this time a lookup asks somebody else meanwhile. Most answers take a fifth of it.
pub const SLOW_AFTER: Duration = Duration::from_secs(1);

/// After this time a query counts as unanswered.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

type Key = [u8; 4];

/// What a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A step of a lookup.
    Step(LookupId),
    /// Storing what a lookup was for.
    Store(LookupId),
    /// To learn whether the node is there.
    Check,
    /// To learn whether the node is there, and whom it knows.
    Refresh,
}

impl Purpose {
    fn is_check(self) -> bool {
        matches!(self, Self::Check | Self::Refresh)
    }
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    to: SocketAddr,
    purpose: Purpose,
    deadline: Instant,
    fails_at: Instant,
}

/// The queries that were not answered yet.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    pending: HashMap<Key, Pending>,
    deadlines: BTreeSet<(Instant, Key)>,
    /// Who is being checked, so that nobody is twice.
    checked: BTreeSet<SocketAddr>,
}

impl Transactions {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(super) fn checks(&self) -> usize {
        self.checked.len()
    }

    pub(super) fn is_checking(&self, addr: SocketAddr) -> bool {
        self.checked.contains(&addr)
    }

    fn insert(&mut self, key: Key, pending: Pending) {
        if pending.purpose.is_check() {
            self.checked.insert(pending.to);
        }
        self.deadlines.insert((pending.deadline, key));
        self.pending.insert(key, pending);
    }

    fn remove(&mut self, key: Key) -> Option<Pending> {
        let pending = self.pending.remove(&key)?;
        self.deadlines.remove(&(pending.deadline, key));
        if pending.purpose.is_check() {
            self.checked.remove(&pending.to);
        }
        Some(pending)
    }

    /// The query that `transaction` answers, if it comes from whom we asked.
    fn answered(&mut self, transaction: &Transaction, from: SocketAddr) -> Option<Pending> {
        let key = transaction.as_bytes().try_into().ok()?;
        if self.pending.get(&key)?.to != from {
            return None;
        }
        self.remove(key)
    }
}

impl Node {
    /// Sends a query. The rate was looked at before; what goes out is counted here.
    pub(super) fn query(&mut self, now: Instant, to: SocketAddr, method: Method, purpose: Purpose) {
        let Some(id) = self.id_towards(to) else {
            return;
        };
        let key = loop {
            let key: Key = self.rng.random();
            if !self.transactions.pending.contains_key(&key) {
                break key;
            }
        };
        let message = Message {
            transaction: key.into(),
            version: self.config.version,
            seen_as: None,
            body: Body::Query(Query {
                id,
                service: self.config.service,
                want: self.want(&method),
                method,
            }),
        };
        let fails_at = now + QUERY_TIMEOUT;
        let deadline = match purpose {
            Purpose::Step(_) => now + SLOW_AFTER,
            Purpose::Store(_) | Purpose::Check | Purpose::Refresh => fails_at,
        };
        self.transactions.insert(
            key,
            Pending {
                to,
                purpose,
                deadline,
                fails_at,
            },
        );
        if let Some(table) = self.table_of(to) {
            table.asked(now, to);
        }
        let datagram = message.encode();
        self.outgoing.take(now, datagram.len());
        self.send(to, datagram);
    }

    /// A node with both families asks everybody for both, so that each helps to find the other.
    fn want(&self, method: &Method) -> Want {
        let gives_nodes = !matches!(
            method,
            Method::Ping | Method::AnnouncePeer { .. } | Method::Put { .. }
        );
        if gives_nodes && self.v4.is_some() && self.v6.is_some() {
            return Want::Both;
        }
        Want::Unsaid
    }

    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        from: SocketAddr,
        transaction: &Transaction,
        seen_as: Option<SocketAddr>,
        mut response: Response,
    ) {
        let Some(pending) = self.transactions.answered(transaction, from) else {
            return;
        };
        let node = NodeInfo {
            id: response.id,
            addr: from,
        };
        if let Some(table) = self.table_of(from) {
            table.answered(now, node);
        }
        if let Some(seen_as) = seen_as {
            self.vote(now, from, seen_as.ip());
        }
        let teller = from.ip();
        let own = [self.id(Family::V4), self.id(Family::V6)];
        // Those who know us tell us of ourselves.
        let is_of_use =
            |node: &NodeInfo| may_be_told(node.addr, teller) && !own.contains(&Some(node.id));
        response.nodes.retain(is_of_use);
        response.nodes6.retain(is_of_use);
        response.peers.retain(|peer| may_be_told(*peer, teller));
        match pending.purpose {
            Purpose::Step(lookup) => self.step_answered(now, lookup, from, response),
            Purpose::Store(lookup) => self.store_answered(now, lookup),
            Purpose::Check => {}
            // Those who are told of are checked, but whom they tell of is not: one question would lead through the whole network.
            Purpose::Refresh => {
                for node in response.nodes.into_iter().chain(response.nodes6) {
                    self.consider(now, node);
                }
            }
        }
    }

    /// A node refused a query: it is there, but of no use for it.
    pub(super) fn handle_error(
        &mut self,
        now: Instant,
        from: SocketAddr,
        transaction: &Transaction,
    ) {
        let Some(pending) = self.transactions.answered(transaction, from) else {
            return;
        };
        match pending.purpose {
            Purpose::Step(lookup) => self.step_refused(now, lookup, from),
            Purpose::Store(lookup) => self.store_failed(now, lookup),
            Purpose::Check | Purpose::Refresh => {}
        }
    }

    pub(super) fn end_overdue_queries(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.transactions.deadlines.first() {
            if at > now {
                break;
            }
            let Some(mut pending) = self.transactions.remove(key) else {
                break;
            };
            if now < pending.fails_at {
                pending.deadline = pending.fails_at;
                self.transactions.insert(key, pending);
                if let Purpose::Step(lookup) = pending.purpose {
                    self.step_is_slow(now, lookup, pending.to);
                }
                continue;
            }
            if let Some(table) = self.table_of(pending.to) {
                table.failed(pending.to);
            }
            match pending.purpose {
                Purpose::Step(lookup) => self.step_failed(now, lookup, pending.to),
                Purpose::Store(lookup) => self.store_failed(now, lookup),
                Purpose::Check | Purpose::Refresh => {}
            }
        }
    }

    fn vote(&mut self, now: Instant, voter: SocketAddr, seen_as: IpAddr) {
        let family = Family::of(voter.ip());
        let seen_as = seen_as.to_canonical();
        if Family::of(seen_as) != family {
            return;
        }
        let Some(presence) = self.presence_mut(family) else {
            return;
        };
        let Some(ip) = presence.votes.cast(voter, seen_as) else {
            return;
        };
        if !presence.id.is_allowed_for(ip) {
            self.change_id(now, family, ip);
        }
    }
}
