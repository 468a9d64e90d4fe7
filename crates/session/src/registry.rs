//! The torrents of a session, awake or asleep, and how they are reached.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rarest_metainfo::{InfoHash, Metainfo};
use tokio::sync::{mpsc, watch};

use crate::limiter::Limiter;
use crate::memory::Held;
use crate::session::Shared;
use crate::torrent_task::{Driver, Mail};
use crate::{AddError, Gone, Incomplete, Limits, Stats, TorrentId};

/// Every torrent, by what it is known as to callers and to peers.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    torrents: RwLock<Torrents>,
}

#[derive(Debug, Default)]
struct Torrents {
    by_id: BTreeMap<TorrentId, Arc<Entry>>,
    /// A hybrid is in two swarms.
    by_swarm: HashMap<InfoHash, Arc<Entry>>,
    closed: bool,
}

impl Registry {
    pub(crate) fn insert(&self, entry: Arc<Entry>) -> Result<(), AddError> {
        let mut torrents = self.write();
        if torrents.closed {
            return Err(AddError::ShutDown);
        }
        let swarms: Vec<InfoHash> = entry.metainfo.info_hashes().swarms().collect();
        if let Some(known) = swarms.iter().find_map(|hash| torrents.by_swarm.get(hash)) {
            return Err(AddError::AlreadyAdded(known.id));
        }
        for swarm in swarms {
            torrents.by_swarm.insert(swarm, Arc::clone(&entry));
        }
        torrents.by_id.insert(entry.id, entry);
        Ok(())
    }

    /// Takes out exactly this torrent: not another one that was added under its id since.
    pub(crate) fn remove(&self, entry: &Arc<Entry>) {
        let mut torrents = self.write();
        torrents
            .by_swarm
            .retain(|_, known| !Arc::ptr_eq(known, entry));
        torrents.by_id.retain(|_, known| !Arc::ptr_eq(known, entry));
    }

    pub(crate) fn get(&self, id: TorrentId) -> Option<Arc<Entry>> {
        self.read().by_id.get(&id).cloned()
    }

    pub(crate) fn of_swarm(&self, swarm: InfoHash) -> Option<Arc<Entry>> {
        self.read().by_swarm.get(&swarm).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.read().by_id.values().cloned().collect()
    }

    /// Takes no more torrents; those there were.
    pub(crate) fn close(&self) -> Vec<Arc<Entry>> {
        let mut torrents = self.write();
        torrents.closed = true;
        torrents.by_swarm.clear();
        std::mem::take(&mut torrents.by_id).into_values().collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Torrents> {
        self.torrents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Torrents> {
        self.torrents
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One torrent, as everybody but its own driver sees it.
///
/// A torrent with work to do is a task. One that only waits is data: its driver lies here until mail comes for it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: TorrentId,
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) download: Arc<Limiter>,
    pub(crate) upload: Arc<Limiter>,
    pub(crate) totals: Totals,
    /// Bytes between sockets and disk.
    pub(crate) memory: Held,
    pub(crate) stats: watch::Sender<Stats>,
    pub(crate) progress: watch::Sender<Progress>,
    place: Mutex<Place>,
}

/// What is told to trackers, kept where it can be read without waking the torrent. Bytes.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Sent to peers since the torrent was added.
    pub(crate) uploaded: AtomicU64,
    /// Received from peers since the torrent was added.
    pub(crate) downloaded: AtomicU64,
    /// Wanted and missing.
    pub(crate) left: AtomicU64,
}

/// How far a torrent is, for those who wait for its completion.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// How often it stalled, so that each waiter can tell whether it did so since the wait began.
    pub(crate) stalls: u32,
    /// Why it stalled last.
    pub(crate) last_stall: Option<Incomplete>,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Phase {
    #[default]
    Incomplete,
    Complete,
    Failed(Incomplete),
    Gone(Gone),
}

#[derive(Debug)]
enum Place {
    /// Being set up.
    New,
    Awake(mpsc::UnboundedSender<Mail>),
    Asleep(Box<Driver>),
    Gone(Gone),
}

impl Entry {
    pub(crate) fn new(id: TorrentId, metainfo: Arc<Metainfo>, limits: Limits) -> Self {
        Self {
            id,
            metainfo,
            download: Arc::new(Limiter::new(limits.download)),
            upload: Arc::new(Limiter::new(limits.upload)),
            totals: Totals::default(),
            memory: Held::default(),
            stats: watch::Sender::default(),
            progress: watch::Sender::default(),
            place: Mutex::new(Place::New),
        }
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.download.set_rate(limits.download);
        self.upload.set_rate(limits.upload);
    }

