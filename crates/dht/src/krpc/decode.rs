//! From a datagram to a [`Message`].

use bytes::Bytes;
use rarest_bencode::{Document, Options, ValueRef};
use rarest_metainfo::InfoHash;

use super::compact::{self, NODE_V4_LENGTH, NODE_V6_LENGTH};
use super::{
    AnnouncedPort, Body, ErrorCode, ErrorReply, GotItem, MAX_DATAGRAM_LENGTH,
    MAX_ERROR_TEXT_LENGTH, MAX_ITEM_DATAGRAM_LENGTH, MAX_RECEIVED_LENGTH, MAX_TOKEN_LENGTH,
    Message, Method, PeerCounts, PeerKind, PeersWanted, PutItem, Query, Response, Samples, Scrape,
    Service, Transaction, Want,
};
use crate::bloom::BloomFilter;
use crate::item::{PublicKey, Salt, Signature, Value, ValueError};
use crate::node_id::NodeId;

/// How deep a message may nest. The values of BEP 44 are the only part that has a depth of its own.
const MAX_DEPTH: u16 = 32;

/// Why a datagram is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is too long.
    #[error("the datagram has {length} bytes, more than the limit of {limit}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It is not bencoded, or says the same thing twice.
    #[error("the datagram is not one bencoded dictionary: {0}")]
    Bencode(#[from] rarest_bencode::DecodeError),
    /// It is no message, or not one that could be answered.
    #[error("the message lacks a proper `{0}`")]
    Field(&'static str),
    /// It is a query that can be answered with an error.
    #[error("the query is malformed: {}", reply.text)]
    Query {
        /// The query's transaction.
        transaction: Transaction,
        /// What to answer.
        reply: ErrorReply,
    },
}

impl Message {
    /// Reads a datagram.
    ///
    /// Keys may stand in any order, unknown ones are ignored, and so is the rest of a list of nodes behind the last whole one.
    ///
    /// # Errors
    /// [`DecodeError`]; its variant `Query` says what to answer.
    pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        check_length(datagram, MAX_RECEIVED_LENGTH)?;
        let options = Options::lenient().max_depth(MAX_DEPTH);
        let document = Document::parse_with(datagram, &options)?;
        let root = document.root();
        let transaction = bytes(root, "t")
            .and_then(|id| Transaction::new(Bytes::copy_from_slice(id)))
            .ok_or(DecodeError::Field("t"))?;
        let body = match bytes(root, "y") {
            Some(b"q") => Body::Query(query(root, &transaction)?),
            Some(b"r") => Body::Response(response(root)?),
            Some(b"e") => Body::Error(error(root)?),
            _ => return Err(DecodeError::Field("y")),
        };
        check_length(datagram, longest(&body))?;
        Ok(Self {
            transaction,
            version: array(root, "v"),
            seen_as: bytes(root, "ip").and_then(compact::address),
            body,
        })
    }
}

fn check_length(datagram: &[u8], limit: usize) -> Result<(), DecodeError> {
    let length = datagram.len();
    if length > limit {
        return Err(DecodeError::TooLong { length, limit });
    }
    Ok(())
}

/// A query costs its sender nothing, and may be long only where it has to be; an answer was asked for.
fn longest(body: &Body) -> usize {
    match body {
        Body::Query(query) if matches!(query.method, Method::Put { .. }) => {
            MAX_ITEM_DATAGRAM_LENGTH
        }
        Body::Query(_) | Body::Error(_) => MAX_DATAGRAM_LENGTH,
        Body::Response(_) => MAX_RECEIVED_LENGTH,
    }
}

fn bytes<'input>(dict: ValueRef<'_, 'input>, key: &str) -> Option<&'input [u8]> {
    dict.get(key)?.as_bytes()
}

fn array<const N: usize>(dict: ValueRef<'_, '_>, key: &str) -> Option<[u8; N]> {
    bytes(dict, key)?.try_into().ok()
}

fn int(dict: ValueRef<'_, '_>, key: &str) -> Option<i64> {
    dict.get(key)?.as_i64()
}

