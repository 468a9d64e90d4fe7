//! Files that are cut, removed or changed under a running store.

use std::{
    fs::{self, File},
    num::NonZeroUsize,
    ops::ControlFlow,
};

use rarest_metainfo::PieceIndex;
use rarest_piece_store::{
    Check, CompleteError, Fault, Part, PieceStore, ReadError, Remedy, Storage, Totals,
};

use crate::made::{self, Made, check_all, file};

const KIB: usize = 1024;

fn numbers(pieces: impl IntoIterator<Item = PieceIndex>) -> Vec<u32> {
    pieces.into_iter().map(PieceIndex::get).collect()
}

fn verified<S: Storage>(store: &PieceStore<S>) -> Vec<u32> {
    numbers(store.verified().iter())
}

fn read_piece<S: Storage>(made: &Made, store: &PieceStore<S>, piece: u32) -> Result<(), ReadError> {
    let blocks: Vec<_> = made.geometry().blocks(made.piece(piece)).collect();
    let mut read = Vec::new();
    store.read(&blocks, &mut read)?;
    for (block, bytes) in blocks.into_iter().zip(read) {
        assert!(bytes == made.bytes(block), "piece {piece}");
    }
    Ok(())
}

#[test]
fn a_cut_file_is_noticed_while_serving() {
    let made = made::three_files();
    let (folder, store) = made.complete_in_folder();
    let b = folder.path().join("torrent/b");
    File::options()
        .write(true)
        .open(&b)
        .unwrap()
        .set_len(40 * KIB as u64)
        .unwrap();

    read_piece(&made, &store, 2).unwrap();
    let ReadError::Store { error, lost } = read_piece(&made, &store, 3).unwrap_err() else {
        panic!("the file is cut");
    };
    assert_eq!(error.path, b);
    assert_eq!(error.remedy(), Remedy::Recheck);
    assert!(matches!(
        error.fault,
        Fault::Truncated { actual: 40_960, .. }
    ));
    assert_eq!(numbers(lost), [3]);
    assert_eq!(verified(&store), [0, 1, 2, 4, 5, 6]);
    let again = read_piece(&made, &store, 3).unwrap_err();
    assert!(matches!(again, ReadError::NotVerified { .. }));
}

#[test]
fn a_vanished_file_is_noticed_when_it_is_opened_again() {
    let made = made::three_files();
    let (folder, store) = made.complete_in_folder();
    let c = folder.path().join("torrent/c");
    fs::remove_file(&c).unwrap();
    store.close();
    let ReadError::Store { error, lost } = read_piece(&made, &store, 5).unwrap_err() else {
        panic!("the file is gone");
    };
    assert!(error.to_string().contains("it does not exist"), "{error}");
    assert_eq!(numbers(lost), [3, 4, 5, 6]);
    assert_eq!(verified(&store), [0, 1, 2]);

    made.fill(&store);
    assert!(fs::read(&c).unwrap() == made.data("c"));
}

#[test]
fn a_changed_file_is_found_without_reading_it() {
    let made = made::three_files();
    let (folder, store) = made.complete_in_folder();
    store.resume(Totals::default()).unwrap();
    assert!(store.find_changed().unwrap().is_empty());
    fs::write(folder.path().join("torrent/a"), vec![1; 64 * KIB]).unwrap();
    fs::remove_file(folder.path().join("torrent/c")).unwrap();

    assert_eq!(numbers(store.find_changed().unwrap()), [0, 1, 3, 4, 5, 6]);
    assert_eq!(verified(&store), [2]);
    assert!(store.find_changed().unwrap().is_empty(), "told once");
    assert_eq!(check_all(&store).progress.verified, 1);
}

#[test]
fn a_file_that_is_removed_while_it_is_written_is_noticed_by_the_next_save() {
    let made = made::three_files();
    let (folder, store) = made.in_new_folder();
    store.complete(&[made.whole(made.piece(0)), made.whole(made.piece(4))]);
    fs::remove_file(folder.path().join("torrent/c")).unwrap();
    store.complete(&[made.whole(made.piece(5))])[0]
        .as_ref()
        .unwrap();
    let resume = store.resume(Totals::default()).unwrap();
    assert_eq!(numbers(resume.verified().iter()), [0]);
    assert_eq!(numbers(store.find_changed().unwrap()), [4, 5]);
}

#[test]
fn a_check_of_other_files_does_not_hide_a_change() {
    let made = made::three_files();
    let (folder, store) = made.complete_in_folder();
    store.resume(Totals::default()).unwrap();
    fs::write(folder.path().join("torrent/a"), vec![1; 64 * KIB]).unwrap();
    store.check(&Check::pieces(vec![made.piece(5)]), |_| {
        ControlFlow::Continue(())
    });
    let resume = store.resume(Totals::default()).unwrap();
    let next = made.in_folder(folder.path());
    assert_eq!(numbers(next.restore(&resume).unwrap().to_check), [0, 1]);
    assert_eq!(numbers(store.find_changed().unwrap()), [0, 1]);
}

