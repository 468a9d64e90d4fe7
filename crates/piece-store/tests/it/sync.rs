//! Syncs that fail: what was written since the one before is not believed, wherever it still can be read.

use std::{
    io::{IoSlice, IoSliceMut},
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc},
    thread,
};

use rarest_metainfo::{FileIndex, PieceIndex};
use rarest_piece_store::{
    Check, CompleteError, Fault, Operation, Part, PieceStore, Storage, StoreError, SyncError,
    Totals,
};

use crate::made::{self, Made};

/// A disk behind a cache, as a system has it: a sync that fails drops what was not written.
#[derive(Default)]
struct Volatile {
    disk: Mutex<Disk>,
    /// Called before the next read.
    before_read: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Called after the next read, and before what it read is looked at.
    after_read: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[derive(Default)]
struct Disk {
    /// By number of the file.
    cached: Vec<Vec<u8>>,
    kept: Vec<Vec<u8>>,
    failure: Option<StoreError>,
}

impl Volatile {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, operation: Operation, file: Option<FileIndex>) {
        let error = StoreError::new(operation, "disk", std::io::Error::other("worn out"));
        self.disk().failure = Some(match file {
            Some(file) => error.in_file(file),
            None => error,
        });
    }

    fn mend(&self) {
        self.disk().failure = None;
    }
}

impl Storage for Volatile {
    fn read_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<(), StoreError> {
        let before_read = self.before_read.lock().unwrap().take();
        if let Some(before_read) = before_read {
            before_read();
        }
        let mut at = usize::try_from(offset).unwrap();
        for buffer in buffers {
            let disk = self.disk();
            let bytes = disk
                .cached
                .get(file.as_usize())
                .map_or(&[][..], Vec::as_slice);
            let Some(found) = bytes.get(at..at + buffer.len()) else {
                return Err(StoreError::new(Operation::Read, "disk", Fault::Missing).in_file(file));
            };
            buffer.copy_from_slice(found);
            at += buffer.len();
        }
        let after_read = self.after_read.lock().unwrap().take();
        if let Some(after_read) = after_read {
            after_read();
        }
        Ok(())
    }

    fn write_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSlice<'_>],
    ) -> Result<(), StoreError> {
        let mut at = usize::try_from(offset).unwrap();
        let mut disk = self.disk();
        let files = disk.cached.len().max(file.as_usize() + 1);
        disk.cached.resize(files, Vec::new());
        let bytes = &mut disk.cached[file.as_usize()];
        for buffer in buffers {
            bytes.resize(bytes.len().max(at + buffer.len()), 0);
            bytes[at..at + buffer.len()].copy_from_slice(buffer);
            at += buffer.len();
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut disk = self.disk();
        match disk.failure.clone() {
            Some(error) if error.operation == Operation::Sync => {
                disk.cached = disk.kept.clone();
                Err(error)
            }
            Some(error) => Err(error),
            None => {
                disk.kept = disk.cached.clone();
                Ok(())
            }
        }
    }
}

fn numbers(pieces: impl IntoIterator<Item = PieceIndex>) -> Vec<u32> {
    pieces.into_iter().map(PieceIndex::get).collect()
}

fn complete<S: Storage>(made: &Made, store: &PieceStore<S>, pieces: impl IntoIterator<Item = u32>) {
    let pieces = pieces
        .into_iter()
        .map(|piece| made.whole(made.piece(piece)));
    for result in store.complete(&pieces.collect::<Vec<_>>()) {
        result.unwrap();
    }
}

fn verified<S: Storage>(store: &PieceStore<S>) -> Vec<u32> {
    numbers(store.verified().iter())
}

