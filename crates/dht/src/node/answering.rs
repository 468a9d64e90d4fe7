//! Queries of others.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rarest_metainfo::InfoHash;

use super::Node;
use crate::address::Family;
use crate::item::Item;
use crate::krpc::{
    AnnouncedPort, Body, ErrorCode, ErrorReply, GotItem, MAX_DATAGRAM_LENGTH, Message, Method,
    NodeInfo, PutItem, Query, Response, Samples, Scrape, Service, Transaction, Want,
};
use crate::node_id::NodeId;
use crate::table::BUCKET_SIZE;

/// Most peers of one answer: with the nodes beside them, IPv4 peers take half of a datagram.
const MAX_PEERS_V4: usize = 50;

/// As [`MAX_PEERS_V4`]; IPv6 peers are longer.
const MAX_PEERS_V6: usize = 20;

/// How many peers are told beside bloom filters, which take half of a datagram themselves.
const MAX_PEERS_BESIDE_COUNTS: usize = 5;

/// How many info-hashes a sample has: with nodes of one family beside them, they fit into a datagram.
const SAMPLE_LENGTH: usize = 20;

/// How long a sample stays the same, so that who asks more often learns no more (BEP 51).
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// The sample that is told at present.
#[derive(Debug, Default)]
pub(super) struct SampleCache {
    drawn_at: Option<Instant>,
    info_hashes: Vec<InfoHash>,
}

