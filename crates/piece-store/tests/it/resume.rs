//! Restarts: what is believed, what is checked again, what is refused.

use std::{
    fs::{self, File},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use rarest_metainfo::PieceIndex;
use rarest_piece_store::{
    Check, LoadError, MAX_RESUME_LENGTH, MemoryStorage, Part, PieceStore, Resume, ResumeError,
    Totals,
};

use crate::{
    foreign::{METAINFO, resume_data_does_no_harm},
    made::{self, file},
};

const KIB: usize = 1024;

const TOTALS: Totals = Totals {
    downloaded: 1 << 40,
    uploaded: 7,
};

fn numbers(pieces: &[PieceIndex]) -> Vec<u32> {
    pieces.iter().copied().map(PieceIndex::get).collect()
}

#[test]
fn a_restart_believes_what_is_unchanged_without_a_check() {
    let made = made::three_files();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resume");
    let store = made.in_folder(folder.path());
    let most: Vec<_> = made.wholes().into_iter().skip(2).collect();
    store.complete(&most);
    store
        .resume(TOTALS)
        .unwrap()
        .save(&path, &made.metainfo)
        .unwrap();
    drop(store);

    let resume = Resume::load(&path, &made.metainfo).unwrap().unwrap();
    assert_eq!(resume.totals(), TOTALS);
    assert_eq!(resume.verified().count(), 5);
    let store = made.in_folder(folder.path());
    assert!(store.restore(&resume).unwrap().to_check.is_empty());
    assert_eq!(
        numbers(&store.verified().iter().collect::<Vec<_>>()),
        [2, 3, 4, 5, 6]
    );
}

#[test]
fn no_resume_file_is_no_error() {
    let made = made::three_files();
    let folder = tempfile::tempdir().unwrap();
    let loaded = Resume::load(&folder.path().join("none"), &made.metainfo).unwrap();
    assert!(loaded.is_none());
}

#[test]
fn files_that_changed_are_checked_again_and_the_others_believed() {
    let made = made::three_files();
    let (folder, store) = made.complete_in_folder();
    let resume = store.resume(TOTALS).unwrap();
    drop(store);

    let b = folder.path().join("torrent/b");
    let mut bytes = fs::read(&b).unwrap();
    bytes[0] ^= 1;
    fs::write(&b, bytes).unwrap();
    fs::remove_file(folder.path().join("torrent/c")).unwrap();
    let store = made.in_folder(folder.path());
    let restored = store.restore(&resume).unwrap();
    assert_eq!(numbers(&restored.to_check), [2, 3, 4, 5, 6]);
    store.check(&Check::pieces(restored.to_check), |_| {
        ControlFlow::Continue(())
    });
    assert_eq!(
        numbers(&store.verified().iter().collect::<Vec<_>>()),
        [0, 1]
    );
}

#[test]
fn the_same_size_with_another_time_is_checked_again() {
    let made = made::three_files();
    let (folder, store) = made.complete_in_folder();
    let resume = store.resume(TOTALS).unwrap();
    let a = File::options()
        .write(true)
        .open(folder.path().join("torrent/a"))
        .unwrap();
    let time = a.metadata().unwrap().modified().unwrap();
    a.set_modified(time - Duration::from_nanos(1)).unwrap();
    let store = made.in_folder(folder.path());
    assert_eq!(numbers(&store.restore(&resume).unwrap().to_check), [0, 1]);
}

#[test]
fn what_is_verified_after_the_last_save_is_found_again_by_a_check() {
    let made = made::three_files();
    let (folder, store) = made.in_new_folder();
    store.complete(&[made.whole(made.piece(0))])[0]
        .as_ref()
        .unwrap();
    // No time passes between the save and the next piece: the clock of the file system may not have moved.
    for piece in 1..7 {
        let resume = store.resume(TOTALS).unwrap();
        store.complete(&[made.whole(made.piece(piece))])[0]
            .as_ref()
            .unwrap();
        let next = made.in_folder(folder.path());
        let to_check = next.restore(&resume).unwrap().to_check;
        assert!(to_check.contains(&made.piece(piece)), "piece {piece}");
        next.check(&Check::pieces(to_check), |_| ControlFlow::Continue(()));
        assert_eq!(next.verified(), store.verified());
    }
}

#[test]
fn spilled_blocks_survive_a_restart_and_complete_their_piece() {
    let made = made::three_files();
    let (folder, store) = made.in_new_folder();
    let piece = made.piece(3);
    let blocks: Vec<_> = made.geometry().blocks(piece).collect();
    store.spill(&[(blocks[1], made.bytes(blocks[1]))]).unwrap();
    let resume = store.resume(TOTALS).unwrap();
    drop(store);

    let store = made.in_folder(folder.path());
    store.restore(&resume).unwrap();
    assert!(store.verified().is_empty());
    assert_eq!(store.spilled_blocks(), [(piece, vec![blocks[1]])]);
    let mut whole = made.whole(piece);
    whole.parts[1] = Part::Spilled {
        length: blocks[1].length(),
    };
    store.complete(&[whole])[0].as_ref().unwrap();
    assert!(store.is_verified(piece));
    assert!(store.spilled_blocks().is_empty());
}

#[test]
fn a_save_replaces_the_file_as_a_whole_and_leaves_nothing_else() {
    let made = made::three_files();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resume");
    let store = made.in_folder(&folder.path().join("data"));
    fs::write(&path, "older").unwrap();
    store
        .resume(TOTALS)
        .unwrap()
        .save(&path, &made.metainfo)
        .unwrap();
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["resume"]);
    Resume::load(&path, &made.metainfo).unwrap().unwrap();

    let nowhere = folder.path().join("resume/below a file");
    let error = store
        .resume(TOTALS)
        .unwrap()
        .save(&nowhere, &made.metainfo)
        .unwrap_err();
    assert!(
        error.to_string().contains("something else is in its place"),
        "{error}"
    );
}

