//! The merkle trees of v2 files: roots, layers and proofs.
//!
//! A file is cut into leaves of 16 KiB, each hashed with SHA-256; the last may be shorter. The leaves are filled up with
//! hashes of 32 zero bytes to a power of two, and pairs are hashed upward to one root. *Height* counts from the leaves,
//! which are at height 0. The *piece layer* is the layer in which one hash covers one piece.
//!
//! Source: [BEP 52](https://www.bittorrent.org/beps/bep_0052.html).

use std::mem;

use rarest_hash::{Sha256Digest, Slices, sha256_many};

use crate::BLOCK_LENGTH;

/// Bytes of a file that one leaf covers: 16 KiB.
pub const LEAF_LENGTH: u32 = BLOCK_LENGTH;

/// Greatest height of a tree: 2^28 leaves of 16 KiB are 2^42 bytes, and two more heights reach
/// [`MAX_FILE_LENGTH`](crate::MAX_FILE_LENGTH).
pub const MAX_HEIGHT: u32 = 30;

/// Most hashes in one request (256 KiB of answer). BEP 52 asks for no more than 512; clients accept up to this.
pub const MAX_REQUEST_LENGTH: u32 = 8192;

/// Number of leaves that hold bytes of a file of `length` bytes.
#[must_use]
pub fn leaf_count(length: u64) -> u64 {
    length.div_ceil(LEAF_LENGTH.into())
}

/// Height of the tree of a file of `length` bytes; 0 for a file of one leaf.
#[must_use]
pub fn height(length: u64) -> u32 {
    leaf_count(length).max(1).next_power_of_two().ilog2()
}

/// The root of an empty subtree of that height: what stands where a file has no more bytes.
#[must_use]
pub fn padding_hash(height: u32) -> Sha256Digest {
    (0..height).fold(Sha256Digest::default(), |below, _| parent(&below, &below))
}

/// The hash above two hashes.
#[must_use]
pub fn parent(left: &Sha256Digest, right: &Sha256Digest) -> Sha256Digest {
    sha256_many(&[&[left.as_ref(), right.as_ref()]])[0]
}

/// The root of a subtree: `layer` are its hashes at `layer_height`, filled up with padding to a subtree of `root_height`.
///
/// With no hashes it is the padding itself.
///
/// # Panics
/// When `layer` holds more hashes than such a subtree has.
#[must_use]
pub fn subtree_root(layer: &[Sha256Digest], layer_height: u32, root_height: u32) -> Sha256Digest {
    let width = 1usize
        .checked_shl(root_height.saturating_sub(layer_height))
        .unwrap_or(usize::MAX);
    assert!(layer.len() <= width, "a subtree has at most its width");
    let mut padding = padding_hash(layer_height);
    let mut hashes = layer.to_vec();
    for _ in layer_height..root_height {
        hashes = layer_above(&hashes, &padding);
        padding = parent(&padding, &padding);
    }
    hashes.first().copied().unwrap_or(padding)
}

/// The root of a whole tree whose hashes at `layer_height` are `layer`, filled up to the next power of two.
#[must_use]
pub fn root(layer: &[Sha256Digest], layer_height: u32) -> Sha256Digest {
    let levels = layer.len().max(1).next_power_of_two().ilog2();
    subtree_root(layer, layer_height, layer_height + levels)
}

/// The leaves of file data: one hash for each 16 KiB and one for what is left.
///
/// `data` is what one or several neighbouring slices hold together; all leaves are hashed side by side.
#[must_use]
pub fn leaves(data: Slices<'_>) -> Vec<Sha256Digest> {
    let mut cut = Vec::new();
    cut_leaves(data, &mut cut);
    let messages: Vec<Slices<'_>> = cut.iter().map(Vec::as_slice).collect();
    sha256_many(&messages)
}

/// Cuts neighbouring slices into leaves and appends them, each as the slices it lies in.
pub(crate) fn cut_leaves<'a>(data: &[&'a [u8]], leaves: &mut Vec<Vec<&'a [u8]>>) {
    let mut room = 0;
    for &slice in data {
        let mut rest = slice;
        while !rest.is_empty() {
            if room == 0 {
                leaves.push(Vec::with_capacity(1));
                room = LEAF_LENGTH as usize;
            }
            let (head, tail) = rest.split_at(room.min(rest.len()));
            leaves.last_mut().expect("pushed above").push(head);
            room -= head.len();
            rest = tail;
        }
    }
}

