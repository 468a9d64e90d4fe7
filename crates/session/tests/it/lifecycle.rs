//! Torrents and sessions from their beginning to their end.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use rarest_session::piece_store::MemoryStorage;
use rarest_session::{
    AddError, CommandError, Event, Gone, Incomplete, Limits, Rate, Session, StallCause, StartError,
    TorrentEvent, TorrentState,
};

use crate::world::{PATIENCE, Peer, Sample, local, until, within};

#[tokio::test]
async fn a_torrent_without_peers_stalls_and_goes_on_trying() {
    let sample = Sample::file("alone", 100_000, 32 * 1024);
    let patience = Duration::from_millis(50);
    let peer = Peer::with(|builder| builder.stall_timeout(patience)).await;
    let torrent = peer.download(&sample, &[]).await;
    for _ in 0..2 {
        match within(torrent.completed()).await {
            Err(Incomplete::Stalled { waited, cause }) => {
                assert!(waited >= patience);
                assert_eq!(cause, StallCause::NoPeers);
            }
            other => panic!("{other:?}"),
        }
    }
    let seed = Peer::seeding(&sample).await;
    torrent.add_peers([seed.address()]).await.unwrap();
    while within(torrent.completed()).await.is_err() {}
    sample.assert_in(peer.folder.path());
    peer.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn whoever_waits_learns_that_the_torrent_was_removed() {
    let sample = Sample::file("removed", 100_000, 32 * 1024);
    let peer = Peer::start().await;
    let torrent = peer.download(&sample, &[]).await;
    let mut stats = torrent.stats();
    let (waiting, removing) = tokio::join!(
        within(torrent.completed()),
        peer.session.remove_keeping_files(&torrent)
    );
    removing.unwrap();
    assert!(matches!(waiting, Err(Incomplete::Removed)));
    within(async { while stats.changed().await.is_ok() {} }).await;
    assert_eq!(torrent.pause().await, Err(Gone::Removed));
    assert!(peer.session.torrents().is_empty());
    // And it may come back, which is nothing to the handle of the one that was removed.
    peer.download(&sample, &[]).await;
    assert!(within(torrent.events().next()).await.is_none());
    peer.shut_down().await;
}

#[tokio::test]
async fn whoever_waits_learns_that_the_session_was_shut_down() {
    let sample = Sample::file("closed", 100_000, 32 * 1024);
    let peer = Peer::start().await;
    let torrent = peer.download(&sample, &[]).await;
    let (waiting, ending) =
        tokio::join!(within(torrent.completed()), peer.session.shutdown(PATIENCE));
    ending.unwrap();
    assert!(matches!(waiting, Err(Incomplete::ShutDown)));
    assert_eq!(torrent.resume().await, Err(Gone::ShutDown));
    let adding = peer.session.add(sample.metainfo).start().await;
    assert!(matches!(adding, Err(AddError::ShutDown)));
}

#[tokio::test]
async fn dropping_the_session_ends_it() {
    let sample = Sample::file("dropped", 100_000, 32 * 1024);
    let peer = Peer::start().await;
    let torrent = peer.download(&sample, &[]).await;
    let (mut all, mut of_torrent) = (peer.session.events(), torrent.events());
    drop(peer.session);
    assert!(matches!(
        within(torrent.completed()).await,
        Err(Incomplete::ShutDown)
    ));
    within(async { while all.next().await.is_some() {} }).await;
    within(async { while of_torrent.next().await.is_some() {} }).await;
}

#[tokio::test]
async fn dropping_the_session_ends_torrents_that_sleep() {
    let sample = Sample::file("asleep", 100_000, 32 * 1024);
    let peer = Peer::start().await;
    let storage = Arc::new(MemoryStorage::new(1 << 20));
    let held = Arc::downgrade(&storage);
    let adding = peer.session.add(sample.metainfo.clone()).paused();
    let torrent = adding.storage(storage).start().await.unwrap();
    // What it holds is known then, and saved: there is nothing to do.
    within(torrent.recheck()).await.unwrap();
    within(torrent.pause()).await.unwrap();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    tokio::time::resume();
    drop(peer.session);
    assert!(matches!(
        within(torrent.completed()).await,
        Err(Incomplete::ShutDown)
    ));
    // It is let go of, though the handle lives on.
    within(async {
        while held.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn files_are_deleted_only_when_that_is_asked_for() {
    let files = [("a/one", 50_000), ("two", 60_000)];
    let sample = Sample::folder("deleted", &files, 32 * 1024);
    let peer = Peer::start().await;
    let torrent = peer.seed(&sample).await;
    peer.session.remove_keeping_files(&torrent).await.unwrap();
    sample.assert_in(peer.folder.path());
    let torrent = peer.download(&sample, &[]).await;
    within(torrent.completed()).await.unwrap();
    within(peer.session.remove_and_delete_files(&torrent))
        .await
        .unwrap();
    assert!(!peer.folder.path().join("deleted").exists());
    peer.shut_down().await;
}

#[tokio::test]
async fn a_paused_torrent_moves_nothing_until_it_is_resumed() {
    let sample = Sample::file("paused", 400_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let adding = leech.session.add(sample.metainfo.clone()).paused();
    let torrent = adding.peers([seed.address()]).start().await.unwrap();
    let mut stats = torrent.stats();
    let is_paused = |stats: &rarest_session::Stats| stats.state == TorrentState::Paused;
    let seen = *within(stats.wait_for(is_paused)).await.unwrap();
    assert_eq!(seen.downloaded_bytes, 0);
    torrent.resume().await.unwrap();
    within(torrent.completed()).await.unwrap();
    torrent.pause().await.unwrap();
    within(stats.wait_for(is_paused)).await.unwrap();
    // Complete, though paused.
    within(torrent.completed()).await.unwrap();
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_pause_in_the_middle_keeps_what_was_downloaded() {
    let sample = Sample::file("middle", 2_000_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let state = tempfile::tempdir().unwrap();
    let leech = Peer::with(|builder| builder.state_dir(state.path())).await;
    let mut events = leech.session.events();
    let torrent = leech.download(&sample, &[&seed]).await;
    until(&mut events, |event| {
        matches!(event, TorrentEvent::PieceVerified(_)).then_some(())
    })
    .await;
    within(torrent.pause()).await.unwrap();
    within(torrent.resume()).await.unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    let mut stats = torrent.stats();
    let stats = *within(stats.wait_for(|stats| stats.missing_bytes == 0))
        .await
        .unwrap();
    // Blocks that were on their way when the pause came are asked for again, and no others.
    assert!(stats.downloaded_bytes < sample.bytes().len() as u64 + 2_000_000);
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn an_idle_torrent_answers_peers_and_commands() {
    let sample = Sample::file("idle", 200_000, 32 * 1024);
    let seed = Peer::start().await;
    let seeding = seed.seed(&sample).await;
    tokio::time::pause();
    // Long enough that the torrent is folded up.
    tokio::time::advance(Duration::from_secs(3600)).await;
    tokio::task::yield_now().await;
    tokio::time::resume();
    assert_eq!(within(seeding.recheck()).await.unwrap(), 7);
    seed.assert_serves(&sample).await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_torrent_that_sleeps_leaves_blocks_of_partial_pieces_to_the_disk() {
    let sample = Sample::file("part", 1 << 20, 1 << 20);
    let limits = Limits {
        upload: Rate::bytes_per_s(500_000),
        ..Limits::NONE
    };
    let seed = Peer::with(|builder| builder.limits(limits)).await;
    seed.seed(&sample).await;
    let leech = Peer::with(|builder| builder.stall_timeout(None)).await;
    let torrent = leech.download(&sample, &[&seed]).await;
    let mut stats = torrent.stats();
    let has_begun = |stats: &rarest_session::Stats| stats.downloaded_bytes > 0;
    within(stats.wait_for(has_begun)).await.unwrap();
    seed.shut_down().await;
    // Nobody is there who could send the rest, and the hours pass.
    tokio::time::pause();
    let written = async {
        loop {
            let file = std::fs::read(sample.path(leech.folder.path(), 0));
            let (file, bytes) = (file.unwrap_or_default(), sample.bytes());
            let mut blocks = file.chunks(16 * 1024).zip(bytes.chunks(16 * 1024));
            if blocks.any(|(there, right)| there == right) {
                return;
            }
            tokio::time::sleep(Duration::from_secs(300)).await;
        }
    };
    let hours = tokio::time::timeout(Duration::from_secs(100_000), written);
    hours.await.expect("the blocks stay in memory");
    tokio::time::resume();
    leech.shut_down().await;
}

#[tokio::test]
async fn the_same_torrent_is_not_added_twice() {
    let sample = Sample::file("twice", 100_000, 32 * 1024);
    let peer = Peer::start().await;
    let torrent = peer.download(&sample, &[]).await;
    let again = peer.session.add(sample.metainfo.clone()).start().await;
    assert!(matches!(again, Err(AddError::AlreadyAdded(id)) if id == torrent.id()));
    assert!(peer.session.torrent(torrent.id()).is_some());
    peer.shut_down().await;
}

#[tokio::test]
async fn what_cannot_be_added_is_refused_at_once() {
    let sample = Sample::file("refused", 100_000, 32 * 1024);
    let peer = Peer::start().await;
    let adding = peer.session.add(sample.metainfo.clone()).files([0, 3]);
    assert!(matches!(
        adding.start().await,
        Err(AddError::NoSuchFile { index: 3, count: 1 })
    ));
    let torrent = peer.download(&sample, &[]).await;
    let selecting = torrent.set_file_priorities([(1, Default::default())]).await;
    assert!(matches!(
        selecting,
        Err(CommandError::NoSuchFile { index: 1, count: 1 })
    ));
    peer.shut_down().await;
}

#[tokio::test]
async fn a_port_in_use_and_a_folder_that_is_a_file_are_named() {
    let peer = Peer::start().await;
    let port = peer.session.port();
    let folder = tempfile::tempdir().unwrap();
    let second = local(folder.path()).port(port).build().await;
    assert!(matches!(
        second,
        Err(StartError::PortInUse { address }) if address.port() == port
    ));
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let third = local(&file).build().await;
    assert!(matches!(third, Err(StartError::Folder { path, .. }) if path == file));
    // A folder that is missing is made.
    let missing = folder.path().join("new/folder");
    let fourth: Session = local(&missing).build().await.unwrap();
    assert!(missing.is_dir());
    fourth.shutdown(PATIENCE).await.unwrap();
    peer.shut_down().await;
}

#[tokio::test]
async fn a_slow_listener_learns_how_many_events_it_missed() {
    let sample = Sample::file("missed", 600_000, 16 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::with(|builder| builder.event_capacity(4)).await;
    let mut events = leech.session.events();
    let torrent = leech.download(&sample, &[&seed]).await;
    within(torrent.completed()).await.unwrap();
    leech.session.shutdown(PATIENCE).await.unwrap();
    let (mut seen, mut missed) = (0, 0);
    while let Some(event) = within(events.next()).await {
        match event {
            Event::Missed(count) => missed += count,
            _ => seen += 1,
        }
    }
    assert_eq!(seen, 4);
    // 37 pieces, and what is said around them.
    assert!(missed > 37, "{missed}");
    seed.shut_down().await;
}

#[tokio::test]
async fn a_torrent_that_rested_goes_on_where_it_was() {
    let sample = Sample::file("rested", 200_000, 32 * 1024);
    let seed = Peer::start().await;
    let seeding = seed.seed(&sample).await;
    // It rests when the first peer comes.
    for round in 1..=2 {
        let leech = Peer::start().await;
        let download = leech.download(&sample, &[&seed]).await;
        within(download.completed()).await.unwrap();
        sample.assert_in(leech.folder.path());
        leech.shut_down().await;
        let mut stats = seeding.stats();
        let is_told = |stats: &rarest_session::Stats| {
            stats.uploaded_bytes == round * 200_000 && stats.connected_peers == 0
        };
        within(stats.wait_for(is_told)).await.unwrap();
        drop(stats);
        // Time passes, in which the peer that is gone is dialled in vain.
        tokio::time::pause();
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        tokio::time::resume();
    }
    assert_eq!(seeding.stats().borrow().state, TorrentState::Seeding);
    assert_eq!(
        seeding.metainfo().unwrap().info_hashes(),
        sample.metainfo.info_hashes()
    );
    seeding.pause().await.unwrap();
    assert_eq!(seeding.stats().borrow().state, TorrentState::Paused);
    assert_eq!(within(seeding.recheck()).await.unwrap(), 7);
    seed.shut_down().await;
}

/// Panics when it is woken.
struct Mistaken;

impl Wake for Mistaken {
    fn wake(self: Arc<Self>) {
        panic!("a waker with a mistake, as the test wants");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_torrent_whose_task_panicked() {
    let sample = Sample::file("panicked", 100_000, 32 * 1024);
    let peer = Peer::start().await;
    let torrent = peer.download(&sample, &[]).await;
    let mut events = torrent.events();
    within(torrent.recheck()).await.unwrap();
    // Whatever was told until now is read, so that the next word wakes.
    let waker = Waker::from(Arc::new(Mistaken));
    let mut context = Context::from_waker(&waker);
    while pin!(events.next()).poll(&mut context).is_ready() {}
    let (waiting, pausing) = tokio::join!(within(torrent.completed()), within(torrent.pause()));
    assert!(matches!(waiting, Err(Incomplete::ShutDown)), "{waiting:?}");
    assert_eq!(pausing, Err(Gone::ShutDown));
    peer.shut_down().await;
}
