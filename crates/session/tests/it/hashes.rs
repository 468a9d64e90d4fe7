//! A v2 torrent whose piece layers are missing: they come from peers, and nothing is downloaded that cannot be verified.

use std::path::Path;
use std::time::Duration;

use rarest_session::metainfo::{Builder, Metainfo, Version};
use rarest_session::{Builder as SessionBuilder, FilePriority, TorrentHandle};
use rarest_session::{Incomplete, Stats, TorrentEvent, TorrentState};

use crate::world::{Peer, Sample, local, until, within};

/// Fits into one piece, so that its hash is in the info dictionary.
const SHORT: usize = 30_000;
const LONG: usize = 400_000;
const FILES: [(&str, usize); 3] = [("long", LONG), ("other", LONG), ("short", SHORT)];

fn v2() -> Sample {
    let builder = Builder::new(Version::V2).piece_length(32 * 1024);
    Sample::folder_of(&builder, "bare", &FILES)
}

/// The same torrent as a `.torrent` file without `piece layers` gives it.
fn without_layers(metainfo: &Metainfo) -> Metainfo {
    let info = metainfo.info().raw().clone();
    let bare = Metainfo::from_info(info, &metainfo.magnet()).unwrap();
    let bare = Metainfo::parse(bare.to_bytes()).unwrap();
    assert!(!bare.has_all_piece_layers());
    bare
}

async fn download_bare(leech: &Peer, sample: &Sample, others: &[&Peer]) -> TorrentHandle {
    let peers = others.iter().map(|other| other.address());
    let adding = leech.session.add(without_layers(&sample.metainfo));
    adding.peers(peers).start().await.unwrap()
}

fn impatient(builder: SessionBuilder) -> SessionBuilder {
    builder.stall_timeout(Duration::from_secs(1))
}

#[tokio::test]
async fn piece_layers_that_are_missing_come_from_peers() {
    let sample = v2();
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let torrent = download_bare(&leech, &sample, &[&seed]).await;
    let mut events = torrent.events();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    let mut known = 0;
    while known < 26 {
        known += until(&mut events, |event| match event {
            TorrentEvent::HashesFound { pieces } => Some(pieces),
            _ => None,
        })
        .await;
    }
    let metainfo = torrent.metainfo().unwrap();
    assert!(metainfo.has_all_piece_layers());
    assert_eq!(metainfo.to_bytes(), sample.metainfo.to_bytes());
    seed.shut_down().await;

    // And from those who have learnt them.
    let second = Peer::start().await;
    let torrent = download_bare(&second, &sample, &[&leech]).await;
    within(torrent.completed()).await.unwrap();
    sample.assert_in(second.folder.path());
    second.shut_down().await;
    leech.shut_down().await;
}

#[tokio::test]
async fn a_v2_magnet_is_enough() {
    let sample = v2();
    let seed = Peer::seeding(&sample).await;
    let state = tempfile::tempdir().unwrap();
    let leech = Peer::with(|builder| builder.state_dir(state.path())).await;
    let adding = leech.session.add(sample.metainfo.magnet());
    let torrent = adding.peers([seed.address()]).start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    leech.assert_serves(&sample).await;
    let folder = leech.folder.path().to_owned();
    let stopping = leech.session.shutdown(Duration::from_secs(10));
    within(stopping).await.unwrap();
    seed.shut_down().await;

    // Metadata and layers are there again, though nobody else is.
    let again = open(&folder, state.path()).await;
    let adding = again.session.add(sample.metainfo.magnet());
    let torrent = adding.start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    let metainfo = torrent.metainfo().unwrap();
    assert!(metainfo.has_all_piece_layers());
    again.shut_down().await;
}

