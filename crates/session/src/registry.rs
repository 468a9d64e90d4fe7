//! The torrents of a session, awake or asleep, and how they are reached.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use bytes::Bytes;
use rarest_metainfo::{InfoHash, Magnet, Metainfo, ParseOptions};
use rarest_peer_wire::mse::SkeyDigest;
use tokio::sync::mpsc;

use crate::limiter::Limiter;
use crate::memory::Held;
use crate::session::Shared;
use crate::torrent_task::{Driver, Mail, Resting, Seeker};
use crate::watched::Watched;
use crate::{AddError, Gone, Incomplete, Limits, Rate, Stats, TorrentId};

/// Every torrent, by what it is known as to callers and to peers.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    torrents: RwLock<Torrents>,
}

#[derive(Debug, Default)]
struct Torrents {
    by_id: BTreeMap<TorrentId, Arc<Entry>>,
    /// The second swarms of hybrids. The first is the id.
    second_swarms: HashMap<InfoHash, TorrentId>,
    /// All swarms, by what peers name them with that encrypt.
    by_digest: HashMap<SkeyDigest, InfoHash>,
    closed: bool,
}

impl Registry {
    pub(crate) fn insert(&self, entry: Arc<Entry>) -> Result<(), AddError> {
        let mut torrents = self.write();
        if torrents.closed {
            return Err(AddError::ShutDown);
        }
        let second_swarm = entry.second_swarm();
        let swarms = [Some(entry.id.info_hash()), second_swarm];
        if let Some(known) = swarms
            .iter()
            .flatten()
            .find_map(|&hash| torrents.id_of(hash))
        {
            return Err(AddError::AlreadyAdded(known));
        }
        if let Some(second) = second_swarm {
            torrents.second_swarms.insert(second, entry.id);
        }
        for swarm in swarms.into_iter().flatten() {
            torrents.by_digest.insert(SkeyDigest::of(swarm), swarm);
        }
        torrents.by_id.insert(entry.id, entry);
        Ok(())
    }

    /// The metadata of a magnet link is there, and may name a second swarm. Another torrent may have come for it before.
    pub(crate) fn describe(
        &self,
        entry: &Arc<Entry>,
        metainfo: &Arc<Metainfo>,
    ) -> Result<(), AddError> {
        let mut torrents = self.write();
        if torrents.closed {
            return Err(AddError::ShutDown);
        }
        let is_new = |hash: &InfoHash| *hash != entry.id.info_hash();
        if let Some(second) = metainfo.info_hashes().swarms().find(is_new) {
            match torrents.id_of(second) {
                Some(other) if other != entry.id => return Err(AddError::AlreadyAdded(other)),
                _ => {}
            }
            // It may be that of the magnet link.
            let second = *entry.second_swarm.get_or_init(|| second);
            torrents.second_swarms.insert(second, entry.id);
            torrents.by_digest.insert(SkeyDigest::of(second), second);
        }
        *lock(&entry.description) = Description::of(metainfo);
        Ok(())
    }

    /// Takes out exactly this torrent: not another one that was added under its id since.
    pub(crate) fn remove(&self, entry: &Arc<Entry>) {
        let mut torrents = self.write();
        let known = torrents.by_id.get(&entry.id);
        if known.is_some_and(|known| Arc::ptr_eq(known, entry)) {
            torrents.by_id.remove(&entry.id);
            let digest = SkeyDigest::of(entry.id.info_hash());
            torrents.by_digest.remove(&digest);
            if let Some(second) = entry.second_swarm() {
                torrents.second_swarms.remove(&second);
                torrents.by_digest.remove(&SkeyDigest::of(second));
            }
        }
    }

    pub(crate) fn get(&self, id: TorrentId) -> Option<Arc<Entry>> {
        self.read().by_id.get(&id).cloned()
    }

    pub(crate) fn of_swarm(&self, swarm: InfoHash) -> Option<Arc<Entry>> {
        let torrents = self.read();
        let id = torrents.id_of(swarm)?;
        torrents.by_id.get(&id).cloned()
    }

    /// The swarm that a peer means that encrypts.
    pub(crate) fn of_digest(&self, digest: SkeyDigest) -> Option<InfoHash> {
        self.read().by_digest.get(&digest).copied()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.read().by_id.values().cloned().collect()
    }