/// One layer up; an odd last hash is paired with `padding`.
fn layer_above(layer: &[Sha256Digest], padding: &Sha256Digest) -> Vec<Sha256Digest> {
    let pairs: Vec<[&[u8]; 2]> = layer
        .chunks(2)
        .map(|pair| [pair[0].as_ref(), pair.get(1).unwrap_or(padding).as_ref()])
        .collect();
    let messages: Vec<Slices<'_>> = pairs.iter().map(<[_; 2]>::as_slice).collect();
    sha256_many(&messages)
}

/// Hashes of one tree that a peer asks for, with the proof that leads toward the root.
///
/// The fields are those of the `hash request` message of BEP 52.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashRequest {
    /// Height of the hashes that are asked for.
    pub base_layer: u32,
    /// Position of the first in its layer; a multiple of `length`.
    pub index: u32,
    /// Number of hashes; a power of two, at least 2.
    pub length: u32,
    /// Number of layers above the base layer of which the uncle is wanted. Layers inside the subtree that
    /// the hashes span have none, so up to `log2(length) - 1` of them add nothing.
    pub proof_layers: u32,
}

/// Why a [`HashRequest`] or an answer to one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// `length` is no power of two, below 2 or above [`MAX_REQUEST_LENGTH`].
    #[error(
        "{length} hashes cannot be asked for: a power of two from 2 to {MAX_REQUEST_LENGTH} can"
    )]
    BadLength {
        /// The length that was asked for.
        length: u32,
    },
    /// The range begins at no multiple of its length.
    #[error("a range of {length} hashes cannot begin at {index}")]
    Unaligned {
        /// Where it begins.
        index: u32,
        /// Its length.
        length: u32,
    },
    /// The tree has no such layer or hashes, or the proof would go beyond the root.
    #[error("the request leaves the tree, whose height is {height}")]
    OutsideTree {
        /// Height of the tree.
        height: u32,
    },
    /// The answer has another number of hashes than the request asks for.
    #[error("the answer holds {actual} hashes, {expected} were asked for")]
    WrongCount {
        /// Number of hashes in the answer.
        actual: usize,
        /// Number of hashes and uncles that belong there.
        expected: usize,
    },
    /// The proof ends below the root, so it proves nothing.
    #[error("the proof does not reach the root")]
    StopsShort,
    /// The hashes lead to another root.
    #[error("the hashes lead to another root")]
    WrongRoot,
}

impl HashRequest {
    /// The request for `length` hashes from `index` in `base_layer` that proves them up to the root of a tree of `height`.
    #[must_use]
    pub fn with_whole_proof(base_layer: u32, index: u32, length: u32, height: u32) -> Self {
        let spans_all = base_layer.saturating_add(length.max(1).ilog2()) >= height;
        Self {
            base_layer,
            index,
            length,
            proof_layers: if spans_all {
                0
            } else {
                height - base_layer - 1
            },
        }
    }

    /// Height of the root of the subtree that the hashes span.
    fn subtree_height(&self) -> u32 {
        self.base_layer + self.length.ilog2()
    }

    /// Number of uncles in the answer.
    ///
    /// Proof layers count from the base layer upward; those inside the subtree are left out.
    #[must_use]
    pub fn uncle_count(&self) -> u32 {
        self.proof_layers
            .saturating_add(1)
            .saturating_sub(self.length.max(1).ilog2())
            .min(self.proof_layers)
    }

    /// Whether a tree of `height` has these hashes.
    ///
    /// # Errors
    /// [`ProofError`] when it has not, or the range has a shape that BEP 52 forbids.
    pub fn check(&self, height: u32) -> Result<(), ProofError> {
        let Self {
            base_layer,
            index,
            length,
            proof_layers,
        } = *self;
        if length < 2 || !length.is_power_of_two() || length > MAX_REQUEST_LENGTH {
            return Err(ProofError::BadLength { length });
        }
        if !index.is_multiple_of(length) {
            return Err(ProofError::Unaligned { index, length });
        }
        let inside = base_layer < height
            && height <= MAX_HEIGHT
            && u64::from(index) + u64::from(length) <= 1 << (height - base_layer)
            && proof_layers < height - base_layer;
        if inside {
            Ok(())
        } else {
            Err(ProofError::OutsideTree { height })
        }
    }

