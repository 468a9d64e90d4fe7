//! What a session knows of an earlier one.

use std::path::Path;

use rarest_session::{ExistingData, Session, Stats, TorrentEvent};

use crate::world::{PATIENCE, Peer, Sample, local, until, within};

async fn session_with_state(folder: &Path, state: &Path) -> Session {
    local(folder).state_dir(state).build().await.unwrap()
}

/// Adds the torrent to a new session; how many pieces were read to see what is there.
async fn pieces_checked_by_a_new_session(sample: &Sample, folder: &Path, state: &Path) -> Stats {
    let session = session_with_state(folder, state).await;
    let mut events = session.events();
    let adding = session.add(sample.metainfo.clone()).paused();
    let torrent = adding.start().await.unwrap();
    until(&mut events, |event| {
        matches!(event, TorrentEvent::Checked { .. }).then_some(())
    })
    .await;
    let mut stats = torrent.stats();
    let known = |stats: &Stats| stats.state == rarest_session::TorrentState::Paused;
    let stats = *within(stats.wait_for(known)).await.unwrap();
    session.shutdown(PATIENCE).await.unwrap();
    stats
}

#[tokio::test]
async fn a_complete_torrent_is_believed_without_reading_it() {
    let sample = Sample::file("believed", 500_000, 32 * 1024);
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let seed = Peer::seeding(&sample).await;
    let session = session_with_state(folder.path(), state.path()).await;
    let adding = session.add(sample.metainfo.clone());
    let torrent = adding.peers([seed.address()]).start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    session.shutdown(PATIENCE).await.unwrap();

    let stats = pieces_checked_by_a_new_session(&sample, folder.path(), state.path()).await;
    assert_eq!(stats.pieces_to_check, 0);
    assert_eq!(stats.verified_pieces, 16);
    assert_eq!(stats.downloaded_bytes, 500_000);
    seed.shut_down().await;
}

#[tokio::test]
async fn a_file_that_was_changed_between_two_runs_is_read_again() {
    let sample = Sample::file("changed", 500_000, 32 * 1024);
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample.write_to(folder.path());
    let session = session_with_state(folder.path(), state.path()).await;
    let torrent = session.add(sample.metainfo.clone()).start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    session.shutdown(PATIENCE).await.unwrap();

    let path = sample.path(folder.path(), 0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let stats = pieces_checked_by_a_new_session(&sample, folder.path(), state.path()).await;
    assert_eq!(stats.pieces_to_check, 16);
    assert_eq!(stats.verified_pieces, 15);
}

#[tokio::test]
async fn a_check_that_the_end_cut_short_says_nothing_about_the_rest() {
    // More than is read before anybody looks whether to stop.
    let sample = Sample::file("cut short", 24_000_000, 512 * 1024);
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample.write_to(folder.path());
    let session = session_with_state(folder.path(), state.path()).await;
    session.add(sample.metainfo.clone()).start().await.unwrap();
    session.shutdown(PATIENCE).await.unwrap();

    let stats = pieces_checked_by_a_new_session(&sample, folder.path(), state.path()).await;
    assert_eq!(stats.verified_pieces, stats.pieces);
}

#[tokio::test]
async fn damage_that_a_recheck_found_is_not_believed_again_when_it_is_cut_short() {
    let sample = Sample::file("recheck", 24_000_000, 512 * 1024);
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample.write_to(folder.path());
    let session = session_with_state(folder.path(), state.path()).await;
    let adding = session.add(sample.metainfo.clone()).paused();
    let torrent = adding.start().await.unwrap();
    let mut stats = torrent.stats();
    let known = |stats: &Stats| stats.state == rarest_session::TorrentState::Paused;
    within(stats.wait_for(known)).await.unwrap();
    within(torrent.pause()).await.unwrap();

    // A disk rots without a word: size and time stay.
    let path = sample.path(folder.path(), 0);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 100], 0).unwrap();
    file.set_modified(modified).unwrap();
    // The first batch, which has the damage, is never left half done.
    let found = |stats: &Stats| stats.checked_pieces < stats.pieces_to_check;
    let recheck = torrent.recheck();
    tokio::select! {
        _ = recheck => {}
        _ = stats.wait_for(found) => {}
    }
    session.shutdown(PATIENCE).await.unwrap();

    let stats = pieces_checked_by_a_new_session(&sample, folder.path(), state.path()).await;
    assert_eq!(stats.verified_pieces, stats.pieces - 1);
}

