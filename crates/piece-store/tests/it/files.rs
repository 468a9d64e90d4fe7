//! How a torrent's files come into being, and go again.

use std::{
    fs,
    io::{IoSlice, IoSliceMut},
    num::NonZeroUsize,
    os::unix::fs::symlink,
    sync::{Arc, Barrier},
    thread,
};

use rarest_piece_store::{Allocation, Fault, FileStorage, OpenFiles, PieceStore, Storage};

use crate::made::{self, check_all, file, listing, padding};

const KIB: usize = 1024;

#[test]
fn files_come_with_their_first_byte_and_have_their_length() {
    let made = made::v1(32 * KIB, &[file("a/b", 40 * KIB), file("c", 100 * KIB)]);
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("not/there/yet");
    let store = made.in_folder(&folder);
    assert!(!folder.exists());
    store.complete(&[made.whole(made.piece(0))])[0]
        .as_ref()
        .unwrap();
    assert_eq!(listing(&folder), ["torrent/a/b"]);
    let length = fs::metadata(folder.join("torrent/a/b")).unwrap().len();
    assert_eq!(length, 40 * KIB as u64);
}

#[test]
fn threads_that_write_first_to_the_same_file_do_not_take_it_for_cut() {
    let made = made::v1(32 * KIB, &[file("a", 256 * KIB)]);
    for _ in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        let store = made.in_folder(folder.path());
        let together = Barrier::new(8);
        thread::scope(|scope| {
            for whole in made.wholes() {
                let (store, together) = (&store, &together);
                scope.spawn(move || {
                    let pieces = [whole];
                    together.wait();
                    store.complete(&pieces)[0].as_ref().unwrap();
                });
            }
        });
        assert!(store.verified().is_full());
    }
}

#[test]
fn full_allocation_takes_all_space_at_once_and_sparse_does_not() {
    use std::os::unix::fs::MetadataExt;
    let made = made::v1(32 * KIB, &[file("a", 8192 * KIB)]);
    let blocks = |allocation| {
        let folder = tempfile::tempdir().unwrap();
        let storage = made.files(folder.path()).with_allocation(allocation);
        let store = made.store(storage);
        store.complete(&[made.whole(made.piece(7))])[0]
            .as_ref()
            .unwrap();
        fs::metadata(folder.path().join("torrent/a"))
            .unwrap()
            .blocks()
            * 512
    };
    assert!(blocks(Allocation::Full) >= 8192 * 1024);
    assert!(blocks(Allocation::Sparse) < 1024 * 1024);
}

#[test]
fn empty_files_and_links_are_created_and_stay_inside() {
    let files = [
        file("data", 40 * KIB),
        file("empty", 0),
        file("sub/deep/empty", 0),
        made::symlink("link", "sub/deep"),
        made::symlink("sub/other", "data"),
    ];
    let made = made::v1(32 * KIB, &files);
    let (folder, store) = made.in_new_folder();
    store.create_empty_files().unwrap();
    store.create_empty_files().unwrap();
    made.fill(&store);
    let torrent = folder.path().join("torrent");
    assert_eq!(
        fs::metadata(torrent.join("sub/deep/empty")).unwrap().len(),
        0
    );
    assert_eq!(
        fs::read_link(torrent.join("link")).unwrap().to_str(),
        Some("sub/deep")
    );
    assert!(fs::read(torrent.join("sub/other")).unwrap() == made.data("data"));

    store.delete_files().unwrap();
    assert!(listing(folder.path()).is_empty());
    assert!(!torrent.exists());
}

#[test]
fn no_file_is_written_through_a_link_of_the_torrent() {
    let made = made::v1(
        32 * KIB,
        &[
            made::symlink("dir", "other"),
            file("dir/a", 40 * KIB),
            file("other/b", 40 * KIB),
        ],
    );
    let (folder, store) = made.in_new_folder();
    store.create_empty_files().unwrap();
    made.fill(&store);
    let other = folder.path().join("torrent/other");
    assert_eq!(listing(&other), ["b"]);
    assert_eq!(check_all(&store).progress.verified, 3);
}

#[test]
fn a_hostile_link_in_the_folder_is_not_followed() {
    let made = made::v1(32 * KIB, &[file("a", 40 * KIB), file("sub/b", 100 * KIB)]);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "as it was").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let torrent = folder.path().join("torrent");
    fs::create_dir(&torrent).unwrap();
    symlink(outside.path().join("precious"), torrent.join("a")).unwrap();
    symlink(outside.path(), torrent.join("sub")).unwrap();

    let store = made.in_folder(folder.path());
    for result in store.complete(&made.wholes()) {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("something else is in its place"), "{error}");
    }
    assert!(store.verified().is_empty());
    store.delete_files().unwrap();
    assert_eq!(listing(outside.path()), ["precious"]);
    assert_eq!(
        fs::read(outside.path().join("precious")).unwrap(),
        b"as it was"
    );
    assert_eq!(
        listing(folder.path()),
        ["torrent/a", "torrent/sub"],
        "not the torrent's own"
    );
}

