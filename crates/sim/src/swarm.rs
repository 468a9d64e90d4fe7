//! The nodes of a swarm: each is a client with a torrent, connections, a line, a disk and habits.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rarest_metainfo::{Bitfield, PeerId};
use rarest_peer_wire::connection::{Config as ConnectionConfig, Connection};
use rarest_peer_wire::limits::MAX_INCOMING_REQUESTS;
use rarest_peer_wire::mse::Opening;
use rarest_peer_wire::{Extension, Extensions};
use rarest_swarm::{Config, PeerKey, Start, Torrent, UploadSlots};

use crate::disk::{Content, Disk, DiskModel};
use crate::encryption::{Encryption, Layer};
use crate::network::{Link, Stream, Uplink};

/// A node of the world, in the order they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

/// What a node is like.
#[derive(Clone, Debug)]
pub struct NodeModel {
    /// Its line.
    pub link: Link,
    /// Its disk.
    pub disk: DiskModel,
    /// How it treats others.
    pub habit: Habit,
    /// Which extensions it speaks.
    pub dialect: Dialect,
    /// What it thinks of encryption.
    pub encryption: Encryption,
    /// What it has when it joins.
    pub serving: Serving,
    /// What it knows of the torrent when it joins.
    pub knowledge: Knowledge,
    /// Whom it knows of.
    pub introduction: Introduction,
    /// When it joins.
    pub joins_after: Duration,
    /// Requests that it lets a peer leave unanswered.
    pub request_queue: u32,
    /// Most connections.
    pub max_peers: usize,
    /// Peers it serves at a time.
    pub upload_slots: UploadSlots,
}

/// How a node treats others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It answers with what it has.
    Honest,
    /// Some of the blocks it sends are wrong: one in this many.
    LiesOnceIn(u32),
    /// It lets others request and never answers.
    Silent,
    /// It chokes and unchokes its peers at random.
    Fickle,
}

/// Which extensions a node speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// All of them.
    Modern,
    /// It lacks the fast extension (BEP 6) on connections in the clear.
    WithoutFast,
}

/// What a node has when it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Everything.
    Everything,
    /// Nothing.
    Nothing,
    /// Not even the metadata: all it knows is the info-hash, as of a magnet link.
    Link,
}

/// How a node finds its first peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// A tracker tells it of everybody, again and again.
    Tracker,
    /// It knows these, and learns of others by what they tell or who dials it (BEP 11).
    Acquaintances(Vec<NodeId>),
    /// It looks for them in the DHT (BEP 5), which it enters by these nodes. Whoever knows none waits for others to enter by it.
    Dht(Vec<NodeId>),
}

/// What a node knows of the torrent when it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// Everything.
    Everything,
    /// Of a v2 torrent, what a magnet link leads to: all but the piece layers, which peers must give.
    WithoutLayers,
}

impl NodeModel {
    /// A seed on fibre.
    #[must_use]
    pub fn seed() -> Self {
        Self {
            serving: Serving::Everything,
            ..Self::leecher()
        }
    }

    /// A leecher on fibre.
    #[must_use]
    pub fn leecher() -> Self {
        Self {
            link: Link::FIBRE,
            disk: DiskModel::SOUND,
            habit: Habit::Honest,
            dialect: Dialect::Modern,
            encryption: Encryption::Unknown,
            serving: Serving::Nothing,
            knowledge: Knowledge::Everything,
            introduction: Introduction::Tracker,
            joins_after: Duration::ZERO,
            request_queue: MAX_INCOMING_REQUESTS,
            max_peers: 40,
            upload_slots: UploadSlots::Automatic,
        }
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndId {
    pub(crate) wire: usize,
    /// 0 dialled, 1 was dialled.
    pub(crate) side: usize,
}

impl EndId {
    pub(crate) fn other(self) -> Self {
        Self {
            side: 1 - self.side,
            ..self
        }
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) model: NodeModel,
    pub(crate) addr: SocketAddr,
    pub(crate) torrent: Torrent,
    pub(crate) disk: Disk,
    /// Of a node that looks for peers in the DHT.
    pub(crate) dht: Option<DhtNode>,
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) ends: BTreeMap<PeerKey, EndId>,
    /// How others were reached.
    pub(crate) openings: BTreeMap<SocketAddr, Opening>,
    pub(crate) uplink: Uplink,
    /// When what is coming in now has come.
    pub(crate) downlink_free_at: Instant,
    /// The earliest timeout of the torrent that is planned.
    pub(crate) wake_at: Option<Instant>,
    pub(crate) presence: Presence,
    pub(crate) completed_after: Option<Duration>,
}

/// A node of the DHT, at the same address.
#[derive(Debug)]
pub(crate) struct DhtNode {
    pub(crate) node: rarest_dht::Node,
    /// The earliest timeout that is planned.
    pub(crate) wake_at: Option<Instant>,
}

impl DhtNode {
    fn new(addr: SocketAddr, random: [u8; 12], now: Instant) -> Self {
        let config = rarest_dht::Config {
            families: rarest_dht::Families::V4,
            external_ips: vec![addr.ip()],
            ..rarest_dht::Config::default()
        };
        let mut seed = [0; 32];
        seed[..random.len()].copy_from_slice(&random);
        Self {
            node: rarest_dht::Node::new(config, seed, now),
            wake_at: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    NotYet,
    There,
    Gone,
}

/// A connection that one node opens to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) opening: Opening,
    /// How it is done once more if that is not understood.
    pub(crate) second: Option<Opening>,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) node: NodeId,
    pub(crate) remote: SocketAddr,
    pub(crate) connection: Connection,
    pub(crate) layer: Layer,
    /// How it was dialled.
    pub(crate) dial: Dial,
    pub(crate) input: BytesMut,
    pub(crate) key: Option<PeerKey>,
    /// The bytes that this end sends.
    pub(crate) stream: Stream,
    pub(crate) sending: Sending,
    pub(crate) reading: Reading,
    pub(crate) wake_at: Option<Instant>,
    pub(crate) state: State,
}

/// Whether this end has closed the connection; the other may not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    HungUp,
}

