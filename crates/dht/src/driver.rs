//! A node over UDP sockets: one task that carries out what [`Node`] decides.

mod stream;
mod task;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rarest_metainfo::{HostAddr, InfoHash};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use crate::address::Family;
use crate::error::StateError;
use crate::item::Item;
use crate::lookup::{LookupId, LookupSummary};
use crate::node::{Announce, Config, Families, GetTarget, Node};
use crate::node_id::NodeId;

pub use stream::{Found, LookupStream};

/// Commands that wait for the task to take them.
const QUEUE_LENGTH: usize = 256;

/// How long the lookup of a host's name may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long after names that could not be looked up it is tried again; doubled each time.
const FIRST_RESOLVE_RETRY: Duration = Duration::from_secs(10);

/// See [`FIRST_RESOLVE_RETRY`].
const LAST_RESOLVE_RETRY: Duration = Duration::from_secs(10 * 60);

/// Addresses that are taken of one host.
const MAX_ADDRESSES_PER_HOST: usize = 4;

/// How a node is run.
#[derive(Clone, Debug)]
pub struct DhtConfig {
    /// The node itself; its families are those of the sockets.
    pub node: Config,
    /// Where to listen, at most one address of each family. Port 0 lets the system choose. A family that the machine lacks is left out.
    pub listen: Vec<SocketAddr>,
    /// Hosts to begin at. They are looked up again until one is found.
    pub bootstrap: Vec<HostAddr>,
    /// What [`Dht::state`] gave in an earlier run.
    pub state: Option<Vec<u8>>,
}

impl Default for DhtConfig {
    fn default() -> Self {
        Self {
            node: Config::default(),
            listen: vec![
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
            ],
            bootstrap: Vec::new(),
            state: None,
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No socket could be opened.
    #[error("cannot listen for the DHT at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No address was given.
    #[error("the DHT needs an address to listen at")]
    NoAddress,
    /// The saved state is none.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The task of the node has ended, or so many lookups are under way that it takes no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Try again later.
    #[error(transparent)]
    Busy(#[from] crate::error::Busy),
    /// The runtime ends.
    #[error("the DHT node has ended")]
    Ended,
}

/// What a node knows of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Nodes in the table of IPv4.
    pub nodes_v4: usize,
    /// Nodes in the table of IPv6.
    pub nodes_v6: usize,
    /// Lookups under way.
    pub lookups: usize,
    /// Our id among IPv4 nodes.
    pub id_v4: Option<NodeId>,
    /// Our id among IPv6 nodes.
    pub id_v6: Option<NodeId>,
}

/// What is asked of the task.
#[derive(Debug)]
enum Command {
    Lookup(Box<Wish>, oneshot::Sender<Result<LookupStream, AskError>>),
    Cancel(LookupId),
    AddNode(SocketAddr),
    Bootstrap(Vec<SocketAddr>),
    State(oneshot::Sender<Vec<u8>>),
    Stats(oneshot::Sender<Stats>),
}

#[derive(Debug)]
enum Wish {
    Peers(InfoHash, Option<Announce>),
    Get(GetTarget),
    Put(Item, Option<i64>),
    Sample(NodeId),
}

/// A node of the DHT at work. Cheap to clone; it ends with the last clone.
#[derive(Clone, Debug)]
pub struct Dht {
    commands: mpsc::Sender<Command>,
    addresses: Vec<SocketAddr>,
}

impl Dht {
    /// Opens the sockets, starts the task, and finds the node's place among the others.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(config: DhtConfig) -> Result<Self, StartError> {
        let Sockets { v4, v6, addresses } = Sockets::open(&config.listen)?;
        let node_config = Config {
            families: match (&v4, &v6) {
                (Some(_), Some(_)) => Families::Both,
                (_, None) => Families::V4,
                (None, Some(_)) => Families::V6,
            },
            ..config.node
        };
        let now = task::now();
        let seed = rand::random();
        let mut node = match &config.state {
            Some(state) => Node::restore(node_config, seed, now, state)?,
            None => Node::new(node_config, seed, now),
        };
        // Addresses at once, so that a lookup which follows has whom to ask; names as they are found.
        let (addresses_to_ask, names) = split(config.bootstrap);
        node.bootstrap(now, &addresses_to_ask);
        let (commands, queue) = mpsc::channel(QUEUE_LENGTH);
        let dht = Self {
            commands,
            addresses,
        };
        tokio::spawn(task::Driver::new(node, v4, v6, dht.commands.downgrade()).run(queue));
        dht.bootstrap(names);
        Ok(dht)
    }

    /// Where the node listens.
    #[must_use]
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Looks for the peers of a swarm. Dropping the stream ends the search.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn get_peers(&self, info_hash: InfoHash) -> Result<LookupStream, AskError> {
        self.look(Wish::Peers(info_hash, None)).await
    }

    /// Looks for the peers of a swarm, and announces us to the nodes closest to it. The stream is to be read to its end: dropping it before gives
    /// up the announce too.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn announce(
        &self,
        info_hash: InfoHash,
        announce: Announce,
    ) -> Result<LookupStream, AskError> {
        self.look(Wish::Peers(info_hash, Some(announce))).await
    }

