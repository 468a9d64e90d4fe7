//! Resume data: saved now and then while it changes, and at every end. On the same occasions the files are looked at: somebody may have
//! changed them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rarest_metainfo::PieceIndex;
use rarest_piece_store::{Operation, StoreError, SyncError, Totals};
use tokio::sync::oneshot;

use super::checking::Scope;
use super::{DiskMail, Driver};
use crate::disk::caught;
use crate::registry::Entry;
use crate::session::Shared;
use crate::torrent_task::hashes::save_layers;
use crate::torrent_task::{Stage, Store};
use crate::{TorrentEvent, TorrentId};

/// Whether the saved resume data is up to date.
#[derive(Debug, Default)]
pub(super) struct Saving {
    due: Option<Instant>,
    under_way: bool,
    /// Bytes that were written since the last save began.
    unsaved_bytes: u64,
    /// Whoever waits for a save that begins after now.
    next_waiters: Vec<oneshot::Sender<()>>,
    /// Whoever waits for the save that is under way.
    waiters: Vec<oneshot::Sender<()>>,
}

impl Saving {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.under_way)
    }

    /// Nothing is to be saved by itself.
    pub(super) fn forget(&mut self) {
        self.due = None;
    }

    pub(super) fn is_awaited_by_nobody(&self) -> bool {
        !self.under_way && self.next_waiters.is_empty() && self.waiters.is_empty()
    }
}

/// Where the resume data of a torrent is kept, when it is.
pub(in crate::torrent_task) fn resume_file(shared: &Shared, torrent: TorrentId) -> Option<PathBuf> {
    let folder = shared.config.state_dir.as_ref()?;
    Some(folder.join(format!("{torrent}.resume")))
}

impl Driver {
    pub(super) fn resume_file(&self) -> Option<PathBuf> {
        resume_file(&self.shared, self.entry.id)
    }

    /// Saves once the jobs that are under way are done, and tells when it is.
    pub(in crate::torrent_task) fn save_then(&mut self, done: oneshot::Sender<()>) {
        if matches!(self.stage, Stage::Active(_)) {
            self.disk.saving.next_waiters.push(done);
            self.save_if_awaited();
        } else {
            // The first check may take hours, and is saved by itself.
            let _ = done.send(());
        }
    }

    pub(super) fn save_if_awaited(&mut self) {
        if self.disk.is_idle_but_for_looking() && !self.disk.saving.next_waiters.is_empty() {
            self.save();
        }
    }

    /// Whether the marks say what there is. While everything is looked at again they do: it corrects them as it goes.
    fn knows_disk(&self) -> bool {
        match self.stage {
            Stage::New | Stage::Checking | Stage::Unreadable => false,
            Stage::Active(_) => match self.disk.looking {
                None => true,
                Some(Scope::Again) => self.disk.to_check.is_empty(),
                Some(Scope::First | Scope::Lost) => false,
            },
        }
    }

    /// Something changed that is to be saved in due time.
    pub(in crate::torrent_task) fn outdate_resume_data(&mut self, now: Instant) {
        if self.disk.given_up().is_some() {
            return;
        }
        let interval = self.shared.config.resume_interval;
        self.disk.saving.due.get_or_insert(now + interval);
    }

    /// So many bytes were written, which only a save keeps for sure.
    pub(super) fn note_unsaved(&mut self, now: Instant, bytes: u64) {
        let unsaved = &mut self.disk.saving.unsaved_bytes;
        *unsaved += bytes;
        if *unsaved >= self.shared.config.resume_bytes {
            self.save_soon(now);
        }
    }

    /// Saves soon, whatever the interval.
    pub(in crate::torrent_task) fn save_soon(&mut self, now: Instant) {
        self.outdate_resume_data(now);
        self.disk.saving.due = self.disk.saving.due.map(|_| now);
    }

    pub(super) fn save(&mut self) {
        let saving = &mut self.disk.saving;
        saving.due = None;
        let waiters = std::mem::take(&mut saving.next_waiters);
        if !self.knows_disk() {
            tell(waiters);
            return;
        }
        self.disk.saving.waiters = waiters;
        self.disk.saving.under_way = true;
        self.disk.saving.unsaved_bytes = 0;
        let path = self.resume_file();
        let layers = self.layers_to_save();
        let totals = self.totals();
        self.run_job(
            |shared| &shared.disk,
            Operation::Sync,
            move |store| {
                if let Some(layers) = layers {
                    save_layers(store, &layers);
                }
                Ok((save(store, totals, path.as_deref()), store.find_changed()))
            },
            |done: Result<_, StoreError>| match done {
                Ok((saved, Ok(changed))) => DiskMail::Saved { saved, changed },
                Ok((saved, Err(error))) => DiskMail::Saved {
                    saved: saved.and(Err(error.into())),
                    changed: Vec::new(),
                },
                Err(panicked) => DiskMail::Saved {
                    saved: Err(panicked.into()),
                    changed: Vec::new(),
                },
            },
        );
    }

