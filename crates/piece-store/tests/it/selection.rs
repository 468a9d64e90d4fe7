//! Files that nobody wants, and the parts file.

use std::{fs, path::Path};

use rarest_metainfo::Metainfo;
use rarest_piece_store::Totals;

use crate::made::{self, Made, check_all, file, listing};

const KIB: usize = 1024;

/// Four files; the pieces 1 and 3 are shared.
fn shared() -> Made {
    made::v1(
        32 * KIB,
        &[
            file("a", 40 * KIB),
            file("b", 70 * KIB),
            file("c", 5 * KIB),
            file("d", 40 * KIB),
        ],
    )
}

fn parts_file(metainfo: &Metainfo) -> String {
    format!(".{}.parts", metainfo.info_hashes().swarms().next().unwrap())
}

fn pieces_of(made: &Made, path: &str) -> Vec<rarest_metainfo::PieceIndex> {
    made.metainfo.info().pieces_of(made.file(path)).collect()
}

#[test]
fn an_unwanted_file_is_never_created_and_its_part_of_a_piece_is_served() {
    let made = shared();
    let (folder, store) = made.in_new_folder();
    store
        .skip([made.file("b"), made.file("c"), made.file("d")])
        .unwrap();
    assert_eq!(
        store.wanted_pieces().iter().collect::<Vec<_>>(),
        pieces_of(&made, "a")
    );
    let wholes: Vec<_> = pieces_of(&made, "a")
        .into_iter()
        .map(|piece| made.whole(piece))
        .collect();
    for result in store.complete(&wholes) {
        result.unwrap();
    }
    assert_eq!(
        listing(folder.path()),
        [parts_file(&made.metainfo), "torrent/a".to_owned()]
    );
    for piece in pieces_of(&made, "a") {
        let blocks: Vec<_> = made.geometry().blocks(piece).collect();
        let mut read = Vec::new();
        store.read(&blocks, &mut read).unwrap();
        for (block, bytes) in blocks.into_iter().zip(read) {
            assert!(bytes == made.bytes(block));
        }
    }
    assert_eq!(check_all(&store).progress.verified, 2);
}

#[test]
fn what_was_kept_moves_to_its_file_when_that_is_wanted() {
    let made = shared();
    let (folder, store) = made.in_new_folder();
    store
        .skip([made.file("b"), made.file("c"), made.file("d")])
        .unwrap();
    store.complete(&[made.whole(made.piece(0)), made.whole(made.piece(1))]);

    store.want([made.file("b")]).unwrap();
    assert!(store.is_wanted(made.file("b")));
    assert_eq!(listing(folder.path()), ["torrent/a", "torrent/b"]);
    let b = fs::read(folder.path().join("torrent/b")).unwrap();
    assert_eq!(b.len(), 70 * KIB);
    assert!(b[..24 * KIB] == made.data("b")[..24 * KIB]);
    assert_eq!(check_all(&store).progress.verified, 2);

    made.fill(&store);
    store.want([made.file("c"), made.file("d")]).unwrap();
    for path in ["a", "b", "c", "d"] {
        assert!(fs::read(folder.path().join("torrent").join(path)).unwrap() == made.data(path));
    }
    assert_eq!(listing(folder.path()).len(), 4, "no parts are left");
    assert_eq!(
        check_all(&store).progress.verified,
        made.geometry().piece_count()
    );
}

#[test]
fn a_file_that_exists_stays_when_it_is_no_longer_wanted() {
    let made = shared();
    let (folder, store) = made.in_new_folder();
    store.complete(&[made.whole(made.piece(0))])[0]
        .as_ref()
        .unwrap();
    store.skip([made.file("a")]).unwrap();
    store.complete(&[made.whole(made.piece(1))])[0]
        .as_ref()
        .unwrap();
    assert_eq!(listing(folder.path()), ["torrent/a", "torrent/b"]);
    assert!(fs::read(folder.path().join("torrent/a")).unwrap() == made.data("a"));
}

