//! Two clients trade; the user stops one.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use rarest_tracker::server::{Server, ServerConfig};

use crate::payload::{Folder, assert_same};
use crate::process::{Running, fails, succeeds, words};

/// A tracker of this machine.
fn tracker() -> Server {
    let config = ServerConfig {
        http: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        interval: Duration::from_secs(60),
        ..ServerConfig::default()
    };
    Server::start(&config).unwrap()
}

#[test]
fn a_download_is_complete_and_ends_with_0() {
    for (folder, format) in [
        (Folder::with_file(1_000_000), "v1"),
        (Folder::with_files(), "v2"),
        (Folder::with_files(), "hybrid"),
    ] {
        let torrent = folder.torrent(&["--format", format]);
        let (torrent, seed, copy) = (torrent.to_str().unwrap(), folder.seed(), folder.copy());
        let mut seed = Running::start(["seed", torrent, "--output", seed.to_str().unwrap()]);
        let peer = seed.address();
        seed.wait_for("ready");
        let arguments = [
            "download",
            torrent,
            "--output",
            copy.to_str().unwrap(),
            "--peer",
            &peer,
        ];
        let mut download = Running::start(arguments);
        assert_eq!(download.wait_for("loaded")["name"], "content");
        download.wait_for("peer_connected");
        let completed = download.wait_for("completed");
        assert!(completed["bytes"].as_u64() > Some(100_000), "{completed}");
        assert!(download.end().success());
        assert_same(&folder.seed().join("content"), &copy.join("content"));
    }
}

#[test]
fn a_magnet_link_is_downloaded() {
    let folder = Folder::with_files();
    let torrent = folder.torrent(&[]);
    let (torrent, seed, copy) = (torrent.to_str().unwrap(), folder.seed(), folder.copy());
    let mut seeding = Running::start(words!["seed", torrent, "--output", &seed]);
    let peer = seeding.address();
    seeding.wait_for("ready");
    let inspected: serde_json::Value =
        serde_json::from_str(&succeeds(words!["inspect", torrent, "--json"])).unwrap();
    let link = inspected["magnet"].as_str().unwrap();
    let linked = format!("{link}&x.pe={peer}&so=0,2");
    // A file that is in the way is told before it is replaced, as it is with a .torrent.
    fs::create_dir_all(copy.join("content")).unwrap();
    fs::write(copy.join("content/a.bin"), vec![7; 200_000]).unwrap();
    let mut download = Running::start(words!["download", &linked, "--output", &copy]);
    assert_eq!(download.wait_for("linked")["name"], "content");
    assert_eq!(download.wait_for("loaded")["name"], "content");
    let replaced = download.wait_for("file_replaced");
    assert_eq!(replaced["path"], "content/a.bin");
    let completed = download.wait_for("completed");
    assert!(
        completed["downloaded_pieces"].as_u64() > Some(0),
        "{completed}"
    );
    assert!(download.end().success());
    let files = |folder: &std::path::Path| fs::read(folder.join("content/a.bin")).unwrap();
    assert!(files(&seed) == files(&copy));
    let lacking = format!("{link}&x.pe={peer}&so=9");
    let refused = fails(1, words!["download", lacking, "--output", &copy]);
    assert!(
        refused.contains("files that the torrent lacks"),
        "{refused}"
    );
    // The rest, by another peer than that of the link.
    let mut download = Running::start(words!["download", link, "--output", &copy, "--peer", &peer]);
    download.wait_for("loaded");
    download.wait_for("completed");
    assert!(download.end().success());
    assert_same(&seed.join("content"), &copy.join("content"));
}

