//! What is asked for.

use rarest_metainfo::Version;
use rarest_web_seed::limits::{MAX_REQUESTS, MAX_RUN_LENGTH};

use crate::stage::{BLOCK, Stage};

#[test]
fn neighbours_over_many_pieces_are_one_range() {
    let mut stage = Stage::file(1_000_000, 32 * 1024);
    let blocks = stage.blocks();
    stage.request(blocks.iter().copied());
    assert_eq!(stage.gets.len(), 1);
    assert_eq!(stage.gets[0].range, 0..1_000_000);
    stage.answer_all();
    assert_eq!(stage.came, blocks);
    assert!(stage.seed.is_idle());
}

#[test]
fn a_gap_ends_a_range() {
    let mut stage = Stage::file(10 * 16_384, 32 * 1024);
    let blocks = stage.blocks();
    stage.request([0, 1, 2, 5, 6].map(|n| blocks[n]));
    assert_eq!(stage.gets[0].range, 0..3 * BLOCK);
    stage.answer_all();
    assert_eq!(stage.came.len(), 5);
}

#[test]
fn a_range_has_a_greatest_length_and_there_is_a_greatest_number_of_them() {
    let mut stage = Stage::file(48 * 1024 * 1024, 1024 * 1024);
    stage.request(stage.blocks());
    assert_eq!(stage.gets.len(), MAX_REQUESTS);
    for (number, get) in (0..).zip(&stage.gets) {
        let start = number * MAX_RUN_LENGTH;
        assert_eq!(get.range, start..start + MAX_RUN_LENGTH);
    }
    stage.answer_all();
    assert_eq!(stage.came.len(), stage.blocks().len());
}

#[test]
fn a_few_blocks_wait_for_more_while_others_come() {
    let mut stage = Stage::file(8 * 1024 * 1024, 1024 * 1024);
    let blocks = stage.blocks();
    stage.request(blocks[..4].iter().copied());
    stage.request(blocks[4..20].iter().copied());
    assert_eq!(stage.gets.len(), 1);
    let first = stage.next_get();
    stage.answer(&first);
    assert_eq!(stage.gets[0].range, 4 * BLOCK..20 * BLOCK);
}

#[test]
fn files_are_asked_for_one_after_the_other_and_padding_never() {
    let files = [("a", 20_000), ("b", 40_000), ("c", 0), ("d", 70_000)];
    for version in [Version::V1, Version::Hybrid, Version::V2] {
        let mut stage = Stage::files(version, &files, 32 * 1024);
        stage.request(stage.blocks());
        let mut asked = Vec::new();
        while !stage.gets.is_empty() {
            let get = stage.next_get();
            asked.push((get.url.path().to_owned(), get.range.clone()));
            stage.answer(&get);
        }
        let expected = [("a", 20_000), ("b", 40_000), ("d", 70_000)]
            .map(|(name, length)| (format!("/folder/{name}"), 0..length));
        assert_eq!(asked, expected, "{version:?}");
        assert_eq!(stage.came.len(), stage.blocks().len(), "{version:?}");
    }
}

#[test]
fn what_is_cancelled_is_returned_once_and_not_given() {
    let mut stage = Stage::file(10 * 16_384, 64 * 1024);
    let blocks = stage.blocks();
    stage.request(blocks[..4].iter().copied());
    stage.request([blocks[8]]);
    stage.cancel(blocks[8]);
    stage.cancel(blocks[1]);
    stage.cancel(blocks[1]);
    assert_eq!(stage.returned, [blocks[8]]);
    stage.answer_all();
    assert_eq!(stage.returned, [blocks[8], blocks[1]]);
    assert_eq!(stage.came, [blocks[0], blocks[2], blocks[3]]);
}

#[test]
fn a_request_of_which_all_is_cancelled_is_given_up() {
    let mut stage = Stage::file(10 * 16_384, 64 * 1024);
    let blocks = stage.blocks();
    stage.request(blocks[..2].iter().copied());
    let get = stage.next_get();
    stage.cancel(blocks[0]);
    stage.cancel(blocks[1]);
    assert_eq!(stage.aborted, [get.id]);
    assert_eq!(stage.returned, blocks[..2]);
    // What was on its way is not looked at.
    stage.answer(&get);
    assert!(stage.came.is_empty() && stage.seed.is_idle());
}
