//! Disks that are full, read-only or in the way: nothing is lost, and it goes on when somebody has helped.

use std::{
    env, fs,
    io::{IoSlice, IoSliceMut},
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use rarest_metainfo::FileIndex;
use rarest_piece_store::{
    CompleteError, Fault, MemoryStorage, Operation, Part, Remedy, Storage, StoreError,
};

use crate::made;

/// A storage whose writes fail as long as a fault is set, after some bytes were written.
struct Faulty {
    inner: MemoryStorage,
    fault: Mutex<Option<Fault>>,
}

impl Faulty {
    fn new() -> Self {
        Self {
            inner: MemoryStorage::new(u64::MAX),
            fault: Mutex::default(),
        }
    }

    fn set(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn fail(&self, operation: Operation) -> Result<(), StoreError> {
        match &*self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(fault) => Err(StoreError::new(operation, "disk", fault.clone())),
            None => Ok(()),
        }
    }
}

impl Storage for Faulty {
    fn read_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<(), StoreError> {
        self.inner.read_at(file, offset, buffers)
    }

    fn write_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSlice<'_>],
    ) -> Result<(), StoreError> {
        let failed = self.fail(Operation::Write);
        let some = if failed.is_err() { 1 } else { buffers.len() };
        self.inner.write_at(file, offset, &mut buffers[..some])?;
        failed
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.fail(Operation::Sync)
    }
}

#[test]
fn a_full_disk_stops_writing_only_and_ends_by_itself() {
    let made = made::three_files();
    let store = made.store(Faulty::new());
    store.complete(&[made.whole(made.piece(0))])[0]
        .as_ref()
        .unwrap();
    store.resume(Default::default()).unwrap();
    store.storage().set(Some(Fault::Full));
    for result in store.complete(&made.wholes()[1..]) {
        let Err(CompleteError::Store(error)) = result else {
            panic!("the disk is full");
        };
        assert_eq!(error.remedy(), Remedy::UploadOnly);
        assert_eq!(
            error.to_string(),
            "cannot write disk: the disk is full, free some space"
        );
    }
    assert_eq!(store.verified_count(), 1);
    assert!(store.resume(Default::default()).is_err());
    let blocks: Vec<_> = made.geometry().blocks(made.piece(0)).collect();
    store.read(&blocks, &mut Vec::new()).unwrap();

    store.storage().set(None);
    made.fill(&store);
    assert!(store.verified().is_full());
    store.resume(Default::default()).unwrap();
}

#[test]
fn only_the_pieces_that_touch_the_failing_file_fail() {
    let made = made::three_files();
    let folder = tempfile::tempdir().unwrap();
    // A folder where a file belongs: permissions would not stop a superuser.
    fs::create_dir_all(folder.path().join("torrent/b")).unwrap();
    let store = made.in_folder(folder.path());
    let results = store.complete(&made.wholes());
    let failed: Vec<_> = (0..7).filter(|&piece| results[piece].is_err()).collect();
    assert_eq!(failed, [2, 3]);
    assert_eq!(store.verified_count(), 5);
    fs::remove_dir(folder.path().join("torrent/b")).unwrap();
    made.fill(&store);
    assert!(store.verified().is_full());
}

#[test]
fn spilled_blocks_that_could_not_be_written_are_not_counted() {
    let made = made::three_files();
    let store = made.store(Faulty::new());
    let block = made.geometry().block_at(made.piece(1), 1).unwrap();
    store.storage().set(Some(Fault::Full));
    store.spill(&[(block, made.bytes(block))]).unwrap_err();
    assert!(store.spilled_blocks().is_empty());
    store.storage().set(None);
    store.spill(&[(block, made.bytes(block))]).unwrap();
    let mut whole = made.whole(made.piece(1));
    whole.parts[1] = Part::Spilled {
        length: block.length(),
    };
    store.complete(&[whole])[0].as_ref().unwrap();
}

#[test]
fn memory_beyond_its_limit_is_a_full_disk() {
    let made = made::three_files();
    let store = made.store(MemoryStorage::new(512 * 1024));
    let results = store.complete(&made.wholes());
    let Err(CompleteError::Store(error)) = &results[6] else {
        panic!("three files take three chunks, and there is room for two");
    };
    assert!(matches!(error.fault, Fault::Full));
    assert_eq!(store.storage().used(), 512 * 1024);
    store.storage().set_limit(1024 * 1024);
    made.fill(&store);
    store.delete_files().unwrap();
    assert_eq!(store.storage().used(), 0);
}

#[test]
fn what_the_system_says_is_told_apart() {
    use std::io::{Error, ErrorKind};
    let fault = |kind: ErrorKind| Fault::from(Error::from(kind));
    assert!(matches!(fault(ErrorKind::StorageFull), Fault::Full));
    assert!(matches!(fault(ErrorKind::QuotaExceeded), Fault::Full));
    assert!(matches!(
        fault(ErrorKind::ReadOnlyFilesystem),
        Fault::ReadOnly
    ));
    assert!(matches!(fault(ErrorKind::PermissionDenied), Fault::Denied));
    assert!(matches!(fault(ErrorKind::NotFound), Fault::Missing));
    assert!(matches!(fault(ErrorKind::ResourceBusy), Fault::InUse));
    assert!(matches!(fault(ErrorKind::InvalidFilename), Fault::BadName));
    assert!(matches!(fault(ErrorKind::Other), Fault::Device(_)));
    let raw = |errno: rustix::io::Errno| Fault::from(Error::from(errno));
    assert!(matches!(raw(rustix::io::Errno::NOSPC), Fault::Full));
    assert!(matches!(raw(rustix::io::Errno::DQUOT), Fault::Full));
    assert!(matches!(
        raw(rustix::io::Errno::MFILE),
        Fault::TooManyOpenFiles
    ));
    assert!(matches!(raw(rustix::io::Errno::LOOP), Fault::Obstructed));
    assert!(matches!(raw(rustix::io::Errno::ROFS), Fault::ReadOnly));
}

/// Names the folder to the child process that runs with a limit on the size of files.
const LIMITED: &str = "RAREST_TEST_LIMITED_FOLDER";

/// A real refusal by the system that needs neither a mount nor another user: no file may be longer than 64 KiB.
#[test]
fn the_systems_refusal_to_write_is_reported_and_costs_nothing_else() {
    if let Some(folder) = env::var_os(LIMITED) {
        return fill_below_a_limit(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        // Blocks of 512 bytes, whatever the shell; the signal would end the process before the error is seen.
        .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""])
        .arg(env::current_exe().unwrap())
        .args([
            "--exact",
            "faults::the_systems_refusal_to_write_is_reported_and_costs_nothing_else",
        ])
        .env(LIMITED, folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let made = made::three_files();
    let store = made.in_folder(folder.path());
    made::check_all(&store);
    assert_eq!(store.verified_count(), 3);
    made.fill(&store);
    assert!(store.verified().is_full());
}

fn fill_below_a_limit(folder: &Path) {
    let made = made::three_files();
    let store = made.in_folder(folder);
    for (piece, result) in store.complete(&made.wholes()).into_iter().enumerate() {
        match result {
            Ok(_) => assert!(piece < 3),
            Err(CompleteError::Store(error)) => {
                assert!(piece >= 3);
                assert!(matches!(error.fault, Fault::FileTooLarge), "{error}");
                assert_eq!(error.path, folder.join("torrent/c"));
                assert_eq!(error.remedy(), Remedy::UploadOnly);
            }
            Err(error) => panic!("{error}"),
        }
    }
}
