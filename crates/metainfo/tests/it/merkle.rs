//! Merkle trees against trees that libtorrent made, and proofs.

use proptest::prelude::*;
use rarest_hash::{Sha256Digest, sha256};
use rarest_metainfo::merkle::{
    HashRequest, MAX_REQUEST_LENGTH, ProofError, Tree, height, leaf_count, leaves, padding_hash,
    parent, root, subtree_root,
};
use serde_json::Value;

use crate::fixtures::{entries, number, text};

fn digest(hex: &str) -> Sha256Digest {
    Sha256Digest(hex.parse::<rarest_metainfo::InfoHashV2>().unwrap().0.0)
}

fn digests(value: &Value) -> Vec<Sha256Digest> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| digest(hash.as_str().unwrap()))
        .collect()
}

fn content(kind: &str, size: u64) -> Vec<u8> {
    let byte = |i: u64| match kind {
        "zero" => 0,
        "ramp251" => (i % 251) as u8,
        "ramp253" => ((7 * i + 3) % 253) as u8,
        other => panic!("content {other}"),
    };
    (0..size).map(byte).collect()
}

fn with_kind(kind: &str) -> Vec<Value> {
    entries("merkle.json")
        .into_iter()
        .filter(|entry| entry["kind"].as_str().unwrap_or_default() == kind)
        .collect()
}

/// The hashes of the pieces of a file: what its piece layer is if it has several.
fn piece_hashes(data: &[u8], piece_length: usize) -> Vec<Sha256Digest> {
    data.chunks(piece_length)
        .map(|piece| {
            let single = data.len() <= piece_length;
            let height = height(if single { data.len() } else { piece_length } as u64);
            subtree_root(&leaves(&[piece]), 0, height)
        })
        .collect()
}

#[test]
fn roots_and_piece_layers_are_those_of_libtorrent() {
    let trees = with_kind("");
    assert!(trees.len() > 40);
    for entry in trees {
        let size = number(&entry, "size");
        let piece_length = number(&entry, "piece_length");
        let data = content(text(&entry, "content"), size);
        let expected = digest(text(&entry, "pieces_root"));
        assert_eq!(root(&leaves(&[&data]), 0), expected, "{entry}");
        assert_eq!(leaf_count(size), number(&entry, "leaf_hashes"), "{entry}");
        let layer = piece_hashes(&data, piece_length as usize);
        if layer.len() > 1 {
            assert_eq!(
                layer.len() as u64,
                number(&entry, "piece_layer_hashes"),
                "{entry}"
            );
            assert_eq!(root(&layer, height(piece_length)), expected, "{entry}");
            let joined: Vec<u8> = layer.iter().flat_map(|hash| hash.0).collect();
            assert_eq!(
                sha256(&joined),
                digest(text(&entry, "piece_layer_sha256")),
                "{entry}"
            );
        } else {
            assert_eq!(layer, [expected], "{entry}");
        }
    }
}

#[test]
fn roots_of_empty_subtrees_are_as_published() {
    for entry in with_kind("hash of an empty subtree") {
        let height = number(&entry, "height") as u32;
        assert_eq!(padding_hash(height), digest(text(&entry, "hash")));
        assert_eq!(subtree_root(&[], 0, height), padding_hash(height));
    }
}

#[test]
fn hash_requests_are_answered_with_hashes_and_uncles() {
    let answers = with_kind("hashes answer");
    assert!(!answers.is_empty());
    for entry in answers {
        let size = number(&entry, "size");
        let leaves = leaves(&[&content(text(&entry, "content"), size)]);
        let tree = Tree::new(leaves, 0, size);
        let pieces_root = digest(text(&entry, "pieces_root"));
        assert_eq!(
            (tree.root(), u64::from(tree.height())),
            (pieces_root, number(&entry, "tree_height"))
        );
        let field = |name| number(&entry, name) as u32;
        let request = HashRequest {
            base_layer: field("base_layer"),
            index: field("index"),
            length: field("length"),
            proof_layers: field("proof_layers"),
        };
        let hashes = digests(&entry["hashes"]);
        let answer = [hashes.clone(), digests(&entry["uncles"])].concat();
        assert_eq!(tree.answer(&request).as_ref(), Ok(&answer), "{entry}");
        let verified = request.verify(&pieces_root, tree.height(), &answer);
        if entry["reaches_root"] == true {
            assert_eq!(verified, Ok(hashes.as_slice()));
        } else {
            assert_eq!(verified, Err(ProofError::StopsShort));
        }
    }
}

#[test]
fn a_request_of_a_wrong_shape_is_refused() {
    let request = |base_layer, index, length, proof_layers| {
        HashRequest {
            base_layer,
            index,
            length,
            proof_layers,
        }
        .check(5)
    };
    assert_eq!(request(0, 0, 2, 4), Ok(()));
    for length in [0, 1, 3, MAX_REQUEST_LENGTH * 2, u32::MAX] {
        assert_eq!(
            request(0, 0, length, 0),
            Err(ProofError::BadLength { length })
        );
    }
    assert_eq!(
        request(0, 2, 4, 0),
        Err(ProofError::Unaligned {
            index: 2,
            length: 4
        })
    );
    for (base_layer, index, length, proof_layers) in [
        (0, 32, 2, 0),
        (4, 0, 4, 0),
        (5, 0, 2, 0),
        (u32::MAX, 0, 2, 0),
        (0, 0, 2, 5),
        (0, 0, 2, u32::MAX),
    ] {
        let outside = Err(ProofError::OutsideTree { height: 5 });
        assert_eq!(request(base_layer, index, length, proof_layers), outside);
    }
}

