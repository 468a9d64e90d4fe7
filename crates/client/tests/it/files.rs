//! Create, verify and inspect agree with each other.

use std::fs;

use serde_json::Value;

use crate::payload::{Folder, bytes};
use crate::process::{run, run_unread, succeeds, words};

#[test]
fn what_is_created_verifies_and_inspects_in_every_format() {
    for format in ["v1", "v2", "hybrid"] {
        for folder in [Folder::with_file(100_000), Folder::with_files()] {
            let torrent = folder.torrent(&["--format", format]);
            let torrent = torrent.to_str().unwrap();
            succeeds([
                "verify",
                torrent,
                "--output",
                folder.seed().to_str().unwrap(),
            ]);
            let shown: Value =
                serde_json::from_str(&succeeds(["inspect", "--json", torrent])).unwrap();
            assert_eq!(shown["name"], "content");
            assert_eq!(shown["version"], format);
            assert_eq!(shown["piece_length"], 16 * 1024);
        }
    }
}

#[test]
fn flags_of_create_stand_in_the_torrent() {
    let folder = Folder::with_file(1000);
    let (http, udp) = ("http://tracker.example/announce", "udp://tracker.example:1");
    let torrent = folder.torrent(&[
        "--tracker",
        http,
        "--tracker",
        udp,
        "--web-seed",
        "http://web.example/",
        "--private",
        "--comment",
        "hello",
    ]);
    let shown: Value =
        serde_json::from_str(&succeeds(["inspect", "--json", torrent.to_str().unwrap()])).unwrap();
    assert_eq!(shown["trackers"], serde_json::json!([[http], [udp]]));
    assert_eq!(
        shown["web_seeds"],
        serde_json::json!(["http://web.example/"])
    );
    assert_eq!(shown["private"], true);
    assert_eq!(shown["comment"], "hello");
}

#[test]
fn verify_tells_missing_from_damaged() {
    let folder = Folder::with_files();
    let torrent = folder.torrent(&["--format", "v2"]);
    let content = folder.seed().join("content");
    fs::remove_file(content.join("b/c.bin")).unwrap();
    fs::remove_file(content.join("b/empty")).unwrap();
    let mut damaged = fs::read(content.join("a.bin")).unwrap();
    damaged[20_000] ^= 1;
    fs::write(content.join("a.bin"), damaged).unwrap();
    let arguments = words!["verify", torrent, "--output", folder.seed(), "--json"];
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(3));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files: Vec<_> = found["files"].as_array().unwrap().iter().collect();
    let states: Vec<_> = files.iter().map(|file| &file["state"]).collect();
    assert_eq!(states, ["damaged", "missing", "missing", "complete"]);
    assert_eq!(files[0]["pieces"], 7);
    assert_eq!(files[0]["verified_pieces"], 6);
    assert_eq!(files[2]["complete"], false);
    assert_eq!(found["complete"], false);
}

#[test]
fn a_file_in_a_piece_with_a_missing_one_is_not_called_damaged() {
    let folder = Folder::with_files();
    let torrent = folder.torrent(&[]);
    fs::remove_file(folder.seed().join("content/d.bin")).unwrap();
    let arguments = ["verify", torrent.to_str().unwrap(), "--output"];
    let output = run(arguments
        .into_iter()
        .chain([folder.seed().to_str().unwrap()]));
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("missing: content/d.bin"), "{said}");
    assert!(
        said.contains("cannot be verified: content/b/c.bin"),
        "{said}"
    );
}

#[cfg(unix)]
#[test]
fn create_says_what_it_leaves_out_and_what_it_follows() {
    let folder = Folder::with_files();
    let content = folder.seed().join("content");
    fs::write(folder.path("far"), "far away").unwrap();
    std::os::unix::fs::symlink(folder.path("far"), content.join("near")).unwrap();
    std::os::unix::fs::symlink("nothing", content.join("dangling")).unwrap();
    let out = folder.path("new.torrent");
    let output = run(words!["create", &content, "-o", &out]);
    assert!(output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("dangling is left out"), "{told}");
    assert!(
        told.contains("near is a link to a file elsewhere"),
        "{told}"
    );
}

#[test]
fn inspect_shows_the_numbers_that_files_are_chosen_by() {
    let folder = Folder::with_files();
    let torrent = folder.torrent(&["--format", "hybrid"]);
    let shown = succeeds(["inspect", torrent.to_str().unwrap()]);
    // Number 1 is the padding between them.
    assert!(
        shown.contains("file 0: content/a.bin (100000 bytes)"),
        "{shown}"
    );
    assert!(
        shown.contains("file 2: content/b/c.bin (1 bytes)"),
        "{shown}"
    );
}

#[test]
fn a_reader_who_leaves_is_no_failure() {
    let folder = Folder::with_file(1000);
    let (torrent, seed) = (folder.torrent(&[]), folder.seed());
    let (torrent, seed) = (torrent.to_str().unwrap(), seed.to_str().unwrap());
    let content = format!("{seed}/content");
    for arguments in [
        &["create", &content, "-o", torrent][..],
        &["verify", torrent, "--output", seed],
        &["verify", torrent, "--output", seed, "--json"],
        &["inspect", torrent],
        &["man"],
    ] {
        let output = run_unread(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*error), (Some(0), ""));
    }
}

#[test]
fn verify_counts_damaged_and_missing_pieces_and_ends_with_3() {
    let folder = Folder::with_files();
    let torrent = folder.torrent(&[]);
    fs::remove_file(folder.seed().join("content/d.bin")).unwrap();
    let damaged = folder.seed().join("content/a.bin");
    let mut content = bytes(100_000);
    content[20_000] ^= 1;
    fs::write(damaged, content).unwrap();
    let seed = folder.seed();
    let output = run([
        "verify",
        torrent.to_str().unwrap(),
        "--output",
        seed.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(3));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Pieces 0 and 2 to 5 are whole; 1 is damaged, those from 6 on reach into the missing file.
    assert_eq!(found["verified_pieces"], 5);
    assert_eq!(found["pieces"], 11);
    let complete: Vec<bool> = found["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["complete"].as_bool().unwrap())
        .collect();
    assert_eq!(complete, [false, false, true, false]);
}
