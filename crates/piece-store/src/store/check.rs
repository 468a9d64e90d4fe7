//! Verifying what is already on disk: large reads, hashed on all cores.

mod hasher;

use std::{
    num::NonZeroUsize,
    ops::{ControlFlow, Range},
    sync::{
        Condvar, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use rarest_metainfo::{Bitfield, PieceHash, PieceIndex, pieces_side_by_side, verify_pieces};

use super::PieceStore;
use crate::{Fault, Presence, Remedy, Storage, StoreError};
use hasher::{PieceHasher, ZeroPieces};

/// Bytes that a thread reads before it hashes them. Smaller reads are slow on every kind of disk.
const BATCH_LENGTH: usize = 4 * 1024 * 1024;

/// Most bytes that a thread reads to have several pieces to hash side by side. Longer pieces are hashed in steps.
const MAX_BATCH_LENGTH: usize = 16 * 1024 * 1024;

/// Most pieces that a thread reads to have them hashed side by side. Of pieces of a MiB, checking with four takes 22 MiB and does 3.1 GB/s, with six
/// 26 MiB, with eight 30 MiB and 4.0 GB/s, with sixteen 54 MiB and 4.4 GB/s: with six it stays below what a download takes.
const MAX_SIDE_BY_SIDE: usize = 6;

/// Number of cores. To find it out takes a dozen system calls, too many for each of thousands of small torrents.
static CORES: LazyLock<NonZeroUsize> =
    LazyLock::new(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));

/// Errors that a [`Checked`] holds at most. A disk that fails says the same about every piece.
const MAX_ERRORS: usize = 16;

/// What to check, and how much at once.
#[derive(Clone, Debug)]
#[must_use]
pub struct Check {
    pieces: Option<Vec<PieceIndex>>,
    threads: NonZeroUsize,
    readers: NonZeroUsize,
}

impl Check {
    /// Every piece, with one thread for each core.
    pub fn all() -> Self {
        Self {
            pieces: None,
            threads: *CORES,
            readers: NonZeroUsize::MIN,
        }
    }

    /// These pieces, with one thread for each core.
    pub fn pieces(pieces: Vec<PieceIndex>) -> Self {
        Self {
            pieces: Some(pieces),
            ..Self::all()
        }
    }

    /// Hashes with this many threads. Each takes up to 16 MiB of memory.
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Lets this many threads read at once. One by default, which a spinning disk needs: it reads from beginning to end and is
    /// several times slower when it has to jump. Solid-state disks are faster with more.
    pub fn with_readers(mut self, readers: NonZeroUsize) -> Self {
        self.readers = readers;
        self
    }
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Pieces that are done.
    pub checked: u32,
    /// Pieces that are to be done.
    pub total: u32,
    /// Pieces among those done that are verified.
    pub verified: u32,
}

/// What a check has found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checked {
    /// How far it came.
    pub progress: Progress,
    /// Whether it came to the end.
    pub end: CheckEnd,
    /// Pieces that had been verified and are wrong or gone now, or were not reached although their file was changed.
    pub lost: Vec<PieceIndex>,
    /// The first of the errors besides files that do not exist or are too short. Pieces that could not be read are not verified.
    pub errors: Vec<StoreError>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckEnd {
    /// All pieces were checked.
    Complete,
    /// It was told to stop. The pieces that were not reached are as they were, but for those of files that somebody changed: they are lost.
    Cancelled,
}

/// What one batch of pieces came to.
#[derive(Default)]
struct BatchResult {
    checked: u32,
    verified: u32,
    lost: Vec<PieceIndex>,
    errors: Vec<StoreError>,
}

/// The work that threads share.
struct Work<'a> {
    pieces: &'a [PieceIndex],
    /// Position of the next piece; whoever reads holds one of the permits.
    state: Mutex<WorkState>,
    permit_returned: Condvar,
    is_cancelled: AtomicBool,
}