    /// `changed` has the pieces of files that somebody else changed.
    pub(super) fn handle_saved(
        &mut self,
        now: Instant,
        saved: Result<(), SyncError>,
        changed: Vec<PieceIndex>,
    ) {
        let saving = &mut self.disk.saving;
        saving.under_way = false;
        tell(std::mem::take(&mut saving.waiters));
        if self.disk.is_looking() {
            // So that damage which the check finds is not believed again after a kill.
            self.outdate_resume_data(now);
        }
        // Also where nothing could be saved: they have lost their marks, and nobody else tells the machine.
        if !changed.is_empty() {
            tracing::warn!(
                pieces = changed.len(),
                "files were changed by somebody else"
            );
            self.check(changed);
        }
        match saved {
            Ok(()) => self.notice_kept(),
            Err(SyncError::Lost { error, lost }) => self.handle_lost_by_sync(error, lost),
            Err(error) => {
                if let SyncError::Store(error) = &error {
                    self.give_up_after_panic(error);
                }
                // What was saved before is still there, and right about what it says.
                tracing::warn!(%error, "resume data cannot be saved");
                self.outdate_resume_data(now);
            }
        }
    }

    /// What was written since the sync before may be gone. Whether it is, a look at it will tell; what is gone is fetched again. A disk that
    /// does it once more, before it has kept what it lost, would have us fetch the same for ever.
    fn handle_lost_by_sync(&mut self, error: StoreError, lost: Vec<PieceIndex>) {
        tracing::warn!(%error, pieces = lost.len(), "what was written may be lost");
        if self.disk.lost_by_sync.is_some() {
            return self.give_up(error);
        }
        self.disk.lost_by_sync = Some(lost.clone());
        let pieces = lost.len();
        self.doubt_finish();
        self.tell(TorrentEvent::WritesLost { error, pieces });
        self.check(lost);
    }

    /// After a sync that succeeded: whether what an earlier one took is there, and kept.
    fn notice_kept(&mut self) {
        let store = &self.disk.store;
        let lost = self.disk.lost_by_sync.take();
        self.disk.lost_by_sync =
            lost.filter(|lost| !lost.iter().all(|&piece| store.is_verified(piece)));
    }

    /// The last save, when the session ends.
    pub(in crate::torrent_task) async fn save_resume_data(&mut self) {
        let layers = self.layers_to_save();
        let Some(path) = self.resume_file().filter(|_| self.knows_disk()) else {
            return;
        };
        let store = Arc::clone(&self.disk.store);
        let totals = self.totals();
        let name = self.metainfo.info().name().to_owned();
        let saving = self.shared.disk.call(move || {
            let saved = caught(Operation::Sync, &name, || {
                if let Some(layers) = layers {
                    save_layers(&store, &layers);
                }
                save(&store, totals, Some(&path))
            });
            saved.unwrap_or_else(|panicked| Err(panicked.into()))
        });
        if let Some(Err(error)) = saving.await {
            tracing::warn!(%error, "resume data cannot be saved");
        }
    }

    /// Bytes moved in this run and those before.
    pub(in crate::torrent_task) fn totals(&self) -> Totals {
        let Entry { totals, .. } = &*self.entry;
        Totals {
            downloaded: self.disk.earlier.downloaded + totals.downloaded.load(Ordering::Relaxed),
            uploaded: self.disk.earlier.uploaded + totals.uploaded.load(Ordering::Relaxed),
        }
    }
}

/// Whoever waited may have gone.
fn tell(waiters: Vec<oneshot::Sender<()>>) {
    for waiter in waiters {
        let _ = waiter.send(());
    }
}

/// Notes how the files are now, and what is verified in them; in `path`, if there is one.
fn save(store: &Store, totals: Totals, path: Option<&Path>) -> Result<(), SyncError> {
    let resume = store.resume(totals)?;
    if let Some(path) = path {
        resume.save(path, &store.metainfo())?;
    }
    Ok(())
}
