//! Pieces that are completed, read and checked.

use std::{fs, num::NonZeroUsize, ops::ControlFlow};

use bytes::Bytes;
use rarest_metainfo::BlockRequest;
use rarest_piece_store::{
    BlockDigests, Check, CheckEnd, CompleteError, MemoryStorage, Part, ReadError,
};

use crate::made::{self, check_all, file, listing, padding};

const KIB: usize = 1024;

#[test]
fn pieces_across_files_are_written_read_and_checked() {
    let made = made::v1(
        32 * KIB,
        &[file("a", 50 * KIB), file("b/c", 100), file("d", 70 * KIB)],
    );
    let (folder, store) = made.complete_in_folder();

    assert!(store.verified().is_full());
    for path in ["a", "b/c", "d"] {
        let written = fs::read(folder.path().join("torrent").join(path)).unwrap();
        assert!(written == made.data(path), "{path}");
    }
    let mut blocks = Vec::new();
    store.read(&made.blocks(), &mut blocks).unwrap();
    assert!(blocks.concat() == made.space);

    let again = made.in_folder(folder.path());
    let checked = check_all(&again);
    assert_eq!(checked.end, CheckEnd::Complete);
    assert!(again.verified().is_full());
}

#[test]
fn v2_and_hybrid_torrents_are_written_read_and_checked() {
    let files = [
        file("a", 50 * KIB),
        file("b", 100),
        file("c", 0),
        file("d", 32 * KIB),
        file("e", 200 * KIB),
    ];
    for made in [made::v2(32 * KIB, &files), made::hybrid(32 * KIB, &files)] {
        let folder = tempfile::tempdir().unwrap();
        let store = made.in_folder(folder.path());
        made.fill(&store);
        for path in ["a", "b", "d", "e"] {
            let written = fs::read(folder.path().join("torrent").join(path)).unwrap();
            assert!(written == made.data(path), "{path}");
        }
        let again = made.in_folder(folder.path());
        check_all(&again);
        assert!(again.verified().is_full());
        let mut blocks = Vec::new();
        again.read(&made.blocks(), &mut blocks).unwrap();
        let expected: Vec<_> = made
            .blocks()
            .into_iter()
            .map(|block| made.bytes(block))
            .collect();
        assert!(blocks == expected);
    }
}

#[test]
fn a_corrupt_piece_is_not_written_and_its_blocks_have_digests() {
    let made = made::v1(48 * KIB, &[file("a", 100 * KIB)]);
    let (folder, store) = made.in_new_folder();
    let mut whole = made.whole(made.piece(0));
    whole.parts[1] = Part::Memory(Bytes::from(vec![0; 16 * KIB]));

    let Err(CompleteError::Corrupt { block_digests }) = &store.complete(&[whole])[0] else {
        panic!("a block is wrong");
    };
    let right = made.digests(made.piece(0));
    let wrong: Vec<_> = (0..3)
        .filter(|&index| block_digests[index] != right[index])
        .collect();
    assert_eq!(wrong, [1]);
    assert!(listing(folder.path()).is_empty());
    assert!(store.verified().is_empty());
}

#[test]
fn zeros_that_a_caller_takes_for_padding_are_written() {
    let mut zeros = file("a", 0);
    zeros.data = vec![0; 32 * KIB];
    let made = made::v1(32 * KIB, &[zeros]);
    let (folder, store) = made.in_new_folder();
    let mut whole = made.whole(made.piece(0));
    whole.parts = vec![Part::Padding { length: 32 * 1024 }];
    store.complete(&[whole])[0].as_ref().unwrap();
    assert!(fs::read(folder.path().join("torrent/a")).unwrap() == made.space);
}

#[test]
fn digests_of_a_right_piece_come_when_asked_for() {
    let made = made::v1(48 * KIB, &[file("a", 100 * KIB)]);
    let store = made.store(MemoryStorage::new(u64::MAX));
    let mut whole = made.whole(made.piece(2));
    assert_eq!(
        store.complete(&[whole.clone()])[0]
            .as_ref()
            .unwrap()
            .block_digests,
        None
    );
    whole.block_digests = BlockDigests::Always;
    let verified = store.complete(&[whole])[0].clone().unwrap();
    assert_eq!(verified.block_digests, Some(made.digests(made.piece(2))));
}