    /// Checks an answer against the root of a tree of `height`; gives back the hashes that were asked for, without the uncles.
    ///
    /// # Errors
    /// [`ProofError`] when the request does not fit the tree, the proof is incomplete or leads to another root.
    pub fn verify<'a>(
        &self,
        root: &Sha256Digest,
        height: u32,
        answer: &'a [Sha256Digest],
    ) -> Result<&'a [Sha256Digest], ProofError> {
        self.check(height)?;
        let expected = self.length as usize + self.uncle_count() as usize;
        if answer.len() != expected {
            return Err(ProofError::WrongCount {
                actual: answer.len(),
                expected,
            });
        }
        if self.subtree_height() + self.uncle_count() != height {
            return Err(ProofError::StopsShort);
        }
        let (hashes, uncles) = answer.split_at(self.length as usize);
        let mut position = self.index >> self.length.ilog2();
        let mut reached = subtree_root(hashes, self.base_layer, self.subtree_height());
        for uncle in uncles {
            reached = if position.is_multiple_of(2) {
                parent(&reached, uncle)
            } else {
                parent(uncle, &reached)
            };
            position /= 2;
        }
        if reached == *root {
            Ok(hashes)
        } else {
            Err(ProofError::WrongRoot)
        }
    }
}

/// The upper part of a tree, from one layer to the root, to answer hash requests from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    base_height: u32,
    height: u32,
    /// From the base layer to the root.
    layers: Vec<Layer>,
}

/// One layer of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layer {
    /// The hashes above bytes of the file.
    hashes: Vec<Sha256Digest>,
    /// The hash of all others. Kept, since a peer may ask for thousands of them at once.
    padding: Sha256Digest,
}

impl Tree {
    /// The tree of a file of `file_length` bytes over its hashes at `base_height`.
    ///
    /// `layer` holds one hash for each subtree that has bytes of the file, as a piece layer does.
    #[must_use]
    pub fn new(layer: Vec<Sha256Digest>, base_height: u32, file_length: u64) -> Self {
        let mut layers = Vec::new();
        let mut top = Layer {
            hashes: layer,
            padding: padding_hash(base_height),
        };
        let height = height(file_length).max(base_height);
        for _ in base_height..height {
            let above = Layer {
                hashes: layer_above(&top.hashes, &top.padding),
                padding: parent(&top.padding, &top.padding),
            };
            layers.push(mem::replace(&mut top, above));
        }
        layers.push(top);
        Self {
            base_height,
            height,
            layers,
        }
    }

    /// Height of the root.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Sha256Digest {
        self.hash(self.height(), 0)
    }

    /// One hash of the tree: that of a subtree of `height`, counted from the beginning of the file.
    ///
    /// `None` when the tree has no such layer or hash, or it lies below the lowest one that is known.
    #[must_use]
    pub fn node(&self, height: u32, index: usize) -> Option<Sha256Digest> {
        let is_there = (self.base_height..=self.height).contains(&height)
            && index >> (self.height - height) == 0;
        is_there.then(|| self.hash(height, index))
    }

    fn hash(&self, height: u32, index: usize) -> Sha256Digest {
        let Layer { hashes, padding } = &self.layers[(height - self.base_height) as usize];
        *hashes.get(index).unwrap_or(padding)
    }

    /// The answer to a request: the hashes, then the uncles from the lowest to the highest.
    ///
    /// # Errors
    /// [`ProofError`] when the request does not fit the tree or asks for a layer below the lowest one that is known.
    pub fn answer(&self, request: &HashRequest) -> Result<Vec<Sha256Digest>, ProofError> {
        let height = self.height();
        request.check(height)?;
        if request.base_layer < self.base_height {
            return Err(ProofError::OutsideTree { height });
        }
        let first = request.index as usize;
        let mut answer: Vec<_> = (first..first + request.length as usize)
            .map(|index| self.hash(request.base_layer, index))
            .collect();
        let mut position = first >> request.length.ilog2();
        for level in (request.subtree_height()..).take(request.uncle_count() as usize) {
            answer.push(self.hash(level, position ^ 1));
            position /= 2;
        }
        Ok(answer)
    }
}