#[test]
fn the_numbers_of_a_stranger_are_counted_without_overflow() {
    let request = HashRequest {
        base_layer: u32::MAX,
        index: u32::MAX,
        length: u32::MAX,
        proof_layers: u32::MAX,
    };
    assert_eq!(request.uncle_count(), u32::MAX - 31);
    let with_proof = HashRequest::with_whole_proof(u32::MAX, 0, u32::MAX, u32::MAX);
    assert_eq!(with_proof.proof_layers, 0);
}

#[test]
fn hashes_behind_the_end_of_a_file_are_padding() {
    let size = 5 << 14;
    let tree = Tree::new(leaves(&[&content("ramp251", size)]), 0, size);
    for base_layer in 0..3 {
        let length = 8 >> base_layer;
        let request = HashRequest::with_whole_proof(base_layer, 0, length, tree.height());
        let answer = tree.answer(&request).unwrap();
        let padding = match base_layer {
            0 => 3,
            1 => 1,
            _ => 0,
        };
        let padded = &answer[answer.len() - padding..];
        assert!(padded.iter().all(|hash| *hash == padding_hash(base_layer)));
    }
}

#[test]
fn an_answer_with_too_few_or_too_many_hashes_is_refused() {
    let tree = Tree::new(leaves(&[&content("ramp251", 100_000)]), 0, 100_000);
    let request = HashRequest::with_whole_proof(0, 2, 2, tree.height());
    let mut answer = tree.answer(&request).unwrap();
    answer.pop();
    assert!(matches!(
        request.verify(&tree.root(), 3, &answer),
        Err(ProofError::WrongCount { .. })
    ));
}

#[test]
fn layers_below_the_one_that_is_known_are_not_answered() {
    let size = 1 << 20;
    let layer = piece_hashes(&content("ramp251", size), 65_536);
    let tree = Tree::new(layer, 2, size);
    let request = |base_layer| HashRequest::with_whole_proof(base_layer, 0, 2, tree.height());
    assert!(tree.answer(&request(2)).is_ok());
    assert!(matches!(
        tree.answer(&request(1)),
        Err(ProofError::OutsideTree { .. })
    ));
}

/// The definition, slowly: fill up with zeros, then hash pairs.
fn naive_root(leaves: &[Sha256Digest]) -> Sha256Digest {
    let mut layer = leaves.to_vec();
    layer.resize(leaves.len().next_power_of_two(), Sha256Digest::default());
    while layer.len() > 1 {
        layer = layer
            .chunks(2)
            .map(|pair| parent(&pair[0], &pair[1]))
            .collect();
    }
    layer[0]
}

proptest! {
    #[test]
    fn the_root_is_that_of_the_definition(leaves in proptest::collection::vec(any::<[u8; 32]>(), 1..70)) {
        let leaves: Vec<_> = leaves.into_iter().map(Sha256Digest).collect();
        prop_assert_eq!(root(&leaves, 0), naive_root(&leaves));
    }

    #[test]
    fn whole_proofs_hold_and_changed_ones_do_not(
        count in 2..70u32,
        base in 0..3u32,
        level in 1..4u32,
        position: proptest::sample::Index,
        broken: proptest::sample::Index,
    ) {
        let layer: Vec<_> = (0..count).map(|n| sha256(&n.to_be_bytes())).collect();
        let size = u64::from(count) << (14 + base);
        let tree = Tree::new(layer, base, size);
        let length = 1 << level.min(tree.height() - base);
        let index = position.index(count.next_power_of_two() as usize / length as usize) as u32 * length;
        let request = HashRequest::with_whole_proof(base, index, length, tree.height());
        let mut answer = tree.answer(&request).unwrap();
        prop_assert_eq!(request.verify(&tree.root(), tree.height(), &answer), Ok(&answer[..length as usize]));
        let broken = broken.index(answer.len());
        answer[broken].0[0] ^= 1;
        prop_assert_eq!(request.verify(&tree.root(), tree.height(), &answer), Err(ProofError::WrongRoot));
    }

    #[test]
    fn leaves_do_not_depend_on_how_data_is_sliced(
        length in 1..70_000usize,
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
    ) {
        let data = content("ramp253", length as u64);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(length)).collect();
        cuts.sort_unstable();
        let mut slices = Vec::new();
        let mut start = 0;
        for cut in cuts {
            slices.push(&data[start..cut]);
            start = cut;
        }
        slices.push(&data[start..]);
        prop_assert_eq!(leaves(&slices), leaves(&[&data]));
    }
}
