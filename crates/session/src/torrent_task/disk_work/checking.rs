//! What is there when a torrent begins, and whether it still is.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rarest_metainfo::{File, FileIndex, Metainfo, PieceIndex};
use rarest_piece_store::{
    Check, CheckEnd, Checked, LoadError, Operation, Resume, Storage, StoreError, Totals,
};
use tokio::sync::oneshot;

use super::{DiskMail, Driver, Stage};
use crate::add::ExistingData;
use crate::registry::Entry;
use crate::session::{Shared, now};
use crate::torrent_task::Store;
use crate::torrent_task::hashes::load_layers;
use crate::{CommandError, FilePriority, TorrentEvent};

/// What a look at the disk has found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Of the resume data, when that was read.
    totals: Option<Totals>,
    /// What could not be read or made.
    errors: Vec<StoreError>,
    /// Whether it looked to the end.
    is_whole: bool,
    /// Whether the resume data says the same already.
    is_saved: bool,
    /// The torrent with piece layers that an earlier run learnt of peers.
    metainfo: Option<Arc<Metainfo>>,
    unjudged: Unjudged,
}

/// What there is of a torrent whose piece layers are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unjudged {
    Nothing,
    /// Files that may be right.
    Something,
}

impl Found {
    fn add(&mut self, checked: Checked) {
        self.errors.extend(checked.errors);
        self.is_whole &= checked.end == CheckEnd::Complete;
    }
}

/// What a look at the disk is to find out. The machine goes on during all but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything, of which nothing is known.
    First,
    /// Everything, though it was known.
    Again,
    /// Pieces that lost their marks.
    Lost,
}

/// A look at the disk.
struct Look {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    resume_file: Option<PathBuf>,
    metadata_file: Option<PathBuf>,
    skipped: Vec<usize>,
    cancel: Arc<AtomicBool>,
}

impl Driver {
    /// Looks at what is there, when a torrent is new or its storage could not be looked at before.
    pub(crate) fn begin(&mut self) {
        let existing = self.disk.existing;
        let look = self.look();
        self.start_check(Scope::First, move |store| look.first(store, existing));
    }

    /// Looks at everything again.
    pub(in crate::torrent_task) fn recheck(
        &mut self,
        done: oneshot::Sender<Result<u32, CommandError>>,
    ) {
        self.disk.recheckers.push(done);
        self.rely_on_storage_again();
        self.look_at_everything();
    }

    /// Looks at everything, after a look at some of it that runs.
    pub(in crate::torrent_task) fn look_at_everything(&mut self) {
        match self.disk.looking {
            // The look that runs answers both; it began before, but reads what is there like a new one.
            Some(Scope::First | Scope::Again) => return,
            Some(Scope::Lost) => {
                let all = self.metainfo.info().geometry().pieces();
                self.disk.to_check = all.collect();
                return;
            }
            None => {}
        }
        let look = self.look();
        if let Stage::Active(torrent) = &mut self.stage {
            torrent.handle_check_begun(now());
            self.outdate_resume_data(now());
            self.start_check(Scope::Again, move |store| look.again(store, &Check::all()));
        } else {
            // The first look never came to its end, or nothing is believed any more.
            self.start_check(Scope::First, move |store| {
                look.first(store, ExistingData::Check)
            });
        }
    }

    /// Looks at these pieces again; after the look that runs, if one does, because that may be past them. Nobody gets them meanwhile.
    pub(in crate::torrent_task) fn check(&mut self, pieces: Vec<PieceIndex>) {
        if let Stage::Active(torrent) = &mut self.stage {
            torrent.handle_pieces_doubted(now(), &pieces);
        }
        self.disk.to_check.extend(pieces);
        if !self.disk.is_looking() && matches!(self.stage, Stage::Active(_)) {
            self.check_lost();
        }
    }

    fn check_lost(&mut self) {
        let lost = std::mem::take(&mut self.disk.to_check);
        let look = self.look();
        self.start_check(Scope::Lost, move |store| {
            look.again(store, &Check::pieces(lost))
        });
    }

    pub(in crate::torrent_task) fn cancel_check(&self) {
        self.disk.cancel_check.store(true, Ordering::Relaxed);
    }

    fn start_check(
        &mut self,
        scope: Scope,
        job: impl FnOnce(&Store) -> Result<Found, StoreError> + Send + 'static,
    ) {
        if !matches!(self.stage, Stage::Active(_)) {
            self.stage = Stage::Checking;
        }
        self.disk.looking = Some(scope);
        self.publish_stats(now());
        self.tell(TorrentEvent::Checking);
        self.run_job(
            |shared| &shared.checks,
            Operation::Read,
            job,
            DiskMail::Checked,
        );
    }

    fn look(&self) -> Look {
        let priorities = self.disk.priorities.iter().flatten();
        Look {
            shared: Arc::clone(&self.shared),
            entry: Arc::clone(&self.entry),
            resume_file: self.resume_file(),
            metadata_file: self.metadata_file(),
            skipped: (0..)
                .zip(priorities)
                .filter(|&(_, &priority)| priority == FilePriority::Skip)
                .map(|(file, _)| file)
                .collect(),
            cancel: Arc::clone(&self.disk.cancel_check),
        }
    }

    /// Tells the machine what the look at the disk has found. What is found makes a torrent complete without a word, as at its beginning.
    fn tell_machine(&mut self, now: Instant) {
        if let Stage::Active(torrent) = &mut self.stage {
            torrent.handle_checked(now, &self.disk.store.verified());
            self.began(now);
        }
    }

