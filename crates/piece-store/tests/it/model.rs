//! Random operations, compared with a model that is too simple to be wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    ops::ControlFlow,
    path::Path,
};

use bytes::Bytes;
use proptest::prelude::*;
use rarest_metainfo::{FileKind, PieceIndex};
use rarest_piece_store::{
    Check, CompleteError, FileStorage, Part, PieceStore, ReadError, Resume, Totals,
};

use crate::made::{self, Made, check_all, file, padding};

#[derive(Clone, Debug)]
enum Operation {
    Complete {
        piece: u32,
        is_right: bool,
    },
    CompleteWithSpilled {
        piece: u32,
    },
    Spill {
        piece: u32,
        block: u32,
        is_right: bool,
    },
    Read {
        first: u32,
        count: u32,
    },
    Want {
        file: u32,
    },
    Skip {
        file: u32,
    },
    Restart {
        saves: bool,
    },
    Check,
    Remove {
        file: u32,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let piece = 0..16u32;
    let file = 0..8u32;
    prop_oneof![
        6 => (piece.clone(), any::<bool>()).prop_map(|(piece, is_right)| Operation::Complete { piece, is_right }),
        3 => piece.clone().prop_map(|piece| Operation::CompleteWithSpilled { piece }),
        3 => (piece.clone(), 0..2u32, any::<bool>())
            .prop_map(|(piece, block, is_right)| Operation::Spill { piece, block, is_right }),
        4 => (piece, 1..6u32).prop_map(|(first, count)| Operation::Read { first, count }),
        2 => file.clone().prop_map(|file| Operation::Want { file }),
        2 => file.clone().prop_map(|file| Operation::Skip { file }),
        2 => any::<bool>().prop_map(|saves| Operation::Restart { saves }),
        1 => Just(Operation::Check),
        1 => file.prop_map(|file| Operation::Remove { file }),
    ]
}

fn torrent() -> Made {
    made::v1(
        20_000,
        &[
            file("0", 30_000),
            file("1/a", 5),
            file("1/b", 50_000),
            padding(11_000),
            file("2", 0),
            file("3", 65_000),
            file("4", 100),
            file("5", 39_000),
        ],
    )
}

/// What has to be true.
struct Model {
    verified: BTreeSet<u32>,
    /// Whether a spilled block is right.
    spilled: BTreeMap<(u32, u32), bool>,
    wanted: BTreeSet<u32>,
    /// Files that were seen while they were wanted.
    created: BTreeSet<u32>,
    saved: Option<Resume>,
}

struct Run<'a> {
    made: &'a Made,
    folder: &'a Path,
    store: PieceStore<FileStorage>,
    model: Model,
}

