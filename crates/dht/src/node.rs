//! A node of the DHT: datagrams and time go in, datagrams and events come out.

mod answering;
mod asking;
mod searching;
mod state;
mod upkeep;
mod votes;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rarest_metainfo::InfoHash;

use crate::address::{Family, canonical};
use crate::error::Busy;
use crate::event::Event;
use crate::item::{Item, PublicKey, Salt};
use crate::krpc::{AnnouncedPort, Body, DecodeError, Message, PeerKind, Service};
use crate::limits::{DEFAULT_OUTGOING_RATE, Incoming, Outgoing};
use crate::lookup::LookupId;
use crate::node_id::NodeId;
use crate::store::{ItemStore, PeerStore};
use crate::table::RoutingTable;
use crate::tokens::Tokens;
use asking::{Purpose, Transactions};
use searching::{Goal, Search};
use upkeep::Upkeep;
use votes::Votes;

pub use asking::{QUERY_TIMEOUT, SLOW_AFTER};
pub use searching::{MAX_LOOKUPS, MAX_PEERS_PER_LOOKUP};
pub use upkeep::{MAX_CHECKS, MAX_ROUTERS};
pub use votes::VOTES_TO_CHANGE_ID;

/// Which families a node has a socket for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both: a table each (BEP 32).
    #[default]
    Both,
}

/// How a node is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which families it has a socket for.
    pub families: Families,
    /// A read-only node asks, and does not answer (BEP 43): for who cannot be reached, or will soon be gone.
    pub service: Service,
    /// How the software names itself in messages.
    pub version: Option<[u8; 4]>,
    /// Bytes a second that go out; a burst may have as much as four seconds.
    pub outgoing_rate: u32,
    /// Addresses by which others see us, if they are known: ids are made for them (BEP 42). Else the others tell.
    pub external_ips: Vec<IpAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            families: Families::Both,
            service: Service::Full,
            version: Some(*b"RA01"),
            outgoing_rate: DEFAULT_OUTGOING_RATE,
            external_ips: Vec::new(),
        }
    }
}

/// What a lookup for peers announces in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce {
    /// Where we listen for peers.
    pub port: AnnouncedPort,
    /// Whether we have all pieces.
    pub kind: PeerKind,
}

/// What a lookup for an item is after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetTarget {
    /// The value with this hash.
    Immutable(NodeId),
    /// What this key signed last.
    Mutable {
        /// The key.
        key: PublicKey,
        /// Which of its items.
        salt: Salt,
    },
}

impl GetTarget {
    /// Where it is stored.
    #[must_use]
    pub fn target(&self) -> NodeId {
        match self {
            Self::Immutable(target) => *target,
            Self::Mutable { key, salt } => key.target(salt),
        }
    }
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// Its content.
    pub datagram: Bytes,
}

/// What a node is in one family.
#[derive(Debug)]
struct Presence {
    table: RoutingTable,
    id: NodeId,
    votes: Votes,
}

impl Presence {
    fn new(id: NodeId) -> Self {
        Self {
            table: RoutingTable::new(id),
            id,
            votes: Votes::default(),
        }
    }
}

