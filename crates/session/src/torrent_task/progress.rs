//! What others see of a torrent: statistics, completion, stalls.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rarest_piece_store::Fault;
use rarest_swarm::TorrentEvent as Decided;

use super::peers::PeerLink;
use super::{Driver, Stage, Wish};
use crate::registry::Phase;
use crate::session::now;
use crate::{Incomplete, StallCause, Stats, TorrentEvent, TorrentState};

/// Shortest time between two snapshots.
const STATS_INTERVAL: Duration = Duration::from_millis(500);

/// What was told, and what there is to tell.
#[derive(Debug)]
pub(super) struct Observed {
    finish: Finish,
    /// When the last block came, or whatever else begins the wait anew.
    last_progress: Instant,
    last_snapshot: Instant,
    snapshot: Snapshot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    /// Not known before the disk was looked at.
    Unknown,
    Missing,
    /// Nothing is missing but so many pieces whose hash is not known.
    HashesMissing {
        pieces: u32,
    },
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Snapshot {
    Current,
    Outdated,
}

impl Observed {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            finish: Finish::Unknown,
            last_progress: now,
            last_snapshot: now.checked_sub(STATS_INTERVAL).unwrap_or(now),
            snapshot: Snapshot::Outdated,
        }
    }

    /// Something is to be seen in the next snapshot.
    pub(super) fn changed(&mut self) {
        self.snapshot = Snapshot::Outdated;
    }

    /// The torrent rested, complete, and all that was to be told of that was told.
    pub(super) fn went_on(&mut self) {
        self.finish = Finish::Finished;
        self.snapshot = Snapshot::Current;
    }

    pub(super) fn blocks_came(&mut self, now: Instant) {
        self.last_progress = now;
        self.snapshot = Snapshot::Outdated;
    }

    pub(super) fn hashes_came(&mut self, now: Instant) {
        self.last_progress = now;
    }

    pub(super) fn resumed(&mut self, now: Instant) {
        self.last_progress = now;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finish == Finish::Finished
    }
}

impl Driver {
    /// What the disk holds is known: whether anything is missing as well.
    pub(super) fn began(&mut self, now: Instant) {
        self.observed.finish = Finish::Unknown;
        self.observed.last_progress = now;
        self.observe_finish();
    }

    /// Whether anything is missing is not known any more.
    pub(super) fn doubt_finish(&mut self) {
        self.observed.finish = Finish::Unknown;
        self.publish_phase();
    }

    /// Compares what is wanted with what is there, and tells those who wait.
    pub(super) fn observe_finish(&mut self) {
        let Stage::Active(torrent) = &self.stage else {
            return;
        };
        self.count_left();
        let finish = if torrent.is_finished() {
            Finish::Finished
        } else if torrent.awaits_hashes() {
            Finish::HashesMissing {
                pieces: torrent.pieces_without_hash(),
            }
        } else {
            Finish::Missing
        };
        if finish == self.observed.finish {
            return;
        }
        let before = std::mem::replace(&mut self.observed.finish, finish);
        let was_missing = matches!(before, Finish::Missing | Finish::HashesMissing { .. });
        match finish {
            Finish::Finished => {
                if was_missing && torrent.is_complete() {
                    // Before anybody learns of it who may end the session then.
                    self.shared.announcer.completed(self.entry.id);
                }
                self.publish_phase();
                self.shared.buffers.clear();
                if was_missing {
                    self.tell(TorrentEvent::Completed);
                    self.save_soon(now());
                }
            }
            Finish::Missing | Finish::Unknown => {
                self.publish_phase();
                self.shared.announcer.incomplete(self.entry.id);
            }
            Finish::HashesMissing { pieces } => {
                self.publish_phase();
                self.shared.announcer.incomplete(self.entry.id);
                self.tell(TorrentEvent::HashesMissing { pieces });
            }
        }
    }

    /// What trackers are told to be missing.
    fn count_left(&self) {
        if let Stage::Active(torrent) = &self.stage {
            let left = torrent.bytes_left();
            self.entry.totals.left.store(left, Ordering::Relaxed);
        }
    }

    /// Something that the machine says users may want to know.
    pub(super) fn handle_event(&mut self, event: &Decided) {
        match event {
            &Decided::PieceVerified(piece) => {
                self.tell(TorrentEvent::PieceVerified(piece));
                self.count_left();
            }
            &Decided::PieceCorrupt(piece) => self.tell(TorrentEvent::PieceCorrupt(piece)),
            Decided::Finished | Decided::Completed | Decided::HashesMissing => {
                self.observe_finish();
            }
            _ => {}
        }
        self.observed.changed();
    }

    /// When there is something to look at.
    pub(super) fn next_observation(&self) -> Option<Instant> {
        let snapshot = match self.observed.snapshot {
            Snapshot::Outdated => Some(self.observed.last_snapshot + STATS_INTERVAL),
            Snapshot::Current => None,
        };
        [snapshot, self.stalls_at()].into_iter().flatten().min()
    }

    fn stalls_at(&self) -> Option<Instant> {
        let waits = self.wish == Wish::Run
            && matches!(
                self.observed.finish,
                Finish::Missing | Finish::HashesMissing { .. }
            )
            && !self.disk.is_looking()
            && matches!(self.stage, Stage::Active(_));
        let timeout = self.shared.config.stall_timeout.filter(|_| waits)?;
        Some(self.observed.last_progress + timeout)
    }