/// Whether an end waits for its turn on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Idle,
    InTurn,
}

/// Whether blocks are being read from disk for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Idle,
    Busy,
}

impl End {
    pub(crate) fn new(
        node: NodeId,
        remote: SocketAddr,
        connection: Connection,
        layer: Layer,
        dial: Dial,
        now: Instant,
    ) -> Self {
        Self {
            node,
            remote,
            connection,
            layer,
            dial,
            input: BytesMut::new(),
            key: None,
            stream: Stream::new(now),
            sending: Sending::Idle,
            reading: Reading::Idle,
            wake_at: None,
            state: State::Open,
        }
    }
}

/// The port on which all nodes listen.
const PORT: u16 = 6881;

impl Node {
    pub(crate) fn new(
        id: NodeId,
        model: NodeModel,
        content: &Content,
        seed: u64,
        now: Instant,
    ) -> Self {
        let known = match model.knowledge {
            Knowledge::Everything => content.clone(),
            Knowledge::WithoutLayers => content.without_layers(),
        };
        let content = &known;
        let number = u32::try_from(id.0).expect("few nodes");
        // Every node has an address in a network of its own.
        let addr = SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + (number << 8)), PORT));
        let mut random = [0; 12];
        random[..8].copy_from_slice(&seed.to_be_bytes());
        random[8..].copy_from_slice(&number.to_be_bytes());
        // Which of two ids is greater should not depend on who came first.
        random.rotate_left(id.0 * 5 % 12);
        let peer_id = PeerId::from_parts(*b"-RS0000-", random);
        let geometry = Arc::clone(content.metainfo.info().geometry());
        let disk = Disk::new(content, model.disk, now);
        let verified = match model.serving {
            Serving::Everything => {
                disk.fill(content);
                Bitfield::full(&geometry)
            }
            Serving::Nothing | Serving::Link => Bitfield::empty(&geometry),
        };
        let config = Config {
            max_peers: model.max_peers,
            upload_slots: model.upload_slots,
            seed: seed.wrapping_add(u64::from(number)),
            ..Config::default()
        };
        let torrent = match model.serving {
            Serving::Everything | Serving::Nothing => {
                let mut torrent = Torrent::new(config, start(content, peer_id, verified), now);
                torrent.set_metainfo(now, Arc::clone(&content.metainfo));
                torrent
            }
            Serving::Link => {
                let info_hashes = content.metainfo.info_hashes();
                Torrent::without_metadata(config, info_hashes, peer_id, now)
            }
        };
        let mut connection = ConnectionConfig::new(peer_id);
        connection.listen_port = Some(PORT);
        connection.extensions =
            Extensions::only([Extension::DontHave, Extension::Metadata, Extension::Pex]);
        connection.max_incoming_requests = model.request_queue;
        let dht = match model.introduction {
            Introduction::Dht(_) => Some(DhtNode::new(addr, random, now)),
            Introduction::Tracker | Introduction::Acquaintances(_) => None,
        };
        connection.dht_port = dht.is_some().then_some(PORT);
        Self {
            torrent,
            addr,
            disk,
            dht,
            config: Arc::new(connection),
            ends: BTreeMap::new(),
            openings: BTreeMap::new(),
            uplink: Uplink::default(),
            downlink_free_at: now,
            wake_at: None,
            presence: Presence::NotYet,
            completed_after: None,
            model,
        }
    }
}

/// What a torrent begins with, once its metadata is known.
pub(crate) fn start(content: &Content, peer_id: PeerId, verified: Bitfield) -> Start {
    let info = content.metainfo.info();
    let mut hash_unknown = Bitfield::empty(info.geometry());
    for piece in info.geometry().pieces() {
        if content.metainfo.piece_hash(piece).is_none() {
            hash_unknown.insert(piece);
        }
    }
    Start {
        geometry: Arc::clone(info.geometry()),
        hash_unknown,
        info_hashes: content.metainfo.info_hashes(),
        peer_id,
        verified,
        on_disk: Vec::new(),
        metadata: Some(info.raw().clone()),
    }
}
