//! What was written since the last sync, and what becomes of it when a sync fails.

use std::{
    collections::BTreeSet,
    mem,
    sync::{MutexGuard, PoisonError},
};

use rarest_metainfo::PieceIndex;

use super::PieceStore;
use crate::{Operation, Storage, StoreError};

/// What a power failure would take.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// With bytes that were written since the last sync that succeeded, verified or spilled.
    pieces: BTreeSet<PieceIndex>,
    /// Syncs that failed.
    failures: u64,
}

impl Unsynced {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
    }
}

/// Names the syncs that have failed so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailedSyncs(u64);

/// Why it is not sure that what was written is kept.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The storage tried, and failed: what was written since the last sync may be gone, though it was verified.
    #[error("{error}")]
    Lost {
        /// What it said.
        #[source]
        error: StoreError,
        /// The pieces of which bytes were written since then, of the file that the error names, or of all. They are not verified any more,
        /// nor spilled: they have to be [checked](PieceStore::check).
        lost: Vec<PieceIndex>,
    },
    /// A file could not be opened or looked at. Nothing is lost; keep the resume data of before.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Storage> PieceStore<S> {
    /// Makes all that was written survive a power failure.
    ///
    /// A sync that fails is no delay but a loss. A system tells of it once, and may have dropped what it could not write, or keep it in
    /// memory as if it were written; the next sync succeeds. So every piece that was written since the sync before loses its mark.
    ///
    /// # Errors
    /// [`SyncError`].
    pub fn sync(&self) -> Result<(), SyncError> {
        // One after the other: a sync that follows a failed one succeeds, and must find that the marks are gone.
        let _turn = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        // What is written from here on waits for the next one.
        let covered = mem::take(&mut self.unsynced().pieces);
        let Err(error) = self.storage.sync() else {
            return Ok(());
        };
        if error.operation == Operation::Open {
            self.unsynced().pieces.extend(covered);
            return Err(error.into());
        }
        let lost = self.lose_unsynced(covered, &error);
        Err(SyncError::Lost { error, lost })
    }

    fn lose_unsynced(&self, covered: BTreeSet<PieceIndex>, error: &StoreError) -> Vec<PieceIndex> {
        // Whoever has written has marked it afterwards. What was written meanwhile may have gone the same way.
        let _nobody_writes = self.pause_writing();
        let metainfo = self.metainfo();
        let concerns = |piece| {
            let mut spans = metainfo.info().spans(self.range(piece));
            error
                .file
                .is_none_or(|file| spans.any(|span| span.file == file))
        };
        let mut unsynced = self.unsynced();
        unsynced.pieces.extend(covered);
        unsynced.failures += 1;
        let pieces = unsynced.pieces.iter().copied();
        let lost: Vec<_> = pieces.filter(|&piece| concerns(piece)).collect();
        for piece in &lost {
            self.verified.remove(*piece);
            self.spilled().remove(piece);
        }
        lost
    }

    /// After a write, and before anybody pauses writing.
    pub(super) fn note_written(&self, pieces: impl IntoIterator<Item = PieceIndex>) {
        self.unsynced().pieces.extend(pieces);
    }

    pub(super) fn failed_syncs(&self) -> FailedSyncs {
        FailedSyncs(self.unsynced().failures)
    }

    /// Marks a piece that was read from where it is, unless a sync failed since `before` the read: what was read may be gone.
    pub(super) fn mark_unless_lost(&self, piece: PieceIndex, before: FailedSyncs) -> bool {
        let unsynced = self.unsynced();
        if unsynced.failures != before.0 && unsynced.pieces.contains(&piece) {
            return false;
        }
        self.spilled().remove(&piece);
        self.verified.insert(piece);
        true
    }

    pub(super) fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
