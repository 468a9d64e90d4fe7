//! A store that has everything is remembered by how its files are.

use std::{fs, path::Path, sync::Arc};

use rarest_piece_store::{FileStorage, MemoryStorage, PieceStore, Totals, WholeTorrent};

use crate::made::{self, Made, file};

const KIB: usize = 1024;

fn torrent() -> Made {
    made::v1(
        32 * KIB,
        &[file("a", 64 * KIB), file("empty", 0), file("b", 50 * KIB)],
    )
}

fn again(made: &Made, folder: &Path, whole: &WholeTorrent) -> PieceStore<FileStorage> {
    PieceStore::of_whole(made.files(folder), Arc::clone(&made.metainfo), whole)
}

#[test]
fn a_store_that_is_made_again_knows_what_it_knew() {
    let made = torrent();
    let folder = tempfile::tempdir().unwrap();
    let store = made.in_folder(folder.path());
    made.fill(&store);
    let resume = store.resume(Totals::default()).unwrap();
    let whole = store.whole().unwrap();
    drop(store);
    assert_eq!(whole.resume(&made.metainfo, Totals::default()), resume);

    let store = again(&made, folder.path(), &whole);
    assert_eq!(store.verified_count(), 4);
    assert_eq!(store.whole(), Some(whole.clone()));
    assert!(store.find_changed().unwrap().is_empty());
    drop(store);

    fs::write(folder.path().join("torrent/b"), b"somebody else's").unwrap();
    let store = again(&made, folder.path(), &whole);
    let changed = store.find_changed().unwrap();
    assert_eq!(changed.len(), 2, "the pieces of b");
    assert_eq!(store.whole(), None);
}

#[test]
fn a_check_is_enough_to_be_whole() {
    let made = torrent();
    let folder = tempfile::tempdir().unwrap();
    let store = made.in_folder(folder.path());
    made.fill(&store);
    store.resume(Totals::default()).unwrap();
    drop(store);
    let store = made.in_folder(folder.path());
    assert_eq!(store.whole(), None);
    made::check_all(&store);
    assert!(store.whole().is_some());
}

#[test]
fn a_store_of_which_more_is_to_be_remembered_is_not_whole() {
    let made = torrent();
    let folder = tempfile::tempdir().unwrap();
    let store = made.in_folder(folder.path());
    let wholes = made.wholes();
    store.complete(&wholes[..3]);
    store.resume(Totals::default()).unwrap();
    assert_eq!(store.whole(), None, "a piece is missing");
    store.complete(&wholes[3..]);
    assert_eq!(store.whole(), None, "a piece is not synced");
    store.resume(Totals::default()).unwrap();
    assert!(store.whole().is_some());
    store.skip([made.file("a")]).unwrap();
    assert_eq!(store.whole(), None, "a file is not wanted");
}

#[test]
fn a_storage_without_stamps_is_not_whole() {
    let made = torrent();
    let store = made.store(MemoryStorage::new(1 << 20));
    made.fill(&store);
    store.resume(Totals::default()).unwrap();
    assert_eq!(store.whole(), None);
}
