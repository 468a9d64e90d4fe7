//! Pieces that are hashed without having them in memory: very long ones, and those of zeros.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rarest_hash::{Sha1, Sha256Digest};
use rarest_metainfo::{PieceHash, merkle};

/// Zeros are hashed in steps of this size.
const STEP: usize = 1024 * 1024;

/// A piece that arrives in steps, each a multiple of 16 KiB but the last.
pub(super) struct PieceHasher {
    expected: PieceHash,
    v1: Option<Sha1>,
    leaves: Vec<Sha256Digest>,
    /// Bytes that still belong to the v2 hash.
    v2_left: usize,
}

impl PieceHasher {
    pub(super) fn new(expected: PieceHash) -> Self {
        Self {
            expected,
            v1: expected.v1.map(|_| Sha1::new()),
            leaves: Vec::new(),
            v2_left: expected.v2.map_or(0, |v2| v2.data_length as usize),
        }
    }

    pub(super) fn update(&mut self, step: &[u8]) {
        if let Some(v1) = &mut self.v1 {
            v1.update(step);
        }
        let in_file = &step[..step.len().min(self.v2_left)];
        if !in_file.is_empty() {
            self.leaves.append(&mut merkle::leaves(&[in_file]));
            self.v2_left -= in_file.len();
        }
    }

    pub(super) fn matches(self) -> bool {
        let expected = self.expected;
        self.hash() == expected
    }

    /// The hash of what came, of the same kinds as the one that is expected.
    fn hash(self) -> PieceHash {
        PieceHash {
            v1: self.v1.map(Sha1::finish),
            v2: self.expected.v2.map(|mut v2| {
                // More leaves than the tree has room for cannot be right, whatever they hash to.
                let fits = self.leaves.len() <= 1 << v2.height.min(merkle::MAX_HEIGHT);
                v2.root = match fits && self.v2_left == 0 {
                    true => merkle::subtree_root(&self.leaves, 0, v2.height),
                    false => Sha256Digest::default(),
                };
                v2
            }),
        }
    }
}

/// Hashes of pieces of zeros, each computed once: files that were created but never filled have very many of them.
#[derive(Default)]
pub(super) struct ZeroPieces(Mutex<HashMap<Shape, PieceHash>>);

/// Pieces of zeros of one shape have one hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    length: usize,
    has_v1: bool,
    /// Height and length of data.
    v2: Option<(u32, u32)>,
}

/// Pieces of zeros whose hash is remembered. Few torrents have more than two shapes; in a v2 torrent the last piece
/// of each file may have its own.
const MAX_SHAPES: usize = 64;

impl ZeroPieces {
    /// Whether `length` zeros are what a piece should be.
    pub(super) fn are(&self, length: usize, expected: &PieceHash) -> bool {
        let shape = Shape {
            length,
            has_v1: expected.v1.is_some(),
            v2: expected.v2.map(|v2| (v2.height, v2.data_length)),
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = known.get(&shape) {
            return hash == expected;
        }
        let hash = hash_of_zeros(length, expected);
        if known.len() < MAX_SHAPES {
            known.insert(shape, hash);
        }
        hash == *expected
    }
}

fn hash_of_zeros(length: usize, expected: &PieceHash) -> PieceHash {
    let zeros = vec![0; STEP.min(length)];
    let mut hasher = PieceHasher::new(*expected);
    let mut left = length;
    while left > 0 {
        let step = &zeros[..left.min(STEP)];
        hasher.update(step);
        left -= step.len();
    }
    hasher.hash()
}

#[cfg(test)]
mod tests {
    use rarest_hash::sha1;
    use rarest_metainfo::SubtreeHash;

    use super::*;

    fn hash_of(data: &[u8]) -> PieceHash {
        let leaves = merkle::leaves(&[data]);
        let height = merkle::height(data.len() as u64);
        PieceHash {
            v1: Some(sha1(data)),
            v2: Some(SubtreeHash {
                root: merkle::subtree_root(&leaves, 0, height),
                height,
                data_length: u32::try_from(data.len()).unwrap(),
            }),
        }
    }

    #[test]
    fn a_piece_in_steps_has_the_hash_of_the_whole() {
        let data: Vec<u8> = (0..100_000u32)
            .map(|index| index.to_le_bytes()[1])
            .collect();
        let hash = hash_of(&data);
        let mut hasher = PieceHasher::new(hash);
        data.chunks(32 * 1024).for_each(|step| hasher.update(step));
        assert!(hasher.matches());

        let mut hasher = PieceHasher::new(hash);
        data[..99_999]
            .chunks(32 * 1024)
            .for_each(|step| hasher.update(step));
        assert!(!hasher.matches());
    }

    #[test]
    fn zeros_are_known_without_reading_them() {
        let zeros = ZeroPieces::default();
        let length = 3 * 1024 * 1024;
        let hash = hash_of(&vec![0; length]);
        assert!(zeros.are(length, &hash));
        assert!(zeros.are(length, &hash), "the second time from memory");
        assert!(!zeros.are(length, &hash_of(&vec![1; length])));
        assert!(!zeros.are(length - 1, &hash));
    }
}
