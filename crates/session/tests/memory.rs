//! What torrents cost that do nothing, in bytes. A program of its own, because everything that it allocates is counted.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets something unexpected fails"
)]

use std::alloc::System;
use std::path::Path;

use rarest_session::metainfo::{Builder, Metainfo, Version};
use rarest_session::piece_store::MemoryStorage;
use rarest_session::{Session, TorrentHandle};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TORRENTS: usize = 1_000;

/// Most bytes that a small complete torrent without trackers may cost at rest, its `.torrent` of 130 bytes and its place in local discovery
/// included, which a machine without multicast spares. A session of
/// 5,000 needs twice as much for each in the end, as memory that was freed in between comes back with gaps.
const MOST_AT_REST: usize = 1_100;

fn live(counted: &Region<'_, System>) -> usize {
    let change = counted.change();
    change.bytes_allocated - change.bytes_deallocated
}

fn torrent(number: usize, folder: &Path) -> Metainfo {
    let name = format!("{number:04}.bin");
    let content = [u8::try_from(number % 251).unwrap(); 1_000];
    std::fs::write(folder.join(&name), content).unwrap();
    let builder = Builder::new(Version::V1).piece_length(16 * 1024);
    builder.build_from_bytes(&name, &content).unwrap()
}

/// Returns when no torrent that was added before is looked at any more: that is done one after the other.
async fn all_were_looked_at(session: &Session) -> TorrentHandle {
    let builder = Builder::new(Version::V1).piece_length(16 * 1024);
    let last = builder.build_from_bytes("last", &[7; 1_000]).unwrap();
    let adding = session.add(last).storage(MemoryStorage::new(1_000));
    let torrent = adding.start().await.unwrap();
    torrent.recheck().await.unwrap();
    torrent
}

#[tokio::test]
async fn a_torrent_at_rest_costs_little_more_than_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let builder = Session::builder().download_dir(folder.path());
    let builder = builder.listen_addresses(["127.0.0.1".parse().unwrap()]);
    let session = builder
        .without_trackers()
        .without_dht()
        .build()
        .await
        .unwrap();
    let torrents: Vec<_> = (0..TORRENTS)
        .map(|number| torrent(number, folder.path()).to_bytes())
        .collect();

    let counted = Region::new(COUNTED);
    for torrent in &torrents {
        let torrent = Metainfo::parse(torrent.to_vec()).unwrap();
        session.add(torrent).start().await.unwrap();
    }
    let last = all_were_looked_at(&session).await;
    let each = live(&counted) / TORRENTS;
    assert!(each <= MOST_AT_REST, "{each} bytes a torrent");

    // They are complete, and none lost its way.
    assert_eq!(session.torrents().len(), TORRENTS + 1);
    for torrent in session.torrents() {
        if torrent.id() != last.id() {
            torrent.completed().await.unwrap();
        }
    }
}
