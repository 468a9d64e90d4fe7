//! KRPC: queries, responses and errors, one bencoded dictionary a datagram.

pub(crate) mod compact;
mod decode;
mod encode;

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use rarest_metainfo::InfoHash;

use crate::bloom::BloomFilter;
use crate::item::{PublicKey, Salt, Signature, Value};
use crate::node_id::NodeId;

pub use decode::DecodeError;
pub(crate) use encode::dictionary;

/// Longest datagram of ours that carries no item, and longest query of others but `put`, in bytes.
///
/// It passes any network in one packet, so that a lost fragment does not lose the whole; and a query with a forged sender makes us send
/// a stranger no more than this.
pub const MAX_DATAGRAM_LENGTH: usize = 1024;

/// Longest datagram of ours that carries an item of BEP 44, and longest `put` of others, in bytes: a value of 1000 bytes, key, signature, salt and token do not fit into
/// [`MAX_DATAGRAM_LENGTH`]. It fits into one packet of an Ethernet.
pub const MAX_ITEM_DATAGRAM_LENGTH: usize = 1400;

/// Longest datagram that is read, in bytes.
///
/// Others write longer answers than we do: libtorrent's with a hundred peers, and nodes of both families beside them, take 1,400 bytes.
pub const MAX_RECEIVED_LENGTH: usize = 2048;

/// Longest transaction id that is echoed, in bytes. Nodes use two to eight; what is longer only makes our answers long.
pub const MAX_TRANSACTION_LENGTH: usize = 32;

/// Longest write token of another node that is kept, in bytes. Nodes use 4 to 20.
pub const MAX_TOKEN_LENGTH: usize = 64;

/// Longest text of an error that is read, in bytes; the rest is cut off.
pub const MAX_ERROR_TEXT_LENGTH: usize = 128;

/// A transaction id: chosen by who asks, repeated in the answer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Transaction(Bytes);

impl Transaction {
    /// From the bytes as they stand; `None` if there are more than [`MAX_TRANSACTION_LENGTH`].
    pub fn new(id: impl Into<Bytes>) -> Option<Self> {
        let id = id.into();
        (id.len() <= MAX_TRANSACTION_LENGTH).then_some(Self(id))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 4]> for Transaction {
    fn from(id: [u8; 4]) -> Self {
        Self(Bytes::copy_from_slice(&id))
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One datagram.
///
/// Source: [BEP 5](https://www.bittorrent.org/beps/bep_0005.html), "KRPC Protocol".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Matches an answer to its query.
    pub transaction: Transaction,
    /// The sender's software, as it names itself.
    pub version: Option<[u8; 4]>,
    /// The address the receiver is seen at by the sender (BEP 42); only in answers.
    pub seen_as: Option<SocketAddr>,
    /// What is said.
    pub body: Body,
}

/// What a [`Message`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A question.
    Query(Query),
    /// The answer to a query.
    Response(Response),
    /// The refusal of a query.
    Error(ErrorReply),
}

/// Whether a node answers queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// It does.
    #[default]
    Full,
    /// It does not, and must not enter routing tables (BEP 43).
    ReadOnly,
}

/// Which families of nodes the sender of a query wants to hear of (BEP 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Not said: the family of the datagram.
    Unsaid,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The id of who asks.
    pub id: NodeId,
    /// Whether who asks may be asked.
    pub service: Service,
    /// What kind of nodes is wanted.
    pub want: Want,
    /// What is asked.
    pub method: Method,
}

/// What a [`Query`] asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Is there anybody?
    Ping,
    /// Which nodes are close to this id?
    FindNode {
        /// The id.
        target: NodeId,
    },
    /// Which peers are in this swarm, and which nodes are close to it?
    GetPeers {
        /// The swarm.
        info_hash: InfoHash,
        /// Which peers are of interest (BEP 33).
        peers: PeersWanted,
        /// Whether bloom filters of all peers are wanted (BEP 33).
        scrape: Scrape,
    },
    /// The sender is in this swarm.
    AnnouncePeer {
        /// The swarm.
        info_hash: InfoHash,
        /// Where it listens.
        port: AnnouncedPort,
        /// Whether it has all pieces (BEP 33).
        kind: PeerKind,
        /// From the answer to `get_peers`.
        token: Bytes,
    },
    /// What is stored under this target (BEP 44)?
    Get {
        /// Hash of the value, or of public key and salt.
        target: NodeId,
        /// Only a mutable item with a higher sequence number is wanted.
        newer_than: Option<i64>,
    },
    /// Please store this (BEP 44).
    Put {
        /// What to store.
        item: PutItem,
        /// From the answer to `get`.
        token: Bytes,
    },
    /// Some info-hashes that you store, and nodes close to this id (BEP 51)?
    SampleInfohashes {
        /// The id.
        target: NodeId,
    },
    /// A method that is not known here.
    Unknown {
        /// Its name.
        name: Bytes,
    },
}

