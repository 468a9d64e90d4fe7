//! What a caller holds of a torrent.

use std::net::SocketAddr;
use std::sync::Arc;

use rarest_metainfo::Metainfo;
use rarest_tracker::schedule::TrackerStatus;
use tokio::sync::{oneshot, watch};

use crate::registry::{Entry, Phase};
use crate::session::Shared;
use crate::torrent_task::{Command, Mail};
use crate::{
    CommandError, EventStream, FilePriority, Gone, Incomplete, Limits, Scrape, Stats, TorrentId,
};

/// A torrent of a session. Cheap to clone; dropping it leaves the torrent running.
#[derive(Clone, Debug)]
pub struct TorrentHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) entry: Arc<Entry>,
}

impl TorrentHandle {
    /// Which torrent it is.
    #[must_use]
    pub fn id(&self) -> TorrentId {
        self.entry.id
    }

    /// What the torrent is; `None` as long as that has to be fetched for a magnet link. Read anew from the bytes of its `.torrent` while it
    /// rests: a session keeps no more of it then.
    #[must_use]
    pub fn metainfo(&self) -> Option<Arc<Metainfo>> {
        self.entry.metainfo()
    }

    /// Waits until it is known what the torrent is: at once, but for a magnet link.
    ///
    /// It is a question like [`completed`](Self::completed): dropping the future changes nothing, and it may be asked again.
    ///
    /// # Errors
    /// [`Incomplete::Stalled`] when no peer has sent the metadata for the session's
    /// [stall timeout](crate::Builder::stall_timeout); [`Incomplete::Metadata`] when what the magnet link names is no torrent that can be used;
    /// [`Incomplete::AlreadyAdded`]; [`Incomplete::Removed`] and [`Incomplete::ShutDown`].
    pub async fn metadata(&self) -> Result<Arc<Metainfo>, Incomplete> {
        self.reached(|_| self.entry.metainfo()).await
    }

    /// Waits until every wanted piece is there, verified and written.
    ///
    /// It is a question, not a part of the download: dropping the future changes nothing, and it may be asked again after an
    /// error that is not for ever. While a torrent is paused or checked, the time in which it makes no progress is not counted;
    /// a torrent that stays paused is waited for until it is resumed. However it ends, [`stats`](Self::stats) show that already.
    ///
    /// # Errors
    /// [`Incomplete::Stalled`] when no block came for the session's [stall timeout](crate::Builder::stall_timeout), counted anew
    /// after each; [`Incomplete::Storage`] while the storage fails for a reason other than a full disk;
    /// [`Incomplete::HashesMissing`] when for as long nothing was left to download but what cannot be verified;
    /// [`Incomplete::Removed`] and [`Incomplete::ShutDown`].
    pub async fn completed(&self) -> Result<(), Incomplete> {
        self.reached(|phase| matches!(phase, Phase::Complete).then_some(()))
            .await
    }

    /// Waits until there is what is waited for, or it stalls.
    async fn reached<T>(&self, goal: impl Fn(&Phase) -> Option<T>) -> Result<T, Incomplete> {
        let mut progress = self.entry.progress.subscribe();
        let stalls_before = progress.borrow().stalls;
        loop {
            {
                let now = progress.borrow_and_update();
                if let Some(reached) = goal(&now.phase) {
                    return Ok(reached);
                }
                match &now.phase {
                    Phase::Failed(why) => return Err((**why).clone()),
                    Phase::Gone(Gone::Removed) => return Err(Incomplete::Removed),
                    Phase::Gone(Gone::ShutDown) => return Err(Incomplete::ShutDown),
                    Phase::Incomplete | Phase::Complete => {}
                }
                if now.stalls > stalls_before
                    && let Some(why) = &now.last_stall
                {
                    return Err((**why).clone());
                }
            }
            if progress.changed().await.is_err() {
                return Err(Incomplete::ShutDown);
            }
        }
    }