#[tokio::test]
async fn damaged_resume_data_leads_to_a_check() {
    let sample = Sample::file("damaged", 500_000, 32 * 1024);
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample.write_to(folder.path());
    pieces_checked_by_a_new_session(&sample, folder.path(), state.path()).await;
    for entry in std::fs::read_dir(state.path()).unwrap() {
        std::fs::write(entry.unwrap().path(), b"d5:brokn").unwrap();
    }
    let stats = pieces_checked_by_a_new_session(&sample, folder.path(), state.path()).await;
    assert_eq!(stats.verified_pieces, 16);
}

#[tokio::test]
async fn partial_pieces_survive_a_shutdown() {
    // One piece, of which the shutdown comes in the middle.
    let sample = Sample::file("partial", 4_000_000, 4 * 1024 * 1024);
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let seed = Peer::with(|builder| {
        builder.limits(rarest_session::Limits {
            upload: rarest_session::Rate::mib_per_s(2),
            ..rarest_session::Limits::NONE
        })
    })
    .await;
    seed.seed(&sample).await;
    let session = session_with_state(folder.path(), state.path()).await;
    let adding = session.add(sample.metainfo.clone());
    let torrent = adding.peers([seed.address()]).start().await.unwrap();
    let mut stats = torrent.stats();
    let begun = |stats: &Stats| stats.downloaded_bytes > 500_000;
    within(stats.wait_for(begun)).await.unwrap();
    session.shutdown(PATIENCE).await.unwrap();

    let session = session_with_state(folder.path(), state.path()).await;
    let adding = session.add(sample.metainfo.clone());
    let torrent = adding.peers([seed.address()]).start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(folder.path());
    let mut stats = torrent.stats();
    let done = |stats: &Stats| stats.missing_bytes == 0 && stats.pieces > 0;
    let stats = *within(stats.wait_for(done)).await.unwrap();
    // What was on its way at the shutdown came twice, and nothing else.
    assert!(stats.downloaded_bytes < 4_000_000 + 500_000, "{stats:?}");
    session.shutdown(PATIENCE).await.unwrap();
    seed.shut_down().await;
}

#[tokio::test]
async fn the_caller_may_say_what_to_believe() {
    let sample = Sample::file("told", 500_000, 32 * 1024);
    let peer = Peer::start().await;
    sample.write_to(peer.folder.path());
    for (existing, verified, read) in [
        (ExistingData::Complete, 16, 0),
        (ExistingData::Ignore, 0, 0),
        (ExistingData::Check, 16, 16),
    ] {
        let mut events = peer.session.events();
        let adding = peer.session.add(sample.metainfo.clone()).paused();
        let torrent = adding.existing_data(existing).start().await.unwrap();
        let found = until(&mut events, |event| match event {
            TorrentEvent::Checked { verified_pieces } => Some(verified_pieces),
            _ => None,
        })
        .await;
        assert_eq!(found, verified, "{existing:?}");
        assert_eq!(
            torrent.stats().borrow().pieces_to_check,
            read,
            "{existing:?}"
        );
        peer.session.remove_keeping_files(&torrent).await.unwrap();
    }
    peer.shut_down().await;
}

#[tokio::test]
async fn files_that_were_not_wanted_before_a_restart_come_after_it() {
    let files = [("first", 200_000), ("second", 200_000)];
    let sample = Sample::folder("later", &files, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let (state, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (chosen, exists) in [(vec![0], false), (vec![0, 1], true)] {
        let leech = Peer::with(|builder| builder.state_dir(state.path())).await;
        let adding = leech.session.add(sample.metainfo.clone()).files(chosen);
        let adding = adding.output_dir(folder.path()).peers([seed.address()]);
        let torrent = adding.start().await.unwrap();
        within(torrent.completed()).await.unwrap();
        assert_eq!(sample.path(folder.path(), 1).exists(), exists);
        leech.shut_down().await;
    }
    sample.assert_in(folder.path());
    seed.shut_down().await;
}
