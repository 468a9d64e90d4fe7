//! The disk is looked at again while peers are connected.

use std::os::unix::fs::FileExt;

use rarest_session::metainfo::PieceIndex;
use rarest_session::{Event, EventStream, Limits, Rate, Stats, TorrentEvent, TorrentHandle};

use crate::world::{Peer, Sample, until, within};

const PIECE: u64 = 32 * 1024;

/// A peer that downloads slowly enough for a story to happen meanwhile.
async fn slow() -> Peer {
    let limits = Limits {
        download: Rate::mib_per_s(1),
        ..Limits::NONE
    };
    Peer::with(|builder| builder.limits(limits)).await
}

async fn first_piece(events: &mut EventStream) -> PieceIndex {
    until(events, |event| match event {
        TorrentEvent::PieceVerified(piece) => Some(piece),
        _ => None,
    })
    .await
}

/// Waits until all is there again; fails should a connection have ended or begun before.
async fn mended_over_the_same_connections(torrent: &TorrentHandle, events: &mut EventStream) {
    let mut stats = torrent.stats();
    let mended = |stats: &Stats| stats.is_complete() && stats.downloaded_bytes > 0;
    within(stats.wait_for(mended)).await.unwrap();
    while let Some(event) = events.try_next() {
        if let Event::Torrent(_, event) = event {
            let is_of_connection = matches!(
                event,
                TorrentEvent::PeerDisconnected { .. } | TorrentEvent::PeerConnected(_)
            );
            assert!(!is_of_connection, "{event:?}");
        }
    }
}

#[tokio::test]
async fn damage_that_a_recheck_finds_is_mended_by_the_peers_that_are_connected() {
    let sample = Sample::file("rotten", 3_000_000, 32 * 1024);
    let seed = Peer::start().await;
    let seeding = seed.seed(&sample).await;
    let leech = slow().await;
    let mut leech_events = leech.session.events();
    let download = leech.download(&sample, &[&seed]).await;
    let damaged = first_piece(&mut leech_events).await;

    let path = sample.path(seed.folder.path(), 0);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    let offset = u64::from(damaged.get()) * PIECE;
    file.write_all_at(&[0; 100], offset).unwrap();
    file.set_modified(modified).unwrap();
    let mut events = seeding.events();
    let verified = within(seeding.recheck()).await.unwrap();
    assert_eq!(
        verified,
        sample.metainfo.info().geometry().piece_count() - 1
    );
    mended_over_the_same_connections(&seeding, &mut events).await;
    let downloaded = seeding.stats().borrow().downloaded_bytes;
    assert_eq!(downloaded, PIECE, "the damaged piece alone came");
    sample.assert_in(seed.folder.path());
    within(download.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_file_that_was_only_touched_is_neither_fetched_again_nor_are_peers_dropped() {
    let sample = Sample::file("touched", 3_000_000, 32 * 1024);
    let seed = Peer::with(|builder| builder.resume_interval(std::time::Duration::ZERO)).await;
    let seeding = seed.seed(&sample).await;
    // A pause notes how the files are.
    within(seeding.pause()).await.unwrap();
    within(seeding.resume()).await.unwrap();
    let leech = slow().await;
    let mut leech_events = leech.session.events();
    let download = leech.download(&sample, &[&seed]).await;
    first_piece(&mut leech_events).await;

    let mut events = seeding.events();
    let path = sample.path(seed.folder.path(), 0);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let pieces = sample.metainfo.info().geometry().piece_count();
    until(&mut events, |event| match event {
        TorrentEvent::Checked { verified_pieces } => {
            assert_eq!(verified_pieces, pieces);
            Some(())
        }
        TorrentEvent::PeerDisconnected { reason, .. } => panic!("{reason}"),
        _ => None,
    })
    .await;
    within(download.completed()).await.unwrap();
    assert_eq!(seeding.stats().borrow().downloaded_bytes, 0);
    assert_eq!(download.stats().borrow().wasted_bytes, 0);
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_download_goes_on_after_a_recheck_in_its_middle() {
    let sample = Sample::file("middle", 3_000_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let leech = slow().await;
    let mut events = leech.session.events();
    let download = leech.download(&sample, &[&seed]).await;
    first_piece(&mut events).await;
    let mut events = download.events();
    let verified = within(download.recheck()).await.unwrap();
    assert!(verified > 0);
    until(&mut events, |event| match event {
        TorrentEvent::Completed => Some(()),
        TorrentEvent::PeerDisconnected { reason, .. } => panic!("{reason}"),
        _ => None,
    })
    .await;
    within(download.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    let downloaded = download.stats().borrow().downloaded_bytes;
    assert!(downloaded < 3_000_000 + 500_000, "{downloaded}");
    leech.shut_down().await;
    seed.shut_down().await;
}