    pub(super) fn handle_checked(&mut self, now: Instant, found: Result<Found, StoreError>) {
        let given_up = self.disk.given_up().cloned();
        let found = match given_up.map_or(found, Err) {
            Ok(found) => found,
            Err(error) => {
                self.disk.looking = None;
                self.disk.to_check.clear();
                match &mut self.stage {
                    // What lost its mark is fetched again, for want of anything better.
                    Stage::Active(_) => {
                        self.tell_machine(now);
                        self.looked_at_new_hashes(now);
                    }
                    stage => *stage = Stage::Unreadable,
                }
                for done in self.disk.recheckers.drain(..) {
                    let _ = done.send(Err(CommandError::Storage(error.clone())));
                }
                return self.storage_failed(now, error);
            }
        };
        if !found.is_whole {
            // Only an end cuts a look short. What a first one did not reach is unknown, not missing: saved as missing, it would be
            // believed for as long as the files stay as they are.
            return;
        }
        if let Some(metainfo) = found.metainfo {
            self.know_more(metainfo);
        }
        if self.disk.looking == Some(Scope::First) {
            self.disk.unjudged = found.unjudged;
        }
        if let Some(totals) = found.totals {
            self.disk.earlier = totals;
        }
        if !self.disk.to_check.is_empty() {
            return self.check_lost();
        }
        self.disk.looking = None;
        let verified_pieces = self.disk.store.verified_count();
        let error = found.errors.into_iter().next();
        if matches!(self.stage, Stage::Active(_)) {
            self.tell_machine(now);
            self.looked_at_new_hashes(now);
        } else {
            self.storage_works();
            self.start_machine(now);
        }
        for done in self.disk.recheckers.drain(..) {
            let result = error.clone().map(CommandError::Storage);
            let _ = done.send(result.map_or(Ok(verified_pieces), Err));
        }
        self.tell(TorrentEvent::Checked { verified_pieces });
        if !found.is_saved {
            self.outdate_resume_data(now);
        }
        if let Some(error) = error {
            tracing::warn!(%error, "not everything can be read");
        }
    }
}

/// Whether there are files of a torrent whose piece layers are missing.
fn unjudged(store: &Store) -> Result<Unjudged, StoreError> {
    let metainfo = store.metainfo();
    if metainfo.has_all_piece_layers() {
        return Ok(Unjudged::Nothing);
    }
    for file in metainfo.info().files() {
        if file.length() > 0 && store.storage().stamp(file.index())?.is_some() {
            return Ok(Unjudged::Something);
        }
    }
    Ok(Unjudged::Nothing)
}

impl Look {
    /// Believes what may be believed, and reads the rest.
    fn first(&self, store: &Store, existing: ExistingData) -> Result<Found, StoreError> {
        let metadata_file = self.metadata_file.as_deref();
        let knows_more = metadata_file.is_some_and(|path| load_layers(store, path));
        let some = |pieces: Vec<_>| (!pieces.is_empty()).then(|| Check::pieces(pieces));
        let mut totals = None;
        let check = match existing {
            ExistingData::Ignore => None,
            ExistingData::Check => Some(Check::all()),
            ExistingData::Complete => some(store.assume_complete()?),
            ExistingData::TrustResume => match self.load(&store.metainfo()) {
                Some(resume) => {
                    totals = Some(resume.totals());
                    some(store.restore(&resume)?.to_check)
                }
                None => Some(Check::all()),
            },
        };
        // What the caller says now counts, whatever was wanted in an earlier run.
        let metainfo = store.metainfo();
        let is_skipped = |file: &FileIndex| self.skipped.binary_search(&file.as_usize()).is_ok();
        let files = metainfo.info().files().map(File::index);
        let changed = files.filter(|file| store.is_wanted(*file) == is_skipped(file));
        let (skipped, wanted): (Vec<_>, Vec<_>) = changed.partition(is_skipped);
        let is_saved =
            totals.is_some() && check.is_none() && skipped.is_empty() && wanted.is_empty();
        store.want(wanted)?;
        store.skip(skipped)?;
        let mut found = Found {
            totals,
            errors: Vec::new(),
            is_whole: true,
            is_saved,
            metainfo: knows_more.then(|| store.metainfo()),
            unjudged: unjudged(store)?,
        };
        if let Some(check) = check {
            found.add(self.check(store, &check));
        }
        if found.is_whole {
            found.errors.extend(store.create_empty_files().err());
        }
        Ok(found)
    }

    fn again(&self, store: &Store, check: &Check) -> Result<Found, StoreError> {
        let mut found = Found {
            totals: None,
            errors: Vec::new(),
            is_whole: true,
            is_saved: false,
            metainfo: None,
            unjudged: Unjudged::Nothing,
        };
        found.add(self.check(store, check));
        Ok(found)
    }

    fn check(&self, store: &Store, check: &Check) -> Checked {
        store.check(check, |progress| {
            self.entry.stats.send_modify(|stats| {
                stats.checked_pieces = progress.checked;
                stats.pieces_to_check = progress.total;
            });
            match self.shared.stop.is_cancelled() || self.cancel.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    }

    /// Resume data that cannot be used is no reason to stop: everything is checked instead.
    fn load(&self, metainfo: &Metainfo) -> Option<Resume> {
        let path = self.resume_file.as_ref()?;
        match Resume::load(path, metainfo) {
            Ok(resume) => resume,
            Err(error @ (LoadError::Store(_) | LoadError::Resume { .. })) => {
                tracing::warn!(%error, "the resume data cannot be used");
                None
            }
            Err(error) => {
                tracing::warn!(%error, "the resume data cannot be used");
                None
            }
        }
    }
}