    /// Takes no more torrents; those there were.
    pub(crate) fn close(&self) -> Vec<Arc<Entry>> {
        let mut torrents = self.write();
        torrents.closed = true;
        torrents.second_swarms.clear();
        torrents.by_digest.clear();
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

impl Torrents {
    fn id_of(&self, swarm: InfoHash) -> Option<TorrentId> {
        let id = TorrentId(swarm);
        match self.by_id.contains_key(&id) {
            true => Some(id),
            false => self.second_swarms.get(&swarm).copied(),
        }
    }
}

/// One torrent, as everybody but its own driver sees it.
///
/// A torrent with work to do is a task. One that only waits is data: its driver lies here until mail comes for it. One that has all
/// its pieces and waits for peers is hardly more than the bytes of its `.torrent`: all else is made again of them when somebody comes.
///
/// There may be thousands of these, so that each field counts.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: TorrentId,
    /// Of a hybrid, once that is known.
    second_swarm: OnceLock<InfoHash>,
    pub(crate) trackers: Trackers,
    description: Mutex<Description>,
    /// None while there is no limit and there were no peers.
    limiters: Mutex<Option<Box<Limiters>>>,
    pub(crate) totals: Totals,
    /// Bytes between sockets and disk.
    pub(crate) memory: Held,
    pub(crate) stats: Watched<Stats>,
    pub(crate) progress: Watched<Progress>,
    place: Mutex<Place>,
}

/// Whether a `.torrent` names any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trackers {
    None,
    Some,
}

/// What the torrent is.
#[derive(Debug)]
enum Description {
    /// All that is known until the metadata is there.
    Magnet(Arc<Magnet>),
    Metainfo {
        /// Its `.torrent`.
        raw: Bytes,
        /// That of the driver, while there is one.
        parsed: Weak<Metainfo>,
    },
}

impl Description {
    fn of(metainfo: &Arc<Metainfo>) -> Self {
        Self::Metainfo {
            raw: metainfo.to_bytes(),
            parsed: Arc::downgrade(metainfo),
        }
    }

    fn set_parsed(&mut self, metainfo: Weak<Metainfo>) {
        if let Self::Metainfo { parsed, .. } = self {
            *parsed = metainfo;
        }
    }
}

/// What is known of a torrent.
#[derive(Debug)]
pub(crate) enum Known {
    /// Its metadata is missing.
    Magnet(Arc<Magnet>),
    Metainfo(Arc<Metainfo>),
}

/// The speeds of one torrent.
#[derive(Clone, Debug)]
pub(crate) struct Limiters {
    pub(crate) download: Arc<Limiter>,
    pub(crate) upload: Arc<Limiter>,
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
    pub(crate) last_stall: Option<Box<Incomplete>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Phase {
    #[default]
    Incomplete,
    Complete,
    Failed(Box<Incomplete>),
    Gone(Gone),
}

#[derive(Debug)]
enum Place {
    /// Being set up.
    New,
    Awake(mpsc::UnboundedSender<Mail>),
    Asleep(Box<Driver>),
    /// Asleep, and its driver can be made again of this.
    Resting(Box<Resting>),
    Gone(Gone),
}

/// Where mail for a torrent that is awake arrives.
///
/// Whoever runs the torrent holds it, and drops it when the torrent has lain down or left. Should it be dropped before, by a panic or
/// with a runtime that ends first, the torrent is closed: nobody waits for what does not come any more.
#[derive(Debug)]
pub(crate) struct Mailbox {
    mail: mpsc::UnboundedReceiver<Mail>,
    entry: Arc<Entry>,
}

impl Mailbox {
    fn open(entry: &Arc<Entry>) -> (mpsc::UnboundedSender<Mail>, Self) {
        let (sender, mail) = mpsc::unbounded_channel();
        let entry = Arc::clone(entry);
        (sender, Self { mail, entry })
    }

    /// Waits for mail. Dropping the future loses none.
    pub(crate) async fn recv(&mut self) -> Option<Mail> {
        self.mail.recv().await
    }

    fn is_empty(&self) -> bool {
        self.mail.is_empty()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.mail.close();
        // Another one is open if the torrent lay down and was woken since.
        let is_left =
            matches!(&*lock(&self.entry.place), Place::Awake(sender) if sender.is_closed());
        if is_left {
            tracing::error!(torrent = %self.entry.id, "a torrent ended without taking leave");
            self.entry.close(Gone::ShutDown);
        }
    }
}

impl Entry {
    pub(crate) fn new(metainfo: &Arc<Metainfo>, limits: Limits) -> Self {
        let trackers = match metainfo.trackers() {
            [] => Trackers::None,
            [_, ..] => Trackers::Some,
        };
        let swarms = metainfo.info_hashes().swarms();
        Self::described(swarms, trackers, Description::of(metainfo), limits)
    }

    pub(crate) fn of_magnet(magnet: &Arc<Magnet>, limits: Limits) -> Self {
        let trackers = match magnet.trackers[..] {
            [] => Trackers::None,
            [_, ..] => Trackers::Some,
        };
        let swarms = magnet.info_hashes().swarms();
        let description = Description::Magnet(Arc::clone(magnet));
        Self::described(swarms, trackers, description, limits)
    }

