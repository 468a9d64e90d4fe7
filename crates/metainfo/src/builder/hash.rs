//! The hashes of pieces of a torrent to be, many side by side.

use rarest_hash::{Slices, sha1_many};

use super::PieceDigests;
use super::plan::PieceData;
use crate::Version;
use crate::piece_hash::{Subtree, pieces_side_by_side, subtree_roots};

/// Most pieces that are read to be hashed side by side. Sixteen would be hashed by a quarter to a third faster than eight, and each thread holds them.
const MAX_SIDE_BY_SIDE: usize = 8;

/// Pieces that are worth being read together.
pub(super) fn side_by_side(version: Version) -> usize {
    pieces_side_by_side(version).min(MAX_SIDE_BY_SIDE)
}

/// The hashes that the format needs; the others are left zero.
pub(super) fn hash_pieces(pieces: &[PieceData], version: Version) -> Vec<PieceDigests> {
    let mut digests = vec![PieceDigests::default(); pieces.len()];
    if version != Version::V2 {
        let slices: Vec<[&[u8]; 1]> = pieces
            .iter()
            .map(|piece| [piece.bytes.as_slice()])
            .collect();
        let messages: Vec<Slices<'_>> = slices.iter().map(<[_; 1]>::as_slice).collect();
        for (digests, v1) in digests.iter_mut().zip(sha1_many(&messages)) {
            digests.v1 = v1;
        }
    }
    if version != Version::V1 {
        let subtrees: Vec<_> = pieces
            .iter()
            .map(|piece| Subtree {
                data: vec![&piece.bytes[..piece.data_length]],
                height: piece.height,
            })
            .collect();
        for (digests, v2) in digests.iter_mut().zip(subtree_roots(&subtrees)) {
            digests.v2 = v2;
        }
    }
    digests
}
