//! Disks that are full, broken, slow or changed by others.

use std::io::{IoSlice, IoSliceMut};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rarest_session::metainfo::FileIndex;
use rarest_session::piece_store::{Fault, MemoryStorage, Operation, Storage, StoreError};
use rarest_session::{
    ExistingData, Incomplete, MIN_RESUME_BYTES, StallCause, Stats, TorrentEvent, TorrentState,
};

use crate::world::{Peer, Sample, until, within};

/// Memory that may be made to fail, or to wait.
#[derive(Clone)]
struct Faulty {
    shared: Arc<State>,
}

struct State {
    first_file: FileIndex,
    memory: MemoryStorage,
    fails: AtomicBool,
    /// How many of the next syncs fail, and take the first kilobyte of what was written.
    failing_syncs: AtomicU32,
    /// The next write panics.
    panics: AtomicBool,
    gate: Mutex<Gate>,
    opened: Condvar,
    /// How many came to the gate while it was shut.
    held: AtomicU32,
}

#[derive(PartialEq)]
enum Gate {
    Open,
    Shut,
}

impl Faulty {
    fn new(sample: &Sample, memory: MemoryStorage) -> Self {
        let mut files = sample.metainfo.info().files();
        Self {
            shared: Arc::new(State {
                first_file: files.next().unwrap().index(),
                memory,
                fails: AtomicBool::new(false),
                failing_syncs: AtomicU32::new(0),
                panics: AtomicBool::new(false),
                gate: Mutex::new(Gate::Open),
                opened: Condvar::new(),
                held: AtomicU32::new(0),
            }),
        }
    }

    fn set_failing(&self, fails: bool) {
        self.shared.fails.store(fails, Ordering::Relaxed);
    }

    fn pass_gate(&self) {
        let gate = self.shared.gate.lock().unwrap();
        if *gate == Gate::Shut {
            self.shared.held.fetch_add(1, Ordering::Relaxed);
        }
        let is_shut = |gate: &mut Gate| *gate == Gate::Shut;
        drop(self.shared.opened.wait_while(gate, is_shut).unwrap());
    }

    fn set_gate(&self, gate: Gate) {
        *self.shared.gate.lock().unwrap() = gate;
        self.shared.opened.notify_all();
    }
}

impl Storage for Faulty {
    fn read_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<(), StoreError> {
        self.pass_gate();
        self.shared.memory.read_at(file, offset, buffers)
    }

    fn write_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSlice<'_>],
    ) -> Result<(), StoreError> {
        self.pass_gate();
        if self.shared.fails.load(Ordering::Relaxed) {
            return Err(StoreError::new(Operation::Write, "faulty", Fault::ReadOnly));
        }
        if self.shared.panics.swap(false, Ordering::Relaxed) {
            panic!("a storage with a mistake, as the test wants");
        }
        self.shared.memory.write_at(file, offset, buffers)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let failing = &self.shared.failing_syncs;
        let one_less = |syncs: u32| syncs.checked_sub(1);
        if failing
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_err()
        {
            return Ok(());
        }
        let first = self.shared.first_file;
        let mut taken = [IoSlice::new(&[0; 1024])];
        self.shared.memory.write_at(first, 0, &mut taken)?;
        let worn_out = std::io::Error::other("worn out");
        Err(StoreError::new(Operation::Sync, "faulty", worn_out).in_file(first))
    }
}

async fn read_back(storage: &impl Storage, sample: &Sample) -> Vec<u8> {
    let mut bytes = vec![0; sample.bytes().len()];
    let file = sample.metainfo.info().files().next().unwrap().index();
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    storage.read_at(file, 0, &mut buffers).unwrap();
    bytes
}