#[test]
fn parts_survive_a_restart() {
    let made = shared();
    let (folder, store) = made.in_new_folder();
    store.skip([made.file("b")]).unwrap();
    made.fill(&store);
    let resume = store.resume(Totals::default()).unwrap();
    drop(store);

    let store = made.in_folder(folder.path());
    assert!(store.restore(&resume).unwrap().to_check.is_empty());
    assert!(store.verified().is_full());
    assert!(!store.is_wanted(made.file("b")));
    let mut blocks = Vec::new();
    store.read(&made.blocks(), &mut blocks).unwrap();
    assert!(blocks.concat() == made.space);
    store.want([made.file("b")]).unwrap();
    assert!(fs::read(folder.path().join("torrent/b")).unwrap() == made.data("b"));
}

#[test]
fn a_damaged_parts_file_costs_a_check_and_nothing_else() {
    let made = shared();
    let (folder, store) = made.in_new_folder();
    store.skip([made.file("b")]).unwrap();
    made.fill(&store);
    let resume = store.resume(Totals::default()).unwrap();
    drop(store);

    let parts = folder.path().join(parts_file(&made.metainfo));
    let mut bytes = fs::read(&parts).unwrap();
    bytes[20..40].fill(0xff);
    fs::write(&parts, bytes).unwrap();
    let store = made.in_folder(folder.path());
    let restored = store.restore(&resume).unwrap();
    assert_eq!(restored.to_check, pieces_of(&made, "b"));
    check_all(&store);
    let whole_elsewhere = made.geometry().piece_count() - pieces_of(&made, "b").len() as u32;
    assert_eq!(store.verified_count(), whole_elsewhere);
    made.fill(&store);
    assert_eq!(
        check_all(&store).progress.verified,
        made.geometry().piece_count()
    );
}

#[test]
fn the_parts_file_is_no_larger_than_what_is_in_it() {
    let files: Vec<_> = (0..64)
        .map(|index| file(&format!("{index:02}"), 320 * KIB + 1))
        .collect();
    let made = made::v1(32 * KIB, &files);
    let (folder, store) = made.in_new_folder();
    store
        .skip(
            made.metainfo
                .info()
                .files()
                .skip(1)
                .map(rarest_metainfo::File::index),
        )
        .unwrap();
    let wholes: Vec<_> = store
        .wanted_pieces()
        .iter()
        .map(|piece| made.whole(piece))
        .collect();
    for result in store.complete(&wholes) {
        result.unwrap();
    }
    let length = |path: &Path| fs::metadata(path).unwrap().len() as usize;
    assert!(length(&folder.path().join(parts_file(&made.metainfo))) < 48 * KIB);
    store.delete_files().unwrap();
    assert!(listing(folder.path()).is_empty());
}

#[test]
fn what_a_kill_left_of_a_move_is_deleted_with_the_torrent() {
    let made = shared();
    let (folder, store) = made.complete_in_folder();
    let b = made.file("b").get();
    let name = parts_file(&made.metainfo).replace(".parts", &format!(".{b}.moving"));
    fs::write(folder.path().join("torrent").join(name), "half").unwrap();
    store.delete_files().unwrap();
    assert!(listing(folder.path()).is_empty());
}

#[test]
fn a_choice_that_was_never_saved_loses_nothing() {
    let made = shared();
    let (folder, store) = made.in_new_folder();
    let resume = store.resume(Totals::default()).unwrap();
    store.skip([made.file("b")]).unwrap();
    made.fill(&store);
    drop(store);

    let store = made.in_folder(folder.path());
    let to_check = store.restore(&resume).unwrap().to_check;
    assert_eq!(to_check, made.geometry().pieces().collect::<Vec<_>>());
    assert_eq!(check_all(&store).progress.verified, 5);
    assert_eq!(listing(folder.path()).len(), 4, "no parts are left");
}
