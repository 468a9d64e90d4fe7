//! What goes wrong is one line that says what to do, and status 1.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;

use crate::payload::Folder;
use crate::process::{Running, fails, run, succeeds, words};

/// The arguments of each command that reads a torrent.
fn readers<'a>(torrent: &'a Path, output: &'a Path) -> [Vec<&'a str>; 5] {
    let (torrent, output) = (torrent.to_str().unwrap(), output.to_str().unwrap());
    [
        vec!["download", torrent, "--output", output],
        vec!["seed", torrent, "--output", output],
        vec!["verify", torrent, "--output", output],
        vec!["inspect", torrent],
        vec!["scrape", torrent],
    ]
}

#[test]
fn a_missing_torrent_is_named() {
    let folder = Folder::with_file(1);
    for arguments in readers(&folder.path("none.torrent"), &folder.seed()) {
        let line = fails(1, arguments);
        assert!(line.contains("none.torrent"), "{line}");
    }
}

#[test]
fn a_damaged_torrent_is_refused_by_every_command() {
    let folder = Folder::with_file(100_000);
    let good = fs::read(folder.torrent(&[])).unwrap();
    let damaged = folder.path("damaged.torrent");
    for bytes in [
        &b""[..],
        b"no torrent",
        &good[..good.len() - 1],
        &good[..good.len() / 2],
    ] {
        fs::write(&damaged, bytes).unwrap();
        for arguments in readers(&damaged, &folder.seed()) {
            let line = fails(1, arguments);
            assert!(line.contains("damaged.torrent"), "{line}");
        }
    }
}

#[test]
fn a_hostile_torrent_costs_nothing() {
    let folder = Folder::with_file(1);
    let hostile = folder.path("hostile.torrent");
    let deep = [vec![b'l'; 5_000_000], vec![b'e'; 5_000_000]].concat();
    let controls = b"d4:infod6:lengthi-1e4:name4:\x1b[2J12:piece lengthi16384e6:pieces0:ee";
    for bytes in [
        &b"d4:info99999999999999999999:"[..],
        b"18446744073709551615:",
        &deep,
        controls,
    ] {
        fs::write(&hostile, bytes).unwrap();
        for arguments in readers(&hostile, &folder.seed()) {
            let line = fails(1, arguments);
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
    }
}

#[test]
fn a_missing_folder_is_named_and_not_made() {
    let folder = Folder::with_file(1000);
    let torrent = folder.torrent(&[]);
    let nowhere = folder.path("nowhere");
    for command in ["seed", "verify"] {
        let line = fails(
            1,
            [
                command,
                torrent.to_str().unwrap(),
                "--output",
                nowhere.to_str().unwrap(),
            ],
        );
        assert!(line.contains("nowhere"), "{line}");
    }
    assert!(!nowhere.exists());
}

#[test]
fn a_folder_that_is_a_file_is_refused() {
    let folder = Folder::with_file(1000);
    let torrent = folder.torrent(&[]);
    let file = folder.path("content.torrent");
    let line = fails(
        1,
        [
            "download",
            torrent.to_str().unwrap(),
            "--output",
            file.to_str().unwrap(),
        ],
    );
    assert!(line.contains("content.torrent"), "{line}");
}

#[test]
fn nothing_to_seed_is_told_and_nothing_is_made() {
    let folder = Folder::with_file(1000);
    let torrent = folder.torrent(&[]);
    fs::create_dir(folder.copy()).unwrap();
    let copy = folder.copy();
    let line = fails(
        1,
        [
            "seed",
            torrent.to_str().unwrap(),
            "--output",
            copy.to_str().unwrap(),
        ],
    );
    assert!(line.contains("nothing of `content` is there"), "{line}");
    assert!(!copy.join("content").exists());
}

/// Everything below a folder, by path.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_seed_with_the_wrong_folder_leaves_nothing_behind_and_names_the_right_one() {
    let folder = Folder::with_files();
    let torrent = folder.torrent(&[]);
    let own = folder.seed().join("content");
    let before = below(&folder.seed());
    let line = fails(1, words!["seed", &torrent, "--output", &own]);
    assert!(line.contains("nothing of `content` is there"), "{line}");
    let right = format!("--output {}\n", folder.seed().display());
    assert!(line.ends_with(&right), "{line}");
    assert_eq!(below(&folder.seed()), before);

    let output = run(words!["verify", &torrent, "--output", &own]);
    assert_eq!(output.status.code(), Some(3));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.ends_with(&right), "{line}");

    // Files of the same names with nothing of the torrent in them.
    let copy = folder.copy();
    fs::create_dir_all(copy.join("content")).unwrap();
    fs::write(copy.join("content/a.bin"), "something else").unwrap();
    let before = below(&copy);
    fails(1, words!["seed", &torrent, "--output", &copy]);
    assert_eq!(below(&copy), before);
}