#[test]
fn a_batch_has_one_answer_a_piece() {
    let made = made::v1(16 * KIB, &[file("a", 100 * KIB)]);
    let store = made.store(MemoryStorage::new(u64::MAX));
    let mut batch = made.wholes();
    batch[1].parts = vec![Part::Memory(Bytes::from(vec![7; 16 * KIB]))];
    batch[3].parts.clear();
    batch.push(made.whole(made.piece(0)));

    let results = store.complete(&batch);
    assert!(matches!(results[1], Err(CompleteError::Corrupt { .. })));
    assert!(matches!(
        results[3],
        Err(CompleteError::WrongLength { actual: 0, .. })
    ));
    let good = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(good, 6, "five pieces, and one of them twice");
    assert_eq!(store.verified_count(), 5);
}

#[test]
fn a_block_that_is_not_verified_is_never_read() {
    let made = made::v1(32 * KIB, &[file("a", 64 * KIB)]);
    let store = made.store(MemoryStorage::new(u64::MAX));
    store.complete(&[made.whole(made.piece(1))])[0]
        .as_ref()
        .unwrap();

    let mut out = Vec::new();
    let error = store.read(&made.blocks(), &mut out).unwrap_err();
    assert!(matches!(error, ReadError::NotVerified { piece } if piece.get() == 0));
    assert!(out.is_empty());
}

#[test]
fn neighbours_share_one_buffer_whatever_their_order() {
    let made = made::v1(32 * KIB, &[file("a", 20 * KIB), file("b", 100 * KIB)]);
    let store = made.store(MemoryStorage::new(u64::MAX));
    made.fill(&store);
    let block = |piece, offset, length| {
        let request = BlockRequest {
            piece,
            offset,
            length,
        };
        made.geometry().block(request).unwrap()
    };
    let blocks = [
        block(1, 0, 16_384),
        block(0, 16_384, 16_384),
        block(3, 5, 7),
        block(1, 0, 16_384),
        block(0, 20_000, 3),
        block(1, 16_384, 100),
    ];
    let mut out = vec![Bytes::from_static(b"before")];
    store.read(&blocks, &mut out).unwrap();
    assert_eq!(out[0], "before");
    for (block, read) in blocks.iter().zip(&out[1..]) {
        assert!(*read == made.bytes(*block), "{block:?}");
    }
    let gap = |left: &Bytes, right: &Bytes| right.as_ptr() as usize - left.as_ptr() as usize;
    assert_eq!(gap(&out[2], &out[1]), 16_384);
    assert_eq!(gap(&out[1], &out[6]), 16_384);
}

#[test]
fn padding_is_never_written_and_reads_as_zeros() {
    let made = made::v1(
        32 * KIB,
        &[file("a", 40 * KIB), padding(24 * KIB), file("b", 10 * KIB)],
    );
    let (folder, store) = made.in_new_folder();
    let mut wholes = made.wholes();
    // Nobody sends a block that is nothing but padding.
    wholes[1].parts.truncate(1);
    wholes[1].parts.push(Part::Padding { length: 16 * 1024 });
    for result in store.complete(&wholes) {
        result.unwrap();
    }
    assert_eq!(listing(folder.path()), ["torrent/a", "torrent/b"]);
    let mut blocks = Vec::new();
    store.read(&made.blocks(), &mut blocks).unwrap();
    assert!(blocks.concat() == made.space);
    let again = made.in_folder(folder.path());
    check_all(&again);
    assert!(again.verified().is_full());
}

#[test]
fn a_check_stops_when_told_to() {
    let made = made::v1(16 * KIB, &[file("a", 12 * 1024 * KIB)]);
    let store = made.store(MemoryStorage::new(u64::MAX));
    made.fill(&store);
    let one_thread = Check::all().with_threads(NonZeroUsize::MIN);
    let checked = store.check(&one_thread, |_| ControlFlow::Break(()));
    assert_eq!(checked.end, CheckEnd::Cancelled);
    assert!(checked.progress.checked < checked.progress.total);
    assert!(
        store.verified().is_full(),
        "what was not reached is as it was"
    );
}