#[test]
fn a_file_where_a_folder_belongs_is_one_clear_sentence() {
    let made = made::v1(32 * KIB, &[file("sub/a", 40 * KIB)]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("torrent"), "in the way").unwrap();
    let store = made.in_folder(folder.path());
    let error = store.complete(&made.wholes()).remove(0).unwrap_err();
    let path = folder.path().join("torrent/sub/a");
    let expected = format!(
        "cannot create {}: something else is in its place (a link, or a folder instead of a file), move that away",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn deleting_leaves_what_is_not_the_torrents() {
    let made = made::v1(
        32 * KIB,
        &[file("a/b", 40 * KIB), file("c/d", 10), padding(50 * KIB)],
    );
    let (folder, store) = made.complete_in_folder();
    fs::write(folder.path().join("torrent/a/mine"), "keep").unwrap();
    fs::write(folder.path().join("other"), "keep").unwrap();
    store.delete_files().unwrap();
    assert_eq!(listing(folder.path()), ["other", "torrent/a/mine"]);
    assert!(!folder.path().join("torrent/c").exists());
    assert!(store.verified().is_empty());
}

#[test]
fn files_move_to_another_folder_and_stay_verified() {
    let made = made::v1(32 * KIB, &[file("a/b", 40 * KIB), file("c", 100 * KIB)]);
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (root.path().join("old"), root.path().join("new/place"));
    let store = made.in_folder(&old);
    made.fill(&store);
    store.storage().move_to(&new).unwrap();
    assert!(listing(&old).is_empty());
    assert_eq!(listing(&new), ["torrent/a/b", "torrent/c"]);
    let mut blocks = Vec::new();
    store.read(&made.blocks(), &mut blocks).unwrap();
    assert!(blocks.concat() == made.space);
    assert_eq!(store.storage().path(made.file("c")), new.join("torrent/c"));
}

#[test]
fn a_move_that_would_overwrite_moves_nothing() {
    let made = made::v1(32 * KIB, &[file("a/b", 40 * KIB), file("c", 100 * KIB)]);
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (root.path().join("old"), root.path().join("new"));
    let store = made.in_folder(&old);
    made.fill(&store);
    fs::create_dir_all(new.join("torrent")).unwrap();
    fs::write(new.join("torrent/c"), "mine").unwrap();
    let error = store.storage().move_to(&new).unwrap_err();
    assert!(matches!(error.fault, Fault::Obstructed));
    assert_eq!(listing(&old), ["torrent/a/b", "torrent/c"]);
    assert_eq!(listing(&new), ["torrent/c"]);
    let mut blocks = Vec::new();
    store.read(&made.blocks(), &mut blocks).unwrap();
}

#[test]
fn many_torrents_of_many_files_share_few_descriptors() {
    let open = OpenFiles::new(NonZeroUsize::new(10).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let stores: Vec<_> = (0..5)
        .map(|torrent| {
            let files: Vec<_> = (0..40)
                .map(|index| file(&format!("{torrent}/{index}"), 5_000))
                .collect();
            let made = made::v1(16 * KIB, &files);
            let storage = FileStorage::new(&made.metainfo, folder.path(), Arc::clone(&open));
            let store = PieceStore::new(storage, Arc::clone(&made.metainfo));
            made.fill(&store);
            assert!(open.count() <= 10);
            (made, store)
        })
        .collect();
    for (made, store) in &stores {
        let mut blocks = Vec::new();
        store.read(&made.blocks(), &mut blocks).unwrap();
        assert!(blocks.concat() == made.space);
        assert!(open.count() <= 10);
    }
    open.close_unused();
    open.close_unused();
    assert_eq!(open.count(), 0, "idle torrents hold no file open");
    stores[0]
        .1
        .read(&stores[0].0.blocks(), &mut Vec::new())
        .unwrap();
    stores[0].1.close();
    assert_eq!(open.count(), 0);
}

#[test]
fn a_storage_behind_a_pointer_is_a_storage() {
    let made = made::v1(32 * KIB, &[file("a", 40 * KIB)]);
    let folder = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(made.files(folder.path()));
    let file = made.file("a");
    storage
        .write_at(file, 3, &mut [IoSlice::new(b"ab"), IoSlice::new(b"c")])
        .unwrap();
    let mut bytes = [0; 3];
    storage
        .read_at(file, 3, &mut [IoSliceMut::new(&mut bytes)])
        .unwrap();
    assert_eq!(&bytes, b"abc");
    let store = made.store(storage);
    made.fill(&store);
    assert!(store.verified().is_full());
}