    fn described(
        mut swarms: impl Iterator<Item = InfoHash>,
        trackers: Trackers,
        description: Description,
        limits: Limits,
    ) -> Self {
        let first = swarms.next();
        let entry = Self {
            id: TorrentId(first.expect("a torrent has at least one info-hash")),
            second_swarm: swarms.next().map_or_else(OnceLock::new, OnceLock::from),
            trackers,
            description: Mutex::new(description),
            limiters: Mutex::default(),
            totals: Totals::default(),
            memory: Held::default(),
            stats: Watched::default(),
            progress: Watched::default(),
            place: Mutex::new(Place::New),
        };
        entry.set_limits(limits);
        entry
    }

    fn second_swarm(&self) -> Option<InfoHash> {
        self.second_swarm.get().copied()
    }

    /// What the torrent is: read anew from its bytes while it rests.
    pub(crate) fn known(&self) -> Known {
        match &*lock(&self.description) {
            Description::Magnet(magnet) => Known::Magnet(Arc::clone(magnet)),
            Description::Metainfo { raw, parsed } => {
                Known::Metainfo(parsed.upgrade().unwrap_or_else(|| {
                    let options = ParseOptions::default().max_length(raw.len());
                    let metainfo = options.parse(raw.clone());
                    Arc::new(metainfo.expect("these bytes were read before"))
                }))
            }
        }
    }

    /// What the torrent is, unless that is still to be fetched.
    pub(crate) fn metainfo(&self) -> Option<Arc<Metainfo>> {
        match self.known() {
            Known::Magnet(_) => None,
            Known::Metainfo(metainfo) => Some(metainfo),
        }
    }

    /// From now on whoever asks is given this one, until the torrent rests again.
    pub(crate) fn share_metainfo(&self, metainfo: &Arc<Metainfo>) {
        lock(&self.description).set_parsed(Arc::downgrade(metainfo));
    }

    /// Keeps the bytes of this one, to be read anew while the torrent rests.
    pub(crate) fn keep_metainfo(&self, metainfo: &Arc<Metainfo>) {
        *lock(&self.description) = Description::of(metainfo);
    }

    /// What connections of this torrent keep to.
    pub(crate) fn limiters(&self) -> Limiters {
        let mut limiters = lock(&self.limiters);
        Limiters::clone(limiters.get_or_insert_with(|| Box::new(Limiters::new(Limits::NONE))))
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        let mut limiters = lock(&self.limiters);
        match &*limiters {
            Some(limiters) => {
                limiters.download.set_rate(limits.download);
                limiters.upload.set_rate(limits.upload);
            }
            None if limits == Limits::NONE => {}
            None => *limiters = Some(Box::new(Limiters::new(limits))),
        }
    }

    /// Delivers to the torrent; wakes it if it sleeps.
    pub(crate) fn send(self: &Arc<Self>, shared: &Arc<Shared>, mail: Mail) -> Result<(), Gone> {
        let mut place = lock(&self.place);
        match &*place {
            Place::Awake(sender) => return sender.send(mail).map_err(|_| Gone::ShutDown),
            Place::Gone(gone) => return Err(*gone),
            Place::New => return Err(Gone::ShutDown),
            Place::Asleep(_) | Place::Resting(_) => {}
        }
        let (sender, mailbox) = Mailbox::open(self);
        let was = std::mem::replace(&mut *place, Place::Awake(sender.clone()));
        drop(place);
        match (was, mail) {
            // Of the disk threads. Most often there is nothing more to do afterwards, and a task would be a waste.
            (Place::Asleep(driver), Mail::Disk(mail)) => driver.take_turn(mail, mailbox),
            (was, mail) => {
                // The receiver is at hand, so this cannot fail.
                let _ = sender.send(mail);
                self.wake(shared, was, mailbox);
            }
        }
        Ok(())
    }

    /// Has a task go on with what lay here.
    fn wake(self: &Arc<Self>, shared: &Arc<Shared>, was: Place, mailbox: Mailbox) {
        // Mail also comes from threads that are in no runtime.
        match was {
            Place::Asleep(driver) => {
                shared.tasks.spawn_on(driver.run(mailbox), &shared.runtime);
            }
            Place::Resting(resting) => {
                let (shared_too, entry) = (Arc::clone(shared), Arc::clone(self));
                let waking = async move { resting.wake(&shared_too, entry).run(mailbox).await };
                shared.tasks.spawn_on(waking, &shared.runtime);
            }
            Place::New | Place::Awake(_) | Place::Gone(_) => {}
        }
    }

    /// Begins with a new torrent: it sleeps until it is known what the disk holds.
    pub(crate) fn start(&self, mut driver: Box<Driver>) {
        // The result may be there before this returns, and waits for the lock.
        let mut place = lock(&self.place);
        // A session that ended in the meantime has closed it.
        if matches!(*place, Place::New) {
            driver.begin();
            *place = Place::Asleep(driver);
        }
    }

