//! The piece layers of v2 and hybrid torrents: for each file of more than one piece, one hash a piece (BEP 52).

use bytes::Bytes;
use rarest_bencode::ValueRef;
use rarest_hash::Sha256Digest;

use crate::error::PieceLayerError;
use crate::merkle::{self, Tree};
use crate::{Info, MetainfoError};

/// The layers that are known, each checked against its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PieceLayers {
    /// By rising root. Files of the same content share one.
    layers: Vec<(Sha256Digest, Bytes)>,
}

impl PieceLayers {
    /// Reads `piece layers`, which stands in `source`.
    pub(crate) fn read(
        source: &Bytes,
        value: ValueRef<'_, '_>,
        info: &Info,
    ) -> Result<Self, MetainfoError> {
        let wrong = MetainfoError::Invalid {
            key: "piece layers",
            expected: "a dictionary of strings by roots",
        };
        let needed = needed(info);
        let mut layers = Vec::new();
        for (root, layer) in value.as_dict().ok_or(wrong.clone())? {
            let root = Sha256Digest(root.try_into().map_err(|_| wrong.clone())?);
            let range = layer.content_range().ok_or(wrong.clone())?;
            let layer = source.slice(range);
            match find(&needed, &root) {
                Some(&(_, piece_count)) => {
                    check_layer(root, &layer, piece_count, info)?;
                    layers.push((root, layer));
                }
                // The root of a file of one piece is its layer, so that some creators write it.
                None if layer[..] == root.0 => {}
                None => return Err(PieceLayerError::UnknownRoot { root }.into()),
            }
        }
        layers.sort_unstable_by_key(|(root, _)| *root);
        layers.dedup_by_key(|(root, _)| *root);
        Ok(Self { layers })
    }

    /// The layer of the tree with that root.
    pub(crate) fn get(&self, root: &Sha256Digest) -> Option<&Bytes> {
        find(&self.layers, root).map(|(_, layer)| layer)
    }

    /// Number of files whose layer is needed and missing.
    pub(crate) fn missing_count(&self, info: &Info) -> u32 {
        let missing = files_with_layers(info)
            .filter(|(root, _)| self.get(root).is_none())
            .count();
        u32::try_from(missing).expect("not more than files")
    }

    pub(crate) fn add(
        &mut self,
        root: Sha256Digest,
        layer: Bytes,
        info: &Info,
    ) -> Result<(), PieceLayerError> {
        let needed = needed(info);
        let &(_, piece_count) =
            find(&needed, &root).ok_or(PieceLayerError::UnknownRoot { root })?;
        check_layer(root, &layer, piece_count, info)?;
        if let Err(at) = self.layers.binary_search_by_key(&root, |(root, _)| *root) {
            self.layers.insert(at, (root, layer));
        }
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Sha256Digest, &Bytes)> {
        self.layers.iter().map(|(root, layer)| (root, layer))
    }

    /// The tree with that root, from the piece layer up.
    pub(crate) fn tree(&self, root: &Sha256Digest, info: &Info) -> Option<Tree> {
        let file = info
            .files()
            .find(|file| file.pieces_root().as_ref() == Some(root))?;
        let layer = self.get(root)?;
        Some(Tree::new(digests(layer), piece_height(info), file.length()))
    }
}

fn find<'a, T>(
    sorted: &'a [(Sha256Digest, T)],
    root: &Sha256Digest,
) -> Option<&'a (Sha256Digest, T)> {
    Some(&sorted[sorted.binary_search_by_key(root, |(root, _)| *root).ok()?])
}

/// Height of the piece layer.
pub(crate) fn piece_height(info: &Info) -> u32 {
    (info.geometry().nominal_piece_length() / merkle::LEAF_LENGTH)
        .max(1)
        .ilog2()
}

/// Roots of files of more than one piece, with the number of their pieces.
fn files_with_layers(info: &Info) -> impl Iterator<Item = (Sha256Digest, u64)> + '_ {
    let piece_length = u64::from(info.geometry().nominal_piece_length());
    info.files()
        .filter(move |file| file.length() > piece_length)
        .filter_map(move |file| Some((file.pieces_root()?, file.length().div_ceil(piece_length))))
}

/// By rising root. Two files of one root and different lengths cannot both have a right layer: the shorter one is refused then.
fn needed(info: &Info) -> Vec<(Sha256Digest, u64)> {
    let mut needed: Vec<_> = files_with_layers(info).collect();
    needed.sort_unstable();
    needed.dedup();
    needed
}

fn check_layer(
    root: Sha256Digest,
    layer: &[u8],
    piece_count: u64,
    info: &Info,
) -> Result<(), PieceLayerError> {
    let expected = piece_count * Sha256Digest::LENGTH as u64;
    if layer.len() as u64 != expected {
        return Err(PieceLayerError::WrongLength {
            root,
            actual: layer.len(),
            expected,
        });
    }
    if merkle::root(&digests(layer), piece_height(info)) != root {
        return Err(PieceLayerError::WrongRoot { root });
    }
    Ok(())
}

/// A layer as digests.
fn digests(layer: &[u8]) -> Vec<Sha256Digest> {
    layer
        .chunks_exact(Sha256Digest::LENGTH)
        .map(|digest| Sha256Digest(digest.try_into().expect("chunks of that length")))
        .collect()
}