#[test]
fn foreign_and_damaged_resume_data_is_refused_with_the_reason() {
    let made = made::three_files();
    let other = made::hybrid(32 * KIB, &[file("a", 64 * KIB)]);
    let (_folder, store) = made.complete_in_folder();
    let good = store.resume(TOTALS).unwrap().encode(&made.metainfo);
    let decode = |bytes: &[u8]| Resume::decode(bytes, &made.metainfo).unwrap_err();
    assert_eq!(
        Resume::decode(&good, &other.metainfo),
        Err(ResumeError::OtherTorrent)
    );
    for end in 0..good.len() {
        assert!(
            matches!(decode(&good[..end]), ResumeError::Damaged(_)),
            "{end}"
        );
    }
    let libtorrent = b"d11:file-format22:libtorrent resume filee";
    assert_eq!(
        decode(libtorrent),
        ResumeError::BadValue {
            key: "rarest resume"
        }
    );
    let text = good.escape_ascii().to_string();
    assert!(text.contains("13:rarest resumei1e"), "{text}");
    let newer = replace(&good, b"13:rarest resumei1e", b"13:rarest resumei2e");
    assert_eq!(decode(&newer), ResumeError::OtherVersion { version: 2 });
    let far = replace(&good, b"7:spilledle", b"7:spilledli7ei0ee");
    assert_eq!(decode(&far), ResumeError::BadValue { key: "spilled" });
    let negative = replace(&good, b"8:uploadedi7e", b"8:uploadedi-7e");
    assert_eq!(decode(&negative), ResumeError::BadValue { key: "uploaded" });
    let short = replace(&good, b"6:wanted1:\xe0", b"6:wanted0:");
    assert_eq!(decode(&short), ResumeError::BadValue { key: "wanted" });
    let spare = replace(&good, b"8:verified1:\xfe", b"8:verified1:\xff");
    assert!(matches!(decode(&spare), ResumeError::BadBitfield(_)));
}

#[test]
fn a_resume_file_beyond_the_limit_is_not_read_into_memory() {
    let made = made::three_files();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resume");
    File::create(&path)
        .unwrap()
        .set_len(MAX_RESUME_LENGTH * 100)
        .unwrap();
    let error = Resume::load(&path, &made.metainfo).unwrap_err();
    let LoadError::Resume {
        error: ResumeError::TooLong { length },
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(length, MAX_RESUME_LENGTH + 1);
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    #[test]
    fn resume_data_survives_encoding(pieces: [bool; 7], skipped: [bool; 3], downloaded: u64, spilled: [bool; 7]) {
        let made = made::three_files();
        let folder = tempfile::tempdir().unwrap();
        let store = made.in_folder(folder.path());
        store.skip(made.metainfo.info().files().zip(skipped).filter(|(_, skipped)| *skipped).map(|(file, _)| file.index())).unwrap();
        for (index, piece) in (0..).zip(pieces) {
            if piece {
                store.complete(&[made.whole(made.piece(index))])[0].as_ref().unwrap();
            }
        }
        for (index, is_spilled) in (0..).zip(spilled) {
            if is_spilled {
                let block = made.geometry().block_at(made.piece(index), 0).unwrap();
                store.spill(&[(block, made.bytes(block))]).unwrap();
            }
        }
        let resume = store.resume(Totals { downloaded, uploaded: 0 }).unwrap();
        let decoded = Resume::decode(&resume.encode(&made.metainfo), &made.metainfo).unwrap();
        proptest::prop_assert_eq!(decoded, resume);
    }
    #[test]
    fn damaged_resume_data_does_no_harm(at: proptest::sample::Index, value: u8, cut: proptest::sample::Index) {
        let store = PieceStore::new(MemoryStorage::new(0), Arc::new(METAINFO.clone()));
        let mut bytes = store.resume(TOTALS).unwrap().encode(&METAINFO);
        let index = at.index(bytes.len());
        bytes[index] = value;
        resume_data_does_no_harm(&bytes[..=cut.index(bytes.len())]);
    }
}