impl Node {
    /// Answers a query, and looks at who asked.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        transaction: Transaction,
        query: Query,
    ) {
        if self.config.service == Service::ReadOnly {
            return;
        }
        let Some(own) = self.id_towards(from) else {
            return;
        };
        let node = NodeInfo {
            id: query.id,
            addr: from,
        };
        match self.respond(now, from, own, query.want, query.method) {
            Ok(response) => self.reply(now, from, transaction, Body::Response(response)),
            Err(error) => self.refuse(now, from, transaction, error),
        }
        // Who asks may be a node to remember. Only an answer of its own proves it: the sender of a query may be forged.
        if query.service == Service::Full {
            self.consider(now, node);
        }
    }

    /// Answers with an error.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        to: SocketAddr,
        transaction: Transaction,
        error: ErrorReply,
    ) {
        if self.config.service == Service::Full {
            self.reply(now, to, transaction, Body::Error(error));
        }
    }

    fn reply(&mut self, now: Instant, to: SocketAddr, transaction: Transaction, body: Body) {
        let message = Message {
            transaction,
            version: self.config.version,
            seen_as: Some(to),
            body,
        };
        let datagram = message.encode();
        // Over the rate, answers are the first that can be spared: who asked has others to ask.
        if self.outgoing.take_spare(now, datagram.len()) {
            self.send(to, datagram);
        }
    }

    fn respond(
        &mut self,
        now: Instant,
        from: SocketAddr,
        own: NodeId,
        want: Want,
        method: Method,
    ) -> Result<Response, ErrorReply> {
        let mut response = Response::new(own);
        let check = |tokens: &crate::tokens::Tokens, token: &[u8]| {
            if tokens.is_valid(now, from.ip(), token) {
                return Ok(());
            }
            Err(ErrorCode::PROTOCOL.because("bad token"))
        };
        match method {
            Method::Ping => {}
            Method::FindNode { target } => self.add_nodes(&mut response, from, want, target),
            Method::GetPeers {
                info_hash,
                peers,
                scrape,
            } => {
                let family = Family::of(from.ip());
                response.token = Some(self.tokens.issue(now, from.ip()));
                if scrape == Scrape::Yes {
                    response.counts = self.peers.counts(now, info_hash).map(Box::new);
                }
                let count = match (&response.counts, family) {
                    (Some(_), _) => MAX_PEERS_BESIDE_COUNTS,
                    (None, Family::V4) => MAX_PEERS_V4,
                    (None, Family::V6) => MAX_PEERS_V6,
                };
                let rng = &mut self.rng;
                response.peers = self
                    .peers
                    .some_peers(now, info_hash, family, peers, count, rng);
                self.add_nodes(&mut response, from, want, info_hash.into());
            }
            Method::AnnouncePeer {
                info_hash,
                port,
                kind,
                token,
            } => {
                check(&self.tokens, &token)?;
                let port = match port {
                    AnnouncedPort::Implied => from.port(),
                    AnnouncedPort::Explicit(port) => port,
                };
                let peer = SocketAddr::new(from.ip(), port);
                self.peers.announce(now, own, info_hash, peer, kind);
            }
            Method::Get { target, newer_than } => {
                response.token = Some(self.tokens.issue(now, from.ip()));
                if let Some(item) = self.items.get(now, target) {
                    add_item(&mut response, item, newer_than);
                }
                self.add_nodes(&mut response, from, want, target);
            }
            Method::Put { item, token } => {
                check(&self.tokens, &token)?;
                let cas = match &item {
                    PutItem::Mutable { cas, .. } => *cas,
                    PutItem::Immutable(_) => None,
                };
                let item = Item::from_put(item)
                    .map_err(|_| ErrorCode::INVALID_SIGNATURE.because("the signature is wrong"))?;
                self.items.put(now, own, item, cas)?;
            }
            Method::SampleInfohashes { target } => {
                response.samples = Some(self.sample(now));
                self.add_nodes(&mut response, from, want, target);
            }
            Method::Unknown { .. } => {
                return Err(ErrorCode::METHOD_UNKNOWN.because("unknown method"));
            }
        }
        Ok(response)
    }

    /// Adds the nodes closest to `target`, of the families that are wanted, as long as they fit into a datagram.
    fn add_nodes(&mut self, response: &mut Response, from: SocketAddr, want: Want, target: NodeId) {
        let closest = |family| {
            let presence = self.presence(family);
            presence.map_or_else(Vec::new, |p| p.table.closest(target, BUCKET_SIZE))
        };
        let own_family = Family::of(from.ip());
        let wants = |family| match want {
            Want::Unsaid => family == own_family,
            Want::V4 => family == Family::V4,
            Want::V6 => family == Family::V6,
            Want::Both => true,
        };
        if wants(Family::V4) {
            response.nodes = closest(Family::V4);
        }
        if wants(Family::V6) {
            response.nodes6 = closest(Family::V6);
        }
        // What was asked for goes before nodes, and nodes of the family that was used before those of the other.
        while !fits(response) {
            let (first, second) = match own_family {
                Family::V4 => (&mut response.nodes6, &mut response.nodes),
                Family::V6 => (&mut response.nodes, &mut response.nodes6),
            };
            if first.pop().or_else(|| second.pop()).is_none() {
                break;
            }
        }
    }

    fn sample(&mut self, now: Instant) -> Samples {
        let fresh = self.samples.drawn_at.is_some_and(|drawn_at| {
            now.saturating_duration_since(drawn_at) < SAMPLE_INTERVAL
                && self.samples.info_hashes.len() == SAMPLE_LENGTH
        });
        if !fresh {
            self.samples = SampleCache {
                drawn_at: Some(now),
                info_hashes: self.peers.sample(SAMPLE_LENGTH, &mut self.rng),
            };
        }
        Samples {
            info_hashes: self.samples.info_hashes.clone(),
            stored: self.peers.len() as u64,
            interval_secs: SAMPLE_INTERVAL.as_secs(),
        }
    }
}

fn add_item(response: &mut Response, item: &Item, newer_than: Option<i64>) {
    let (seq, signed) = match item {
        Item::Immutable(_) => (None, None),
        Item::Mutable(item) => (Some(item.seq()), Some((item.key(), item.signature()))),
    };
    response.seq = seq;
    // Who has it already is told only that there is nothing newer.
    if newer_than >= seq && seq.is_some() {
        return;
    }
    response.item = Some(Box::new(GotItem {
        value: item.value().clone(),
        signed,
    }));
}

/// Whether a response fits into a datagram; estimated from above, as encoding it to find out would cost more than the answer.
fn fits(response: &Response) -> bool {
    // Id, token, transaction, version, our view of the sender, and the keys around them.
    let mut length = 200;
    let per_peer = |peer: &SocketAddr| if peer.is_ipv4() { 8 } else { 21 };
    length += response.nodes.len() * 26 + response.nodes6.len() * 38;
    length += response.peers.iter().map(per_peer).sum::<usize>();
    length += response.counts.as_ref().map_or(0, |_| 530);
    length += response
        .samples
        .as_ref()
        .map_or(0, |s| 60 + s.info_hashes.len() * 20);
    length += response
        .item
        .as_ref()
        .map_or(0, |item| 150 + item.value.encoded().len());
    length <= MAX_DATAGRAM_LENGTH
}