    /// Begins to look for the metadata of a magnet link.
    pub(crate) fn seek(self: &Arc<Self>, shared: &Arc<Shared>, seeker: Box<Seeker>) {
        let mut place = lock(&self.place);
        // A session that ended in the meantime has closed it.
        if matches!(*place, Place::New) {
            let (sender, mailbox) = Mailbox::open(self);
            *place = Place::Awake(sender);
            drop(place);
            shared.tasks.spawn(seeker.run(mailbox));
        }
    }

    /// Lays the driver down to sleep, unless mail came in the meantime or the session ends: then it is given back.
    pub(crate) fn sleep(
        self: &Arc<Self>,
        driver: Box<Driver>,
        mailbox: &Mailbox,
    ) -> Result<(), Box<Driver>> {
        let mut place = lock(&self.place);
        // Whoever sends holds the lock, so an empty mailbox stays empty. Whoever ends the session says so before it closes those that
        // sleep, so that none lies down behind its back.
        if !mailbox.is_empty() || driver.is_at_end() || !matches!(*place, Place::Awake(_)) {
            return Err(driver);
        }
        match driver.rest() {
            Ok(resting) => {
                *place = Place::Resting(resting);
                drop(place);
                self.forget_unused();
            }
            Err(driver) => *place = Place::Asleep(driver),
        }
        Ok(())
    }

    /// Lets go of what a torrent that rests does not need.
    fn forget_unused(&self) {
        // It would keep the memory, though not what is in it.
        lock(&self.description).set_parsed(Weak::new());
        let mut limiters = lock(&self.limiters);
        if limiters
            .as_ref()
            .is_some_and(|limiters| limiters.are_unused())
        {
            *limiters = None;
        }
    }

    /// Saves the resume data of a torrent that rests, if it did not change its mind. Blocks.
    pub(crate) fn save_resting(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut place = lock(&self.place);
        if !matches!(&*place, Place::Resting(resting) if resting.is_unsaved()) {
            // Awake, it saves by itself.
            return;
        }
        let (sender, mailbox) = Mailbox::open(self);
        let was = std::mem::replace(&mut *place, Place::Awake(sender));
        drop(place);
        let Place::Resting(mut resting) = was else {
            return;
        };
        resting.save(shared, self);
        let mut place = lock(&self.place);
        let is_at_end = shared.stop.is_cancelled();
        if mailbox.is_empty() && !is_at_end {
            *place = Place::Resting(resting);
        } else if mailbox.is_empty() {
            drop(place);
            self.close(Gone::ShutDown);
        } else {
            drop(place);
            self.wake(shared, Place::Resting(resting), mailbox);
        }
    }

    /// Whether the torrent is still there.
    pub(crate) fn check(&self) -> Result<(), Gone> {
        match &*lock(&self.place) {
            Place::Gone(gone) => Err(*gone),
            Place::New | Place::Awake(_) | Place::Asleep(_) | Place::Resting(_) => Ok(()),
        }
    }

    /// Why the torrent does not answer.
    pub(crate) fn gone(&self) -> Gone {
        self.check().err().unwrap_or(Gone::ShutDown)
    }

    /// Drops a torrent that sleeps. One whose resume data is still to be saved is dropped when it is.
    pub(crate) fn close_if_asleep(&self, gone: Gone) {
        let mut place = lock(&self.place);
        let is_done = match &*place {
            Place::New | Place::Asleep(_) => true,
            Place::Resting(resting) => !resting.is_unsaved(),
            Place::Awake(_) | Place::Gone(_) => false,
        };
        if is_done {
            let was = std::mem::replace(&mut *place, Place::Gone(gone));
            drop(place);
            // Outside of the lock: a storage of the caller's ends with it.
            drop(was);
            self.close(gone);
        }
    }

    /// Nobody reaches the torrent any more; whoever waits for it is told why.
    pub(crate) fn close(&self, gone: Gone) {
        *lock(&self.place) = Place::Gone(gone);
        self.stats.close();
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
            progress.last_stall = Some(Box::new(why));
        });
    }
}

impl Limiters {
    fn new(limits: Limits) -> Self {
        Self {
            download: Arc::new(Limiter::new(limits.download)),
            upload: Arc::new(Limiter::new(limits.upload)),
        }
    }

    /// Whether nobody has them, and there is nothing to keep.
    fn are_unused(&self) -> bool {
        let is_unused = |limiter: &Arc<Limiter>| {
            Arc::strong_count(limiter) == 1 && limiter.rate() == Rate::UNLIMITED
        };
        is_unused(&self.download) && is_unused(&self.upload)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Totals {
    pub(crate) fn add_uploaded(&self, bytes: u64) {
        self.uploaded.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_downloaded(&self, bytes: u64) {
        self.downloaded.fetch_add(bytes, Ordering::Relaxed);
    }
}
