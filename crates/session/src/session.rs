//! A session: everything that its torrents share, from the start to the clean end.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rarest_metainfo::{Magnet, PeerId};
use rarest_peer_wire::{Extension, Extensions, connection};
use rarest_piece_store::{DEFAULT_OPEN_FILES, OpenFiles, ReadBuffers};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::add::{AddOptions, AddTorrent, TorrentSource};
use crate::announcer::Announcer;
use crate::config::{Config, Discovery};
use crate::dht::Beacon;
use crate::disk::Disk;
use crate::encryption::Openings;
use crate::events::Publisher;
use crate::limiter::Limiter;
use crate::listener::Strangers;
use crate::local_discovery::LocalDiscovery;
use crate::memory::{BufferPool, MemoryBudget};
use crate::registry::{Entry, Registry};
use crate::torrent_task::{Driver, Seeker};
use crate::uploads::Uploads;
use crate::{
    AddError, Builder, EventStream, Gone, Limits, ShutdownError, StartError, TorrentHandle,
    TorrentId, listener, sockets,
};

/// Many torrents, one port. Cheap to clone; when the last clone is dropped everything ends at once, without a word to
/// trackers: better to end with [`shutdown`](Self::shutdown).
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) shared: Arc<Shared>,
    _end: Arc<EndOnDrop>,
}

/// Ends a session when its last clone is dropped: handles of torrents, which may live on, do not keep it going.
#[derive(Debug)]
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.stop_torrents();
        self.0.events.close();
    }
}

/// What the tasks of a session share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) connection_config: Arc<connection::Config>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) registry: Registry,
    pub(crate) events: Publisher,
    pub(crate) budget: MemoryBudget,
    pub(crate) buffers: BufferPool,
    /// What blocks are read into for peers.
    pub(crate) read_buffers: Arc<ReadBuffers>,
    /// Hashes, reads and writes.
    pub(crate) disk: Arc<Disk>,
    /// Whose blocks are read and sent next.
    pub(crate) uploads: Arc<Uploads>,
    /// File descriptors, shared by all torrents.
    pub(crate) open_files: Arc<OpenFiles>,
    /// Checks what is there: one thread, because a spinning disk wants one sequential reader.
    pub(crate) checks: Disk,
    pub(crate) download: Arc<Limiter>,
    pub(crate) upload: Arc<Limiter>,
    /// One permit for each connection there may be.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) half_open_out: Arc<Semaphore>,
    pub(crate) half_open_in: Arc<Semaphore>,
    pub(crate) strangers: Arc<Strangers>,
    /// How peers are dialled.
    pub(crate) openings: Openings,
    pub(crate) announcer: Announcer,
    pub(crate) local_discovery: LocalDiscovery,
    /// Asks web seeds.
    pub(crate) web: rarest_http::Client,
    pub(crate) tasks: TaskTracker,
    pub(crate) runtime: Handle,
    pub(crate) stop: CancellationToken,
}

/// Bytes of buffers for blocks that are kept while no peer needs them: those of a few peers that are served at once.
const KEPT_READ_BUFFERS: usize = 8 * 1024 * 1024;

/// Connections to one web server, of all torrents together. Servers refuse those who open many.
const WEB_CONNECTIONS_PER_HOST: usize = 8;

/// Bytes that are read of a web server's connection ahead of whoever waits for them; a system call for fewer costs more than it moves.
const WEB_READ_AHEAD: usize = 256 * 1024;

