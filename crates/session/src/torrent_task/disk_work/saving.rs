//! Resume data: saved now and then while it changes, and at every end. On the same occasions the files are looked at: somebody may have
//! changed them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rarest_metainfo::PieceIndex;
use rarest_piece_store::{StoreError, Totals};
use tokio::sync::oneshot;

use super::checking::Scope;
use super::{DiskMail, Driver};
use crate::registry::Entry;
use crate::torrent_task::{Stage, Store};

/// Whether the saved resume data is up to date.
#[derive(Debug, Default)]
pub(super) struct Saving {
    due: Option<Instant>,
    under_way: bool,
    /// Whoever waits for a save that begins after now.
    next_waiters: Vec<oneshot::Sender<()>>,
    /// Whoever waits for the save that is under way.
    waiters: Vec<oneshot::Sender<()>>,
}

impl Saving {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.under_way)
    }
}

impl Driver {
    /// Where the resume data of this torrent is kept, when it is.
    pub(super) fn resume_file(&self) -> Option<PathBuf> {
        let folder = self.shared.config.state_dir.as_ref()?;
        Some(folder.join(format!("{}.resume", self.entry.id)))
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
        let interval = self.shared.config.resume_interval;
        self.disk.saving.due.get_or_insert(now + interval);
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
        let path = self.resume_file();
        let totals = self.totals();
        self.run_job(
            |shared| &shared.disk,
            move |store| {
                let saved = save(store, totals, path.as_deref());
                DiskMail::Saved(saved.and_then(|()| store.find_changed()))
            },
        );
    }

    /// `result` has the pieces of files that somebody else changed.
    pub(super) fn handle_saved(
        &mut self,
        now: Instant,
        result: Result<Vec<PieceIndex>, StoreError>,
    ) {
        let saving = &mut self.disk.saving;
        saving.under_way = false;
        tell(std::mem::take(&mut saving.waiters));
        if self.disk.is_looking() {
            // So that damage which the check finds is not believed again after a kill.
            self.outdate_resume_data(now);
        }
        match result {
            Ok(lost) if lost.is_empty() => {}
            Ok(lost) => {
                tracing::warn!(pieces = lost.len(), "files were changed by somebody else");
                self.check(lost);
            }
            Err(error) => {
                // What was saved before is still there, and right about what it says.
                tracing::warn!(%error, "resume data cannot be saved");
                self.outdate_resume_data(now);
            }
        }
    }

    /// The last save, when the session ends.
    pub(in crate::torrent_task) async fn save_resume_data(&self) {
        let Some(path) = self.resume_file().filter(|_| self.knows_disk()) else {
            return;
        };
        let store = Arc::clone(&self.disk.store);
        let totals = self.totals();
        let saving = self
            .shared
            .disk
            .call(move || save(&store, totals, Some(&path)));
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
fn save(store: &Store, totals: Totals, path: Option<&Path>) -> Result<(), StoreError> {
    let resume = store.resume(totals)?;
    path.map_or(Ok(()), |path| resume.save(path, &store.metainfo()))
}
