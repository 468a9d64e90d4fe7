//! Whatever a server answers: each block that is wanted ends once, and an honest server gives all.

use std::collections::BTreeSet;

use rarest_metainfo::{Block, Version};
use rarest_web_seed::{Get, Head};

use crate::stage::Stage;

/// A web seed lives through a script.
pub(crate) fn seed_lives_through(script: &[u8]) {
    let files = [("a", 30_000), ("b", 100_000), ("c", 5), ("d", 90_000)];
    let version = match script.first() {
        Some(0..100) => Version::V1,
        Some(100..200) => Version::Hybrid,
        _ => Version::V2,
    };
    let mut stage = Stage::files(version, &files, 32 * 1024);
    let blocks = stage.blocks();
    let mut wanted: BTreeSet<Block> = BTreeSet::new();
    let mut open: Vec<Get> = Vec::new();
    for step in script.as_chunks::<3>().0 {
        let [what, which, how] = *step;
        let block = blocks[usize::from(which) % blocks.len()];
        match what % 8 {
            0..=2 if stage.end.is_none() => {
                let run = blocks.iter().skip(usize::from(which) % blocks.len());
                for &block in run.take(usize::from(how) % 8) {
                    if wanted.insert(block) {
                        stage.request([block]);
                    }
                }
            }
            3 => stage.cancel(block),
            _ => {
                open.append(&mut stage.gets);
                if !open.is_empty() {
                    let get = open.swap_remove(usize::from(which) % open.len());
                    answer(&mut stage, &get, how);
                }
            }
        }
        for ended in stage.came.drain(..).chain(stage.returned.drain(..)) {
            assert!(wanted.remove(&ended), "{ended:?} ended twice");
        }
        if stage.end.is_some() {
            assert!(wanted.is_empty() && stage.seed.is_idle());
        }
    }
}

/// Some answer, mostly a good one.
fn answer(stage: &mut Stage, get: &Get, how: u8) {
    match how {
        0..10 => stage.head(get, &Head::new(404)),
        10 => stage.head(get, &Head::new(503)),
        11..40 => {
            stage.head(get, &Head::new(200));
            let file = stage.file_of(get);
            for part in file.chunks(7001) {
                stage.data(get, part.to_vec());
            }
            stage.body_end(get);
        }
        40 => {
            let head = stage.part_head(get);
            stage.head(get, &head);
            stage.body_end(get);
        }
        41 => stage.data(get, vec![0; 100]),
        42 => stage.body_end(get),
        43..60 => {
            let end = get.range.start + (get.range.end - get.range.start).div_ceil(2);
            let cut = Get {
                range: get.range.start..end,
                ..get.clone()
            };
            stage.answer(&cut);
        }
        _ => stage.answer(get),
    }
}