    /// Looks for an item; of a mutable one, for the newest. `None` if nobody has it.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn get(&self, target: GetTarget) -> Result<Option<Item>, AskError> {
        let (item, _) = self.look(Wish::Get(target)).await?.item().await;
        Ok(item)
    }

    /// Stores an item at the nodes closest to its target; with `cas`, only over the item with this sequence number. Returns how it went, and
    /// a newer item if there is one already.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn put(
        &self,
        item: Item,
        cas: Option<i64>,
    ) -> Result<(LookupSummary, Option<Item>), AskError> {
        let (newer, summary) = self.look(Wish::Put(item, cas)).await?.item().await;
        Ok((summary.ok_or(AskError::Ended)?, newer))
    }

    /// Asks the nodes on the way to `target` for swarms that they store.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn sample_infohashes(&self, target: NodeId) -> Result<LookupStream, AskError> {
        self.look(Wish::Sample(target)).await
    }

    /// Tells of a node that a peer or a torrent names; it is asked whether it is there.
    pub fn add_node(&self, addr: SocketAddr) {
        // One among many: when there is no room it is not missed.
        let _ = self.commands.try_send(Command::AddNode(addr));
    }

    /// Begins at these hosts too, once their names are looked up.
    pub fn bootstrap(&self, hosts: Vec<HostAddr>) {
        if !hosts.is_empty() {
            tokio::spawn(find_hosts(hosts, self.commands.downgrade()));
        }
    }

    /// Ids and known nodes, for [`DhtConfig::state`] of the next run.
    ///
    /// # Errors
    /// [`AskError::Ended`].
    pub async fn state(&self) -> Result<Vec<u8>, AskError> {
        self.ask(Command::State).await
    }

    /// How the node stands.
    ///
    /// # Errors
    /// [`AskError::Ended`].
    pub async fn stats(&self) -> Result<Stats, AskError> {
        self.ask(Command::Stats).await
    }

    async fn look(&self, wish: Wish) -> Result<LookupStream, AskError> {
        self.ask(|reply| Command::Lookup(Box::new(wish), reply))
            .await?
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, AskError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| AskError::Ended)?;
        answer.await.map_err(|_| AskError::Ended)
    }
}

fn split(hosts: Vec<HostAddr>) -> (Vec<SocketAddr>, Vec<HostAddr>) {
    let (mut addresses, mut names) = (Vec::new(), Vec::new());
    for host in hosts {
        match host {
            HostAddr::Ip(addr) => addresses.push(addr),
            HostAddr::Name { .. } => names.push(host),
        }
    }
    (addresses, names)
}

/// One socket a family.
struct Sockets {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    addresses: Vec<SocketAddr>,
}

impl Sockets {
    fn open(listen: &[SocketAddr]) -> Result<Self, StartError> {
        let mut sockets = Self {
            v4: None,
            v6: None,
            addresses: Vec::new(),
        };
        let mut failure = StartError::NoAddress;
        for &address in listen {
            let place = match Family::of(address.ip()) {
                Family::V4 => &mut sockets.v4,
                Family::V6 => &mut sockets.v6,
            };
            if place.is_some() {
                continue;
            }
            let opened = open(address).and_then(|socket| Ok((socket.local_addr()?, socket)));
            match opened {
                Ok((bound, socket)) => {
                    sockets.addresses.push(bound);
                    *place = Some(socket);
                }
                // Where a family is missing the other may do.
                Err(source) => failure = StartError::Listen { address, source },
            }
        }
        match sockets.addresses.is_empty() {
            true => Err(failure),
            false => Ok(sockets),
        }
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Looks hosts up until one is found, or the node has ended.
async fn find_hosts(hosts: Vec<HostAddr>, commands: mpsc::WeakSender<Command>) {
    let mut retry = FIRST_RESOLVE_RETRY;
    loop {
        let mut found = Vec::new();
        for host in &hosts {
            match host {
                HostAddr::Ip(addr) => found.push(*addr),
                HostAddr::Name { host, port } => {
                    let lookup = tokio::net::lookup_host((&**host, *port));
                    if let Ok(Ok(addresses)) = tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
                        found.extend(addresses.take(MAX_ADDRESSES_PER_HOST));
                    }
                }
            }
        }
        // The sender is not held while the names are looked up: the node is to end with its handles.
        let Some(commands) = commands.upgrade() else {
            return;
        };
        if !found.is_empty() {
            let _ = commands.send(Command::Bootstrap(found)).await;
            return;
        }
        drop(commands);
        tokio::time::sleep(retry).await;
        retry = LAST_RESOLVE_RETRY.min(2 * retry);
    }
}
