//! A process that is killed while it completes pieces: what it said was verified is there afterwards, and nothing else is believed.

use std::{
    collections::HashSet,
    env,
    io::{BufRead, BufReader, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bytes::Bytes;
use rarest_metainfo::PieceIndex;
use rarest_piece_store::{Check, FileStorage, PieceStore, Resume, Totals};

use crate::made::{self, Made, file};

const KIB: usize = 1024;

/// How often the process is killed.
const KILLS: u32 = 50;

/// Names the folder to the child process.
const FOLDER: &str = "RAREST_TEST_KILL_FOLDER";

/// Gives the child process its seed.
const SEED: &str = "RAREST_TEST_KILL_SEED";

fn torrent() -> Made {
    let files: Vec<_> = (0..8)
        .map(|index| file(&format!("{index:02}"), 100 * KIB + index))
        .collect();
    made::v1(16 * KIB, &files)
}

/// The same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Opens the store as a session does after a restart.
fn restart(made: &Made, folder: &Path) -> PieceStore<FileStorage> {
    let store = made.in_folder(folder);
    let to_check = match Resume::load(&folder.join("resume"), &made.metainfo).unwrap() {
        Some(resume) => Check::pieces(store.restore(&resume).unwrap().to_check),
        None => {
            store.skip([made.file("03"), made.file("04")]).unwrap();
            Check::all()
        }
    };
    store.check(&to_check, |_| ControlFlow::Continue(()));
    store
}

#[test]
fn a_kill_loses_nothing_verified_and_nothing_unverified_is_believed() {
    if let Some(folder) = env::var_os(FOLDER) {
        let seed = env::var(SEED).unwrap().parse().unwrap();
        return complete_until_killed(&PathBuf::from(folder), Random(seed));
    }
    let made = torrent();
    let mut random = Random(20_010_702);
    let mut folder = tempfile::tempdir().unwrap();
    let mut verified = HashSet::new();
    let mut completed = 0;
    for kill in 0..KILLS {
        let lines = random.below(40);
        let said = run_and_kill(folder.path(), kill, lines);
        completed += said.len();
        verified.extend(said);
        let store = restart(&made, folder.path());
        for &piece in &verified {
            assert!(
                store.is_verified(made.piece(piece)),
                "kill {kill} lost piece {piece}"
            );
        }
        for piece in store.verified().iter() {
            assert_right(&made, &store, piece);
        }
        if store.verified().is_full() {
            folder = tempfile::tempdir().unwrap();
            verified.clear();
        }
    }
    assert!(
        completed > 200,
        "the processes did something: {completed} pieces"
    );
}

/// Starts a process that completes pieces, kills it when it has said `lines` lines, and returns all that it said.
fn run_and_kill(folder: &Path, seed: u32, lines: usize) -> Vec<u32> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("kill::a_kill_loses_nothing_verified_and_nothing_unverified_is_believed")
        .env(FOLDER, folder)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut verified: Vec<String> = said.by_ref().take(lines).collect();
    child.kill().unwrap();
    verified.extend(said);
    child.wait().unwrap();
    let number = |line: String| {
        line.strip_prefix("verified ")
            .and_then(|piece| piece.strip_suffix('.')?.parse().ok())
    };
    verified.into_iter().filter_map(number).collect()
}

/// Completes pieces in a random order until the end: by the kill, or because all are there.
fn complete_until_killed(folder: &Path, mut random: Random) {
    let made = torrent();
    let store = restart(&made, folder);
    let mut missing: Vec<PieceIndex> = made
        .geometry()
        .pieces()
        .filter(|&piece| !store.is_verified(piece))
        .collect();
    while !missing.is_empty() {
        let mut batch = Vec::new();
        for _ in 0..missing.len().min(1 + random.below(3)) {
            batch.push(missing.swap_remove(random.below(missing.len())));
        }
        // What a liar sent lies in the place of another piece meanwhile.
        if let Some(&other) = missing.first() {
            let block = made.geometry().block_at(other, 0).unwrap();
            let wrong = Bytes::from(vec![random.below(256) as u8; block.length() as usize]);
            store.spill(&[(block, wrong)]).unwrap();
        }
        let wholes: Vec<_> = batch.iter().map(|&piece| made.whole(piece)).collect();
        for verified in store.complete(&wholes) {
            let piece = verified.unwrap().piece.get();
            // One write, so that no line is said in part.
            std::io::stderr()
                .write_all(format!("verified {piece}.\n").as_bytes())
                .unwrap();
        }
        match random.below(12) {
            0 => {
                let resume = store.resume(Totals::default()).unwrap();
                resume.save(&folder.join("resume"), &made.metainfo).unwrap();
            }
            1 => store.want([made.file("03")]).unwrap(),
            2 => store.skip([made.file("05"), made.file("06")]).unwrap(),
            _ => {}
        }
    }
}

fn assert_right(made: &Made, store: &PieceStore<FileStorage>, piece: PieceIndex) {
    let blocks: Vec<_> = made.geometry().blocks(piece).collect();
    let mut read = Vec::new();
    store.read(&blocks, &mut read).unwrap();
    for (block, bytes) in blocks.into_iter().zip(read) {
        assert!(
            bytes == made.bytes(block),
            "piece {} is believed and wrong",
            piece.get()
        );
    }
}