#[test]
fn a_change_after_the_first_check_is_noticed_without_a_save() {
    let made = made::three_files();
    let folder = tempfile::tempdir().unwrap();
    made.fill(&made.in_folder(folder.path()));
    let store = made.in_folder(folder.path());
    check_all(&store);
    assert!(store.verified().is_full());
    assert!(store.find_changed().unwrap().is_empty());
    // As long as before, so that every read succeeds.
    fs::write(folder.path().join("torrent/a"), vec![1; 64 * KIB]).unwrap();
    assert_eq!(numbers(store.find_changed().unwrap()), [0, 1]);
}

#[test]
fn a_changed_file_that_is_checked_as_a_whole_is_not_found_once_more() {
    let made = made::three_files();
    let (folder, store) = made.complete_in_folder();
    store.resume(Totals::default()).unwrap();
    fs::write(folder.path().join("torrent/a"), vec![1; 64 * KIB]).unwrap();
    assert_eq!(numbers(check_all(&store).lost), [0, 1]);
    assert!(store.find_changed().unwrap().is_empty());
}

#[test]
fn what_a_check_did_not_reach_of_a_changed_file_is_not_believed() {
    let made = made::v1(16 * KIB, &[file("a", 12 * 1024 * KIB)]);
    let (folder, store) = made.complete_in_folder();
    store.resume(Totals::default()).unwrap();
    let a = File::options()
        .write(true)
        .open(folder.path().join("torrent/a"))
        .unwrap();
    a.set_modified(std::time::UNIX_EPOCH).unwrap();
    let one_thread = Check::all().with_threads(NonZeroUsize::MIN);
    let checked = store.check(&one_thread, |_| ControlFlow::Break(()));
    let unread = checked.progress.total - checked.progress.checked;
    assert_eq!(checked.lost.len(), unread as usize);
    assert_eq!(store.verified_count(), checked.progress.checked);
}

#[test]
fn a_change_during_the_check_of_a_changed_file_is_noticed() {
    let made = made::three_files();
    let (folder, store) = made.complete_in_folder();
    let resume = store.resume(Totals::default()).unwrap();
    let a = folder.path().join("torrent/a");
    let right = fs::read(&a).unwrap();
    fs::write(&a, vec![1; 64 * KIB]).unwrap();

    let store = made.in_folder(folder.path());
    let to_check = store.restore(&resume).unwrap().to_check;
    fs::write(&a, &right).unwrap();
    store.check(&Check::pieces(to_check), |_| ControlFlow::Continue(()));
    assert!(store.verified().is_full());
    fs::write(&a, vec![1; 64 * KIB]).unwrap();
    assert_eq!(numbers(store.find_changed().unwrap()), [0, 1]);
}

#[test]
fn pieces_that_lost_their_mark_where_nobody_was_told_are_checked_by_the_next_run() {
    let made = made::three_files();
    let (folder, store) = made.in_new_folder();
    store.complete(&[made.whole(made.piece(4)), made.whole(made.piece(6))]);
    store.resume(Totals::default()).unwrap();
    let c = File::options()
        .write(true)
        .open(folder.path().join("torrent/c"))
        .unwrap();
    c.set_modified(std::time::UNIX_EPOCH).unwrap();
    store.complete(&[made.whole(made.piece(5))])[0]
        .as_ref()
        .unwrap();
    assert_eq!(verified(&store), [5]);
    let resume = store.resume(Totals::default()).unwrap();

    let next = made.in_folder(folder.path());
    let to_check = next.restore(&resume).unwrap().to_check;
    next.check(&Check::pieces(to_check), |_| ControlFlow::Continue(()));
    assert_eq!(verified(&next), [4, 5, 6]);
}

#[test]
fn own_writes_are_no_changes_from_outside() {
    let made = made::three_files();
    let (_folder, store) = made.in_new_folder();
    for whole in made.wholes() {
        store.complete(&[whole])[0].as_ref().unwrap();
        store.resume(Totals::default()).unwrap();
        assert!(store.find_changed().unwrap().is_empty());
    }
    assert!(store.verified().is_full());
}

#[test]
fn a_write_to_a_file_that_was_cut_says_so_and_the_next_one_succeeds() {
    let made = made::three_files();
    let (folder, store) = made.in_new_folder();
    store.complete(&[made.whole(made.piece(4)), made.whole(made.piece(6))]);
    let c = folder.path().join("torrent/c");
    File::options()
        .write(true)
        .open(&c)
        .unwrap()
        .set_len(60 * KIB as u64)
        .unwrap();

    let result = store.complete(&[made.whole(made.piece(5))]).remove(0);
    let Err(CompleteError::Store(error)) = result else {
        panic!("the file is cut");
    };
    assert!(matches!(
        error.fault,
        Fault::Truncated { actual: 61_440, .. }
    ));
    assert_eq!(verified(&store), [4]);
    assert_eq!(numbers(store.find_changed().unwrap()), [6]);
    store.complete(&[made.whole(made.piece(5))])[0]
        .as_ref()
        .unwrap();
    assert_eq!(verified(&store), [4, 5]);
    assert_eq!(check_all(&store).progress.verified, 2);
}