    /// Looks at what is due.
    pub(super) fn observe(&mut self, now: Instant) {
        if self.stalls_at().is_some_and(|at| at <= now) {
            self.stalled(now);
        }
        if self.observed.snapshot == Snapshot::Outdated
            && self.observed.last_snapshot + STATS_INTERVAL <= now
        {
            self.publish_stats(now);
        }
    }

    fn stalled(&mut self, now: Instant) {
        let waited = now - self.observed.last_progress;
        self.observed.last_progress = now;
        let why = match self.observed.finish {
            Finish::HashesMissing { pieces } => Incomplete::HashesMissing { pieces },
            _ => Incomplete::Stalled {
                waited,
                cause: self.stall_cause(),
            },
        };
        self.publish_stats(now);
        self.entry.stalled(why);
        self.tell(TorrentEvent::Stalled);
    }

    fn stall_cause(&self) -> StallCause {
        let Stage::Active(torrent) = &self.stage else {
            return StallCause::NoPeers;
        };
        match self.disk.trouble() {
            Some(Fault::Full) => return StallCause::DiskFull,
            Some(_) => return StallCause::StorageFailed,
            None => {}
        }
        let stats = torrent.stats(now());
        match (stats.peers, stats.least_copies) {
            (0, _) => StallCause::NoPeers,
            (_, 0) => StallCause::PiecesUnavailable,
            _ => StallCause::PeersSilent,
        }
    }

    /// How far the torrent is, for those who wait.
    pub(super) fn phase(&self) -> Phase {
        if let Some(error) = self.disk.given_up() {
            return Phase::Failed(Box::new(Incomplete::Storage(error.clone())));
        }
        match self.observed.finish {
            Finish::Finished => Phase::Complete,
            Finish::Missing | Finish::HashesMissing { .. } | Finish::Unknown => Phase::Incomplete,
        }
    }

    /// Tells those who wait how far the torrent is. What they look at then says the same.
    pub(super) fn publish_phase(&mut self) {
        self.publish_stats(now());
        self.entry.set_phase(self.phase());
    }

    fn state(&self) -> TorrentState {
        match (&self.stage, self.wish) {
            (Stage::New | Stage::Checking, _) => TorrentState::Checking,
            _ if self.disk.is_looking() => TorrentState::Checking,
            _ if self.disk.trouble().is_some() => TorrentState::StorageFailed,
            (Stage::Unreadable, _) => TorrentState::StorageFailed,
            (Stage::Active(_), Wish::Pause) => TorrentState::Paused,
            (Stage::Active(_), Wish::Run) if self.observed.is_finished() => TorrentState::Seeding,
            (Stage::Active(_), Wish::Run) => match self.observed.finish {
                Finish::HashesMissing { .. } => TorrentState::HashesMissing,
                _ => TorrentState::Downloading,
            },
        }
    }

    fn stats(&self, now: Instant) -> Stats {
        let geometry = self.metainfo.info().geometry();
        let totals = self.totals();
        let mut stats = Stats {
            state: self.state(),
            total_bytes: geometry.total_length(),
            pieces: geometry.piece_count(),
            downloaded_bytes: totals.downloaded,
            uploaded_bytes: totals.uploaded,
            verified_pieces: self.disk.store.verified_count(),
            ..Stats::default()
        };
        if let Stage::Active(torrent) = &self.stage {
            let machine = torrent.stats(now);
            stats.verified_bytes = stats.total_bytes - machine.left;
            stats.missing_bytes = machine.wanted_left;
            stats.wasted_bytes = self.wasted_before + machine.wasted;
            stats.download_rate = machine.download_rate;
            stats.upload_rate = machine.upload_rate;
            stats.connected_peers = machine.peers;
            stats.connected_seeds = machine.seeds;
            stats.web_seeds = machine.web_seeds;
            stats.web_seed_bytes = machine.downloaded_from_web_seeds;
            stats.encrypted_peers = PeerLink::count_encrypted(self.peers.values());
            stats.known_peers = machine.known;
            stats.availability =
                machine.least_copies as f32 + machine.more_copies_thousandths as f32 / 1000.0;
            stats.time_left = machine
                .wanted_left
                .checked_div(machine.download_rate)
                .filter(|_| machine.wanted_left > 0)
                .map(Duration::from_secs);
        }
        stats
    }

    /// Bytes of blocks that came for nothing in this run.
    pub(super) fn wasted(&self) -> u64 {
        let of_machine = match &self.stage {
            Stage::Active(torrent) => torrent.stats(now()).wasted,
            Stage::New | Stage::Checking | Stage::Unreadable => 0,
        };
        self.wasted_before + of_machine
    }

    /// Replaces the snapshot, at once where the torrent begins to do something else: whoever waits for that need not wait longer.
    pub(super) fn publish_stats(&mut self, now: Instant) {
        let stats = self.stats(now);
        // Rates fall while nothing happens: they are looked at until they are zero.
        let moves = stats.download_rate > 0 || stats.upload_rate > 0;
        self.observed.snapshot = match moves {
            true => Snapshot::Outdated,
            false => Snapshot::Current,
        };
        self.observed.last_snapshot = now;
        if moves {
            // The totals are saved as well.
            self.outdate_resume_data(now);
        }
        self.entry.stats.send_if_modified(|current| {
            // Written by the check itself.
            let stats = Stats {
                checked_pieces: current.checked_pieces,
                pieces_to_check: current.pieces_to_check,
                ..stats
            };
            let is_new = *current != stats;
            *current = stats;
            is_new
        });
    }
}