#[tokio::test]
async fn a_hybrid_without_layers_gets_them_from_peers() {
    let builder = Builder::new(Version::Hybrid).piece_length(32 * 1024);
    let sample = Sample::folder_of(&builder, "hybrid", &FILES);
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let torrent = download_bare(&leech, &sample, &[&seed]).await;
    within(torrent.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn while_nobody_gives_the_hashes_it_counts_as_a_stall() {
    let sample = v2();
    // It cannot verify what it has either, and has nothing to give but the short file.
    let other = Peer::start().await;
    sample.write_to(other.folder.path());
    download_bare(&other, &sample, &[]).await;
    let leech = Peer::with(impatient).await;
    let torrent = download_bare(&leech, &sample, &[&other]).await;
    let mut events = torrent.events();
    match within(torrent.completed()).await {
        Err(Incomplete::HashesMissing { pieces: 26 }) => {}
        other => panic!("{other:?}"),
    }
    until(&mut events, |event| {
        matches!(event, TorrentEvent::HashesMissing { pieces: 26 }).then_some(())
    })
    .await;
    let mut stats = torrent.stats();
    let told = |stats: &Stats| stats.state == TorrentState::HashesMissing;
    let told = *within(stats.wait_for(told)).await.unwrap();
    assert_eq!(told.downloaded_bytes, SHORT as u64);
    assert_eq!(told.verified_bytes, SHORT as u64);
    assert_eq!(told.missing_bytes, 2 * LONG as u64);
    sample.assert_file_in(leech.folder.path(), 2);

    // Without the files that cannot be verified, all is there.
    let skipping = torrent.set_file_priorities([(0, FilePriority::Skip), (1, FilePriority::Skip)]);
    within(skipping).await.unwrap();
    within(torrent.completed()).await.unwrap();
    leech.shut_down().await;
    other.shut_down().await;
}

#[tokio::test]
async fn only_the_layers_of_wanted_files_are_asked_for() {
    let sample = v2();
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let adding = leech.session.add(without_layers(&sample.metainfo));
    let adding = adding.peers([seed.address()]).files([1]);
    let torrent = adding.start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_file_in(leech.folder.path(), 1);
    assert!(!torrent.metainfo().unwrap().has_all_piece_layers());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn what_was_there_before_its_hashes_were_known_is_not_downloaded() {
    let sample = v2();
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    sample.write_to(leech.folder.path());
    let torrent = download_bare(&leech, &sample, &[&seed]).await;
    within(torrent.completed()).await.unwrap();
    let mut stats = torrent.stats();
    let whole = |stats: &Stats| stats.state == TorrentState::Seeding;
    let stats = *within(stats.wait_for(whole)).await.unwrap();
    assert_eq!(stats.downloaded_bytes, 0);
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn layers_that_peers_gave_outlast_the_session() {
    let sample = v2();
    let state = tempfile::tempdir().unwrap();
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::with(|builder| builder.state_dir(state.path())).await;
    let torrent = download_bare(&leech, &sample, &[&seed]).await;
    within(torrent.completed()).await.unwrap();
    let folder = leech.folder.path().to_owned();
    within(leech.session.shutdown(Duration::from_secs(10)))
        .await
        .unwrap();
    seed.shut_down().await;

    // Alone, with files that must be read again to be believed.
    let file = sample.path(&folder, 0);
    std::fs::write(&file, std::fs::read(&file).unwrap()).unwrap();
    let again = open(&folder, state.path()).await;
    let adding = again.session.add(without_layers(&sample.metainfo));
    let torrent = adding.start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    assert!(torrent.metainfo().unwrap().has_all_piece_layers());
    let removing = again.session.remove_keeping_files(&torrent);
    within(removing).await.unwrap();
    let left = std::fs::read_dir(state.path()).unwrap().count();
    assert_eq!(left, 0, "nothing is kept of a torrent that was removed");
    again.shut_down().await;
}

/// A session that goes on in a folder.
async fn open(folder: &Path, state: &Path) -> Peer {
    let session = local(folder).state_dir(state).build().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    Peer { session, folder }
}

#[tokio::test]
async fn one_has_the_data_and_the_other_the_hashes() {
    let sample = v2();
    let with_data = Peer::start().await;
    sample.write_to(with_data.folder.path());
    download_bare(&with_data, &sample, &[]).await;
    let with_hashes = Peer::start().await;
    let torrent = with_hashes.download(&sample, &[&with_data]).await;
    within(torrent.completed()).await.unwrap();
    sample.assert_in(with_hashes.folder.path());
    with_hashes.shut_down().await;
    with_data.shut_down().await;
}
