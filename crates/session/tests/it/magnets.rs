//! Magnet links: from nothing but an info-hash to the whole torrent.

use std::time::Duration;

use rarest_session::metainfo::{Builder, HostAddr, Magnet, Metainfo, Version};
use rarest_session::{
    AddError, CommandError, FilePriority, Incomplete, StallCause, TorrentEvent, TorrentState,
};

use crate::world::{PATIENCE, Peer, Sample, until, within};

/// A link to `sample` that names `seed` as a peer.
fn link(sample: &Sample, seed: &Peer) -> Magnet {
    let mut magnet = Magnet::new(sample.metainfo.info_hashes());
    magnet.peers = vec![HostAddr::Ip(seed.address())];
    magnet
}

#[tokio::test]
async fn a_magnet_link_is_enough() {
    let sample = Sample::file("linked", 3_000_000, 64 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let mut events = leech.session.events();
    let torrent = leech
        .session
        .add(link(&sample, &seed))
        .start()
        .await
        .unwrap();
    let metainfo = within(torrent.metadata()).await.unwrap();
    assert_eq!(metainfo.info().raw(), sample.metainfo.info().raw());
    let is_received = |event| matches!(event, TorrentEvent::MetadataReceived).then_some(());
    until(&mut events, is_received).await;
    within(torrent.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    // Who began with the link serves the torrent, and the metadata too.
    let third = Peer::start().await;
    let torrent = third
        .session
        .add(link(&sample, &leech))
        .start()
        .await
        .unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(third.folder.path());
    for peer in [third, leech, seed] {
        peer.shut_down().await;
    }
}

#[tokio::test]
async fn the_connection_that_brought_the_metadata_brings_the_pieces() {
    let sample = Sample::file("kept", 500_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let mut events = leech.session.events();
    let torrent = leech
        .session
        .add(link(&sample, &seed))
        .start()
        .await
        .unwrap();
    within(torrent.completed()).await.unwrap();
    let mut connections = 0;
    until(&mut events, |event| match event {
        TorrentEvent::PeerConnected(_) => {
            connections += 1;
            None
        }
        TorrentEvent::Completed => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(connections, 1);
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn links_to_every_version_lead_to_the_torrent() {
    let files = [("a/one", 100_000), ("b/two", 40_000), ("c", 16_384)];
    for version in [Version::V1, Version::Hybrid] {
        let builder = Builder::new(version).piece_length(32 * 1024);
        let sample = Sample::folder_of(&builder, "version", &files);
        let seed = Peer::seeding(&sample).await;
        let leech = Peer::start().await;
        let torrent = leech
            .session
            .add(link(&sample, &seed))
            .start()
            .await
            .unwrap();
        within(torrent.completed()).await.unwrap();
        sample.assert_in(leech.folder.path());
        leech.shut_down().await;
        seed.shut_down().await;
    }
}

#[tokio::test]
async fn a_link_to_one_hash_of_a_hybrid_finds_the_other() {
    let builder = Builder::new(Version::Hybrid).piece_length(32 * 1024);
    let sample = Sample::of(&builder, "both", 300_000);
    let seed = Peer::seeding(&sample).await;
    let hashes = sample.metainfo.info_hashes();
    for one in [
        rarest_session::metainfo::InfoHashes { v2: None, ..hashes },
        rarest_session::metainfo::InfoHashes { v1: None, ..hashes },
    ] {
        let leech = Peer::start().await;
        let mut magnet = Magnet::new(one);
        magnet.peers = vec![HostAddr::Ip(seed.address())];
        let torrent = leech.session.add(magnet).start().await.unwrap();
        let metainfo = within(torrent.metadata()).await.unwrap();
        assert_eq!(metainfo.info_hashes(), hashes);
        within(torrent.completed()).await.unwrap();
        sample.assert_in(leech.folder.path());
        let again = leech.session.add(sample.metainfo.clone()).start().await;
        assert!(matches!(again, Err(AddError::AlreadyAdded(id)) if id == torrent.id()));
        leech.shut_down().await;
    }
    seed.shut_down().await;
}

#[tokio::test]
async fn two_links_to_one_hybrid_are_one_torrent() {
    let builder = Builder::new(Version::Hybrid).piece_length(32 * 1024);
    let sample = Sample::of(&builder, "one", 300_000);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let first = leech.session.add(sample.metainfo.clone()).files([]);
    let first = first.start().await.unwrap();
    // The session cannot know before the metadata is there, and then says so.
    let hashes = sample.metainfo.info_hashes();
    let other = Peer::start().await;
    let v1 = Magnet::new(rarest_session::metainfo::InfoHashes { v2: None, ..hashes });
    let mut v2 = Magnet::new(rarest_session::metainfo::InfoHashes { v1: None, ..hashes });
    v2.peers = vec![HostAddr::Ip(seed.address())];
    let again = leech.session.add(v2.clone()).start().await;
    assert!(matches!(again, Err(AddError::AlreadyAdded(id)) if id == first.id()));
    let v1 = other.session.add(v1).start().await.unwrap();
    let v2 = other.session.add(v2).start().await.unwrap();
    let failed = within(v2.metadata()).await;
    assert!(matches!(failed, Err(Incomplete::AlreadyAdded(id)) if id == v1.id()));
    for peer in [other, leech, seed] {
        peer.shut_down().await;
    }
}

#[tokio::test]
async fn waiting_for_metadata_that_nobody_has_ends_and_may_begin_again() {
    let sample = Sample::file("nobody", 100_000, 32 * 1024);
    let leech = Peer::with(|builder| builder.stall_timeout(Duration::from_millis(100))).await;
    let magnet = Magnet::new(sample.metainfo.info_hashes());
    let torrent = leech.session.add(magnet.clone()).start().await.unwrap();
    assert!(torrent.metainfo().is_none());
    let cancelled = tokio::time::timeout(Duration::ZERO, torrent.metadata()).await;
    assert!(cancelled.is_err());
    for _ in 0..2 {
        assert!(matches!(
            within(torrent.metadata()).await,
            Err(Incomplete::Stalled {
                cause: StallCause::NoPeers,
                ..
            })
        ));
    }
    assert!(matches!(
        torrent.recheck().await,
        Err(CommandError::MetadataMissing)
    ));
    assert_eq!(
        torrent.stats().borrow().state,
        TorrentState::FetchingMetadata
    );
    let again = leech.session.add(magnet.clone()).start().await;
    assert!(matches!(again, Err(AddError::AlreadyAdded(_))));
    leech.session.remove_keeping_files(&torrent).await.unwrap();
    assert!(matches!(torrent.metadata().await, Err(Incomplete::Removed)));
    let torrent = leech.session.add(magnet).start().await.unwrap();
    let waiting = tokio::spawn({
        let torrent = torrent.clone();
        async move { torrent.metadata().await }
    });
    let seed = Peer::seeding(&sample).await;
    torrent.add_peers([seed.address()]).await.unwrap();
    within(torrent.completed()).await.unwrap();
    // It may have stalled before.
    let _ = waiting.await.unwrap();
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn files_are_chosen_before_anybody_knows_them() {
    let files = [("first", 200_000), ("second", 200_000), ("third", 200_000)];
    let sample = Sample::folder("unseen", &files, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let mut magnet = link(&sample, &seed);
    // The link is for the second and third (BEP 53), the caller wants the first and not the third.
    magnet.selected_files = vec![1..=2, 7..=u32::MAX];
    let torrent = leech.session.add(magnet).paused().start().await.unwrap();
    let chosen = [
        (0, FilePriority::High),
        (2, FilePriority::Skip),
        (9, FilePriority::Low),
    ];
    torrent.set_file_priorities(chosen).await.unwrap();
    torrent.resume().await.unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_file_in(leech.folder.path(), 0);
    sample.assert_file_in(leech.folder.path(), 1);
    assert!(!sample.path(leech.folder.path(), 2).exists());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_paused_link_asks_nobody_until_it_is_resumed() {
    let sample = Sample::file("patient", 100_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let adding = leech.session.add(link(&sample, &seed)).paused();
    let torrent = adding.start().await.unwrap();
    let mut stats = torrent.stats();
    let paused = stats.wait_for(|stats| stats.state == TorrentState::Paused);
    within(paused).await.unwrap();
    assert!(torrent.metainfo().is_none());
    torrent.resume().await.unwrap();
    within(torrent.completed()).await.unwrap();
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_link_that_pauses_at_its_metadata_waits_for_a_choice() {
    let files = [("empty", 0), ("first", 100_000), ("second", 100_000)];
    let sample = Sample::folder("choice", &files, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let adding = leech.session.add(link(&sample, &seed)).pause_at_metadata();
    let torrent = adding.start().await.unwrap();
    let metainfo = within(torrent.metadata()).await.unwrap();
    let mut stats = torrent.stats();
    let paused = stats.wait_for(|stats| stats.state == TorrentState::Paused && stats.pieces > 0);
    assert_eq!(within(paused).await.unwrap().downloaded_bytes, 0);
    let files = metainfo.info().files();
    let second = files.map(|file| file.path() == "choice/second");
    let priority = |is_second| match is_second {
        true => FilePriority::Normal,
        false => FilePriority::Skip,
    };
    let choice: Vec<_> = second.map(priority).enumerate().collect();
    torrent.set_file_priorities(choice).await.unwrap();
    torrent.resume().await.unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_file_in(leech.folder.path(), 2);
    assert!(!sample.path(leech.folder.path(), 1).exists());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn metadata_survives_a_restart() {
    let sample = Sample::file("again", 300_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let state = tempfile::tempdir().unwrap();
    let with_state = |builder: rarest_session::Builder| builder.state_dir(state.path());
    let leech = Peer::with(with_state).await;
    let torrent = leech
        .session
        .add(link(&sample, &seed))
        .start()
        .await
        .unwrap();
    within(torrent.metadata()).await.unwrap();
    leech.session.shutdown(PATIENCE).await.unwrap();
    seed.shut_down().await;
    // Nobody is there to be asked.
    let magnet = Magnet::new(sample.metainfo.info_hashes());
    let later = Peer::with(with_state).await;
    let torrent = later.session.add(magnet.clone()).start().await.unwrap();
    let metainfo: std::sync::Arc<Metainfo> = within(torrent.metadata()).await.unwrap();
    assert_eq!(metainfo.info().raw(), sample.metainfo.info().raw());
    later.session.remove_keeping_files(&torrent).await.unwrap();
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
    later.shut_down().await;
}

#[tokio::test]
async fn metadata_that_was_damaged_on_the_disk_is_fetched_again() {
    let sample = Sample::file("damaged", 300_000, 32 * 1024);
    let other = Sample::file("another", 300_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    for damaged in [&b"no torrent"[..], &other.metainfo.to_bytes()] {
        let state = tempfile::tempdir().unwrap();
        let id = sample.metainfo.info_hashes().swarms().next().unwrap();
        std::fs::write(state.path().join(format!("{id}.torrent")), damaged).unwrap();
        let leech = Peer::with(|builder| builder.state_dir(state.path())).await;
        let torrent = leech
            .session
            .add(link(&sample, &seed))
            .start()
            .await
            .unwrap();
        within(torrent.completed()).await.unwrap();
        leech.shut_down().await;
    }
    seed.shut_down().await;
}

#[tokio::test]
async fn a_link_that_is_removed_leaves_no_metadata_behind() {
    let sample = Sample::file("left", 100_000, 32 * 1024);
    let state = tempfile::tempdir().unwrap();
    let leech = Peer::with(|builder| builder.state_dir(state.path())).await;
    let magnet = Magnet::new(sample.metainfo.info_hashes());
    let swarm = sample.metainfo.info_hashes().swarms().next().unwrap();
    let saved = state.path().join(format!("{swarm}.torrent"));
    std::fs::write(&saved, "damaged").unwrap();
    let torrent = leech.session.add(magnet).start().await.unwrap();
    let removing = leech.session.remove_keeping_files(&torrent);
    within(removing).await.unwrap();
    assert!(!saved.exists());
    leech.shut_down().await;
}

#[tokio::test]
async fn a_private_torrent_keeps_no_peer_of_the_link() {
    let builder = Builder::new(Version::V1).piece_length(32 * 1024).private();
    let sample = Sample::of(&builder, "private", 300_000);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let mut events = leech.session.events();
    let torrent = leech
        .session
        .add(link(&sample, &seed))
        .start()
        .await
        .unwrap();
    // A look at the disk may take hours, in which nobody else is to hear of it.
    let reason = until(&mut events, |event| match event {
        TorrentEvent::PeerDisconnected { reason, .. } => Some(reason),
        TorrentEvent::Checked { .. } => panic!("the peer is still there"),
        _ => None,
    })
    .await;
    assert!(reason.contains("private"), "{reason}");
    assert!(torrent.metainfo().unwrap().info().is_private());
    // One that the user names is dialled.
    torrent.add_peers([seed.address()]).await.unwrap();
    within(torrent.completed()).await.unwrap();
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_link_that_is_waited_for_ends_with_the_session() {
    let sample = Sample::file("ends", 100_000, 32 * 1024);
    let leech = Peer::start().await;
    let magnet = Magnet::new(sample.metainfo.info_hashes());
    let torrent = leech.session.add(magnet).start().await.unwrap();
    let (waited, ended) =
        tokio::join!(within(torrent.metadata()), leech.session.shutdown(PATIENCE));
    assert!(matches!(waited, Err(Incomplete::ShutDown)));
    ended.unwrap();
}