struct WorkState {
    next: usize,
    permits: usize,
}

/// A piece of a batch that has to be hashed, and where it lies in the buffer.
struct Loaded {
    piece: PieceIndex,
    hash: PieceHash,
    range: Range<usize>,
}

impl<S: Storage> PieceStore<S> {
    /// Reads pieces from where they are and verifies them; those that are wrong or missing lose their mark.
    ///
    /// Missing files and holes cost next to nothing. Whoever changes a file from then on is noticed by
    /// [`find_changed`](Self::find_changed). `progress` is called on this thread, now and then, and stops the check by answering
    /// [`ControlFlow::Break`]. Others may read and complete pieces meanwhile.
    pub fn check(
        &self,
        check: &Check,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Checked {
        let all: Vec<PieceIndex>;
        let pieces = match &check.pieces {
            Some(pieces) => &pieces[..],
            None => {
                all = self.geometry.pieces().collect();
                &all[..]
            }
        };
        let work = Work {
            pieces,
            state: Mutex::new(WorkState {
                next: 0,
                permits: check.readers.get(),
            }),
            permit_returned: Condvar::new(),
            is_cancelled: AtomicBool::new(false),
        };
        let mut checked = Checked {
            progress: Progress {
                checked: 0,
                total: u32::try_from(pieces.len()).unwrap_or(u32::MAX),
                verified: 0,
            },
            end: CheckEnd::Complete,
            lost: Vec::new(),
            errors: Vec::new(),
        };
        let zeros = ZeroPieces::default();
        // A file that was deleted or replaced can still be read where it is open.
        self.storage.close();
        checked.errors.extend(self.want_wanted_files().err());
        checked.lost = self.note_stamps(pieces);
        let mut add = |batch| {
            checked.add(batch);
            if progress(checked.progress).is_break() {
                work.is_cancelled.store(true, Ordering::Relaxed);
            }
        };
        if pieces.len() <= self.pieces_per_batch() {
            // What one thread hashes at once is not worth starting any.
            let mut buffer = Vec::new();
            while let Some(batch) = self.check_batch(&work, &zeros, &mut buffer) {
                add(batch);
            }
        } else {
            // One more thread than hash, if only one may read: it reads while all cores hash.
            let threads =
                check.threads.get() + usize::from(check.readers.get() < check.threads.get());
            thread::scope(|scope| {
                // Without room: the check stops soon after it is told to.
                let (results, batches) = mpsc::sync_channel(0);
                for _ in 0..threads {
                    let (results, work, zeros) = (results.clone(), &work, &zeros);
                    scope.spawn(move || {
                        let mut buffer = Vec::new();
                        while let Some(result) = self.check_batch(work, zeros, &mut buffer)
                            && results.send(result).is_ok()
                        {}
                    });
                }
                drop(results);
                batches.into_iter().for_each(add);
            });
        }
        // What was missed at first may have been found after all.
        checked.lost.retain(|&piece| !self.is_verified(piece));
        if checked.progress.checked < checked.progress.total {
            checked.end = CheckEnd::Cancelled;
        }
        checked
    }

    /// Before files are read: notes how they are. Returns the pieces that lose their mark until they are read, of files that somebody
    /// changed since they were last known.
    fn note_stamps(&self, pieces: &[PieceIndex]) -> Vec<PieceIndex> {
        let mut to_check = Bitfield::empty(&self.geometry);
        for &piece in pieces {
            to_check.insert(piece);
        }
        let metainfo = self.metainfo();
        let mut lost = Vec::new();
        for file in metainfo.info().files() {
            let index = file.index();
            let is_read = |piece| to_check.contains(piece);
            let pieces = || metainfo.info().pieces_of(index);
            if file.is_padding() || !pieces().any(is_read) {
                continue;
            }
            let _nobody_writes = self.pause_writing();
            // What cannot be looked at cannot be read either, and is told then.
            let Ok(stamp) = self.storage.stamp(index) else {
                continue;
            };
            let known = self.stamps().get(&index).copied();
            if known.is_none() {
                self.remember(index, stamp);
            } else if known != stamp && pieces().all(is_read) {
                // If some of it is not read, the change is still to be found.
                self.stamps().remove(&index);
                self.remember(index, stamp);
                lost.extend(self.lose(index, 0));
            }
        }
        lost
    }

    /// Number of pieces that a thread reads before it hashes them.
    fn pieces_per_batch(&self) -> usize {
        let side_by_side = pieces_side_by_side(self.metainfo().info().version());
        let piece_length = self.geometry.nominal_piece_length();
        pieces_per_batch(piece_length, side_by_side.min(MAX_SIDE_BY_SIDE))
    }

    /// Reads and verifies the next pieces; `None` when there are no more, or the check was told to stop.
    fn check_batch(
        &self,
        work: &Work<'_>,
        zeros: &ZeroPieces,
        buffer: &mut Vec<u8>,
    ) -> Option<BatchResult> {
        if work.is_cancelled.load(Ordering::Relaxed) {
            return None;
        }
        let mut result = BatchResult::default();
        let permit = work.permit();
        let pieces = permit.take_batch(self.pieces_per_batch());
        if pieces.is_empty() {
            return None;
        }
        let _claim = self.claims.claim(pieces.iter().copied());
        let failed_syncs = self.failed_syncs();
        let mut loaded = Vec::with_capacity(pieces.len());
        let mut good = Vec::new();
        let mut long = Vec::new();
        for &piece in pieces {
            match self.load(piece, zeros, buffer, &loaded) {
                Ok(Found::Loaded(piece)) => loaded.push(piece),
                Ok(Found::Known(is_good)) => good.push((piece, is_good)),
                Ok(Found::Long(hash)) => long.push((piece, hash)),
                Err(error) => {
                    good.push((piece, false));
                    result.lost.append(&mut self.lose_by(&error));
                    result.note(error);
                }
            }
        }
        drop(permit);
        for (piece, hash) in long {
            let hashed = self.hash_in_steps(piece, &hash, work, buffer);
            good.push((piece, *hashed.as_ref().unwrap_or(&false)));
            if let Err(error) = hashed {
                result.note(error);
            }
        }
        let slices: Vec<[&[u8]; 1]> = loaded
            .iter()
            .map(|piece| [&buffer[piece.range.clone()]])
            .collect();
        let batch: Vec<_> = loaded
            .iter()
            .zip(&slices)
            .map(|(piece, slices)| (piece.hash, &slices[..]))
            .collect();
        let verdicts = verify_pieces(&batch);
        good.extend(loaded.iter().map(|loaded| loaded.piece).zip(verdicts));
        for (piece, is_good) in good {
            result.checked += 1;
            if is_good && self.mark_unless_lost(piece, failed_syncs) {
                result.verified += 1;
            } else if self.verified.remove(piece) {
                result.lost.push(piece);
            }
        }
        Some(result)
    }

    /// Reads a piece behind those already in the buffer, unless it is known what it comes to.
    fn load(
        &self,
        piece: PieceIndex,
        zeros: &ZeroPieces,
        buffer: &mut Vec<u8>,
        loaded: &[Loaded],
    ) -> Result<Found, StoreError> {
        let Some(hash) = self.metainfo().piece_hash(piece) else {
            return Ok(Found::Known(false));
        };
        let length = self.geometry.piece_length(piece) as usize;
        match self.presence(piece)? {
            Presence::Absent => return Ok(Found::Known(false)),
            Presence::Hole => return Ok(Found::Known(zeros.are(length, &hash))),
            Presence::Data if length > MAX_BATCH_LENGTH => return Ok(Found::Long(hash)),
            Presence::Data => {}
        }
        let offset = self.geometry.piece_offset(piece);
        let start = loaded.last().map_or(0, |last| last.range.end);
        if buffer.len() < start + length {
            buffer.resize(start + length, 0);
        }
        self.read_run(offset, &mut buffer[start..start + length])?;
        let range = start..start + length;
        Ok(Found::Loaded(Loaded { piece, hash, range }))
    }

    /// Hashes a piece that is too long to be held in memory for each thread.
    fn hash_in_steps(
        &self,
        piece: PieceIndex,
        hash: &PieceHash,
        work: &Work<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        buffer.resize(buffer.len().max(MAX_BATCH_LENGTH), 0);
        let Range { mut start, end } = self.range(piece);
        let mut hasher = PieceHasher::new(*hash);
        while start < end {
            let length = (end - start).min(MAX_BATCH_LENGTH as u64);
            let step = &mut buffer[..usize::try_from(length).expect("no longer than a batch")];
            let permit = work.permit();
            self.read_run(start, step)?;
            drop(permit);
            hasher.update(step);
            start += length;
        }
        Ok(hasher.matches())
    }

    /// What is known about a piece without reading it.
    fn presence(&self, piece: PieceIndex) -> Result<Presence, StoreError> {
        let mut presence = Presence::Hole;
        for span in self.metainfo().info().spans(self.range(piece)) {
            if span.is_padding {
                continue;
            }
            let range = span.offset..span.offset + span.length;
            match self.storage.presence(span.file, range)? {
                Presence::Absent => return Ok(Presence::Absent),
                Presence::Hole => {}
                Presence::Data => presence = Presence::Data,
            }
        }
        Ok(presence)
    }
}

/// What loading a piece came to.
enum Found {
    Loaded(Loaded),
    /// Too long to be loaded.
    Long(PieceHash),
    Known(bool),
}

impl Checked {
    fn add(&mut self, batch: BatchResult) {
        self.progress.checked += batch.checked;
        self.progress.verified += batch.verified;
        self.lost.extend(batch.lost);
        let room = MAX_ERRORS - self.errors.len();
        self.errors.extend(batch.errors.into_iter().take(room));
    }
}

impl BatchResult {
    fn note(&mut self, error: StoreError) {
        let is_gone = error.remedy() == Remedy::Recheck && !matches!(error.fault, Fault::Changed);
        if !is_gone && self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }
}

impl Work<'_> {
    /// Waits until this thread may read.
    fn permit(&self) -> Permit<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .permit_returned
            .wait_while(state, |state| state.permits == 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.permits -= 1;
        Permit(self)
    }
}

