//! A torrent's work on the disk: pieces completed in batches, partial ones spilled, failures outlasted.

mod checking;
mod gathering;
mod saving;
mod selection;
mod trouble;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::{Block, PieceIndex, pieces_side_by_side};
use rarest_peer_wire::HashRange;
use rarest_piece_store::{
    BlockDigests, CompleteError, Fault, Operation, Part, ReadError, StoreError, SyncError, Totals,
    Verified, WholePiece,
};
use rarest_swarm::{
    BlockData, BlockDigest, CompletePiece, Digests, PeerKey, PieceResult, SpillResult,
};
use tokio::sync::{Semaphore, oneshot};

use super::{Command, Departure, Driver, Mail, Stage, Store};
use crate::add::ExistingData;
use crate::disk::{Disk, caught};
use crate::registry::Mailbox;
use crate::session::now;
use crate::{CommandError, FilePriority, TorrentEvent};
use checking::{Found, Scope, Unjudged};
use gathering::{Gathering, bytes_of};
use saving::Saving;
pub(super) use saving::resume_file;
use selection::Selecting;
use trouble::{Retry, Trouble};

/// What the disk has done for a torrent.
#[derive(Debug)]
pub(crate) enum DiskMail {
    /// What is there was looked at.
    Checked(Result<Found, StoreError>),
    /// Pieces were verified and written, or not.
    Completed {
        results: Vec<(PieceIndex, Result<Verified, CompleteError>)>,
        /// Bytes of them that were in memory.
        bytes: usize,
    },
    /// Blocks were written before their pieces were whole, or not.
    Spilled {
        blocks: Vec<Block>,
        result: Result<(), StoreError>,
    },
    /// Resume data was saved, or not.
    Saved {
        saved: Result<(), SyncError>,
        /// Pieces of files that somebody else changed.
        changed: Vec<PieceIndex>,
    },
    /// Hashes that a peer asked for, or why it gets none in one sentence.
    HashesRead {
        peer: PeerKey,
        range: Box<HashRange>,
        hashes: Result<Bytes, String>,
    },
    /// Files are wanted, or no longer, or the storage does not play along.
    Selected {
        priorities: Box<[FilePriority]>,
        result: Result<(), StoreError>,
        done: oneshot::Sender<Result<(), CommandError>>,
    },
}

/// What is under way on the disk, and what waits.
#[derive(Debug)]
pub(super) struct DiskWork {
    pub(super) store: Arc<Store>,
    existing: ExistingData,
    /// By file; none while all are alike.
    priorities: Option<Box<[FilePriority]>>,
    /// Pieces that wait for a thread.
    waiting: Gathering,
    /// Blocks of partial pieces that wait for a thread. They come first: they are to free memory.
    spilling: VecDeque<Vec<(Block, Bytes)>>,
    /// Bytes of whole pieces that wait or are being written.
    leaving_bytes: usize,
    /// Jobs that write.
    writing: usize,
    /// How many of them there may be.
    writers: usize,
    /// Reads for peers that may wait for the disk.
    pub(super) reads: Arc<Semaphore>,
    /// All jobs whose mail has not come.
    jobs: usize,
    trouble: Option<Trouble>,
    saving: Saving,
    /// Pieces that a failed sync took, until they are there again and another sync kept them.
    lost_by_sync: Option<Vec<PieceIndex>>,
    selecting: Selecting,
    /// Whether there was data when the torrent began of which it could not be told whether it is right, for want of hashes.
    unjudged: Unjudged,
    /// Set to end a check early.
    cancel_check: Arc<AtomicBool>,
    /// The look at the disk that runs, or that the end cut short.
    looking: Option<Scope>,
    /// Pieces that lost their marks, to be looked at when no other look runs.
    to_check: Vec<PieceIndex>,
    /// Who waits for the check that runs.
    recheckers: Vec<oneshot::Sender<Result<u32, CommandError>>>,
    /// Of the runs before this one.
    pub(super) earlier: Totals,
}

impl DiskWork {
    pub(super) fn new(
        store: Store,
        existing: ExistingData,
        priorities: Option<Box<[FilePriority]>>,
        disk_threads: usize,
    ) -> Self {
        let metainfo = store.metainfo();
        let side_by_side = pieces_side_by_side(metainfo.info().version());
        Self {
            store: Arc::new(store),
            existing,
            priorities,
            waiting: Gathering::new(side_by_side),
            spilling: VecDeque::new(),
            leaving_bytes: 0,
            writing: 0,
            writers: most_threads(disk_threads),
            reads: Arc::new(Semaphore::new(most_threads(disk_threads))),
            jobs: 0,
            trouble: None,
            saving: Saving::default(),
            lost_by_sync: None,
            selecting: Selecting::default(),
            unjudged: Unjudged::Nothing,
            cancel_check: Arc::default(),
            looking: None,
            to_check: Vec::new(),
            recheckers: Vec::new(),
            earlier: Totals::default(),
        }
    }