impl Session {
    /// Sets up a session.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn start(config: Config) -> Result<Self, StartError> {
        make_folder(&config.download_dir).await?;
        if let Some(state_dir) = &config.state_dir {
            make_folder(state_dir).await?;
        }
        let listeners = sockets::listen(&config.listen_addresses, config.port)?;
        let addresses: Vec<SocketAddr> = listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect();
        let peer_id = new_peer_id();
        let mut connection_config = connection::Config::new(peer_id);
        connection_config.client = Some(CLIENT_NAME.to_owned());
        connection_config.extensions =
            Extensions::only([Extension::DontHave, Extension::Metadata, Extension::Pex]);
        connection_config.listen_port = addresses.first().map(SocketAddr::port);
        let (dht, dht_task) = Beacon::start(&config, &addresses).await.unzip();
        connection_config.dht_port = dht.as_ref().map(Beacon::port);
        let (announcer, announcing) = Announcer::new(&config, dht)?;
        let (local_discovery, discovering) = match config.local_discovery {
            Discovery::On => {
                let (local_discovery, discovering) = LocalDiscovery::new();
                (local_discovery, Some(discovering))
            }
            Discovery::Off => (LocalDiscovery::off(), None),
        };
        let web = rarest_http::Client::new(rarest_http::Config {
            connections_per_host: WEB_CONNECTIONS_PER_HOST,
            read_ahead: WEB_READ_AHEAD,
            extra_roots_pem: config.tracker_roots_pem.clone(),
            ..rarest_http::Config::default()
        })
        .map_err(StartError::HttpClient)?;
        let disk = Disk::start("rarest-disk", config.disk_threads).map_err(StartError::Thread)?;
        let disk = Arc::new(disk);
        let shared = Arc::new(Shared {
            connection_config: Arc::new(connection_config),
            addresses,
            registry: Registry::default(),
            events: Publisher::default(),
            budget: MemoryBudget::new(config.memory_budget),
            buffers: BufferPool::new(config.memory_budget),
            read_buffers: ReadBuffers::new(KEPT_READ_BUFFERS),
            uploads: Arc::new(Uploads::new(Handle::current().metrics().num_workers())),
            disk,
            checks: Disk::start("rarest-check", 1).map_err(StartError::Thread)?,
            open_files: OpenFiles::new(DEFAULT_OPEN_FILES),
            download: Arc::new(Limiter::new(config.limits.download)),
            upload: Arc::new(Limiter::new(config.limits.upload)),
            connections: Arc::new(Semaphore::new(config.max_connections)),
            half_open_out: Arc::new(Semaphore::new(config.max_half_open)),
            half_open_in: Arc::new(Semaphore::new(config.max_half_open)),
            strangers: Arc::default(),
            openings: Openings::new(config.encryption.outgoing),
            announcer,
            local_discovery,
            web,
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            stop: CancellationToken::new(),
            config,
        });
        for listener in listeners {
            shared
                .tasks
                .spawn(listener::accept_peers(Arc::clone(&shared), listener));
        }
        shared.tasks.spawn(announcing.run(Arc::clone(&shared)));
        if let Some(discovering) = discovering {
            shared.tasks.spawn(discovering.run(Arc::clone(&shared)));
        }
        if let Some(dht) = dht_task {
            shared.tasks.spawn(dht.run(Arc::clone(&shared)));
        }
        Ok(Self {
            _end: Arc::new(EndOnDrop(Arc::clone(&shared))),
            shared,
        })
    }

    /// Adds a torrent, once [started](AddTorrent::start).
    pub fn add(&self, source: impl Into<TorrentSource>) -> AddTorrent {
        AddTorrent {
            shared: Arc::clone(&self.shared),
            source: source.into(),
            options: AddOptions::default(),
        }
    }

    /// The torrents of the session, by info-hash.
    #[must_use]
    pub fn torrents(&self) -> Vec<TorrentHandle> {
        let entries = self.shared.registry.all();
        entries
            .into_iter()
            .map(|entry| self.shared.handle(entry))
            .collect()
    }

    /// The torrent of that id.
    #[must_use]
    pub fn torrent(&self, id: TorrentId) -> Option<TorrentHandle> {
        let entry = self.shared.registry.get(id)?;
        Some(self.shared.handle(entry))
    }

    /// Takes a torrent out of the session; its files stay, its resume data goes.
    ///
    /// # Errors
    /// [`Gone`] when it was removed before, or the session is shut down.
    pub async fn remove_keeping_files(&self, torrent: &TorrentHandle) -> Result<(), Gone> {
        torrent.remove_keeping_files().await
    }

    /// Takes a torrent out of the session and deletes its files, partial ones too, and the folders that are empty then.
    ///
    /// # Errors
    /// [`CommandError::Storage`](crate::CommandError::Storage) when something could not be deleted: the torrent is out of the session all the same.
    /// [`CommandError::Gone`](crate::CommandError::Gone) when it was removed before, or the session is shut down.
    pub async fn remove_and_delete_files(
        &self,
        torrent: &TorrentHandle,
    ) -> Result<(), crate::CommandError> {
        torrent.remove_and_delete_files().await
    }

    /// The events of all torrents from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.shared.listen(None)
    }

    /// Changes the speeds that all torrents together keep to, at once.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.download.set_rate(limits.download);
        self.shared.upload.set_rate(limits.upload);
    }

    /// The addresses at which peers are listened for: all of one port.
    #[must_use]
    pub fn listen_addresses(&self) -> &[SocketAddr] {
        &self.shared.addresses
    }

    /// The TCP port at which peers are listened for.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared.port()
    }

    /// The UDP port of our node of the DHT; `None` without one.
    #[must_use]
    pub fn dht_port(&self) -> Option<u16> {
        self.shared.announcer.dht().map(Beacon::port)
    }

    /// Our name in the swarms.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.shared.connection_config.peer_id
    }

    /// Ends the session: tells the trackers, saves resume data, closes the connections and waits for every task and thread.
    /// Pieces that are being written are finished first.
    ///
    /// # Errors
    /// [`ShutdownError::GraceExceeded`] when something took longer than `grace`. What is left is not waited for.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), ShutdownError> {
        let ended = tokio::time::timeout(grace, self.shared.end()).await;
        self.shared.events.close();
        ended.map_err(|_| ShutdownError::GraceExceeded { grace })
    }
}

