//! Hashes for peers: what a whole tree would answer, of the metainfo and of verified pieces (BEP 52).

use std::sync::Arc;

use rarest_metainfo::merkle::{self, HashRequest, Tree};
use rarest_metainfo::{Metainfo, Sha256Digest};
use rarest_piece_store::{HashesError, MAX_KEPT_TREES, MemoryStorage, PieceStore, ReadError};

use crate::made::{Made, file, hybrid, v2};

const KIB: usize = 1024;

/// Of several pieces, of one that is not full, of one leaf, and of as many pieces as a power of two.
fn files() -> [crate::made::NewFile; 4] {
    [
        file("a", 333 * KIB + 7),
        file("b", 50 * KIB),
        file("c", 9 * KIB),
        file("d", 256 * KIB),
    ]
}

fn full(made: &Made) -> PieceStore<MemoryStorage> {
    let store = made.store(MemoryStorage::new(u64::MAX));
    assert!(store.complete(&made.wholes()).iter().all(Result::is_ok));
    store
}

/// Each request that a tree of `height` answers, and some that it does not.
fn requests(height: u32) -> impl Iterator<Item = HashRequest> {
    (0..=height).flat_map(move |base_layer| {
        let lengths = (0..=height - base_layer + 1).map(|power| 1 << power);
        lengths.flat_map(move |length: u32| {
            let starts = (0..=1 << (height - base_layer)).step_by(length as usize);
            starts.flat_map(move |index| {
                (0..=height).map(move |proof_layers| HashRequest {
                    base_layer,
                    index,
                    length,
                    proof_layers,
                })
            })
        })
    })
}

#[test]
fn each_request_within_a_piece_or_above_is_answered_as_the_whole_tree_would() {
    for made in [v2(32 * KIB, &files()), hybrid(64 * KIB, &files())] {
        let store = full(&made);
        let piece_length = made.geometry().nominal_piece_length();
        let (mut answered, mut refused) = (0, 0);
        for (file, made_file) in made
            .metainfo
            .info()
            .files()
            .filter(|file| !file.is_padding())
            .zip(files())
        {
            let root = file.pieces_root().unwrap();
            let leaves = merkle::leaves(&[&made_file.data]);
            let tree = Tree::new(leaves, 0, file.length());
            for request in requests(tree.height()) {
                let expected = tree.answer(&request);
                match store.hashes(&root, &request) {
                    Ok(hashes) => {
                        assert_eq!(hashes, expected.unwrap(), "{request:?}");
                        answered += 1;
                    }
                    Err(HashesError::Request(error)) => {
                        assert_eq!(error, expected.unwrap_err(), "{request:?}");
                    }
                    Err(HashesError::TooMuch) => {
                        let span = u64::from(request.length) << request.base_layer;
                        let first = u64::from(request.index) << request.base_layer;
                        let leaves_of_file = merkle::leaf_count(file.length());
                        let is_wide =
                            span * u64::from(merkle::LEAF_LENGTH) > u64::from(piece_length);
                        assert!(is_wide || first >= leaves_of_file, "{request:?}");
                        refused += 1;
                    }
                    Err(error) => panic!("{request:?}: {error}"),
                }
            }
        }
        assert!(answered > 200 && refused > 20, "{answered} {refused}");
    }
}

fn leaves_of_first_piece(store: &PieceStore<MemoryStorage>) -> (Sha256Digest, HashRequest) {
    let metainfo = store.metainfo();
    let file = metainfo.info().files().next().unwrap();
    let request = HashRequest {
        base_layer: 0,
        index: 0,
        length: 2,
        proof_layers: 0,
    };
    (file.pieces_root().unwrap(), request)
}

#[test]
fn leaves_of_what_is_not_verified_are_not_told() {
    let made = v2(32 * KIB, &files());
    let store = made.store(MemoryStorage::new(u64::MAX));
    let (root, request) = leaves_of_first_piece(&store);
    let refused = store.hashes(&root, &request);
    let is_right = matches!(refused, Err(HashesError::Read(ReadError::NotVerified { piece })) if piece.get() == 0);
    assert!(is_right);
    let layer = HashRequest {
        base_layer: 1,
        ..request
    };
    assert_eq!(store.hashes(&root, &layer).unwrap().len(), 2);
}

#[test]
fn what_is_not_known_is_not_told() {
    let made = v2(32 * KIB, &files());
    let raw = made.metainfo.info().raw().clone();
    let bare = Metainfo::from_info(raw, &made.metainfo.magnet()).unwrap();
    let store = PieceStore::new(MemoryStorage::new(u64::MAX), Arc::new(bare));
    let (root, request) = leaves_of_first_piece(&store);
    let layer = HashRequest {
        base_layer: 1,
        ..request
    };
    let refused = store.hashes(&root, &layer);
    assert!(matches!(refused, Err(HashesError::LayerUnknown)));
    let refused = store.hashes(&Sha256Digest([1; 32]), &layer);
    assert!(matches!(refused, Err(HashesError::UnknownRoot)));
}

#[test]
fn trees_are_kept_of_a_few_files_alone() {
    let many: Vec<_> = (0..20)
        .map(|number| file(&format!("{number:02}"), 64 * KIB + number))
        .collect();
    let made = v2(32 * KIB, &many);
    let store = full(&made);
    for _ in 0..2 {
        for file in made.metainfo.info().files() {
            let request = HashRequest {
                base_layer: 1,
                index: 0,
                length: 2,
                proof_layers: 0,
            };
            let root = file.pieces_root().unwrap();
            assert_eq!(store.hashes(&root, &request).unwrap().len(), 2);
            assert!(store.kept_trees_count() <= MAX_KEPT_TREES);
        }
    }
    assert_eq!(store.kept_trees_count(), MAX_KEPT_TREES);
    store.forget_hashes();
    assert_eq!(store.kept_trees_count(), 0);
}