#[test]
fn the_torrent_of_a_magnet_link_is_written() {
    let folder = Folder::with_files();
    let torrent = folder.torrent(&[]);
    let mut seeding = Running::start(words!["seed", &torrent, "--output", folder.seed()]);
    let peer = seeding.address();
    seeding.wait_for("ready");
    let inspected: serde_json::Value =
        serde_json::from_str(&succeeds(words!["inspect", &torrent, "--json"])).unwrap();
    let link = format!("{}&x.pe={peer}", inspected["magnet"].as_str().unwrap());
    let out = folder.copy().join("fetched.torrent");
    fs::create_dir_all(folder.copy()).unwrap();
    let text = succeeds(words!["metadata", &link, "-o", &out]);
    assert!(text.contains("written to"), "{text}");
    let fetched: serde_json::Value =
        serde_json::from_str(&succeeds(words!["inspect", &out, "--json"])).unwrap();
    assert_eq!(fetched["files"], inspected["files"]);
    assert_eq!(fs::read_dir(folder.copy()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_replaced_is_told() {
    let folder = Folder::with_files();
    let torrent = folder.torrent(&[]);
    let (torrent, seed, copy) = (torrent.to_str().unwrap(), folder.seed(), folder.copy());
    fs::create_dir_all(copy.join("content")).unwrap();
    fs::write(copy.join("content/a.bin"), vec![7; 200_000]).unwrap();
    let longer = [fs::read(seed.join("content/d.bin")).unwrap(), vec![7; 9]].concat();
    fs::write(copy.join("content/d.bin"), longer).unwrap();
    let mut seed = Running::start(["seed", torrent, "--output", seed.to_str().unwrap()]);
    let port = seed.wait_for("listening")["port"].to_string();
    seed.wait_for("ready");
    let peer = format!("localhost:{port}");
    let arguments = ["download", torrent, "--output", copy.to_str().unwrap()];
    let arguments: Vec<_> = arguments.into_iter().chain(["--peer", &peer]).collect();
    let mut download = Running::start(&arguments);
    let replaced = download.wait_for("file_replaced");
    assert_eq!(replaced["path"], "content/a.bin");
    assert_eq!(replaced["bytes"], 200_000);
    // Its first piece is in part that of another file.
    let cut = download.wait_for("file_cut");
    assert_eq!(cut["path"], "content/d.bin");
    assert!(download.wait_for("checked")["verified_pieces"].as_u64() > Some(0));
    assert!(download.wait_for("completed")["downloaded_pieces"].as_u64() > Some(0));
    assert!(download.end().success());
    assert_same(&folder.seed().join("content"), &copy.join("content"));

    // All of it is right now, and has resume data.
    let mut again = Running::start(&arguments);
    assert_eq!(again.wait_for("completed")["downloaded_pieces"], 0);
    assert!(again.end().success());
}

#[test]
fn a_selected_file_comes_alone() {
    let folder = Folder::with_files();
    let torrent = folder.torrent(&[]);
    let (torrent, seed, copy) = (torrent.to_str().unwrap(), folder.seed(), folder.copy());
    let mut seed = Running::start(["seed", torrent, "--output", seed.to_str().unwrap()]);
    let peer = seed.address();
    let mut arguments = vec!["download", torrent, "--output", copy.to_str().unwrap()];
    arguments.extend(["--peer", &peer, "--files", "0"]);
    let mut download = Running::start(arguments);
    assert_eq!(download.wait_for("completed")["bytes"], 100_000);
    assert!(download.end().success());
    assert_same(
        &folder.seed().join("content/a.bin"),
        &copy.join("content/a.bin"),
    );
    assert!(!copy.join("content/d.bin").exists());
}

#[test]
fn without_a_terminal_progress_is_lines() {
    let folder = Folder::with_file(300_000);
    let torrent = folder.torrent(&[]);
    let (torrent, seed, copy) = (torrent.to_str().unwrap(), folder.seed(), folder.copy());
    let mut seed = Running::start(["seed", torrent, "--output", seed.to_str().unwrap()]);
    let peer = seed.address();
    let printed = succeeds([
        "download",
        torrent,
        "--output",
        copy.to_str().unwrap(),
        "--peer",
        &peer,
    ]);
    for text in [
        "content: 293 KiB, 19 pieces of 16.0 KiB, 1 file",
        &format!("peer {peer} connected"),
        "completed, 19 of 19",
        "complete: 293 KiB",
    ] {
        assert!(printed.contains(text), "{text} is not in:\n{printed}");
    }
    assert!(!printed.contains('\u{1b}'), "{printed:?}");
}

#[test]
fn a_download_that_has_nobody_to_ask_says_so_at_once() {
    let folder = Folder::with_file(1000);
    let torrent = folder.torrent(&[]);
    let mut download = Running::start(words!["download", torrent, "--output", folder.copy()]);
    let port = download.wait_for("listening")["port"].clone();
    assert_eq!(download.wait_for("nobody_to_ask")["port"], port);
}

#[test]
fn a_peer_that_does_not_answer_is_told_at_once() {
    let folder = Folder::with_file(1000);
    let torrent = folder.torrent(&[]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = closed.local_addr().unwrap().to_string();
    drop(closed);
    let arguments = words![
        "download",
        torrent,
        "--output",
        folder.copy(),
        "--peer",
        &peer
    ];
    let unreachable = Running::start(arguments).wait_for("peer_unreachable");
    assert_eq!(unreachable["peer"], peer);
    let reason = unreachable["reason"].as_str().unwrap();
    assert!(reason.contains("refused"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_tells_that_its_disk_is_full() {
    let tracker = tracker();
    let url = tracker.announce_urls().next().unwrap().to_string();
    let folder = Folder::with_file(100_000);
    let torrent = folder.torrent(&["--tracker", &url]);
    // The first piece alone is there, and no file may grow beyond it.
    fs::create_dir(folder.copy()).unwrap();
    let first = &fs::read(folder.seed().join("content")).unwrap()[..16 * 1024];
    fs::write(folder.copy().join("content"), first).unwrap();
    let mut complete = Running::start(words!["seed", &torrent, "--output", folder.seed()]);
    complete.wait_for("ready");
    let arguments = words!["seed", torrent, "--output", folder.copy()];
    let mut partial = Running::start_on_full_disk(16 * 1024, &arguments);
    assert_eq!(partial.wait_for("serving")["verified_pieces"], 1);
    let failed = partial.wait_for("storage_failed");
    assert!(failed["retry_seconds"].as_u64() > Some(0), "{failed}");
    assert!(
        failed["reason"].as_str().unwrap().contains("content"),
        "{failed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_takes_leave_of_the_tracker_and_ends_with_130() {
    let tracker = tracker();
    let url = tracker.announce_urls().next().unwrap().to_string();
    let folder = Folder::with_file(1000);
    let torrent = folder.torrent(&["--tracker", &url]);
    let metainfo = rarest_metainfo::Metainfo::parse(fs::read(&torrent).unwrap()).unwrap();
    let info_hash = metainfo.info_hashes().swarms().next().unwrap();
    let copy = folder.copy();
    let mut download = Running::start([
        "download",
        torrent.to_str().unwrap(),
        "--output",
        copy.to_str().unwrap(),
    ]);
    download.wait_for("announced");
    assert_eq!(tracker.counts(info_hash).leechers, Some(1));
    download.signal("INT");
    assert_eq!(download.end().code(), Some(130));
    assert_eq!(tracker.counts(info_hash).leechers.unwrap_or(0), 0);
}

#[test]
fn ctrl_c_on_a_seed_ends_with_130() {
    let folder = Folder::with_file(1000);
    let torrent = folder.torrent(&[]);
    let seed = folder.seed();
    let mut seed = Running::start([
        "seed",
        torrent.to_str().unwrap(),
        "--output",
        seed.to_str().unwrap(),
    ]);
    seed.wait_for("ready");
    seed.signal("INT");
    assert_eq!(seed.end().code(), Some(130));
}
