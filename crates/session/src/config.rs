//! How a session is set up.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rarest_metainfo::HostAddr;
use tokio::sync::Semaphore;

use crate::{Encryption, Limits, Session, StartError, dht, sockets};

/// Bytes that may lie between sockets and disk when nothing else is said: 16 MiB, an eighth of a second of a 1 Gbit/s
/// line in which a disk may pause.
pub const DEFAULT_MEMORY_BUDGET: usize = 16 * 1024 * 1024;

/// The smallest budget: room for the reads of a few peers.
pub const MIN_MEMORY_BUDGET: usize = 1024 * 1024;

/// Most connections when nothing else is said. Enough for several busy torrents, few enough for the usual 1,024 descriptors.
pub const DEFAULT_MAX_CONNECTIONS: usize = 500;

/// How long a torrent that makes no progress is waited for when nothing else is said.
pub const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Most connections on their way when nothing else is said. Many addresses that trackers name are dead, and each costs the whole time-out;
/// home routers choke on a few hundred at a time.
const DEFAULT_MAX_HALF_OPEN: usize = 50;

/// How long a peer is dialled when nothing else is said: two lost SYNs of TCP, which are repeated after 1 s and 3 s, and a slow answer.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a handshake is waited for when nothing else is said. Who was ready to connect has it ready, too.
const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Threads for the disk when nothing else is said: two that hash and write, and one that reads for uploads meanwhile.
const DEFAULT_DISK_THREADS: usize = 3;

/// How often resume data is saved when nothing else is said: a kill costs the check of what was written since.
const DEFAULT_RESUME_INTERVAL: Duration = Duration::from_secs(30);

/// After how many bytes that were written resume data is saved when nothing else is said: often enough that little is left for the end of a
/// fast download, seldom enough that a sync costs nothing beside what it writes.
pub const DEFAULT_RESUME_BYTES: u64 = 256 * 1024 * 1024;

/// Resume data is saved after no fewer bytes, for the same reason as [`MIN_RESUME_INTERVAL`].
pub const MIN_RESUME_BYTES: u64 = 16 * 1024 * 1024;

/// After how long a storage that failed is tried again when nothing else is said: room on a disk is not made faster.
const DEFAULT_STORAGE_RETRY: Duration = Duration::from_secs(10);

/// Most events that wait for one listener when nothing else is said. A piece a millisecond leaves it a second.
const DEFAULT_EVENT_CAPACITY: usize = 1024;

/// Resume data is saved no more often, unless [much was written](Builder::resume_bytes): each time everything that was written is synced, which a disk does a few dozen times a second at best.
pub const MIN_RESUME_INTERVAL: Duration = Duration::from_secs(1);

/// Something that comes again after less than this would keep a processor busy.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// Longer waits are as good as this one, and would overflow the clock.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Sets up a [`Session`]. Each setting has a default; [`build`](Self::build) starts it.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    pub(crate) config: Config,
}

/// The settings of a session.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) download_dir: PathBuf,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) listen_addresses: Vec<IpAddr>,
    pub(crate) port: u16,
    pub(crate) limits: Limits,
    pub(crate) memory_budget: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_half_open: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) encryption: Encryption,
    pub(crate) disk_threads: usize,
    pub(crate) stall_timeout: Option<Duration>,
    pub(crate) resume_interval: Duration,
    pub(crate) resume_bytes: u64,
    pub(crate) storage_retry: Duration,
    pub(crate) event_capacity: usize,
    pub(crate) announcing: Announcing,
    pub(crate) local_discovery: Discovery,
    pub(crate) tracker_roots_pem: Vec<u8>,
    /// Where the node of the DHT begins; `None` without a node.
    pub(crate) dht: Option<Vec<HostAddr>>,
}

/// Whether trackers are told about us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announcing {
    On,
    Off,
}

/// Whether the local network is told about us, and listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discovery {
    On,
    Off,
}

fn default_dht_bootstrap() -> Vec<HostAddr> {
    let hosts = dht::BOOTSTRAP.iter();
    hosts
        .filter_map(|(host, port)| HostAddr::new(host, *port).ok())
        .collect()
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: Config {
                download_dir: PathBuf::from("."),
                state_dir: None,
                listen_addresses: sockets::EVERYWHERE.into(),
                port: 0,
                limits: Limits::NONE,
                memory_budget: DEFAULT_MEMORY_BUDGET,
                max_connections: DEFAULT_MAX_CONNECTIONS,
                max_half_open: DEFAULT_MAX_HALF_OPEN,
                connect_timeout: DEFAULT_CONNECT_TIMEOUT,
                handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
                encryption: Encryption::default(),
                disk_threads: DEFAULT_DISK_THREADS,
                stall_timeout: Some(DEFAULT_STALL_TIMEOUT),
                resume_interval: DEFAULT_RESUME_INTERVAL,
                resume_bytes: DEFAULT_RESUME_BYTES,
                storage_retry: DEFAULT_STORAGE_RETRY,
                event_capacity: DEFAULT_EVENT_CAPACITY,
                announcing: Announcing::On,
                local_discovery: Discovery::On,
                tracker_roots_pem: Vec::new(),
                dht: Some(default_dht_bootstrap()),
            },
        }
    }
}