fn is_set(dict: ValueRef<'_, '_>, key: &str) -> bool {
    int(dict, key).is_some_and(|value| value != 0)
}

fn query(root: ValueRef<'_, '_>, transaction: &Transaction) -> Result<Query, DecodeError> {
    let name = bytes(root, "q").ok_or(DecodeError::Field("q"))?;
    let arguments = root.get("a").filter(|a| a.as_dict().is_some());
    let arguments = arguments.ok_or(DecodeError::Field("a"))?;
    let refused = |reply| DecodeError::Query {
        transaction: transaction.clone(),
        reply,
    };
    let id = array(arguments, "id").ok_or_else(|| refused(lacks("id")))?;
    Ok(Query {
        id: NodeId(id),
        service: if is_set(root, "ro") {
            Service::ReadOnly
        } else {
            Service::Full
        },
        want: want(arguments),
        method: method(name, arguments).map_err(refused)?,
    })
}

fn lacks(key: &str) -> ErrorReply {
    ErrorCode::PROTOCOL.because(&format!("no proper {key}"))
}

fn want(arguments: ValueRef<'_, '_>) -> Want {
    let Some(list) = arguments.get("want").and_then(ValueRef::as_list) else {
        return Want::Unsaid;
    };
    let has = |family: &[u8]| list.iter().any(|entry| entry.as_bytes() == Some(family));
    match (has(b"n4"), has(b"n6")) {
        (true, true) => Want::Both,
        (true, false) => Want::V4,
        (false, true) => Want::V6,
        (false, false) => Want::Unsaid,
    }
}

fn method(name: &[u8], arguments: ValueRef<'_, '_>) -> Result<Method, ErrorReply> {
    let id = |key| array(arguments, key).map(NodeId).ok_or_else(|| lacks(key));
    let token = || match bytes(arguments, "token") {
        Some(token) if token.len() <= MAX_TOKEN_LENGTH => Ok(Bytes::copy_from_slice(token)),
        _ => Err(lacks("token")),
    };
    Ok(match name {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode {
            target: id("target")?,
        },
        b"get_peers" => Method::GetPeers {
            info_hash: id("info_hash")?.into(),
            peers: if is_set(arguments, "noseed") {
                PeersWanted::NoSeeds
            } else {
                PeersWanted::All
            },
            scrape: if is_set(arguments, "scrape") {
                Scrape::Yes
            } else {
                Scrape::No
            },
        },
        b"announce_peer" => Method::AnnouncePeer {
            info_hash: id("info_hash")?.into(),
            port: announced_port(arguments)?,
            kind: if is_set(arguments, "seed") {
                PeerKind::Seed
            } else {
                PeerKind::Downloader
            },
            token: token()?,
        },
        b"get" => Method::Get {
            target: id("target")?,
            newer_than: int(arguments, "seq"),
        },
        b"put" => Method::Put {
            item: put_item(arguments)?,
            token: token()?,
        },
        b"sample_infohashes" => Method::SampleInfohashes {
            target: id("target")?,
        },
        unknown => Method::Unknown {
            name: Bytes::copy_from_slice(unknown),
        },
    })
}

fn announced_port(arguments: ValueRef<'_, '_>) -> Result<AnnouncedPort, ErrorReply> {
    if is_set(arguments, "implied_port") {
        return Ok(AnnouncedPort::Implied);
    }
    let port = int(arguments, "port").and_then(|port| u16::try_from(port).ok());
    match port {
        Some(port) if port != 0 => Ok(AnnouncedPort::Explicit(port)),
        _ => Err(lacks("port")),
    }
}