/// Which peers a `get_peers` is after (BEP 33).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeersWanted {
    /// Any.
    #[default]
    All,
    /// Those that lack pieces: who asks has them all.
    NoSeeds,
}

/// Whether a `get_peers` wants to know how many peers there are (BEP 33).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scrape {
    /// It does not.
    #[default]
    No,
    /// It does.
    Yes,
}

/// Whether a peer has all pieces, as it says (BEP 33).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerKind {
    /// It lacks some, or does not say.
    #[default]
    Downloader,
    /// It has all.
    Seed,
}

/// Where an announced peer listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnouncedPort {
    /// At the port the datagram came from (`implied_port`): the one that a NAT shows to the world.
    Implied,
    /// At this port.
    Explicit(u16),
}

/// An item as it stands in a `put`: not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutItem {
    /// Stored under the hash of its value.
    Immutable(Value),
    /// Stored under the hash of key and salt.
    Mutable {
        /// The value.
        value: Value,
        /// Who may change it.
        key: PublicKey,
        /// Tells the items of one key apart.
        salt: Salt,
        /// Higher is newer.
        seq: i64,
        /// Over salt, number and value.
        signature: Signature,
        /// Store it only over the item with this number.
        cas: Option<i64>,
    },
}

/// A node as others tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// Its address.
    pub addr: SocketAddr,
}

/// The answer to a query. What it holds depends on what was asked; nothing but the id is sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The id of who answers.
    pub id: NodeId,
    /// IPv4 nodes that are close to what was asked for.
    pub nodes: Vec<NodeInfo>,
    /// IPv6 nodes that are close to what was asked for.
    pub nodes6: Vec<NodeInfo>,
    /// Lets who asked store something here, for a while.
    pub token: Option<Bytes>,
    /// Peers of the swarm.
    pub peers: Vec<SocketAddr>,
    /// How many peers there are (BEP 33).
    pub counts: Option<Box<PeerCounts>>,
    /// What is stored (BEP 44).
    pub item: Option<Box<GotItem>>,
    /// The sequence number of what is stored, also when it is no newer than asked for (BEP 44).
    pub seq: Option<i64>,
    /// Some of the stored info-hashes (BEP 51).
    pub samples: Option<Samples>,
}

impl Response {
    /// An answer that says nothing but who gives it.
    #[must_use]
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            nodes: Vec::new(),
            nodes6: Vec::new(),
            token: None,
            peers: Vec::new(),
            counts: None,
            item: None,
            seq: None,
            samples: None,
        }
    }
}

/// The peers of a swarm, to be counted (BEP 33).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCounts {
    /// Those with all pieces.
    pub seeds: BloomFilter,
    /// The others.
    pub downloaders: BloomFilter,
}

/// An item as it stands in the answer to a `get`: not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GotItem {
    /// The value.
    pub value: Value,
    /// Who signed it; `None` for an immutable item.
    pub signed: Option<(PublicKey, Signature)>,
}

/// A part of what a node stores (BEP 51).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Some info-hashes.
    pub info_hashes: Vec<InfoHash>,
    /// Of how many.
    pub stored: u64,
    /// When it is worth to ask again, in seconds.
    pub interval_secs: u64,
}

/// The refusal of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// What is wrong.
    pub code: ErrorCode,
    /// The same in words.
    pub text: String,
}

/// What is wrong with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i64);

impl ErrorCode {
    /// Nothing in particular.
    pub const GENERIC: Self = Self(201);
    /// The node cannot.
    pub const SERVER: Self = Self(202);
    /// A malformed query, or a bad token.
    pub const PROTOCOL: Self = Self(203);
    /// The node does not know the method.
    pub const METHOD_UNKNOWN: Self = Self(204);
    /// The value of a `put` is longer than 1000 bytes.
    pub const VALUE_TOO_LONG: Self = Self(205);
    /// The signature of a `put` is wrong.
    pub const INVALID_SIGNATURE: Self = Self(206);
    /// The salt of a `put` is longer than 64 bytes.
    pub const SALT_TOO_LONG: Self = Self(207);
    /// What is stored has another sequence number than `cas`.
    pub const CAS_MISMATCH: Self = Self(301);
    /// What is stored is newer.
    pub const SEQ_TOO_LOW: Self = Self(302);
}

impl ErrorCode {
    /// The refusal with this code.
    #[must_use]
    pub fn because(self, text: &str) -> ErrorReply {
        ErrorReply {
            code: self,
            text: text.to_owned(),
        }
    }
}