/// The right to read.
struct Permit<'a>(&'a Work<'a>);

impl<'a> Permit<'a> {
    /// The pieces to read and hash next, in order.
    fn take_batch(&self, count: usize) -> &'a [PieceIndex] {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let end = (state.next + count).min(self.0.pieces.len());
        let batch = &self.0.pieces[state.next..end];
        state.next = end;
        batch
    }
}

/// Number of pieces of that length that a thread reads before it hashes them, of which so many are hashed side by side.
fn pieces_per_batch(piece_length: u32, side_by_side: usize) -> usize {
    let most = (MAX_BATCH_LENGTH / piece_length as usize).max(1);
    (BATCH_LENGTH / piece_length as usize)
        .max(side_by_side)
        .min(most)
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.permits += 1;
        self.0.permit_returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 1024;
    const MIB: u32 = 1024 * KIB;

    #[test]
    fn a_batch_has_as_many_pieces_as_are_hashed_side_by_side_but_no_more_than_memory_allows() {
        assert_eq!(pieces_per_batch(16 * KIB, 6), 256);
        assert_eq!(pieces_per_batch(MIB, 6), 6);
        assert_eq!(pieces_per_batch(MIB, 1), 4);
        assert_eq!(pieces_per_batch(4 * MIB, 6), 4);
        assert_eq!(pieces_per_batch(64 * MIB, 6), 1);
    }
}