fn put_item(arguments: ValueRef<'_, '_>) -> Result<PutItem, ErrorReply> {
    let value = arguments.get("v").ok_or_else(|| lacks("v"))?;
    let value = Value::from_encoded(value.raw()).map_err(|error| match error {
        ValueError::TooLong { .. } => ErrorCode::VALUE_TOO_LONG.because("v is too long"),
        ValueError::NotCanonical(_) => ErrorCode::PROTOCOL.because("v is not canonical"),
    })?;
    if arguments.get("k").is_none() {
        return Ok(PutItem::Immutable(value));
    }
    let salt = bytes(arguments, "salt").unwrap_or_default();
    Ok(PutItem::Mutable {
        value,
        key: PublicKey(array(arguments, "k").ok_or_else(|| lacks("k"))?),
        salt: Salt::new(salt).map_err(|_| ErrorCode::SALT_TOO_LONG.because("salt is too long"))?,
        seq: seq(arguments, "seq").ok_or_else(|| lacks("seq"))?,
        signature: Signature(array(arguments, "sig").ok_or_else(|| lacks("sig"))?),
        cas: match arguments.get("cas") {
            Some(cas) => Some(cas.as_i64().ok_or_else(|| lacks("cas"))?),
            None => None,
        },
    })
}

/// BEP 44 does not say whether a sequence number may be negative; others refuse it, so that nobody could read such an item everywhere.
fn seq(dict: ValueRef<'_, '_>, key: &str) -> Option<i64> {
    int(dict, key).filter(|seq| *seq >= 0)
}

fn response(root: ValueRef<'_, '_>) -> Result<Response, DecodeError> {
    let r = root.get("r").ok_or(DecodeError::Field("r"))?;
    let id = array(r, "id").ok_or(DecodeError::Field("id"))?;
    let peers = r.get("values").and_then(ValueRef::as_list);
    let peers = peers.map(|list| {
        let addresses = list.iter().filter_map(ValueRef::as_bytes);
        addresses.filter_map(compact::address).collect()
    });
    let token = bytes(r, "token").filter(|token| token.len() <= MAX_TOKEN_LENGTH);
    Ok(Response {
        id: NodeId(id),
        nodes: compact::nodes::<NODE_V4_LENGTH>(bytes(r, "nodes").unwrap_or_default()),
        nodes6: compact::nodes::<NODE_V6_LENGTH>(bytes(r, "nodes6").unwrap_or_default()),
        token: token.map(Bytes::copy_from_slice),
        peers: peers.unwrap_or_default(),
        counts: peer_counts(r).map(Box::new),
        item: got_item(r).map(Box::new),
        seq: seq(r, "seq"),
        samples: samples(r),
    })
}

fn peer_counts(r: ValueRef<'_, '_>) -> Option<PeerCounts> {
    Some(PeerCounts {
        seeds: BloomFilter(array(r, "BFsd")?),
        downloaders: BloomFilter(array(r, "BFpe")?),
    })
}

fn got_item(r: ValueRef<'_, '_>) -> Option<GotItem> {
    let value = Value::from_encoded(r.get("v")?.raw()).ok()?;
    let key = array(r, "k").map(PublicKey);
    let signature = array(r, "sig").map(Signature);
    Some(GotItem {
        value,
        signed: key.zip(signature),
    })
}

fn samples(r: ValueRef<'_, '_>) -> Option<Samples> {
    let (info_hashes, _) = bytes(r, "samples")?.as_chunks::<20>();
    let number = |key| r.get(key).and_then(ValueRef::as_u64);
    Some(Samples {
        info_hashes: info_hashes.iter().map(|hash| InfoHash(*hash)).collect(),
        stored: number("num").unwrap_or(0),
        interval_secs: number("interval").unwrap_or(0),
    })
}

/// An error's list may be empty or hold anything: that the query failed is said all the same.
fn error(root: ValueRef<'_, '_>) -> Result<ErrorReply, DecodeError> {
    let list = root.get("e").and_then(ValueRef::as_list);
    let mut entries = list.ok_or(DecodeError::Field("e"))?.iter();
    let code = entries.next().and_then(ValueRef::as_i64);
    let text = entries.next().and_then(ValueRef::as_bytes);
    let text = text.unwrap_or_default();
    let text = &text[..text.len().min(MAX_ERROR_TEXT_LENGTH)];
    Ok(ErrorReply {
        code: code.map_or(ErrorCode::GENERIC, ErrorCode),
        text: String::from_utf8_lossy(text).into_owned(),
    })
}
