//! Torrents go from one session to another.

use std::net::{IpAddr, Ipv6Addr};

use rarest_session::metainfo::{Builder, Version};
use rarest_session::{Event, FilePriority, Stats, TorrentEvent, TorrentState};

use crate::world::{PATIENCE, Peer, Sample, until, within};

#[tokio::test]
async fn a_torrent_goes_from_one_session_to_another() {
    let sample = Sample::file("one.bin", 3_000_000, 64 * 1024);
    let seed = Peer::seeding(&sample).await;
    seed.assert_serves(&sample).await;
    seed.shut_down().await;
}

#[tokio::test]
async fn whoever_learns_that_a_torrent_is_complete_sees_it_complete() {
    let sample = Sample::file("seen", 500_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let mut events = leech.session.events();
    let torrent = leech.download(&sample, &[&seed]).await;
    let stats = torrent.stats();
    let see = || {
        let seen = *stats.borrow();
        assert_eq!(seen.state, TorrentState::Seeding);
        assert_eq!((seen.missing_bytes, seen.verified_bytes), (0, 500_000));
    };
    let waiting = async {
        within(torrent.completed()).await.unwrap();
        see();
    };
    let listening = async {
        let is_completed = |event| matches!(event, TorrentEvent::Completed).then_some(());
        until(&mut events, is_completed).await;
        see();
    };
    tokio::join!(waiting, listening);
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_folders_come_out_as_they_were() {
    let files = [
        ("a/short", 10),
        ("empty", 0),
        ("a/b/long", 500_000),
        ("last", 70_000),
    ];
    let sample = Sample::folder("folder", &files, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    seed.assert_serves(&sample).await;
    seed.shut_down().await;
}

#[tokio::test]
async fn every_version_of_torrents_is_downloaded() {
    let files = [("a/one", 100_000), ("b/two", 40_000), ("c", 16_384)];
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let builder = Builder::new(version).piece_length(32 * 1024);
        let sample = Sample::folder_of(&builder, "version", &files);
        let seed = Peer::seeding(&sample).await;
        seed.assert_serves(&sample).await;
        seed.shut_down().await;
    }
}

#[tokio::test]
async fn only_selected_files_are_downloaded_until_more_are_wanted() {
    let files = [("first", 200_000), ("second", 200_000), ("third", 200_000)];
    let sample = Sample::folder("choice", &files, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let adding = leech.session.add(sample.metainfo.clone());
    let torrent = adding
        .files([1])
        .peers([seed.address()])
        .start()
        .await
        .unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_file_in(leech.folder.path(), 1);
    assert!(!sample.path(leech.folder.path(), 2).exists());

    let all = [(0, FilePriority::Normal), (2, FilePriority::High)];
    within(torrent.set_file_priorities(all)).await.unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn many_torrents_share_one_port() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let samples: Vec<_> = names
        .iter()
        .map(|name| Sample::file(name, 150_000, 16 * 1024))
        .collect();
    let (seed, leech) = (Peer::start().await, Peer::start().await);
    let mut torrents = Vec::new();
    for sample in &samples {
        seed.seed(sample).await;
        torrents.push(leech.download(sample, &[&seed]).await);
    }
    for torrent in &torrents {
        within(torrent.completed()).await.unwrap();
    }
    for sample in &samples {
        sample.assert_in(leech.folder.path());
    }
    assert_eq!(leech.session.torrents().len(), names.len());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn peers_are_reached_over_ipv6() {
    let sample = Sample::file("six", 300_000, 32 * 1024);
    let six = [IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let seed = Peer::with(|builder| builder.listen_addresses(six)).await;
    seed.seed(&sample).await;
    assert!(seed.address().is_ipv6());
    let leech = Peer::with(|builder| builder.listen_addresses(six)).await;
    let torrent = leech.download(&sample, &[&seed]).await;
    within(torrent.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn events_and_statistics_tell_of_a_download() {
    let sample = Sample::file("told", 400_000, 64 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let mut events = leech.session.events();
    let torrent = leech.download(&sample, &[&seed]).await;
    let mut verified = 0;
    until(&mut events, |event| match event {
        TorrentEvent::PieceVerified(_) => {
            verified += 1;
            None
        }
        TorrentEvent::Completed => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(verified, 7);
    let mut stats = torrent.stats();
    let stats = within(stats.wait_for(Stats::is_complete)).await;
    let stats = *stats.unwrap();
    assert_eq!(stats.downloaded_bytes, sample.bytes().len() as u64);
    assert_eq!(stats.verified_pieces, 7);
    leech.session.shutdown(PATIENCE).await.unwrap();
    while let Some(event) = within(events.next()).await {
        assert!(matches!(event, Event::Torrent(..)), "{event:?}");
    }
    seed.shut_down().await;
}

#[tokio::test]
async fn changes_of_the_selection_that_overlap_all_hold() {
    let files = [("a", 50_000), ("b", 60_000), ("c", 70_000)];
    let sample = Sample::folder("overlapping", &files, 16 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let adding = leech.session.add(sample.metainfo.clone()).files([0]);
    let torrent = adding.peers([seed.address()]).start().await.unwrap();
    let wanted = |file| torrent.set_file_priorities([(file, FilePriority::Normal)]);
    // The first look at the disk is still under way.
    let (b, c) = tokio::join!(within(wanted(1)), within(wanted(2)));
    b.and(c).unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn partial_seeds_of_different_files_have_nothing_for_each_other_and_part() {
    let files = [("first", 200_000), ("second", 200_000)];
    let sample = Sample::folder("partial", &files, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let peers = [Peer::start().await, Peer::start().await];
    let mut torrents = Vec::new();
    for (file, peer) in peers.iter().enumerate() {
        let adding = peer.session.add(sample.metainfo.clone()).files([file]);
        let torrent = adding.peers([seed.address()]).start().await.unwrap();
        within(torrent.completed()).await.unwrap();
        torrents.push(torrent);
    }
    seed.shut_down().await;
    // Each lacks pieces that the other has, and says that it wants none (BEP 21).
    let mut events = [&peers[0], &peers[1]].map(|peer| peer.session.events());
    torrents[0].add_peers([peers[1].address()]).await.unwrap();
    let mut reasons = Vec::new();
    for events in &mut events {
        let mut is_connected = false;
        let reason = until(events, |event| match event {
            TorrentEvent::PeerConnected(_) => {
                is_connected = true;
                None
            }
            TorrentEvent::PeerDisconnected { reason, .. } if is_connected => Some(reason),
            _ => None,
        });
        reasons.push(reason.await);
    }
    let parted = "both ends have all that they want";
    assert!(reasons.iter().any(|reason| reason == parted), "{reasons:?}");
    for peer in peers {
        peer.shut_down().await;
    }
}
