//! An in-memory tracker, for private swarms, demonstrations and tests: HTTP and UDP, IPv4 and IPv6, announce and scrape.
//!
//! It keeps nothing on disk and asks nobody who they are. What strangers can make it hold is bounded by [`Limits`].

mod http;
mod swarms;
mod udp;

pub use swarms::{Limits, Swarms};

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rarest_metainfo::InfoHash;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use crate::scrape::SwarmCounts;
use crate::url::TrackerUrl;

/// Pending connections that the system holds for us.
const BACKLOG: i32 = 128;

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where HTTP is served; port 0 chooses one.
    pub http: Vec<SocketAddr>,
    /// Where UDP is served; port 0 chooses one.
    pub udp: Vec<SocketAddr>,
    /// How often peers are asked to announce. They are forgotten after twice this time and a minute.
    pub interval: Duration,
    /// What it holds at most.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            http: Vec::new(),
            udp: Vec::new(),
            interval: Duration::from_secs(30 * 60),
            limits: Limits::default(),
        }
    }
}

/// A running tracker. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    swarms: Arc<Mutex<Swarms>>,
    http: Vec<SocketAddr>,
    udp: Vec<SocketAddr>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Opens the sockets and serves.
    ///
    /// # Errors
    /// When a socket can not be opened.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(config: &ServerConfig) -> io::Result<Self> {
        let swarms = Swarms::new(config.interval, config.limits, rand::random());
        let swarms = Arc::new(Mutex::new(swarms));
        let mut tasks = JoinSet::new();
        let mut http = Vec::new();
        for address in &config.http {
            let socket = open(*address, Type::STREAM, Protocol::TCP)?;
            socket.listen(BACKLOG)?;
            let listener = TcpListener::from_std(socket.into())?;
            http.push(listener.local_addr()?);
            tasks.spawn(http::serve(listener, Arc::clone(&swarms)));
        }
        let mut udp = Vec::new();
        for address in &config.udp {
            let socket = UdpSocket::from_std(open(*address, Type::DGRAM, Protocol::UDP)?.into())?;
            udp.push(socket.local_addr()?);
            tasks.spawn(udp::serve(socket, Arc::clone(&swarms)));
        }
        Ok(Self {
            swarms,
            http,
            udp,
            _tasks: tasks,
        })
    }

    /// Where HTTP is served, in the order of the configuration.
    #[must_use]
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.http
    }

    /// Where UDP is served, in the order of the configuration.
    #[must_use]
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// What clients announce to: HTTP first, then UDP.
    pub fn announce_urls(&self) -> impl Iterator<Item = TrackerUrl> {
        let http = self
            .http
            .iter()
            .map(|address| format!("http://{address}/announce"));
        let udp = self
            .udp
            .iter()
            .map(|address| format!("udp://{address}/announce"));
        http.chain(udp).filter_map(|url| url.parse().ok())
    }

    /// How many peers a swarm has.
    #[must_use]
    pub fn counts(&self, info_hash: InfoHash) -> SwarmCounts {
        lock(&self.swarms).scrape(now(), info_hash)
    }
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // Each family has a socket of its own, so that peers are known by one address only.
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM && cfg!(unix) {
        // A restart does not wait for the connections of the last run.
        socket.set_reuse_address(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn lock(swarms: &Mutex<Swarms>) -> MutexGuard<'_, Swarms> {
    // `Swarms` is whole after every call, also one that panicked.
    swarms.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
