//! A download that is killed again and again loses nothing and believes nothing wrong.

use std::path::Path;

use serde_json::Value;

use crate::payload::{Folder, assert_same};
use crate::process::{Running, run};

/// How often it is killed.
const KILLS: usize = 50;

/// 800 pieces: more than are fetched between all the kills.
const LENGTH: usize = 800 * 16 * 1024;

/// Slow enough that no run between two kills gets far.
const RATE: &str = "3MiB";

#[test]
fn fifty_kills_lose_no_verified_piece_and_believe_no_other() {
    let folder = Folder::with_file(LENGTH);
    let torrent = folder.torrent(&[]);
    let (torrent, seed, copy) = (torrent.to_str().unwrap(), folder.seed(), folder.copy());
    std::fs::create_dir(&copy).unwrap();
    let mut seed = Running::start(["seed", torrent, "--output", seed.to_str().unwrap()]);
    let peer = seed.address();
    let arguments = [
        "download",
        torrent,
        "--output",
        copy.to_str().unwrap(),
        "--peer",
        &peer,
        "--limit-down",
        RATE,
    ];
    let mut moments = Moments(0x5eed);
    let mut there = 0;
    for kill in 0..KILLS {
        let mut download = Running::start(arguments);
        let believed = download.wait_for("checked")["verified_pieces"]
            .as_u64()
            .unwrap();
        assert_eq!(
            believed, there,
            "after kill {kill} it believes what it has, no more and no less"
        );
        let mut told = believed;
        for _ in 0..moments.next_below(9) {
            match download.next() {
                Some(event) if event["event"] == "piece_completed" => {
                    told = event["completed"].as_u64().unwrap();
                }
                Some(_) => {}
                None => panic!("the download ended before it was killed"),
            }
        }
        download.signal("KILL");
        // What it printed before it died is true as well.
        while let Some(event) = download.next() {
            if event["event"] == "piece_completed" {
                told = event["completed"].as_u64().unwrap();
            }
        }
        there = verified_pieces(torrent, &copy);
        assert!(
            there >= told,
            "{told} pieces were told as verified, {there} are there after kill {kill}"
        );
    }
    assert!(there > 0, "the kills came too early to show anything");
    let mut last = Running::start(arguments.into_iter().take(6));
    last.wait_for("completed");
    assert!(last.end().success());
    assert_same(&folder.seed().join("content"), &copy.join("content"));
}

/// What is right on disk, in the eyes of `verify`, which knows no resume data.
fn verified_pieces(torrent: &str, folder: &Path) -> u64 {
    let output = run([
        "verify",
        torrent,
        "--output",
        folder.to_str().unwrap(),
        "--json",
    ]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("verify prints one object");
    found["verified_pieces"].as_u64().unwrap()
}

/// After how many events each kill comes: by chance, the same in each run.
struct Moments(u64);

impl Moments {
    fn next_below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