    /// Stops moving data and closes the connections. Resume data is saved. Returns when that is done.
    ///
    /// # Errors
    /// [`Gone`] when the torrent is no longer there.
    pub async fn pause(&self) -> Result<(), Gone> {
        self.command(Command::Pause).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// [`Gone`] when the torrent is no longer there.
    pub async fn resume(&self) -> Result<(), Gone> {
        self.command(Command::Resume).await
    }

    /// Tells the torrent of peers, to be dialled when there is room for them.
    ///
    /// # Errors
    /// [`Gone`] when the torrent is no longer there.
    pub async fn add_peers(&self, peers: impl IntoIterator<Item = SocketAddr>) -> Result<(), Gone> {
        let peers = peers.into_iter().collect();
        self.command(|done| Command::AddPeers(peers, done)).await
    }

    /// Adds trackers, each in a tier of its own behind those there are, and announces to them. Those it has are left as they are.
    ///
    /// # Errors
    /// [`CommandError::TrackerUrl`] when one is none: then none is added. [`CommandError::Gone`].
    pub async fn add_trackers(
        &self,
        urls: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(), CommandError> {
        let mut parsed = Vec::new();
        for url in urls {
            let url = url.as_ref();
            match url.parse() {
                Ok(url) => parsed.push(url),
                Err(error) => {
                    let url = url.to_owned();
                    return Err(CommandError::TrackerUrl { url, error });
                }
            }
        }
        self.entry.check()?;
        self.shared.announcer.add_trackers(&self.entry, parsed);
        Ok(())
    }

    /// Adds web servers that have the files ([BEP 19](https://www.bittorrent.org/beps/bep_0019.html)), beside those that the torrent names. Those it has
    /// are left as they are.
    ///
    /// # Errors
    /// [`CommandError::WebSeedUrl`] when one is none: then none is added. [`CommandError::Gone`].
    pub async fn add_web_seeds(
        &self,
        urls: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(), CommandError> {
        let mut parsed = Vec::new();
        for url in urls {
            let url = url.as_ref();
            match url.parse() {
                Ok(location) => parsed.push(location),
                Err(error) => {
                    let url = url.to_owned();
                    return Err(CommandError::WebSeedUrl { url, error });
                }
            }
        }
        self.command(|done| Command::AddWebSeeds(parsed, done))
            .await?;
        Ok(())
    }

    /// The trackers of the torrent, in the order in which they are tried, and how each stands. None when the session
    /// was started [without trackers](crate::Builder::without_trackers), and none of a torrent that is gone.
    pub async fn trackers(&self) -> Vec<TrackerStatus> {
        self.shared.announcer.list(&self.entry).await
    }

    /// Changes the speeds this torrent keeps to, at once.
    pub fn set_limits(&self, limits: Limits) {
        self.entry.set_limits(limits);
    }

    /// Looks at all that is on the disk again. Returns the number of pieces that are there and right, once the check is done.
    ///
    /// Peers stay connected and are served meanwhile; nothing is downloaded before it is known what is there.
    ///
    /// # Errors
    /// [`CommandError::Storage`] when the data cannot be read, [`CommandError::Gone`].
    pub async fn recheck(&self) -> Result<u32, CommandError> {
        self.command(Command::Recheck).await?
    }

    /// Changes how much files are wanted, by their number; the others stay as they are.
    ///
    /// What is there of a file that is no longer wanted is kept.
    ///
    /// # Errors
    /// [`CommandError::NoSuchFile`], [`CommandError::Storage`] when bytes cannot be moved to a file that is wanted again,
    /// [`CommandError::Gone`].
    pub async fn set_file_priorities(
        &self,
        priorities: impl IntoIterator<Item = (usize, FilePriority)>,
    ) -> Result<(), CommandError> {
        let priorities = priorities.into_iter().collect();
        self.command(|done| Command::SetFilePriorities(priorities, done))
            .await?
    }

    /// What the torrent is doing, replaced by a new snapshot up to twice a second while anything changes.
    ///
    /// The channel closes when the torrent is gone.
    #[must_use]
    pub fn stats(&self) -> watch::Receiver<Stats> {
        self.entry.stats.subscribe()
    }

    /// The events of this torrent from now on. The stream of a torrent that is gone has ended.
    #[must_use]
    pub fn events(&self) -> EventStream {
        let events = self.shared.listen(Some(self.entry.id));
        // Only looked at once the stream is there: who goes later ends it.
        match self.entry.check() {
            Ok(()) => events,
            Err(_) => EventStream::ended(),
        }
    }

    /// Asks each tracker how many peers the torrent has: those that can be asked, all at once. Takes as long as the slowest.
    pub async fn scrape(&self) -> Vec<Scrape> {
        self.shared.scrape(&self.entry).await
    }

    pub(crate) async fn remove_keeping_files(&self) -> Result<(), Gone> {
        self.command(Command::RemoveKeepingFiles).await
    }

    pub(crate) async fn remove_and_delete_files(&self) -> Result<(), CommandError> {
        self.command(Command::RemoveAndDeleteFiles).await?
    }

    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Gone> {
        let (done, reply) = oneshot::channel();
        self.entry
            .send(&self.shared, Mail::Command(command(done)))?;
        // A torrent that ends before it answers was removed, or the session shut down.
        reply.await.map_err(|_| self.entry.gone())
    }
}
