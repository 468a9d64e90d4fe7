//! Connections to web servers: a few for each host, kept for a while, and a queue before them.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use rarest_metainfo::Reach;
use url::Url;

use crate::Error;
use crate::network::{Families, Network};

/// How long a connection is kept for the next request. Servers do not like to hold idle connections.
const IDLE_LIFETIME: Duration = Duration::from_secs(20);

/// How long one address of a host may take to accept, before the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses of one host that are tried, one after the other.
const MAX_ADDRESSES_TRIED: usize = 3;

/// The smallest read buffer that hyper takes.
const MIN_READ_AHEAD: usize = 8192;

/// Whom a connection leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    scheme: Scheme,
    host: String,
    port: u16,
    families: Families,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

impl Target {
    /// `None` when the URL leads to no web server.
    pub(super) fn of(url: &Url, families: Families) -> Option<Self> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let port = url.port_or_known_default().filter(|&port| port != 0)?;
        Some(Self {
            scheme,
            host: url.host_str()?.trim_matches(['[', ']']).to_owned(),
            port,
            families,
        })
    }
}

/// All hosts that are spoken to, or were a moment ago.
#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
    connections_per_host: usize,
    read_ahead: usize,
}

#[derive(Debug, Default)]
struct State {
    hosts: HashMap<Target, Host>,
    sweeper: Sweeper,
}

#[derive(Debug, Default)]
enum Sweeper {
    #[default]
    Resting,
    Running,
}

#[derive(Debug)]
struct Host {
    permits: Arc<Semaphore>,
    idle: Vec<Idle>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// The right to one connection to a host.
#[derive(Debug)]
pub(super) struct Turn {
    target: Target,
    _permit: OwnedSemaphorePermit,
}

/// An open connection.
pub(super) struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    reach: Reach,
    driver: AbortHandle,
}

impl Pool {
    pub(super) fn new(connections_per_host: usize, read_ahead: usize) -> Self {
        Self {
            state: Mutex::default(),
            connections_per_host: connections_per_host.clamp(1, Semaphore::MAX_PERMITS),
            read_ahead: read_ahead.max(MIN_READ_AHEAD),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there are fewer connections to the host than allowed.
    pub(super) async fn turn(&self, target: Target) -> Turn {
        let most = self.connections_per_host;
        let permits = self.lock().host(&target, most).permits.clone();
        let permit = permits.acquire_owned().await;
        Turn {
            target,
            _permit: permit.expect("the semaphore is never closed"),
        }
    }

    /// A connection that was kept, if it is no nearer to us than `nearest`.
    pub(super) fn take_idle(&self, turn: &Turn, nearest: Reach) -> Option<Connection> {
        let mut state = self.lock();
        let idle = &mut state.hosts.get_mut(&turn.target)?.idle;
        while let Some(Idle { connection, since }) = idle.pop() {
            let usable = connection.sender.is_ready() && since.elapsed() < IDLE_LIFETIME;
            if usable && connection.reach >= nearest {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose last answer was read to the end.
    pub(super) fn keep(self: &Arc<Self>, turn: &Turn, connection: Connection) {
        let mut state = self.lock();
        let most = self.connections_per_host;
        state.host(&turn.target, most).idle.push(Idle {
            connection,
            since: Instant::now(),
        });
        if let Sweeper::Resting = state.sweeper {
            state.sweeper = Sweeper::Running;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

impl State {
    fn host(&mut self, target: &Target, most: usize) -> &mut Host {
        // Hosts without connections, from whom nobody wants any, are dropped by the way, so that the table does not grow for ever.
        if !self.hosts.contains_key(target) {
            self.hosts.retain(|_, host| host.is_in_use());
        }
        self.hosts.entry(target.clone()).or_insert_with(|| Host {
            permits: Arc::new(Semaphore::new(most)),
            idle: Vec::new(),
        })
    }
}

impl Host {
    fn is_in_use(&self) -> bool {
        !self.idle.is_empty() || Arc::strong_count(&self.permits) > 1
    }
}

/// Closes connections that nobody used for a while; ends when there are none.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(IDLE_LIFETIME).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        let mut state = pool.lock();
        for host in state.hosts.values_mut() {
            host.idle
                .retain(|idle| idle.since.elapsed() < IDLE_LIFETIME);
        }
        state.hosts.retain(|_, host| host.is_in_use());
        if state.hosts.values().all(|host| host.idle.is_empty()) {
            state.sweeper = Sweeper::Resting;
            return;
        }
    }
}

impl Pool {
    /// Connects to an address of the host that is no nearer to us than `nearest`.
    pub(super) async fn connect(
        &self,
        network: &dyn Network,
        turn: &Turn,
        nearest: Reach,
        tls: Option<TlsConnector>,
    ) -> Result<Connection, Error> {
        let Target {
            host,
            port,
            families,
            ..
        } = &turn.target;
        let mut addresses = network.addresses(host, *port, *families).await?;
        addresses.retain(|address| Reach::of(address.ip()) >= nearest);
        let mut failure = Error::TooNear;
        for address in addresses.into_iter().take(MAX_ADDRESSES_TRIED) {
            let opened = Connection::open_to(network, address, host, tls.clone(), self.read_ahead);
            match opened.await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error.into(),
            }
        }
        Err(failure)
    }
}

impl Connection {
    async fn open_to(
        network: &dyn Network,
        address: SocketAddr,
        host: &str,
        tls: Option<TlsConnector>,
        read_ahead: usize,
    ) -> io::Result<Self> {
        let connect = timeout(CONNECT_TIMEOUT, network.connect(address));
        let stream = connect
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        let reach = Reach::of(address.ip());
        match tls {
            None => Self::over(stream, reach, read_ahead).await,
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                Self::over(tls.connect(name, stream).await?, reach, read_ahead).await
            }
        }
    }

    async fn over<S>(stream: S, reach: Reach, read_ahead: usize) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(read_ahead)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            // What goes wrong is told to whoever waits for the answer.
            let _told = connection.await;
        });
        Ok(Self {
            sender,
            reach,
            driver: driver.abort_handle(),
        })
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// Waits until the next request could be sent; false when the server closes the connection.
    pub(super) async fn is_reusable(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}
