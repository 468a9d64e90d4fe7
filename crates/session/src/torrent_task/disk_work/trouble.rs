//! A storage that fails: outlasted where waiting may help, given up where it cannot be relied on.

use std::time::{Duration, Instant};

use rarest_piece_store::{Fault, StoreError};
use rarest_swarm::PeerSource;

use super::{Driver, Stage};
use crate::registry::Phase;
use crate::torrent_task::peers::PeerLink;
use crate::{Incomplete, TorrentEvent};

/// Longest time between two attempts to use a storage that fails.
const MAX_RETRY: Duration = Duration::from_secs(5 * 60);

/// The storage failed.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) error: StoreError,
    retry_after: Duration,
    pub(super) retry: Retry,
}

/// Whether a storage that failed is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    At(Instant),
    UnderWay,
    /// Not before the caller wants it.
    Never,
}

impl Driver {
    /// Nothing is downloaded until the storage works again; that is tried by itself.
    pub(super) fn storage_failed(&mut self, now: Instant, error: StoreError) {
        self.give_up_after_panic(&error);
        if self.disk.awaits_retry() {
            // Or one of several jobs that ran when the storage failed.
            return;
        }
        let trouble = self.disk.trouble.take();
        let retry_after = trouble.map_or(self.shared.config.storage_retry, |trouble| {
            (trouble.retry_after * 2).min(MAX_RETRY)
        });
        tracing::warn!(%error, ?retry_after, "the storage failed");
        self.disk.trouble = Some(Trouble {
            error: error.clone(),
            retry_after,
            retry: Retry::At(now + retry_after),
        });
        self.publish_stats(now);
        if !matches!(error.fault, Fault::Full) {
            self.entry
                .set_phase(Phase::Failed(Box::new(Incomplete::Storage(error.clone()))));
        }
        self.tell(TorrentEvent::StorageFailed { error, retry_after });
    }

    /// What a storage does whose code panicked is anybody's guess.
    pub(super) fn give_up_after_panic(&mut self, error: &StoreError) {
        if matches!(error.fault, Fault::Panicked { .. }) {
            self.give_up(error.clone());
        }
    }

    /// The storage cannot be relied on: the torrent is stopped, and lets go of its memory, until the caller wants it to go on.
    pub(super) fn give_up(&mut self, error: StoreError) {
        if self.disk.given_up().is_some() {
            return;
        }
        tracing::error!(%error, "the storage is given up");
        self.disk.trouble = Some(Trouble {
            error: error.clone(),
            retry_after: self.shared.config.storage_retry,
            retry: Retry::Never,
        });
        self.disk.saving.forget();
        let peers: Vec<_> = self.peers.values().map(PeerLink::address).collect();
        self.stop_running();
        if matches!(self.stage, Stage::Active(_)) {
            // With the machine and what waits for the disk goes the memory they hold.
            self.drop_peers("the storage cannot be relied on");
            self.early_peers.add(PeerSource::Resume, peers);
            self.disk.forget_waiting();
            self.stage = Stage::Unreadable;
            self.count_memory();
        }
        self.doubt_finish();
        self.tell(TorrentEvent::StorageGivenUp(error));
    }

    /// The caller wants a storage used that was given up.
    pub(in crate::torrent_task) fn rely_on_storage_again(&mut self) {
        if self.disk.given_up().is_none() {
            return;
        }
        self.disk.trouble = None;
        self.disk.lost_by_sync = None;
        self.publish_phase();
    }

    /// After a write. On a disk that is almost full some find room and others do not.
    pub(super) fn notice_recovery(&mut self) {
        if self.disk.writing == 0 && !self.disk.awaits_retry() {
            self.storage_works();
        }
    }

    pub(super) fn storage_works(&mut self) {
        if self.disk.given_up().is_none() && self.disk.trouble.take().is_some() {
            self.publish_phase();
            self.tell(TorrentEvent::StorageRecovered);
        }
    }

    pub(in crate::torrent_task) fn handle_disk_timeout(&mut self, now: Instant) {
        if self.disk.saving.due().is_some_and(|due| due <= now) {
            self.save();
        }
        if let Some(trouble) = &mut self.disk.trouble
            && matches!(trouble.retry, Retry::At(at) if at <= now)
        {
            trouble.retry = Retry::UnderWay;
            match &mut self.stage {
                // The pieces that could not be written are tried again; another failure starts a longer wait.
                Stage::Active(torrent) => torrent.handle_store_recovered(now),
                Stage::Unreadable => self.begin(),
                Stage::New | Stage::Checking => {}
            }
        }
    }
}
