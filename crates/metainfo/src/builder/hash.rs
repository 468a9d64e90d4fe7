//! The hashes of pieces of a torrent to be, many side by side.

use rarest_hash::{Slices, sha1_many};

use super::PieceDigests;
use super::plan::PieceData;
use crate::Version;
use crate::piece_hash::{Subtree, subtree_roots};

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