/// The pieces that a sync loses.
fn lost_by_sync<S: Storage>(store: &PieceStore<S>) -> Vec<u32> {
    match store.sync() {
        Err(SyncError::Lost { lost, .. }) => numbers(lost),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_written_since_the_last_sync_is_lost_with_the_next() {
    let made = made::three_files();
    let store = made.store(Volatile::default());
    complete(&made, &store, [0, 4]);
    store.sync().unwrap();
    complete(&made, &store, [1, 3, 5]);
    store.storage().fail(Operation::Sync, Some(made.file("c")));
    // Piece 3 lies in both b and c, piece 1 in a; 4 is kept.
    assert_eq!(lost_by_sync(&store), [3, 5]);
    assert_eq!(verified(&store), [0, 1, 4]);

    // The system tells once. What it lost is not there, and nothing says that it were.
    store.storage().mend();
    let resume = store.resume(Totals::default()).unwrap();
    assert_eq!(numbers(resume.verified().iter()), [0, 1, 4]);
    let lost = [3, 5].map(|piece| made.piece(piece)).to_vec();
    let checked = store.check(&Check::pieces(lost), |_| ControlFlow::Continue(()));
    assert_eq!(checked.progress.verified, 0);
    made.fill(&store);
    let resume = store.resume(Totals::default()).unwrap();
    assert!(resume.verified().is_full());
}

#[test]
fn resume_data_is_not_made_of_what_was_lost() {
    let made = made::three_files();
    let store = made.store(Volatile::default());
    complete(&made, &store, [0]);
    store.resume(Totals::default()).unwrap();
    complete(&made, &store, [1, 2]);
    store.storage().fail(Operation::Sync, None);
    let Err(SyncError::Lost { error, lost }) = store.resume(Totals::default()) else {
        panic!("the disk is worn out");
    };
    assert_eq!(error.to_string(), "cannot sync disk: worn out");
    assert_eq!(
        numbers(lost),
        [1, 2],
        "an error without a file concerns all"
    );
    assert_eq!(verified(&store), [0]);
}

#[test]
fn what_was_not_synced_once_is_lost_again_until_it_is() {
    let made = made::three_files();
    let store = made.store(Volatile::default());
    complete(&made, &store, [5]);
    store.storage().fail(Operation::Sync, None);
    assert_eq!(lost_by_sync(&store), [5]);
    complete(&made, &store, [5]);
    assert_eq!(lost_by_sync(&store), [5]);
    store.storage().mend();
    complete(&made, &store, [5]);
    store.sync().unwrap();
    store.storage().fail(Operation::Sync, None);
    assert_eq!(lost_by_sync(&store), []);
    assert_eq!(verified(&store), [5]);
}

#[test]
fn spilled_blocks_are_lost_as_well() {
    let made = made::three_files();
    let store = made.store(Volatile::default());
    let block = made.geometry().block_at(made.piece(4), 1).unwrap();
    store.spill(&[(block, made.bytes(block))]).unwrap();
    store.storage().fail(Operation::Sync, Some(made.file("c")));
    assert_eq!(lost_by_sync(&store), [4]);
    assert!(store.spilled_blocks().is_empty());
    // Whoever sent the others is not to be blamed for what the disk did.
    let mut whole = made.whole(made.piece(4));
    whole.parts[1] = Part::Spilled {
        length: block.length(),
    };
    let completed = &store.complete(&[whole])[0];
    assert!(matches!(completed, Err(CompleteError::SpillLost(_))));
}

#[test]
fn a_sync_that_did_not_begin_loses_nothing() {
    let made = made::three_files();
    let store = made.store(Volatile::default());
    made.fill(&store);
    store.storage().fail(Operation::Open, None);
    assert!(matches!(store.sync(), Err(SyncError::Store(_))));
    assert!(store.verified().is_full());
    // And what it was to sync is still not synced.
    store.storage().fail(Operation::Sync, None);
    assert_eq!(lost_by_sync(&store).len(), 7);
}

/// A store whose storage can call it.
type Shared = Arc<PieceStore<Arc<Volatile>>>;

fn shared(made: &Made) -> (Shared, Weak<PieceStore<Arc<Volatile>>>) {
    let store = Arc::new(made.store(Arc::new(Volatile::default())));
    let weak = Arc::downgrade(&store);
    (store, weak)
}

#[test]
fn a_check_does_not_believe_what_it_read_before_a_sync_failed() {
    let made = made::three_files();
    let (store, weak) = shared(&made);
    complete(&made, &store, [5]);
    store.storage().fail(Operation::Sync, None);
    let fail = move || assert_eq!(lost_by_sync(&weak.upgrade().unwrap()), [5]);
    *store.storage().after_read.lock().unwrap() = Some(Box::new(fail));
    let five = Check::pieces(vec![made.piece(5)]);
    let checked = store.check(&five, |_| ControlFlow::Continue(()));
    assert_eq!(checked.progress.verified, 0);
    assert_eq!(verified(&store), []);
}

/// Syncs in a thread of its own, and returns as soon as the disk has dropped what it could not write.
fn sync_and_see_it_drop(
    weak: Weak<PieceStore<Arc<Volatile>>>,
) -> (
    impl FnOnce() + Send,
    mpsc::Receiver<thread::JoinHandle<Vec<u32>>>,
) {
    let (joined, syncing) = mpsc::channel();
    let fail = move || {
        let store = weak.upgrade().unwrap();
        let storage = Arc::clone(store.storage());
        let before = storage.disk().cached.clone();
        joined
            .send(thread::spawn(move || lost_by_sync(&store)))
            .unwrap();
        while storage.disk().cached == before {
            thread::yield_now();
        }
    };
    (fail, syncing)
}

#[test]
fn nobody_is_blamed_for_a_block_that_a_sync_dropped_before_it_was_read() {
    let made = made::three_files();
    let (store, weak) = shared(&made);
    // Behind the block, so that there are zeros to be read where it was.
    complete(&made, &store, [5]);
    store.sync().unwrap();
    let block = made.geometry().block_at(made.piece(4), 1).unwrap();
    store.spill(&[(block, made.bytes(block))]).unwrap();
    store.storage().fail(Operation::Sync, None);
    let (fail, syncing) = sync_and_see_it_drop(weak);
    *store.storage().before_read.lock().unwrap() = Some(Box::new(fail));
    let mut whole = made.whole(made.piece(4));
    whole.parts[1] = Part::Spilled {
        length: block.length(),
    };
    let completed = &store.complete(&[whole])[0];
    assert!(matches!(completed, Err(CompleteError::SpillLost(_))));
    assert_eq!(syncing.recv().unwrap().join().unwrap(), [4]);
    assert!(store.spilled_blocks().is_empty());
}

#[test]
fn a_piece_is_not_completed_with_a_block_that_a_failed_sync_took() {
    let made = made::three_files();
    let (store, weak) = shared(&made);
    let block = made.geometry().block_at(made.piece(4), 1).unwrap();
    store.spill(&[(block, made.bytes(block))]).unwrap();
    store.storage().fail(Operation::Sync, None);
    let (fail, syncing) = sync_and_see_it_drop(weak);
    *store.storage().after_read.lock().unwrap() = Some(Box::new(fail));
    let mut whole = made.whole(made.piece(4));
    whole.parts[1] = Part::Spilled {
        length: block.length(),
    };
    let completed = &store.complete(&[whole])[0];
    assert!(matches!(
        completed,
        Ok(_) | Err(CompleteError::SpillLost(_))
    ));
    assert_eq!(syncing.recv().unwrap().join().unwrap(), [4]);
    assert_eq!(verified(&store), []);
}