impl Shared {
    /// Adds a torrent, see [`AddTorrent::start`].
    pub(crate) fn add(add: AddTorrent) -> Result<TorrentHandle, AddError> {
        let AddTorrent {
            shared,
            source,
            options,
        } = add;
        let metainfo = match source {
            TorrentSource::Metainfo(metainfo) => metainfo,
            TorrentSource::Magnet(magnet) => return Self::add_magnet(&shared, *magnet, options),
        };
        let count = metainfo.info().file_count() as usize;
        if let Some(&index) = options
            .files
            .iter()
            .flatten()
            .chain(options.priorities.keys())
            .find(|&&index| index >= count)
        {
            return Err(AddError::NoSuchFile { index, count });
        }
        let entry = Arc::new(Entry::new(&metainfo, options.limits));
        shared.registry.insert(Arc::clone(&entry))?;
        let (shared_too, entry_too) = (Arc::clone(&shared), Arc::clone(&entry));
        entry.start(Driver::new(shared_too, entry_too, metainfo, options));
        Ok(shared.handle(entry))
    }

    fn add_magnet(
        shared: &Arc<Self>,
        magnet: Magnet,
        options: AddOptions,
    ) -> Result<TorrentHandle, AddError> {
        let magnet = Arc::new(magnet);
        let entry = Arc::new(Entry::of_magnet(&magnet, options.limits));
        shared.registry.insert(Arc::clone(&entry))?;
        let (shared_too, entry_too) = (Arc::clone(shared), Arc::clone(&entry));
        entry.seek(shared, Seeker::new(shared_too, entry_too, magnet, options));
        Ok(shared.handle(entry))
    }

    pub(crate) fn handle(self: &Arc<Self>, entry: Arc<Entry>) -> TorrentHandle {
        TorrentHandle {
            shared: Arc::clone(self),
            entry,
        }
    }

    pub(crate) fn listen(&self, only: Option<TorrentId>) -> EventStream {
        self.events.listen(only, self.config.event_capacity)
    }

    pub(crate) fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }

    /// No torrent goes on: those that are awake leave by themselves, and those that sleep, which hold the session, are dropped.
    fn stop_torrents(&self) {
        self.stop.cancel();
        for entry in self.registry.close() {
            entry.close_if_asleep(Gone::ShutDown);
        }
    }

    /// Ends everything, in the order in which it depends on each other.
    async fn end(self: &Arc<Self>) {
        self.stop_torrents();
        self.tasks.close();
        self.tasks.wait().await;
        let shared = Arc::clone(self);
        // The threads are joined where that may block.
        let joined = tokio::task::spawn_blocking(move || {
            shared.disk.finish();
            shared.checks.finish();
        });
        // It panics only if a thread's handle does, which holds no data of ours.
        let _ = joined.await;
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// What peers see as our name.
const CLIENT_NAME: &str = concat!("rarest ", env!("CARGO_PKG_VERSION"));

/// Two letters and a version, then chance (BEP 20).
fn new_peer_id() -> PeerId {
    let mut bytes = *b"-RA0100-............";
    rand::fill(&mut bytes[8..]);
    PeerId(bytes)
}

async fn make_folder(path: &Path) -> Result<(), StartError> {
    tokio::fs::create_dir_all(path)
        .await
        .map_err(|source| StartError::Folder {
            path: path.to_owned(),
            source,
        })
}

/// The clock of the tasks: tokio's, so that tests can hold it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits until then; for ever when there is no such time.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