#[test]
fn a_file_that_was_cut_between_runs_is_noticed_by_the_first_write() {
    let made = made::three_files();
    let (folder, store) = made.in_new_folder();
    store.complete(&[made.whole(made.piece(4)), made.whole(made.piece(6))]);
    let resume = store.resume(Totals::default()).unwrap();
    drop(store);
    let store = made.in_folder(folder.path());
    store.restore(&resume).unwrap();
    assert_eq!(verified(&store), [4, 6]);
    let c = folder.path().join("torrent/c");
    File::options()
        .write(true)
        .open(&c)
        .unwrap()
        .set_len(60 * KIB as u64)
        .unwrap();
    store.complete(&[made.whole(made.piece(5))])[0]
        .as_ref()
        .unwrap();
    assert_eq!(verified(&store), [5]);
    assert_eq!(numbers(store.find_changed().unwrap()), [4, 6]);
}

#[test]
fn a_check_takes_the_mark_off_what_is_wrong_now() {
    let made = made::three_files();
    let (folder, store) = made.complete_in_folder();
    let a = folder.path().join("torrent/a");
    let mut bytes = fs::read(&a).unwrap();
    bytes[40 * KIB] ^= 1;
    fs::write(&a, bytes).unwrap();
    let checked = check_all(&store);
    assert_eq!(numbers(checked.lost), [1]);
    assert_eq!(verified(&store), [0, 2, 3, 4, 5, 6]);
    assert!(checked.errors.is_empty());
}

#[test]
fn spilled_blocks_that_vanish_are_told_from_wrong_ones() {
    let made = made::three_files();
    let (folder, store) = made.in_new_folder();
    let piece = made.piece(5);
    let block = made.geometry().block_at(piece, 1).unwrap();
    store.spill(&[(block, made.bytes(block))]).unwrap();
    fs::remove_file(folder.path().join("torrent/c")).unwrap();
    store.close();
    let mut whole = made.whole(piece);
    whole.parts[1] = Part::Spilled {
        length: block.length(),
    };
    let result = store.complete(&[whole]).remove(0);
    assert!(
        matches!(result, Err(CompleteError::SpillLost(_))),
        "{result:?}"
    );
    assert!(store.spilled_blocks().is_empty());
    store.complete(&[made.whole(piece)])[0].as_ref().unwrap();
}

#[test]
fn a_spilled_block_that_was_wrong_makes_the_piece_corrupt() {
    let made = made::three_files();
    let (_folder, store) = made.in_new_folder();
    let piece = made.piece(5);
    let block = made.geometry().block_at(piece, 0).unwrap();
    store.spill(&[(block, vec![3; 16 * KIB].into())]).unwrap();
    assert!(!store.is_verified(piece));
    assert!(matches!(
        read_piece(&made, &store, 5),
        Err(ReadError::NotVerified { .. })
    ));
    let mut whole = made.whole(piece);
    whole.parts[0] = Part::Spilled {
        length: block.length(),
    };
    let Err(CompleteError::Corrupt { block_digests }) = store.complete(&[whole]).remove(0) else {
        panic!("a block is wrong");
    };
    assert_ne!(block_digests[0], made.digests(piece)[0]);
    assert_eq!(block_digests[1], made.digests(piece)[1]);
    assert!(store.spilled_blocks().is_empty());
}

#[test]
fn a_late_block_never_overwrites_a_verified_piece() {
    let made = made::three_files();
    let (_folder, store) = made.complete_in_folder();
    let block = made.geometry().block_at(made.piece(5), 0).unwrap();
    store.spill(&[(block, vec![3; 16 * KIB].into())]).unwrap();
    read_piece(&made, &store, 5).unwrap();
    assert!(store.spilled_blocks().is_empty());
}

#[test]
fn holes_cost_no_reading_and_are_right_where_the_data_is_zeros() {
    let mut zeros = file("zeros", 0);
    zeros.data = vec![0; 256 * KIB];
    let made = made::v1(32 * KIB, &[zeros, file("a", 100 * KIB)]);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("torrent")).unwrap();
    for (name, length) in [("zeros", 256), ("a", 100)] {
        let file = File::create(folder.path().join("torrent").join(name)).unwrap();
        file.set_len(length * 1024).unwrap();
    }
    let store = made.in_folder(folder.path());
    let checked = check_all(&store);
    assert_eq!(checked.progress.verified, 8);
    assert_eq!(verified(&store), [0, 1, 2, 3, 4, 5, 6, 7]);
}