/// A node.
///
/// Whoever owns it hands it datagrams ([`Node::handle_datagram`]) and time ([`Node::handle_timeout`], at [`Node::next_timeout`]), sends what
/// [`Node::poll_transmit`] gives, and reads [`Node::poll_event`]. Both are to be drained after every call.
#[derive(Debug)]
pub struct Node {
    config: Config,
    rng: StdRng,
    v4: Option<Presence>,
    v6: Option<Presence>,
    tokens: Tokens,
    peers: PeerStore,
    items: ItemStore,
    samples: answering::SampleCache,
    incoming: Incoming,
    outgoing: Outgoing,
    transactions: Transactions,
    searches: BTreeMap<LookupId, Search>,
    next_lookup: u64,
    /// When searches that wait for their turn to send go on.
    starved_until: Option<Instant>,
    upkeep: Upkeep,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Node {
    /// A node that knows nobody. `seed` must be one that nobody can foresee: tokens and transactions come from it.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let mut presence = |family| {
            let ip = config
                .external_ips
                .iter()
                .find(|ip| Family::of(**ip) == family);
            Presence::new(match ip {
                Some(ip) => NodeId::random_for(*ip, &mut rng),
                None => NodeId::random(&mut rng),
            })
        };
        let (v4, v6) = match config.families {
            Families::V4 => (Some(presence(Family::V4)), None),
            Families::V6 => (None, Some(presence(Family::V6))),
            Families::Both => (Some(presence(Family::V4)), Some(presence(Family::V6))),
        };
        Self {
            tokens: Tokens::new(rng.random(), now),
            outgoing: Outgoing::new(config.outgoing_rate, now),
            upkeep: Upkeep::new(now),
            config,
            rng,
            v4,
            v6,
            peers: PeerStore::default(),
            items: ItemStore::default(),
            samples: answering::SampleCache::default(),
            incoming: Incoming::default(),
            transactions: Transactions::default(),
            searches: BTreeMap::new(),
            next_lookup: 0,
            starved_until: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Our id among the nodes of a family; `None` without a socket for it.
    #[must_use]
    pub fn id(&self, family: Family) -> Option<NodeId> {
        self.presence(family).map(|presence| presence.id)
    }

    /// How many nodes of a family are in the routing table.
    #[must_use]
    pub fn table_len(&self, family: Family) -> usize {
        let presence = self.presence(family);
        presence.map_or(0, |presence| presence.table.len())
    }

    /// How many swarms peers are stored of.
    #[must_use]
    pub fn stored_swarms(&self) -> usize {
        self.peers.len()
    }

    /// How many items are stored.
    #[must_use]
    pub fn stored_items(&self) -> usize {
        self.items.len()
    }

    /// How many lookups are under way.
    #[must_use]
    pub fn lookups(&self) -> usize {
        self.searches.len()
    }

    /// Finds our place among the nodes, beginning at these addresses and at what the table holds. It is tried again, less and less often, as long as
    /// nobody answers. [`Event::Bootstrapped`] tells how it went.
    pub fn bootstrap(&mut self, now: Instant, routers: &[SocketAddr]) {
        self.remember_routers(routers);
        for family in Family::ALL {
            self.find_own_place(now, family);
        }
    }

    /// Asks whether there is a node at `addr`, as the `PORT` message of a peer or the file of a torrent says. It enters the table when it answers.
    pub fn add_node(&mut self, now: Instant, addr: SocketAddr) {
        self.check(now, canonical(addr), Purpose::Refresh);
    }

    /// Looks for the peers of a swarm, and then announces us to the nodes closest to it, if asked to. Nobody listens at port 0: it is not announced.
    ///
    /// # Errors
    /// [`Busy`] when [`MAX_LOOKUPS`] are under way.
    pub fn get_peers(
        &mut self,
        now: Instant,
        info_hash: InfoHash,
        announce: Option<Announce>,
    ) -> Result<LookupId, Busy> {
        let announce = announce.filter(|announce| announce.port != AnnouncedPort::Explicit(0));
        self.begin(now, Goal::peers(info_hash, announce))
    }

    /// Looks for an item (BEP 44).
    ///
    /// # Errors
    /// [`Busy`] when [`MAX_LOOKUPS`] are under way.
    pub fn get(&mut self, now: Instant, target: GetTarget) -> Result<LookupId, Busy> {
        self.begin(now, Goal::get(target))
    }

    /// Stores an item at the nodes closest to its target (BEP 44). With `cas`, only over the item with this sequence number. If a newer
    /// one is there already, it comes out as [`Event::Item`].
    ///
    /// # Errors
    /// [`Busy`] when [`MAX_LOOKUPS`] are under way.
    pub fn put(&mut self, now: Instant, item: Item, cas: Option<i64>) -> Result<LookupId, Busy> {
        self.begin(now, Goal::Put { item, cas })
    }

    /// Asks the nodes on the way to `target` for swarms that they store (BEP 51).
    ///
    /// # Errors
    /// [`Busy`] when [`MAX_LOOKUPS`] are under way.
    pub fn sample_infohashes(&mut self, now: Instant, target: NodeId) -> Result<LookupId, Busy> {
        self.begin(now, Goal::Sample { target })
    }

    /// Ends a lookup without another event.
    pub fn cancel(&mut self, lookup: LookupId) {
        self.searches.remove(&lookup);
    }

    /// Takes a datagram that came from `from`.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let from = canonical(from);
        // Nobody could answer port 0, nor dial a peer there.
        let is_reachable = from.port() != 0 && self.presence(Family::of(from.ip())).is_some();
        if !is_reachable || !self.incoming.admit(now, from) {
            return;
        }
        match Message::decode(datagram) {
            Ok(message) => match message.body {
                Body::Query(query) => self.answer(now, from, message.transaction, query),
                Body::Response(response) => {
                    let transaction = message.transaction;
                    self.handle_response(now, from, &transaction, message.seen_as, response);
                }
                Body::Error(_) => self.handle_error(now, from, &message.transaction),
            },
            Err(DecodeError::Query { transaction, reply }) => {
                self.refuse(now, from, transaction, reply);
            }
            // Nobody could tell what would be answered.
            Err(_) => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.end_overdue_queries(now);
        self.keep_up(now);
        if self.starved_until.is_some_and(|until| until <= now) {
            self.starved_until = None;
            self.drive_all(now);
        }
    }

    /// When [`Node::handle_timeout`] is to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let times = [
            self.transactions.next_deadline(),
            self.starved_until,
            Some(self.upkeep.next_at()),
        ];
        times.into_iter().flatten().min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn presence(&self, family: Family) -> Option<&Presence> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    fn presence_mut(&mut self, family: Family) -> Option<&mut Presence> {
        match family {
            Family::V4 => self.v4.as_mut(),
            Family::V6 => self.v6.as_mut(),
        }
    }

    fn table_of(&mut self, addr: SocketAddr) -> Option<&mut RoutingTable> {
        let presence = self.presence_mut(Family::of(addr.ip()))?;
        Some(&mut presence.table)
    }

    /// Our id as nodes of the family of `addr` know it.
    fn id_towards(&self, addr: SocketAddr) -> Option<NodeId> {
        self.id(Family::of(addr.ip()))
    }

    fn send(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        let datagram = Bytes::from(datagram);
        self.transmits.push_back(Transmit { to, datagram });
    }
}