impl Builder {
    /// The folder that torrents are downloaded to when they are given none of their own. Made when it is missing.
    /// The working directory by default.
    pub fn download_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.download_dir = folder.into();
        self
    }

    /// The folder for resume data, one small file a torrent. Made when it is missing. With it a torrent goes on where it was,
    /// with its partial pieces and totals, without reading the data again. By default none is kept: what is on the disk is checked
    /// each time a torrent is added.
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.state_dir = Some(folder.into());
        self
    }

    /// The addresses to listen at for peers. All of IPv4 and IPv6 by default.
    pub fn listen_addresses(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.config.listen_addresses = addresses.into_iter().collect();
        self
    }

    /// The TCP port to listen at, the same on every address. By default, and with 0, the system chooses one:
    /// [`Session::port`] says which.
    pub fn port(mut self, port: u16) -> Self {
        self.config.port = port;
        self
    }

    /// The speeds that all torrents together keep to. No bound by default.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// The bytes that may lie between sockets and disk. When they are spent, sockets are not read until the disk has
    /// caught up. [`DEFAULT_MEMORY_BUDGET`] by default, never under [`MIN_MEMORY_BUDGET`].
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.config.memory_budget = bytes.max(MIN_MEMORY_BUDGET);
        self
    }

    /// The most connections to peers, of all torrents together. [`DEFAULT_MAX_CONNECTIONS`] by default.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.config.max_connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// The most connections that are being opened at a time, and as many that others open and that have not shown their handshake
    /// yet. 50 by default.
    pub fn max_half_open(mut self, connections: usize) -> Self {
        self.config.max_half_open = connections.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How long a peer may take to accept a connection. 10 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// How long a peer may take to send its handshake. 10 s by default.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.config.handshake_timeout = timeout;
        self
    }

    /// Whether connections to peers are encrypted. [`Encryption::TOLERATE`] by default.
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.config.encryption = encryption;
        self
    }

    /// The number of threads that hash, read and write. 3 by default: one torrent writes with all but one of them.
    pub fn disk_threads(mut self, threads: usize) -> Self {
        self.config.disk_threads = threads.max(1);
        self
    }

    /// How long a torrent may make no progress until [`TorrentHandle::completed`](crate::TorrentHandle::completed) says so.
    /// [`DEFAULT_STALL_TIMEOUT`] by default; `None` waits for ever.
    pub fn stall_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config.stall_timeout = timeout
            .into()
            .map(|timeout| timeout.clamp(SHORTEST_WAIT, LONGEST_WAIT));
        self
    }

    /// How often resume data that has changed is saved. 30 s by default, never under [`MIN_RESUME_INTERVAL`]. It is saved on a pause, when a download completes and
    /// when the session is shut down as well. After a kill, what was verified since the last save is found by a check
    /// of the files that changed.
    pub fn resume_interval(mut self, interval: Duration) -> Self {
        self.config.resume_interval = interval.clamp(MIN_RESUME_INTERVAL, LONGEST_WAIT);
        self
    }

    /// After how many bytes that were written resume data is saved before its [interval](Self::resume_interval). [`DEFAULT_RESUME_BYTES`] by
    /// default, never under [`MIN_RESUME_BYTES`]. So the disk writes while a download goes on, and there is little left to be waited for at its end.
    pub fn resume_bytes(mut self, bytes: u64) -> Self {
        self.config.resume_bytes = bytes.max(MIN_RESUME_BYTES);
        self
    }

    /// After how long a storage that failed is tried again for the first time; each further failure doubles it, up to
    /// five minutes. 10 s by default.
    pub fn storage_retry(mut self, interval: Duration) -> Self {
        self.config.storage_retry = interval.clamp(SHORTEST_WAIT, LONGEST_WAIT);
        self
    }

    /// The most events that wait for one listener, see [`EventStream`](crate::EventStream). 1,024 by default.
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.config.event_capacity = events.max(1);
        self
    }

    /// Tells no tracker about us and asks none for peers.
    pub fn without_trackers(mut self) -> Self {
        self.config.announcing = Announcing::Off;
        self
    }

    /// Neither tells the local network about torrents nor listens to what others there tell (BEP 14). Private torrents are never told. By
    /// default, all networks of the [listen addresses](Self::listen_addresses) are.
    pub fn without_local_discovery(mut self) -> Self {
        self.config.local_discovery = Discovery::Off;
        self
    }

    /// Takes no part in the DHT. By default the session has a node, at the UDP port of the same number as [`port`](Self::port), by which
    /// torrents that are not private find peers without a tracker. It keeps the nodes it knows in the [`state_dir`](Self::state_dir).
    pub fn without_dht(mut self) -> Self {
        self.config.dht = None;
        self
    }

    /// The hosts at which the node of the DHT begins when it knows no others. By default some that are well known.
    pub fn dht_bootstrap(mut self, hosts: impl IntoIterator<Item = HostAddr>) -> Self {
        self.config.dht = Some(hosts.into_iter().collect());
        self
    }

    /// Trusts these root certificates, in PEM, beside those of the system, for trackers at `https:` URLs.
    pub fn tracker_root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.config.tracker_roots_pem = pem.into();
        self
    }

    /// Starts the session: opens the port, makes the folders and starts the disk threads.
    ///
    /// # Errors
    /// [`StartError`] says what could not be opened, made or started, and leaves nothing behind.
    pub async fn build(self) -> Result<Session, StartError> {
        Session::start(self.config).await
    }
}