    /// Whether the storage fails, and whether that is because it is full.
    pub(super) fn trouble(&self) -> Option<&Fault> {
        self.trouble.as_ref().map(|trouble| &trouble.error.fault)
    }

    /// When a storage that failed is tried again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        match self.retry() {
            Some(Retry::At(at)) => Some(at),
            Some(Retry::UnderWay | Retry::Never) | None => None,
        }
    }

    /// When pieces no longer wait for others. While all writers are busy it is the end of a job that they wait for.
    pub(super) fn gathered(&self) -> Option<Instant> {
        self.waiting.due().filter(|_| self.may_write())
    }

    fn may_write(&self) -> bool {
        self.writing < self.writers
    }

    /// When resume data is saved.
    pub(super) fn saving_due(&self) -> Option<Instant> {
        self.saving.due()
    }

    /// Whether the saved resume data, if any is kept, is up to date.
    pub(super) fn is_saved(&self) -> bool {
        self.saving.due().is_none()
    }

    /// Whether there is nothing to remember beside the store and the totals.
    pub(super) fn is_blank(&self) -> bool {
        self.is_idle()
            && self.trouble.is_none()
            && self.lost_by_sync.is_none()
            && self.priorities.is_none()
            && self.to_check.is_empty()
            && self.recheckers.is_empty()
            && self.saving.is_awaited_by_nobody()
            && self.selecting.is_idle()
    }

    /// Whether pieces whose hashes become known may lie on the disk already.
    pub(super) fn may_hold_more(&self) -> bool {
        self.unjudged == Unjudged::Something
    }

    /// Whether nothing is under way and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.jobs == 0 && self.waiting.is_empty() && self.spilling.is_empty()
    }

    /// Whether what is on the disk is being looked at.
    pub(super) fn is_looking(&self) -> bool {
        self.looking.is_some()
    }

    /// Whether nothing is under way but a look at what is there, which may take hours, and nothing waits.
    fn is_idle_but_for_looking(&self) -> bool {
        let looks = usize::from(self.is_looking());
        self.jobs <= looks && self.waiting.is_empty() && self.spilling.is_empty()
    }

    /// Whether it failed, and is not to be used for a while.
    fn awaits_retry(&self) -> bool {
        matches!(self.retry(), Some(Retry::At(_) | Retry::Never))
    }

    fn retry(&self) -> Option<Retry> {
        self.trouble.as_ref().map(|trouble| trouble.retry)
    }

    /// Why the storage is used no more, unless the caller wants it.
    pub(super) fn given_up(&self) -> Option<&StoreError> {
        let trouble = self.trouble.as_ref();
        let given_up = trouble.filter(|trouble| trouble.retry == Retry::Never);
        given_up.map(|trouble| &trouble.error)
    }

    pub(super) fn leaving_bytes(&self) -> usize {
        self.leaving_bytes
    }

    pub(super) fn add_piece(&mut self, now: Instant, piece: CompletePiece) {
        self.leaving_bytes += bytes_of(&piece);
        self.waiting.add(now, piece);
    }

    pub(super) fn add_spill(&mut self, blocks: Vec<(Block, Bytes)>) {
        self.spilling.push_back(blocks);
    }

    /// Pieces that wait are forgotten.
    fn forget_waiting(&mut self) {
        self.leaving_bytes -= self.waiting.clear();
        self.spilling.clear();
    }
}

/// Threads that one torrent may write with, and as many that it may read with for its peers. One is left for the others: a disk that
/// hangs must not hold up what lies on another.
fn most_threads(disk_threads: usize) -> usize {
    disk_threads.saturating_sub(1).max(1)
}

fn whole_piece(piece: CompletePiece) -> WholePiece {
    let part = |part| match part {
        BlockData::Memory(bytes) => Part::Memory(bytes),
        BlockData::Spilled { length } => Part::Spilled { length },
        BlockData::Padding { length } => Part::Padding { length },
    };
    WholePiece {
        piece: piece.piece,
        parts: piece.parts.into_iter().map(part).collect(),
        block_digests: match piece.digests {
            Digests::Unneeded => BlockDigests::OfCorrupt,
            Digests::Wanted => BlockDigests::Always,
        },
    }
}

fn digests(of_blocks: Vec<rarest_hash::Sha1Digest>) -> Vec<BlockDigest> {
    of_blocks
        .into_iter()
        .map(|digest| BlockDigest(digest.0))
        .collect()
}