#[test]
fn one_damaged_torrent_among_many_is_told_and_left_out() {
    let folder = Folder::with_file(100_000);
    let good = folder.torrent(&[]);
    let torrents = folder.path("torrents");
    fs::create_dir(&torrents).unwrap();
    fs::copy(good, torrents.join("good.torrent")).unwrap();
    for name in ["broken.torrent", "empty.torrent"] {
        fs::write(torrents.join(name), b"d4:info").unwrap();
    }
    let (torrents_text, seed) = (torrents.to_str().unwrap(), folder.seed());
    let arguments = ["seed", torrents_text, "--output", seed.to_str().unwrap()];
    let mut seeding = Running::start(arguments);
    let serving = seeding.wait_for("serving");
    assert_eq!(serving["name"], "content");
    assert_eq!(serving["verified_pieces"], serving["pieces"]);
    assert_eq!(seeding.wait_for("ready")["torrents"], 1);
    seeding.signal("INT");
    assert_eq!(seeding.end().code(), Some(130));
    let told = seeding.complaint();
    assert!(told.contains("broken.torrent") && told.contains("empty.torrent"));

    fs::remove_file(torrents.join("good.torrent")).unwrap();
    let mut seeding = Running::start(arguments);
    assert_eq!(seeding.end().code(), Some(1));
    let told = seeding.complaint();
    assert!(told.contains("none of the 2 torrents"), "{told}");
}

#[test]
fn a_port_in_use_is_named() {
    let folder = Folder::with_file(1000);
    let torrent = folder.torrent(&[]);
    let other = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let (seed, copy) = (folder.seed(), folder.copy());
    for (command, output) in [("seed", seed), ("download", copy)] {
        let output = output.to_str().unwrap();
        let line = fails(
            1,
            [
                command,
                torrent.to_str().unwrap(),
                "--output",
                output,
                "--listen-port",
                &port,
            ],
        );
        assert!(line.contains(&port) && line.contains("in use"), "{line}");
    }
}

#[test]
fn a_file_number_beyond_the_torrent_is_refused() {
    let folder = Folder::with_files();
    let torrent = folder.torrent(&[]);
    let copy = folder.copy();
    let arguments = [
        "download",
        torrent.to_str().unwrap(),
        "--output",
        copy.to_str().unwrap(),
        "--files",
        "0,9",
    ];
    let line = fails(1, arguments);
    assert!(line.contains("no file 9"), "{line}");
    assert!(!copy.exists());
}

#[test]
fn certificates_that_are_none_are_refused() {
    let folder = Folder::with_file(1000);
    let torrent = folder.torrent(&[]);
    let seed = folder.seed();
    let arguments = [
        "seed",
        torrent.to_str().unwrap(),
        "--output",
        seed.to_str().unwrap(),
        "--ca-file",
    ];
    let line = fails(1, arguments.into_iter().chain([torrent.to_str().unwrap()]));
    assert!(line.contains("PEM"), "{line}");
}

#[test]
fn a_tracker_that_is_none_is_refused_by_create() {
    let folder = Folder::with_file(1000);
    let content = folder.seed().join("content");
    let line = fails(
        1,
        [
            "create",
            content.to_str().unwrap(),
            "--tracker",
            "ftp://tracker.example",
        ],
    );
    assert!(line.contains("ftp://tracker.example"), "{line}");
    for (flag, url) in [
        ("--tracker", "http:/tracker/announce"),
        ("--tracker", "http:///announce"),
        ("--web-seed", "https:///"),
    ] {
        let out = folder.path("new.torrent");
        let line = fails(1, words!["create", &content, flag, url, "-o", &out]);
        assert!(line.contains(url), "{line}");
        assert!(!out.exists());
    }
}

