//! What a piece must hash to, and the check of many pieces side by side.

use crate::Version;
use rarest_hash::{Sha1Digest, Sha256Digest, Slices, sha1_many, sha256_many};

use crate::merkle;

/// The v2 part of a piece's hash: the root of its subtree in the file's merkle tree (BEP 52).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubtreeHash {
    /// Root of the subtree.
    pub root: Sha256Digest,
    /// Height of the subtree, in leaves of 16 KiB: that of a piece, or of the whole tree of a file that has no more than one.
    pub height: u32,
    /// Bytes of the file in the piece. What follows in a hybrid torrent is padding, which is in no v2 hash.
    pub data_length: u32,
}

/// What the bytes of a piece must hash to. A hybrid torrent has both hashes, and both must fit.
///
/// At least one of the two is present in every value that this crate makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PieceHash {
    /// SHA-1 of the whole piece, padding included (BEP 3).
    pub v1: Option<Sha1Digest>,
    /// Root of the piece's merkle tree (BEP 52).
    pub v2: Option<SubtreeHash>,
}

impl PieceHash {
    /// Whether `data`, the whole piece in one or several slices, is what it should be.
    ///
    /// To check several pieces, [`verify_pieces`] is faster.
    #[must_use]
    pub fn matches(&self, data: Slices<'_>) -> bool {
        verify_pieces(&[(*self, data)])[0]
    }
}

/// How many pieces of a torrent of that format are hashed sooner together than one by one on this machine; 1 when it makes no difference.
///
/// Whoever can choose gathers as many, if memory allows, before it calls [`verify_pieces`]. The leaves of a single v2 piece are many already
/// ([BEP 52](https://www.bittorrent.org/beps/bep_0052.html)).
#[must_use]
pub fn pieces_side_by_side(version: Version) -> usize {
    match version {
        Version::V2 => 1,
        Version::V1 | Version::Hybrid => rarest_hash::sha1_lanes(),
    }
}

/// Whether each piece is what it should be; all are hashed side by side.
///
/// A piece is given whole, in one or several slices, padding included.
#[must_use]
pub fn verify_pieces(pieces: &[(PieceHash, Slices<'_>)]) -> Vec<bool> {
    let mut good: Vec<bool> = pieces
        .iter()
        .map(|(hash, _)| hash.v1.is_some() || hash.v2.is_some())
        .collect();
    verify_v1(pieces, &mut good);
    verify_v2(pieces, &mut good);
    good
}

fn verify_v1(pieces: &[(PieceHash, Slices<'_>)], good: &mut [bool]) {
    let (messages, expected): (Vec<Slices<'_>>, Vec<(usize, Sha1Digest)>) = pieces
        .iter()
        .enumerate()
        .filter_map(|(index, (hash, data))| Some((*data, (index, hash.v1?))))
        .unzip();
    for ((index, expected), actual) in expected.into_iter().zip(sha1_many(&messages)) {
        good[index] &= actual == expected;
    }
}

fn verify_v2(pieces: &[(PieceHash, Slices<'_>)], good: &mut [bool]) {
    let mut subtrees = Vec::new();
    let mut expected = Vec::new();
    for (index, (hash, data)) in pieces.iter().enumerate() {
        let Some(SubtreeHash {
            root,
            height,
            data_length,
        }) = hash.v2
        else {
            continue;
        };
        let data = first_bytes(data, data_length as usize);
        let subtree = Subtree { data, height };
        if subtree.length() == data_length as usize && subtree.has_room() {
            subtrees.push(subtree);
            expected.push((index, root));
        } else {
            good[index] = false;
        }
    }
    for ((index, expected), actual) in expected.into_iter().zip(subtree_roots(&subtrees)) {
        good[index] &= actual == expected;
    }
}

/// Bytes of a file under one hash of its merkle tree.
pub(crate) struct Subtree<'data> {
    pub(crate) data: Vec<&'data [u8]>,
    pub(crate) height: u32,
}

impl Subtree<'_> {
    fn length(&self) -> usize {
        self.data.iter().map(|slice| slice.len()).sum()
    }

    /// Whether a subtree of that height has as many leaves.
    fn has_room(&self) -> bool {
        let leaf_count = self.length().div_ceil(merkle::LEAF_LENGTH as usize);
        leaf_count <= 1 << self.height.min(merkle::MAX_HEIGHT)
    }
}

/// The roots of subtrees, whose leaves are all hashed side by side.
///
/// # Panics
/// When a subtree has no room for its data.
pub(crate) fn subtree_roots(subtrees: &[Subtree<'_>]) -> Vec<Sha256Digest> {
    let mut leaves = Vec::new();
    let ends: Vec<usize> = subtrees
        .iter()
        .map(|subtree| {
            merkle::cut_leaves(&subtree.data, &mut leaves);
            leaves.len()
        })
        .collect();
    let messages: Vec<Slices<'_>> = leaves.iter().map(Vec::as_slice).collect();
    let hashes = sha256_many(&messages);
    let mut start = 0;
    subtrees
        .iter()
        .zip(ends)
        .map(|(subtree, end)| {
            let leaves = &hashes[start..end];
            start = end;
            merkle::subtree_root(leaves, 0, subtree.height)
        })
        .collect()
}

/// The first `length` bytes of neighbouring slices.
fn first_bytes<'a>(data: &[&'a [u8]], length: usize) -> Vec<&'a [u8]> {
    let mut left = length;
    data.iter()
        .map(|slice| {
            let head = &slice[..left.min(slice.len())];
            left -= head.len();
            head
        })
        .collect()
}
