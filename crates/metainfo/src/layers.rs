//! The piece layers of v2 and hybrid torrents: for each file of more than one piece, one hash a piece (BEP 52).

use std::collections::BTreeMap;

use bytes::Bytes;
use rarest_bencode::ValueRef;
use rarest_hash::Sha256Digest;

use crate::error::PieceLayerError;
use crate::merkle::{self, Tree};
use crate::{Info, MetainfoError, PartialLayer, ProvenLayer};

/// The layers that are known, each checked against its root, and those that are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PieceLayers {
    /// By the root of the file's tree. Files of the same content share one.
    known: BTreeMap<Sha256Digest, Bytes>,
    /// By the root of the file's tree: how many hashes the layer has.
    missing: BTreeMap<Sha256Digest, u64>,
}

impl PieceLayers {
    /// No layers, of which all that the files need are missing.
    pub(crate) fn none(info: &Info) -> Self {
        let piece_length = u64::from(info.geometry().nominal_piece_length());
        let mut missing = BTreeMap::new();
        for file in info.files().filter(|file| file.length() > piece_length) {
            let Some(root) = file.pieces_root() else {
                continue;
            };
            // No tree has two lengths: of files that say so, the layer of the longer one is asked for, and never found.
            let piece_count = missing.entry(root).or_default();
            *piece_count = file.length().div_ceil(piece_length).max(*piece_count);
        }
        Self {
            known: BTreeMap::new(),
            missing,
        }
    }

    /// Reads `piece layers`, which stands in `source`.
    pub(crate) fn read(
        source: &Bytes,
        value: ValueRef<'_, '_>,
        info: &Info,
    ) -> Result<Self, MetainfoError> {
        let wrong = || MetainfoError::Invalid {
            key: "piece layers",
            expected: "a dictionary of strings by roots",
        };
        let mut layers = Self::none(info);
        for (root, layer) in value.as_dict().ok_or_else(wrong)? {
            let root = Sha256Digest(root.try_into().map_err(|_| wrong())?);
            let layer = source.slice(layer.content_range().ok_or_else(wrong)?);
            match layers.add(root, layer.clone(), info) {
                // The root of a file of one piece is its layer, so that some creators write it.
                Err(PieceLayerError::UnknownRoot { .. }) if layer[..] == root.0 => {}
                added => added?,
            }
        }
        Ok(layers)
    }

    /// The layer of the tree with that root.
    pub(crate) fn get(&self, root: &Sha256Digest) -> Option<&Bytes> {
        self.known.get(root)
    }

    /// Number of layers that are missing.
    pub(crate) fn missing_count(&self) -> u32 {
        u32::try_from(self.missing.len()).expect("not more than files")
    }

    pub(crate) fn add(
        &mut self,
        root: Sha256Digest,
        layer: Bytes,
        info: &Info,
    ) -> Result<(), PieceLayerError> {
        if let Some(known) = self.known.get(&root) {
            let is_same = *known == layer;
            return is_same
                .then_some(())
                .ok_or(PieceLayerError::WrongRoot { root });
        }
        let &piece_count = self
            .missing
            .get(&root)
            .ok_or(PieceLayerError::UnknownRoot { root })?;
        check_layer(root, &layer, piece_count, info)?;
        self.missing.remove(&root);
        self.known.insert(root, layer);
        Ok(())
    }

    /// Adds a layer that was proven range by range.
    pub(crate) fn add_proven(
        &mut self,
        layer: &ProvenLayer,
        info: &Info,
    ) -> Result<(), PieceLayerError> {
        let root = layer.pieces_root;
        let is_of_info = layer.piece_height == piece_height(info)
            && self.missing.get(&root).is_some_and(|&piece_count| {
                layer.hashes.len() as u64 == piece_count * Sha256Digest::LENGTH as u64
            });
        if !is_of_info {
            // Known already, or the layer of another torrent.
            return self.add(root, layer.hashes.clone(), info);
        }
        self.missing.remove(&root);
        self.known.insert(root, layer.hashes.clone());
        Ok(())
    }

    /// What is missing, by rising root.
    pub(crate) fn missing(&self, info: &Info) -> impl Iterator<Item = PartialLayer> + '_ {
        let piece_height = piece_height(info);
        self.missing.iter().map(move |(&root, &piece_count)| {
            let piece_count = u32::try_from(piece_count).expect("not more than MAX_PIECES");
            PartialLayer::new(root, piece_height, piece_count)
        })
    }

    /// By rising root.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Sha256Digest, &Bytes)> {
        self.known.iter()
    }

    /// The tree with that root, from the piece layer up.
    pub(crate) fn tree(&self, root: &Sha256Digest, info: &Info) -> Option<Tree> {
        let layer = self.get(root)?;
        let file = info
            .files()
            .find(|file| file.pieces_root().as_ref() == Some(root))?;
        Some(Tree::new(digests(layer), piece_height(info), file.length()))
    }
}

/// Height of the piece layer.
pub(crate) fn piece_height(info: &Info) -> u32 {
    (info.geometry().nominal_piece_length() / merkle::LEAF_LENGTH)
        .max(1)
        .ilog2()
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