    /// Delivers to the torrent; wakes it if it sleeps.
    pub(crate) fn send(&self, shared: &Arc<Shared>, mail: Mail) -> Result<(), Gone> {
        let mut place = self.lock();
        match &mut *place {
            Place::Awake(sender) => sender.send(mail).map_err(|_| Gone::ShutDown),
            Place::Gone(gone) => Err(*gone),
            Place::New => Err(Gone::ShutDown),
            Place::Asleep(_) => {
                let (sender, receiver) = mpsc::unbounded_channel();
                // The receiver is at hand, so this cannot fail.
                let _ = sender.send(mail);
                if let Place::Asleep(driver) = std::mem::replace(&mut *place, Place::Awake(sender))
                {
                    // Mail also comes from the disk threads, which are in no runtime.
                    shared.tasks.spawn_on(driver.run(receiver), &shared.runtime);
                }
                Ok(())
            }
        }
    }

    /// Starts the task of a new torrent.
    pub(crate) fn start(&self, shared: &Arc<Shared>, driver: Box<Driver>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.lock() = Place::Awake(sender);
        shared.tasks.spawn(driver.run(receiver));
    }

    /// Lays the driver down to sleep, unless mail came in the meantime: then it is given back.
    pub(crate) fn sleep(
        &self,
        driver: Box<Driver>,
        mailbox: &mpsc::UnboundedReceiver<Mail>,
    ) -> Result<(), Box<Driver>> {
        let mut place = self.lock();
        // Whoever sends holds the lock, so an empty mailbox stays empty.
        if !mailbox.is_empty() || !matches!(*place, Place::Awake(_)) {
            return Err(driver);
        }
        *place = Place::Asleep(driver);
        Ok(())
    }

    /// Whether the torrent is still there.
    pub(crate) fn check(&self) -> Result<(), Gone> {
        match &*self.lock() {
            Place::Gone(gone) => Err(*gone),
            Place::New | Place::Awake(_) | Place::Asleep(_) => Ok(()),
        }
    }

    /// Why the torrent does not answer.
    pub(crate) fn gone(&self) -> Gone {
        self.check().err().unwrap_or(Gone::ShutDown)
    }

    /// Drops a torrent that sleeps: it has nothing to save.
    pub(crate) fn close_if_asleep(&self, gone: Gone) {
        if matches!(&*self.lock(), Place::Asleep(_) | Place::New) {
            self.close(gone);
        }
    }

    /// Nobody reaches the torrent any more; whoever waits for it is told why.
    pub(crate) fn close(&self, gone: Gone) {
        *self.lock() = Place::Gone(gone);
        self.progress
            .send_modify(|progress| progress.phase = Phase::Gone(gone));
    }

    /// Says that wanted bytes are missing, or none.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.progress.send_modify(|progress| progress.phase = phase);
    }

    pub(crate) fn stalled(&self, why: Incomplete) {
        self.progress.send_modify(|progress| {
            progress.stalls += 1;
            progress.last_stall = Some(why);
        });
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    pub(crate) fn add_uploaded(&self, bytes: u64) {
        self.uploaded.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_downloaded(&self, bytes: u64) {
        self.downloaded.fetch_add(bytes, Ordering::Relaxed);
    }
}