impl Driver {
    /// Hands pieces to the disk threads, in batches that are worth it.
    pub(super) fn start_writing(&mut self, now: Instant) {
        while self.disk.may_write() {
            if let Some(blocks) = self.disk.spilling.pop_front() {
                self.spill(blocks);
                continue;
            }
            let is_ready = self.disk.waiting.is_ready(now) || self.expects_no_more();
            if self.disk.waiting.is_empty() || !is_ready {
                return;
            }
            let batch = self.disk.waiting.take(now);
            self.complete(batch);
        }
    }

    /// Whether pieces would wait for others in vain: nothing more is missing, or nothing more can be taken in.
    fn expects_no_more(&self) -> bool {
        match &self.stage {
            Stage::Active(torrent) => {
                torrent.is_paused()
                    || torrent.bytes_left() <= self.disk.leaving_bytes as u64
                    || self.shared.budget.left(&self.entry.memory) == 0
                    // Many torrents that gather a little each spend the budget together.
                    || self.disk.writing == 0 && self.shared.budget.is_short()
            }
            Stage::New | Stage::Checking | Stage::Unreadable => true,
        }
    }

    fn complete(&mut self, batch: Vec<CompletePiece>) {
        self.disk.writing += 1;
        let bytes = batch.iter().map(bytes_of).sum();
        let pieces: Vec<PieceIndex> = batch.iter().map(|piece| piece.piece).collect();
        self.run_job(
            |shared| &shared.disk,
            Operation::Write,
            move |store| {
                let wholes: Vec<_> = batch.into_iter().map(whole_piece).collect();
                Ok(store.complete(&wholes))
            },
            move |results: Result<_, StoreError>| {
                let results = results.unwrap_or_else(|error| {
                    let failed = |_| Err(CompleteError::Store(error.clone()));
                    pieces.iter().map(failed).collect()
                });
                DiskMail::Completed {
                    results: pieces.into_iter().zip(results).collect(),
                    bytes,
                }
            },
        );
    }

    /// Has all that is in memory of partial pieces written. Whether there is anything that can be.
    pub(super) fn spill_all(&mut self) -> bool {
        if let Stage::Active(torrent) = &mut self.stage {
            torrent.handle_memory_pressure(now(), 0);
        }
        self.carry_out();
        self.disk.writing > 0
    }

    fn spill(&mut self, blocks: Vec<(Block, Bytes)>) {
        self.disk.writing += 1;
        let names = blocks.iter().map(|&(block, _)| block).collect();
        self.run_job(
            |shared| &shared.disk,
            Operation::Write,
            move |store| store.spill(&blocks),
            move |result| DiskMail::Spilled {
                blocks: names,
                result,
            },
        );
    }

    /// Has one of the threads do something whose result comes as mail, whatever happens. The torrent does not leave before.
    pub(super) fn run_job<T, E: From<StoreError>>(
        &mut self,
        threads: fn(&crate::session::Shared) -> &Disk,
        operation: Operation,
        work: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
        mail: impl FnOnce(Result<T, E>) -> DiskMail + Send + 'static,
    ) {
        self.disk.jobs += 1;
        let store = Arc::clone(&self.disk.store);
        let (shared, entry) = (Arc::clone(&self.shared), Arc::clone(&self.entry));
        threads(&self.shared).run(move || {
            let metainfo = store.metainfo();
            let result = caught(operation, metainfo.info().name(), || work(&store));
            drop(metainfo);
            drop(store);
            let mail = mail(result.unwrap_or_else(|panicked| Err(panicked.into())));
            // The mailbox is open as long as jobs are counted.
            let _ = entry.send(&shared, Mail::Disk(mail));
        });
    }

    pub(super) fn handle_disk_mail(&mut self, mail: DiskMail) {
        let now = now();
        self.disk.jobs -= 1;
        match mail {
            DiskMail::Checked(found) => self.handle_checked(now, found),
            DiskMail::Completed { results, bytes } => {
                self.disk.leaving_bytes -= bytes;
                self.disk.writing -= 1;
                let geometry = Arc::clone(self.metainfo.info().geometry());
                let written = results.iter().filter(|(_, result)| result.is_ok());
                let written = written.map(|&(piece, _)| u64::from(geometry.piece_length(piece)));
                let written = written.sum();
                for (piece, result) in results {
                    self.handle_completed(now, piece, result);
                }
                self.note_unsaved(now, written);
                self.notice_recovery();
            }
            DiskMail::Spilled { blocks, result } => {
                self.disk.writing -= 1;
                let written = match &result {
                    Ok(()) => blocks.iter().map(|block| u64::from(block.length())).sum(),
                    Err(_) => 0,
                };
                self.handle_spilled(now, &blocks, result);
                self.note_unsaved(now, written);
                self.notice_recovery();
            }
            DiskMail::Saved { saved, changed } => self.handle_saved(now, saved, changed),
            DiskMail::HashesRead {
                peer,
                range,
                hashes,
            } => self.handle_hashes_read(peer, range, hashes),
            DiskMail::Selected {
                priorities,
                result,
                done,
            } => self.handle_selected(now, priorities, result, done),
        }
        self.start_selecting();
        self.save_if_awaited();
    }

