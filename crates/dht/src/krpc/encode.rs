//! From a [`Message`] to a datagram.

use rarest_bencode::{DictWriter, encode_dict};

use super::compact;
use super::{
    AnnouncedPort, Body, Message, Method, PeerKind, PeersWanted, PutItem, Query, Response, Scrape,
    Service, Want,
};

/// A dictionary into which `fill` writes every key once.
pub(crate) fn dictionary(fill: impl FnOnce(&mut DictWriter<'_>)) -> Vec<u8> {
    encode_dict(fill).expect("every key is written once")
}

impl Message {
    /// The datagram. Nothing is cut: whoever fills a message minds [`MAX_DATAGRAM_LENGTH`](super::MAX_DATAGRAM_LENGTH).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        dictionary(|root| self.fill(root))
    }

    fn fill(&self, root: &mut DictWriter<'_>) {
        root.bytes("t", self.transaction.as_bytes());
        if let Some(version) = self.version {
            root.bytes("v", version);
        }
        if let Some(addr) = self.seen_as {
            let mut compact = Vec::with_capacity(18);
            compact::push_address(addr, &mut compact);
            root.bytes("ip", compact);
        }
        match &self.body {
            Body::Query(query) => {
                root.bytes("y", "q").bytes("q", query.method.name());
                if query.service == Service::ReadOnly {
                    root.int("ro", 1);
                }
                root.dict("a", |arguments| fill_query(query, arguments));
            }
            Body::Response(response) => {
                root.bytes("y", "r");
                root.dict("r", |r| fill_response(response, r));
            }
            Body::Error(error) => {
                root.bytes("y", "e");
                root.list("e", |list| {
                    list.int(error.code.0).bytes(&error.text);
                });
            }
        }
    }
}

impl Method {
    /// As it stands in a query.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Ping => b"ping",
            Self::FindNode { .. } => b"find_node",
            Self::GetPeers { .. } => b"get_peers",
            Self::AnnouncePeer { .. } => b"announce_peer",
            Self::Get { .. } => b"get",
            Self::Put { .. } => b"put",
            Self::SampleInfohashes { .. } => b"sample_infohashes",
            Self::Unknown { name } => name,
        }
    }
}

fn fill_query(query: &Query, arguments: &mut DictWriter<'_>) {
    arguments.bytes("id", query.id.0);
    let families: &[&str] = match query.want {
        Want::Unsaid => &[],
        Want::V4 => &["n4"],
        Want::V6 => &["n6"],
        Want::Both => &["n4", "n6"],
    };
    if !families.is_empty() {
        arguments.list("want", |list| {
            for family in families {
                list.bytes(family);
            }
        });
    }
    match &query.method {
        Method::Ping | Method::Unknown { .. } => {}
        Method::FindNode { target } | Method::SampleInfohashes { target } => {
            arguments.bytes("target", target.0);
        }
        Method::GetPeers {
            info_hash,
            peers,
            scrape,
        } => {
            arguments.bytes("info_hash", info_hash.0);
            if *peers == PeersWanted::NoSeeds {
                arguments.int("noseed", 1);
            }
            if *scrape == Scrape::Yes {
                arguments.int("scrape", 1);
            }
        }
        Method::AnnouncePeer {
            info_hash,
            port,
            kind,
            token,
        } => {
            arguments
                .bytes("info_hash", info_hash.0)
                .bytes("token", token);
            match port {
                // Who does not know `implied_port` reads this; it must be there, and says nothing.
                AnnouncedPort::Implied => arguments.int("implied_port", 1).int("port", 1),
                AnnouncedPort::Explicit(port) => arguments.int("port", *port),
            };
            if *kind == PeerKind::Seed {
                arguments.int("seed", 1);
            }
        }
        Method::Get { target, newer_than } => {
            arguments.bytes("target", target.0);
            if let Some(seq) = newer_than {
                arguments.int("seq", *seq);
            }
        }
        Method::Put { item, token } => {
            arguments.bytes("token", token);
            fill_put(item, arguments);
        }
    }
}

fn fill_put(item: &PutItem, arguments: &mut DictWriter<'_>) {
    match item {
        PutItem::Immutable(value) => {
            arguments.raw("v", value.as_raw());
        }
        PutItem::Mutable {
            value,
            key,
            salt,
            seq,
            signature,
            cas,
        } => {
            arguments.raw("v", value.as_raw());
            arguments.bytes("k", key.0).int("seq", *seq);
            arguments.bytes("sig", signature.0);
            if !salt.as_bytes().is_empty() {
                arguments.bytes("salt", salt.as_bytes());
            }
            if let Some(cas) = cas {
                arguments.int("cas", *cas);
            }
        }
    }
}

fn fill_response(response: &Response, r: &mut DictWriter<'_>) {
    r.bytes("id", response.id.0);
    if !response.nodes.is_empty() {
        r.bytes("nodes", compact::encode_nodes(&response.nodes));
    }
    if !response.nodes6.is_empty() {
        r.bytes("nodes6", compact::encode_nodes(&response.nodes6));
    }
    if let Some(token) = &response.token {
        r.bytes("token", token);
    }
    if !response.peers.is_empty() {
        r.list("values", |list| {
            for peer in &response.peers {
                let mut compact = Vec::with_capacity(18);
                compact::push_address(*peer, &mut compact);
                list.bytes(compact);
            }
        });
    }
    if let Some(counts) = &response.counts {
        r.bytes("BFsd", counts.seeds.0);
        r.bytes("BFpe", counts.downloaders.0);
    }
    if let Some(item) = &response.item {
        r.raw("v", item.value.as_raw());
        if let Some((key, signature)) = item.signed {
            r.bytes("k", key.0).bytes("sig", signature.0);
        }
    }
    if let Some(seq) = response.seq {
        r.int("seq", seq);
    }
    if let Some(samples) = &response.samples {
        let hashes: Vec<u8> = samples.info_hashes.iter().flat_map(|hash| hash.0).collect();
        r.bytes("samples", hashes);
        r.int("num", samples.stored);
        r.int("interval", samples.interval_secs);
    }
}