#[tokio::test]
async fn data_may_be_kept_in_memory() {
    let sample = Sample::file("memory", 500_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let memory = Arc::new(MemoryStorage::new(1 << 20));
    let adding = leech.session.add(sample.metainfo.clone());
    let adding = adding.peers([seed.address()]).storage(Arc::clone(&memory));
    within(adding.start().await.unwrap().completed())
        .await
        .unwrap();
    assert_eq!(read_back(&memory, &sample).await, sample.bytes());
    assert!(
        std::fs::read_dir(leech.folder.path())
            .unwrap()
            .next()
            .is_none()
    );
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_full_disk_is_told_outlasted_and_mended_by_itself() {
    let sample = Sample::file("full", 2_000_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let retry = Duration::from_millis(30);
    let leech = Peer::with(|builder| {
        builder
            .storage_retry(retry)
            .stall_timeout(Duration::from_millis(400))
    })
    .await;
    let memory = Arc::new(MemoryStorage::new(600_000));
    let mut events = leech.session.events();
    let adding = leech.session.add(sample.metainfo.clone());
    let adding = adding.peers([seed.address()]).storage(Arc::clone(&memory));
    let torrent = adding.start().await.unwrap();
    let mut seen = None;
    until(&mut events, |event| match event {
        TorrentEvent::StorageFailed { error, retry_after } => {
            assert!(matches!(error.fault, Fault::Full), "{error}");
            // Each attempt waits longer than the one before.
            let is_later = seen.is_some_and(|before| retry_after > before);
            seen = Some(retry_after);
            is_later.then_some(())
        }
        _ => None,
    })
    .await;
    match within(torrent.completed()).await {
        Err(Incomplete::Stalled { cause, .. }) => assert_eq!(cause, StallCause::DiskFull),
        other => panic!("{other:?}"),
    }
    let mut stats = torrent.stats();
    let failed = |stats: &Stats| stats.state == TorrentState::StorageFailed;
    within(stats.wait_for(failed)).await.unwrap();

    memory.set_limit(1 << 30);
    until(&mut events, |event| {
        matches!(event, TorrentEvent::StorageRecovered).then_some(())
    })
    .await;
    while within(torrent.completed()).await.is_err() {}
    assert_eq!(read_back(&memory, &sample).await, sample.bytes());
    let mut stats = torrent.stats();
    let complete = |stats: &Stats| stats.pieces > 0 && stats.is_complete();
    let stats = *within(stats.wait_for(complete)).await.unwrap();
    assert_eq!(stats.state, TorrentState::Seeding);
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn what_is_written_is_synced_while_the_download_goes_on() {
    let first = usize::try_from(MIN_RESUME_BYTES).unwrap() + 1_000_000;
    let files = [("first", first), ("second", 400_000)];
    let sample = Sample::folder("synced", &files, 256 * 1024);
    let seed = Peer::seeding(&sample).await;
    let partial = Peer::start().await;
    let adding = partial.session.add(sample.metainfo.clone()).files([0]);
    let half = adding.peers([seed.address()]).start().await.unwrap();
    within(half.completed()).await.unwrap();
    seed.shut_down().await;
    // Neither its end, which does not come, nor the time has this one synced.
    let leech = Peer::with(|builder| {
        let hour = Duration::from_secs(60 * 60);
        builder.resume_interval(hour).resume_bytes(0)
    })
    .await;
    let storage = Faulty::new(&sample, MemoryStorage::new(1 << 25));
    storage.shared.failing_syncs.store(1, Ordering::Relaxed);
    let mut events = leech.session.events();
    let adding = leech.session.add(sample.metainfo.clone());
    let adding = adding.peers([partial.address()]).storage(storage);
    adding.start().await.unwrap();
    until(&mut events, |event| {
        matches!(event, TorrentEvent::WritesLost { .. }).then_some(())
    })
    .await;
    leech.shut_down().await;
    partial.shut_down().await;
}

#[tokio::test]
async fn a_storage_that_cannot_be_written_ends_the_wait_and_not_the_torrent() {
    let sample = Sample::file("readonly", 500_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let retry = Duration::from_millis(20);
    let leech = Peer::with(|builder| builder.storage_retry(retry)).await;
    let storage = Faulty::new(&sample, MemoryStorage::new(1 << 20));
    storage.set_failing(true);
    let adding = leech.session.add(sample.metainfo.clone());
    let adding = adding.peers([seed.address()]).storage(storage.clone());
    let torrent = adding.start().await.unwrap();
    match within(torrent.completed()).await {
        Err(Incomplete::Storage(error)) => assert!(matches!(error.fault, Fault::ReadOnly)),
        other => panic!("{other:?}"),
    }
    assert_eq!(torrent.stats().borrow().state, TorrentState::StorageFailed);
    let mut events = torrent.events();
    storage.set_failing(false);
    until(&mut events, |event| {
        matches!(event, TorrentEvent::StorageRecovered).then_some(())
    })
    .await;
    within(torrent.completed()).await.unwrap();
    assert_eq!(read_back(&storage, &sample).await, sample.bytes());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_disk_that_hangs_bounds_memory_and_stalls_nobody_else() {
    let slow = Sample::file("slow", 8_000_000, 256 * 1024);
    let quick = Sample::file("quick", 300_000, 32 * 1024);
    let seed = Peer::start().await;
    seed.seed(&slow).await;
    seed.seed(&quick).await;
    let budget = 2 * 1024 * 1024;
    let leech = Peer::with(|builder| builder.memory_budget(budget)).await;
    let storage = Faulty::new(&slow, MemoryStorage::new(1 << 24));
    storage.set_gate(Gate::Shut);
    let adding = leech.session.add(slow.metainfo.clone());
    let adding = adding
        .existing_data(ExistingData::Ignore)
        .peers([seed.address()])
        .storage(storage.clone());
    let hanging = adding.start().await.unwrap();
    let mut stats = hanging.stats();
    let share = budget as u64 / 8 * 7;
    let filled = |stats: &Stats| stats.downloaded_bytes >= share;
    within(stats.wait_for(filled)).await.unwrap();

    let torrent = leech.download(&quick, &[&seed]).await;
    within(torrent.completed()).await.unwrap();
    quick.assert_in(leech.folder.path());
    // What was read behind the share is what one read may bring beside blocks that were counted.
    let held = stats.borrow().downloaded_bytes;
    assert!(held < share + 300_000, "{held}");

    storage.set_gate(Gate::Open);
    within(hanging.completed()).await.unwrap();
    assert_eq!(read_back(&storage, &slow).await, slow.bytes());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_disk_that_hangs_under_many_peers_does_not_hold_up_what_lies_on_another() {
    let hung = Sample::file("hung", 500_000, 32 * 1024);
    let quick = Sample::file("quick", 500_000, 32 * 1024);
    let seed = Peer::with(|builder| builder.disk_threads(2)).await;
    seed.seed(&quick).await;
    let storage = Faulty::new(&hung, MemoryStorage::new(1 << 20));
    let bytes = hung.bytes();
    let first = storage.shared.first_file;
    storage
        .write_at(first, 0, &mut [IoSlice::new(&bytes)])
        .unwrap();
    let adding = seed.session.add(hung.metainfo.clone());
    let torrent = adding.storage(storage.clone()).start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    storage.set_gate(Gate::Shut);
    let mut leeches = Vec::new();
    for _ in 0..3 {
        let leech = Peer::start().await;
        let waiting = leech.download(&hung, &[&seed]).await;
        leeches.push((leech, waiting));
    }
    let held = || storage.shared.held.load(Ordering::Relaxed);
    within(async {
        while held() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    seed.assert_serves(&quick).await;
    assert_eq!(held(), 1, "one of two threads is left to others");
    storage.set_gate(Gate::Open);
    for (leech, waiting) in leeches {
        within(waiting.completed()).await.unwrap();
        leech.shut_down().await;
    }
    seed.shut_down().await;
}

#[tokio::test]
async fn a_check_that_takes_long_wakes_its_torrent() {
    let sample = Sample::file("long", 100_000, 32 * 1024);
    let peer = Peer::start().await;
    let storage = Faulty::new(&sample, MemoryStorage::new(1 << 20));
    storage.set_gate(Gate::Shut);
    let adding = peer.session.add(sample.metainfo.clone());
    let torrent = adding.storage(storage.clone()).start().await.unwrap();
    let mut events = torrent.events();
    tokio::time::pause();
    // Long enough that the torrent is folded up meanwhile.
    for _ in 0..100 {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    tokio::time::resume();
    storage.set_gate(Gate::Open);
    until(&mut events, |event| {
        matches!(event, TorrentEvent::Checked { verified_pieces: 0 }).then_some(())
    })
    .await;
    peer.shut_down().await;
}

#[tokio::test]
async fn a_file_that_vanishes_is_noticed_told_and_not_served() {
    let sample = Sample::file("vanish", 500_000, 32 * 1024);
    let seed = Peer::start().await;
    let seeding = seed.seed(&sample).await;
    let mut events = seeding.events();
    std::fs::remove_file(sample.path(seed.folder.path(), 0)).unwrap();
    // Whatever descriptor was open is closed by the check.
    assert_eq!(within(seeding.recheck()).await.unwrap(), 0);
    until(&mut events, |event| {
        matches!(event, TorrentEvent::Checked { verified_pieces: 0 }).then_some(())
    })
    .await;
    assert!(!matches!(
        seeding.stats().borrow().state,
        TorrentState::Seeding
    ));
    // Put back, all is well.
    sample.write_to(seed.folder.path());
    assert_eq!(within(seeding.recheck()).await.unwrap(), 16);
    within(seeding.completed()).await.unwrap();
    seed.shut_down().await;
}

#[tokio::test]
async fn a_file_that_is_overwritten_while_it_is_served_is_noticed_by_its_time() {
    let sample = Sample::file("overwritten", 500_000, 32 * 1024);
    let seed = Peer::with(|builder| builder.resume_interval(Duration::ZERO)).await;
    let seeding = seed.seed(&sample).await;
    let mut events = seeding.events();
    // As long as before, so that every read succeeds.
    let path = sample.path(seed.folder.path(), 0);
    std::fs::write(path, vec![0; 500_000]).unwrap();
    let leech = Peer::start().await;
    leech.download(&sample, &[&seed]).await;
    until(&mut events, |event| {
        matches!(event, TorrentEvent::Checked { verified_pieces: 0 }).then_some(())
    })
    .await;
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_changed_file_is_noticed_though_resume_data_cannot_be_saved() {
    let sample = Sample::file("unsaved", 500_000, 32 * 1024);
    let state = tempfile::tempdir().unwrap();
    let seed = Peer::with(|builder| {
        let builder = builder.resume_interval(Duration::ZERO);
        builder.state_dir(state.path())
    })
    .await;
    let seeding = seed.seed(&sample).await;
    within(seeding.pause()).await.unwrap();
    within(seeding.resume()).await.unwrap();
    // In the way of the next one.
    let resume_file = state.path().join(format!("{}.resume", seeding.id()));
    std::fs::remove_file(&resume_file).unwrap();
    std::fs::create_dir_all(resume_file.join("full")).unwrap();
    let mut events = seeding.events();
    std::fs::write(sample.path(seed.folder.path(), 0), vec![0; 500_000]).unwrap();
    let leech = Peer::start().await;
    leech.download(&sample, &[&seed]).await;
    until(&mut events, |event| {
        matches!(event, TorrentEvent::Checked { verified_pieces: 0 }).then_some(())
    })
    .await;
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_file_that_was_cut_while_it_is_served_is_checked_again() {
    let sample = Sample::file("cut", 2_000_000, 32 * 1024);
    let seed = Peer::start().await;
    let seeding = seed.seed(&sample).await;
    let mut events = seeding.events();
    let path = sample.path(seed.folder.path(), 0);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(1_000_000).unwrap();
    let leech = Peer::start().await;
    leech.download(&sample, &[&seed]).await;
    until(&mut events, |event| {
        matches!(event, TorrentEvent::FileChanged(_)).then_some(())
    })
    .await;
    until(&mut events, |event| {
        matches!(event, TorrentEvent::Checked { .. }).then_some(())
    })
    .await;
    leech.shut_down().await;

    // What is left is served, and nothing that is not there.
    let leech = Peer::start().await;
    let torrent = leech.download(&sample, &[&seed]).await;
    let mut stats = torrent.stats();
    let left = |stats: &Stats| stats.verified_pieces == 30;
    within(stats.wait_for(left)).await.unwrap();
    assert_eq!(stats.borrow().wasted_bytes, 0);
    leech.shut_down().await;

    sample.write_to(seed.folder.path());
    assert_eq!(within(seeding.recheck()).await.unwrap(), 62);
    seed.shut_down().await;
}

#[tokio::test]
async fn what_a_failed_sync_took_is_fetched_again() {
    let sample = Sample::file("taken", 500_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let storage = Faulty::new(&sample, MemoryStorage::new(1 << 20));
    storage.shared.failing_syncs.store(1, Ordering::Relaxed);
    let mut events = leech.session.events();
    let adding = leech.session.add(sample.metainfo.clone());
    let adding = adding
        .existing_data(ExistingData::Ignore)
        .peers([seed.address()])
        .storage(storage.clone());
    let torrent = adding.start().await.unwrap();
    // The sync comes when all is there.
    let lost = until(&mut events, |event| match event {
        TorrentEvent::WritesLost { error, pieces } => {
            assert_eq!(error.to_string(), "cannot sync faulty: worn out");
            Some(pieces)
        }
        _ => None,
    })
    .await;
    assert_eq!(lost, 16);
    until(&mut events, |event| {
        matches!(event, TorrentEvent::Completed).then_some(())
    })
    .await;
    within(torrent.completed()).await.unwrap();
    assert!(read_back(&storage, &sample).await == sample.bytes());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_disk_that_keeps_nothing_is_given_up_rather_than_filled_for_ever() {
    let sample = Sample::file("worn", 500_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let storage = Faulty::new(&sample, MemoryStorage::new(1 << 20));
    storage.shared.failing_syncs.store(2, Ordering::Relaxed);
    let mut events = leech.session.events();
    let adding = leech.session.add(sample.metainfo.clone());
    let adding = adding
        .existing_data(ExistingData::Ignore)
        .peers([seed.address()])
        .storage(storage.clone());
    let torrent = adding.start().await.unwrap();
    let mut losses = 0;
    until(&mut events, |event| {
        losses += u32::from(matches!(event, TorrentEvent::WritesLost { .. }));
        matches!(event, TorrentEvent::StorageGivenUp(_)).then_some(())
    })
    .await;
    assert_eq!(losses, 1);
    match within(torrent.completed()).await {
        Err(Incomplete::Storage(error)) => {
            assert_eq!(error.to_string(), "cannot sync faulty: worn out");
        }
        other => panic!("{other:?}"),
    }
    let mut stats = torrent.stats();
    let stopped =
        |stats: &Stats| stats.state == TorrentState::StorageFailed && stats.connected_peers == 0;
    within(stats.wait_for(stopped)).await.unwrap();

    // Somebody has put in another disk, and says so.
    within(torrent.resume()).await.unwrap();
    within(torrent.add_peers([seed.address()])).await.unwrap();
    within(torrent.completed()).await.unwrap();
    assert!(read_back(&storage, &sample).await == sample.bytes());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_storage_that_panics_stops_its_torrent_and_no_other() {
    let sample = Sample::file("mistaken", 500_000, 32 * 1024);
    let sound = Sample::file("sound", 300_000, 32 * 1024);
    let seed = Peer::start().await;
    seed.seed(&sample).await;
    seed.seed(&sound).await;
    let leech = Peer::with(|builder| builder.disk_threads(1)).await;
    let storage = Faulty::new(&sample, MemoryStorage::new(1 << 20));
    storage.shared.panics.store(true, Ordering::Relaxed);
    let adding = leech.session.add(sample.metainfo.clone());
    let adding = adding.peers([seed.address()]).storage(storage.clone());
    let torrent = adding.start().await.unwrap();
    match within(torrent.completed()).await {
        Err(Incomplete::Storage(error)) => assert_eq!(
            error.to_string(),
            "cannot write mistaken: the storage's code panicked, which is a mistake in it: \
             a storage with a mistake, as the test wants"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(torrent.stats().borrow().state, TorrentState::StorageFailed);
    // On the thread that the panic came through.
    let other = leech.download(&sound, &[&seed]).await;
    within(other.completed()).await.unwrap();
    sound.assert_in(leech.folder.path());

    within(torrent.resume()).await.unwrap();
    within(torrent.completed()).await.unwrap();
    assert!(read_back(&storage, &sample).await == sample.bytes());
    leech.shut_down().await;
    seed.shut_down().await;
}