    fn handle_completed(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        result: Result<Verified, CompleteError>,
    ) {
        let result = match result {
            Ok(verified) => {
                self.outdate_resume_data(now);
                PieceResult::Verified {
                    block_digests: digests(verified.block_digests.unwrap_or_default()),
                }
            }
            Err(CompleteError::Corrupt { block_digests }) => PieceResult::Corrupt {
                block_digests: digests(block_digests),
            },
            Err(CompleteError::SpillLost(error)) => {
                tracing::warn!(%error, "blocks that were on the disk are gone");
                PieceResult::SpillLost
            }
            Err(CompleteError::HashUnknown) => PieceResult::HashUnknown,
            Err(CompleteError::Store(error)) => {
                self.storage_failed(now, error);
                PieceResult::StoreFailed
            }
            Err(error) => {
                tracing::error!(%error, piece = piece.get(), "a piece cannot be completed");
                // The machine asks for nothing more until the store is tried again, and that follows from a failure alone.
                let name = self.metainfo.info().name().to_owned();
                let error = StoreError::new(Operation::Write, name, io::Error::other(error));
                self.storage_failed(now, error);
                PieceResult::StoreFailed
            }
        };
        if let Stage::Active(torrent) = &mut self.stage {
            torrent.handle_piece_done(now, piece, result);
        }
    }

    fn handle_spilled(&mut self, now: Instant, blocks: &[Block], result: Result<(), StoreError>) {
        let result = match result {
            Ok(()) => {
                self.outdate_resume_data(now);
                SpillResult::Written
            }
            Err(error) => {
                self.storage_failed(now, error);
                SpillResult::StoreFailed
            }
        };
        if let Stage::Active(torrent) = &mut self.stage {
            torrent.handle_spilled(now, blocks, result);
        }
    }

    /// A block that was verified could not be read.
    pub(super) fn handle_read_error(&mut self, error: ReadError) {
        match error {
            ReadError::Store { error, lost } => {
                tracing::warn!(%error, "verified data cannot be read");
                self.give_up_after_panic(&error);
                if let Some(file) = error.file {
                    self.tell(TorrentEvent::FileChanged(file));
                }
                if !lost.is_empty() {
                    self.check(lost);
                }
            }
            // Whoever took the mark tells: a look at everything does in the end, which may be far off.
            ReadError::NotVerified { piece } => {
                if let Stage::Active(torrent) = &mut self.stage
                    && self.disk.looking == Some(Scope::Again)
                {
                    torrent.handle_pieces_doubted(now(), &[piece]);
                }
            }
            _ => {}
        }
    }

    /// Waits until no job is under way. Returns the commands that came in the meantime, for which it is too late.
    pub(super) async fn finish_disk_work(&mut self, mailbox: &mut Mailbox) -> Vec<Command> {
        let mut unanswered = Vec::new();
        self.cancel_check();
        loop {
            self.start_writing(now());
            if self.disk.jobs == 0 {
                return unanswered;
            }
            match mailbox.recv().await {
                Some(Mail::Disk(mail)) => self.handle_disk_mail(mail),
                Some(Mail::Command(command)) => unanswered.push(command),
                Some(_) => {}
                None => return unanswered,
            }
        }
    }

    /// Deletes what the caller wants gone, and answers.
    pub(super) async fn depart(self: Box<Self>, departure: Departure) {
        let kept = [self.resume_file(), self.metadata_file()];
        let store = Arc::clone(&self.disk.store);
        let delete_resume = move || {
            for path in kept.into_iter().flatten() {
                // There is none when nothing was saved yet.
                let _ = std::fs::remove_file(path);
            }
        };
        match departure {
            Departure::KeepFiles(done) => {
                let closing = self.shared.disk.call(move || {
                    delete_resume();
                    store.close();
                });
                closing.await;
                let _ = done.send(());
            }
            Departure::DeleteFiles(done) => {
                let name = self.metainfo.info().name().to_owned();
                let deleting = self.shared.disk.call(move || {
                    delete_resume();
                    caught(Operation::Delete, &name, || store.delete_files())
                        .and_then(|deleted| deleted)
                });
                let result = deleting.await.unwrap_or(Ok(()));
                let _ = done.send(result.map_err(CommandError::Storage));
            }
        }
    }
}
