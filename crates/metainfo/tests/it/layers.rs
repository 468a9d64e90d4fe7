//! Piece layers that come in ranges, and the leaves of single pieces.

use rarest_hash::Sha256Digest;
use rarest_metainfo::merkle::{self, ProofError, Tree};
use rarest_metainfo::{Builder, Metainfo, PartialLayer, Version};

const PIECE: usize = 32 * 1024;

/// A file of 1,100 pieces, the last of which is short: three ranges, of which the last ends in padding.
fn data() -> Vec<u8> {
    let length = 1100 * PIECE - 20_000;
    let mut data = vec![0; length];
    for (number, piece) in data.chunks_mut(PIECE).enumerate() {
        piece[..8].copy_from_slice(&number.to_be_bytes());
    }
    data
}

fn torrent(version: Version, data: &[u8]) -> Metainfo {
    let builder = Builder::new(version).piece_length(PIECE.try_into().unwrap());
    builder.build_from_bytes("file", data).unwrap()
}

fn without_layers(whole: &Metainfo) -> Metainfo {
    let raw = whole.info().raw().clone();
    Metainfo::from_info(raw, &whole.magnet()).unwrap()
}

fn answer(whole: &Metainfo, layer: &PartialLayer, range: u32) -> Vec<Sha256Digest> {
    let tree = whole.hash_tree(&layer.pieces_root()).unwrap();
    tree.answer(&layer.request(range).unwrap()).unwrap()
}

#[test]
fn a_layer_that_comes_in_ranges_is_proven_range_by_range() {
    let whole = torrent(Version::V2, &data());
    let mut bare = without_layers(&whole);
    let mut layer = bare.missing_layers().next().unwrap();
    assert_eq!(layer.range_count(), 3);
    assert_eq!(layer.request(3), None);
    for range in [2, 0, 1] {
        assert!(layer.proven().is_none());
        let right = answer(&whole, &layer, range);
        for place in [0, 511, right.len() - 1] {
            let mut wrong = right.clone();
            wrong[place].0[31] ^= 1;
            assert_eq!(layer.add(range, &wrong), Err(ProofError::WrongRoot));
        }
        let other = (range + 1) % 3;
        assert_eq!(layer.add(other, &right), Err(ProofError::WrongRoot));
        assert!(!layer.is_known(range));
        let cut = layer.add(range, &right[1..]);
        assert!(matches!(cut, Err(ProofError::WrongCount { .. })));
        layer.add(range, &right).unwrap();
        assert!(layer.is_known(range));
    }
    let proven = layer.proven().unwrap();
    assert_eq!(proven.hashes().len(), 1100 * 32);
    bare.add_proven_layer(&proven).unwrap();
    assert_eq!(bare.to_bytes(), whole.to_bytes());
    bare.add_proven_layer(&proven).unwrap();
}

#[test]
fn a_layer_of_another_torrent_is_not_taken() {
    let whole = torrent(Version::V2, &data()[..5 * PIECE]);
    let mut layer = without_layers(&whole).missing_layers().next().unwrap();
    assert_eq!(layer.range_count(), 1);
    let right = answer(&whole, &layer, 0);
    layer.add(0, &right).unwrap();
    let proven = layer.proven().unwrap();
    let mut other = without_layers(&torrent(Version::V2, &data()[..6 * PIECE]));
    assert!(other.add_proven_layer(&proven).is_err());
    let finer = Builder::new(Version::V2).piece_length(16 * 1024);
    let finer = finer.build_from_bytes("file", &data()[..5 * PIECE]);
    let finer = finer.unwrap();
    assert!(without_layers(&finer).add_proven_layer(&proven).is_err());
}

#[test]
fn the_leaves_of_a_piece_tell_right_blocks_from_wrong_ones() {
    let data = &data()[1090 * PIECE..];
    for version in [Version::V2, Version::Hybrid] {
        let whole = torrent(version, data);
        let tree = Tree::new(merkle::leaves(&[data]), 0, data.len() as u64);
        let geometry = whole.info().geometry();
        for (piece, bytes) in geometry.pieces().zip(data.chunks(PIECE)) {
            let of_piece = whole.piece_leaves(piece).unwrap();
            assert_eq!(of_piece.pieces_root(), tree.root());
            let leaves = tree.answer(&of_piece.request()).unwrap();
            of_piece.verify(&leaves).unwrap();
            let mut wrong = leaves.clone();
            wrong[1].0[0] ^= 1;
            assert_eq!(of_piece.verify(&wrong), Err(ProofError::WrongRoot));
            let short = of_piece.verify(&leaves[..1]);
            assert!(matches!(short, Err(ProofError::WrongCount { .. })));
            for ((number, block), leaf) in (0..).zip(bytes.chunks(16 * 1024)).zip(&leaves) {
                assert!(of_piece.block_matches(number, block, leaf));
                let mut lie = block.to_vec();
                lie[block.len() - 1] ^= 1;
                assert!(!of_piece.block_matches(number, &lie, leaf));
                if bytes.len() < PIECE {
                    // What follows the end of the file in a hybrid is padding.
                    let padded = [block, &[0; 100]].concat();
                    assert!(of_piece.block_matches(number, &padded, leaf));
                }
            }
        }
    }
}

#[test]
fn a_piece_of_one_block_has_no_leaves_to_ask_for() {
    for (version, length) in [(Version::V2, 10_000), (Version::V1, 3 * PIECE)] {
        let whole = torrent(version, &data()[..length]);
        let piece = whole.info().geometry().piece(0).unwrap();
        assert!(whole.piece_leaves(piece).is_none());
    }
}