#[test]
fn what_is_no_file_is_told_apart_from_a_missing_one() {
    let folder = Folder::with_file(1);
    let url = "http://127.0.0.1:9/x.torrent";
    for command in ["seed", "verify"] {
        let line = fails(1, words![command, url, "--output", folder.seed()]);
        assert!(line.contains("only `rarest download` fetches"), "{line}");
    }
    for command in ["inspect", "scrape"] {
        let line = fails(1, [command, url]);
        assert!(line.contains("only `rarest download` fetches"), "{line}");
    }
    let magnet = format!("magnet:?xt=urn:btih:{}", "0".repeat(40));
    for command in ["seed", "verify"] {
        let line = fails(1, words![command, &magnet, "--output", folder.seed()]);
        assert!(line.contains("give the .torrent file"), "{line}");
    }
    let torrent = folder.torrent(&[]);
    let line = fails(1, words!["metadata", &torrent]);
    assert!(line.contains("no magnet link"), "{line}");
}

#[test]
fn metadata_that_nobody_sends_is_given_up() {
    let folder = Folder::with_file(1);
    let magnet = format!("magnet:?xt=urn:btih:{}", "1".repeat(40));
    let out = folder.seed().join("out.torrent");
    let line = fails(1, words!["metadata", &magnet, "-o", &out, "--timeout", "1"]);
    assert!(line.contains("no peer is connected"), "{line}");
    assert!(!out.exists());
}

#[test]
fn what_a_web_server_does_not_hand_over_is_told_in_plain_words() {
    let folder = Folder::with_file(1);
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = closed.local_addr().unwrap().port();
    let answering = thread::spawn(move || {
        let (mut stream, _) = closed.accept().unwrap();
        let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
        while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).unwrap();
    });
    let url = format!("http://127.0.0.1:{port}/x.torrent");
    let download = || fails(1, words!["download", &url, "--output", folder.copy()]);
    let line = download();
    assert!(
        line.ends_with("the server answers with status 404\n"),
        "{line}"
    );
    answering.join().unwrap();
    let line = download();
    assert!(
        line.contains(&format!("cannot fetch {url}: Connection refused")),
        "{line}"
    );
    assert!(!folder.copy().exists());
}

#[test]
fn create_overwrites_a_torrent_and_nothing_else() {
    let folder = Folder::with_file(1000);
    let content = folder.seed().join("content");
    let notes = folder.path("notes");
    fs::write(&notes, "not to be lost").unwrap();
    let line = fails(1, words!["create", &content, "-o", &notes]);
    assert!(line.contains("notes is there already"), "{line}");
    assert_eq!(fs::read(&notes).unwrap(), b"not to be lost");
    let torrent = folder.torrent(&[]);
    let said = succeeds(words!["create", &content, "-o", &torrent]);
    assert!(
        said.contains("in the place of the torrent that was there"),
        "{said}"
    );
    // One of another program, longer than is read.
    let bytes = fs::read(&torrent).unwrap();
    let comment = "x".repeat(10_000_000);
    let long = format!("d7:comment{}:{comment}", comment.len()).into_bytes();
    fs::write(&torrent, [&long, &bytes[1..]].concat()).unwrap();
    let line = fails(1, words!["inspect", &torrent]);
    assert!(line.contains("the most that is read"), "{line}");
    succeeds(words!["create", &content, "-o", &torrent]);
    succeeds(words!["inspect", &torrent]);
    let nowhere = folder.path("nowhere/content.torrent");
    let line = fails(1, words!["create", &content, "-o", nowhere]);
    assert!(line.contains("there is no folder"), "{line}");
}

#[test]
fn what_cannot_be_shared_is_named() {
    let folder = Folder::with_file(0);
    let content = folder.seed().join("content");
    let line = fails(1, words!["create", &content]);
    assert!(line.contains("seed/content"), "{line}");
    for length in ["257MiB", "5GiB"] {
        let line = fails(1, words!["create", &content, "--piece-length", length]);
        assert!(line.contains("at most 256 MiB"), "{line}");
    }
    let long = Folder::with_file(600_000);
    let content = long.seed().join("content");
    let out = long.path("content.torrent");
    let arguments = words!["create", &content, "-o", &out, "--piece-length", "1"];
    let line = fails(1, arguments);
    assert!(line.contains("longer pieces make it shorter"), "{line}");
    assert!(!out.exists());
}
