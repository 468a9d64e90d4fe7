//! A v2 torrent whose piece layers are missing: what cannot be verified is not downloaded, and that is told.

use rarest_session::metainfo::{Builder, Metainfo, Version};
use rarest_session::{FilePriority, Incomplete, Stats, TorrentEvent, TorrentState};

use crate::world::{Peer, Sample, until, within};

/// Fits into one piece, so that its hash is in the info dictionary.
const SHORT: usize = 30_000;
const FILES: [(&str, usize); 2] = [("long", 400_000), ("short", SHORT)];

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

#[tokio::test]
async fn what_cannot_be_verified_is_not_downloaded_and_ends_the_wait() {
    let sample = v2();
    let seed = Peer::seeding(&sample).await;
    let leech = Peer::start().await;
    let adding = leech.session.add(without_layers(&sample.metainfo));
    let torrent = adding.peers([seed.address()]).start().await.unwrap();
    let mut events = torrent.events();
    match within(torrent.completed()).await {
        Err(Incomplete::HashesMissing { pieces: 13 }) => {}
        other => panic!("{other:?}"),
    }
    until(&mut events, |event| {
        matches!(event, TorrentEvent::HashesMissing { pieces: 13 }).then_some(())
    })
    .await;
    let mut stats = torrent.stats();
    let told = |stats: &Stats| stats.state == TorrentState::HashesMissing;
    let told = *within(stats.wait_for(told)).await.unwrap();
    assert_eq!(told.downloaded_bytes, SHORT as u64);
    assert_eq!(told.verified_bytes, SHORT as u64);
    assert_eq!(told.missing_bytes, 400_000);
    sample.assert_file_in(leech.folder.path(), 1);

    // Without the file that cannot be verified, all is there.
    let skipping = torrent.set_file_priorities([(0, FilePriority::Skip)]);
    within(skipping).await.unwrap();
    within(torrent.completed()).await.unwrap();
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn data_that_cannot_be_verified_is_not_served() {
    let sample = v2();
    let seed = Peer::start().await;
    sample.write_to(seed.folder.path());
    let adding = seed.session.add(without_layers(&sample.metainfo));
    let torrent = adding.start().await.unwrap();
    match within(torrent.completed()).await {
        Err(Incomplete::HashesMissing { pieces: 13 }) => {}
        other => panic!("{other:?}"),
    }
    let leech = Peer::start().await;
    let download = leech.download(&sample, &[&seed]).await;
    let mut stats = download.stats();
    let short = |stats: &Stats| stats.verified_bytes == SHORT as u64;
    let stats = *within(stats.wait_for(short)).await.unwrap();
    assert_eq!(stats.downloaded_bytes, SHORT as u64);
    leech.shut_down().await;
    seed.shut_down().await;
}