impl Run<'_> {
    fn apply(&mut self, operation: &Operation) {
        let count = self.made.geometry().piece_count();
        match *operation {
            Operation::Complete { piece, is_right } => self.complete(piece % count, is_right),
            Operation::CompleteWithSpilled { piece } => self.complete_with_spilled(piece % count),
            Operation::Spill {
                piece,
                block,
                is_right,
            } => self.spill(piece % count, block, is_right),
            Operation::Read {
                first,
                count: blocks,
            } => self.read(first % count, blocks),
            Operation::Want { file } => {
                self.store.want([self.index(file)]).unwrap();
                self.model.wanted.insert(file);
            }
            Operation::Skip { file } => {
                self.store.skip([self.index(file)]).unwrap();
                self.model.wanted.remove(&file);
            }
            Operation::Restart { saves } => self.restart(saves),
            Operation::Check => {
                let checked = check_all(&self.store);
                assert!(
                    checked.errors.is_empty() && checked.lost.is_empty(),
                    "{checked:?}"
                );
                // A check may find that all blocks of a piece were spilled and right.
                self.model.verified = self.verified();
                self.model.saved = Some(self.store.resume(Totals::default()).unwrap());
            }
            Operation::Remove { file } => self.remove(file),
        }
        assert_eq!(self.verified(), self.model.verified);
        self.check_files();
    }

    fn complete(&mut self, piece: u32, is_right: bool) {
        let mut whole = self.made.whole(self.made.piece(piece));
        if !is_right {
            let length = whole.parts[0].length();
            whole.parts[0] = Part::Memory(Bytes::from(vec![0x55; length]));
        }
        match self.store.complete(&[whole]).remove(0) {
            Ok(verified) => {
                assert!(is_right);
                assert_eq!(verified.piece.get(), piece);
                self.model.verified.insert(piece);
            }
            Err(CompleteError::Corrupt { .. }) => assert!(!is_right),
            Err(error) => panic!("{error}"),
        }
        self.model
            .spilled
            .retain(|(spilled, _), _| *spilled != piece);
    }

    fn complete_with_spilled(&mut self, piece: u32) {
        let mut whole = self.made.whole(self.made.piece(piece));
        let mut is_right = true;
        for (index, part) in (0..).zip(&mut whole.parts) {
            if let Some(right) = self.model.spilled.get(&(piece, index)) {
                is_right &= right;
                *part = Part::Spilled {
                    length: part.length() as u32,
                };
            }
        }
        let result = self.store.complete(&[whole]).remove(0);
        assert_eq!(result.is_ok(), is_right, "{result:?}");
        if is_right {
            self.model.verified.insert(piece);
        }
        self.model
            .spilled
            .retain(|(spilled, _), _| *spilled != piece);
    }

    fn spill(&mut self, piece: u32, block: u32, is_right: bool) {
        let Some(block) = self.made.geometry().block_at(self.made.piece(piece), block) else {
            return;
        };
        let bytes = match is_right {
            true => self.made.bytes(block),
            false => Bytes::from(vec![0xaa; block.length() as usize]),
        };
        self.store.spill(&[(block, bytes)]).unwrap();
        if !self.model.verified.contains(&piece) {
            self.model
                .spilled
                .insert((piece, block.index_in_piece()), is_right);
        }
    }

    fn read(&self, first: u32, count: u32) {
        let pieces = (first..first + count).filter_map(|piece| self.made.geometry().piece(piece));
        let blocks: Vec<_> = pieces
            .flat_map(|piece| self.made.geometry().blocks(piece))
            .collect();
        let mut read = Vec::new();
        let is_verified = |piece: u32| self.model.verified.contains(&piece);
        match self.store.read(&blocks, &mut read) {
            Ok(()) => {
                for (block, bytes) in blocks.iter().zip(&read) {
                    assert!(is_verified(block.piece().get()));
                    assert!(*bytes == self.made.bytes(*block));
                }
                assert_eq!(blocks.len(), read.len());
            }
            Err(ReadError::NotVerified { piece }) => assert!(!is_verified(piece.get())),
            Err(error) => panic!("{error}"),
        }
    }

    fn restart(&mut self, saves: bool) {
        if saves {
            self.model.saved = Some(self.store.resume(Totals::default()).unwrap());
        }
        self.store = self.made.in_folder(self.folder);
        match &self.model.saved {
            Some(resume) => {
                let to_check = self.store.restore(resume).unwrap().to_check;
                self.store
                    .check(&Check::pieces(to_check), |_| ControlFlow::Continue(()));
            }
            None => {
                check_all(&self.store);
            }
        }
        // A choice that was not saved is forgotten; what was verified is not.
        self.model.wanted = (0..8)
            .filter(|&file| self.store.is_wanted(self.index(file)))
            .collect();
        let verified = self.verified();
        assert!(verified.is_superset(&self.model.verified));
        self.model.verified = verified;
        let spilled = self.store.spilled_blocks();
        let known: BTreeSet<_> = spilled
            .iter()
            .flat_map(|(_, blocks)| blocks)
            .map(|block| (block.piece().get(), block.index_in_piece()))
            .collect();
        // Old resume data may name blocks that were replaced since: they are only ever believed after a hash.
        self.model.spilled.retain(|key, _| known.contains(key));
        for piece in self.model.verified.clone() {
            self.read(piece, 1);
        }
    }

    /// Somebody removes a file; the next look notices.
    fn remove(&mut self, file: u32) {
        let path = self.path(file);
        if !path.is_file() {
            return;
        }
        fs::remove_file(path).unwrap();
        self.store.close();
        check_all(&self.store);
        let of_file: BTreeSet<_> = self
            .made
            .metainfo
            .info()
            .pieces_of(self.index(file))
            .map(PieceIndex::get)
            .collect();
        let verified = self.verified();
        let lost: BTreeSet<_> = self.model.verified.difference(&verified).copied().collect();
        assert!(lost.is_subset(&of_file));
        self.model.verified = verified;
        self.model
            .spilled
            .retain(|(piece, _), _| !of_file.contains(piece));
        self.model.created.remove(&file);
        // So that all that is written from now on begins with a look at what is there.
        self.restart(true);
    }

    /// Files exist because somebody wanted them, and never otherwise.
    fn check_files(&mut self) {
        for file in self.made.metainfo.info().files() {
            let index = file.index().get();
            let exists = self.path(index).exists();
            if file.kind() == FileKind::Padding {
                assert!(!exists, "padding is never written");
            } else if exists && self.model.wanted.contains(&index) {
                self.model.created.insert(index);
            } else if exists {
                assert!(
                    self.model.created.contains(&index),
                    "{index} was not wanted"
                );
            }
        }
    }

    fn verified(&self) -> BTreeSet<u32> {
        self.store.verified().iter().map(PieceIndex::get).collect()
    }

    fn index(&self, file: u32) -> rarest_metainfo::FileIndex {
        self.made.metainfo.info().file_at(file).unwrap().index()
    }

    fn path(&self, file: u32) -> std::path::PathBuf {
        let file = self.made.metainfo.info().file_at(file).unwrap();
        self.folder.join(file.path())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_store_does_what_a_simple_model_does(operations in prop::collection::vec(operation(), 1..60)) {
        let made = torrent();
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run {
            made: &made,
            folder: folder.path(),
            store: made.in_folder(folder.path()),
            model: Model {
                verified: BTreeSet::new(),
                spilled: BTreeMap::new(),
                wanted: (0..8).collect(),
                created: BTreeSet::new(),
                saved: None,
            },
        };
        // What other torrents keep in the folder stays.
        File::create(folder.path().join("other")).unwrap();
        for operation in &operations {
            run.apply(operation);
        }
        run.store.want(made.metainfo.info().files().map(rarest_metainfo::File::index)).unwrap();
        made.fill(&run.store);
        for file in made.metainfo.info().files().filter(|file| file.kind() == FileKind::Regular && file.length() > 0) {
            let path = folder.path().join(file.path());
            let range = file.range();
            prop_assert!(fs::read(path).unwrap() == made.space[range.start as usize..range.end as usize]);
        }
        run.store.delete_files().unwrap();
        prop_assert_eq!(made::listing(folder.path()), ["other"]);
    }
}
