//! Which pieces somebody has: one bit a piece, in the order of the wire.

use std::fmt;

use crate::{Geometry, PieceIndex};

/// A set of pieces: bit 7 of byte 0 is piece 0, as in the `bitfield` message.
///
/// Source: [BEP 3](https://www.bittorrent.org/beps/bep_0003.html), "peer messages".
#[derive(Clone, PartialEq, Eq)]
pub struct Bitfield {
    bytes: Box<[u8]>,
    piece_count: u32,
    ones: u32,
}

/// Why bytes are no bitfield of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BitfieldError {
    /// The number of bytes does not fit the number of pieces.
    #[error(
        "a bitfield of {actual} bytes cannot be for {piece_count} pieces, which take {expected}"
    )]
    WrongLength {
        /// Length that was given, in bytes.
        actual: usize,
        /// Length that would be right, in bytes.
        expected: usize,
        /// Number of pieces of the torrent.
        piece_count: u32,
    },
    /// A bit behind the last piece is set.
    #[error("a bit behind the last piece is set")]
    SpareBitSet,
}

impl Bitfield {
    /// No piece of `geometry`.
    #[must_use]
    pub fn empty(geometry: &Geometry) -> Self {
        Self {
            bytes: vec![0; byte_count(geometry)].into(),
            piece_count: geometry.piece_count(),
            ones: 0,
        }
    }

    /// Every piece of `geometry`.
    #[must_use]
    pub fn full(geometry: &Geometry) -> Self {
        let mut bytes = vec![0xff; byte_count(geometry)];
        let spare = spare_bits(geometry.piece_count());
        if let Some(last) = bytes.last_mut() {
            *last = 0xff << spare;
        }
        Self {
            bytes: bytes.into(),
            piece_count: geometry.piece_count(),
            ones: geometry.piece_count(),
        }
    }

    /// The set that a `bitfield` message names.
    ///
    /// # Errors
    /// [`BitfieldError`] when the length is wrong or a spare bit is set; BEP 3 has such a peer dropped.
    pub fn from_bytes(bytes: &[u8], geometry: &Geometry) -> Result<Self, BitfieldError> {
        let expected = byte_count(geometry);
        let piece_count = geometry.piece_count();
        if bytes.len() != expected {
            return Err(BitfieldError::WrongLength {
                actual: bytes.len(),
                expected,
                piece_count,
            });
        }
        if bytes
            .last()
            .is_some_and(|last| last.trailing_zeros() < spare_bits(piece_count))
        {
            return Err(BitfieldError::SpareBitSet);
        }
        let ones = bytes.iter().map(|byte| byte.count_ones()).sum();
        Ok(Self {
            bytes: bytes.into(),
            piece_count,
            ones,
        })
    }

    /// The bytes of the `bitfield` message.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of pieces of the torrent.
    #[must_use]
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Number of pieces in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Whether no piece is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ones == 0
    }

    /// Whether every piece is in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ones == self.piece_count
    }

    /// Whether the piece is in the set.
    #[must_use]
    pub fn contains(&self, piece: PieceIndex) -> bool {
        let (byte, mask) = position(piece);
        self.bytes.get(byte).is_some_and(|byte| byte & mask != 0)
    }

    /// Adds a piece; says whether it was missing.
    ///
    /// # Panics
    /// When the piece is of a larger torrent.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        let (byte, mask) = position(piece);
        assert!(
            piece.get() < self.piece_count,
            "the piece is of another torrent"
        );
        let added = self.bytes[byte] & mask == 0;
        self.bytes[byte] |= mask;
        self.ones += u32::from(added);
        added
    }

    /// Takes a piece out; says whether it was there.
    ///
    /// # Panics
    /// When the piece is of a larger torrent.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let (byte, mask) = position(piece);
        assert!(
            piece.get() < self.piece_count,
            "the piece is of another torrent"
        );
        let removed = self.bytes[byte] & mask != 0;
        self.bytes[byte] &= !mask;
        self.ones -= u32::from(removed);
        removed
    }

    /// The bits in words of 64 pieces, the first of them as the highest bit: to count what two sets have in common, or to search it. Behind the
    /// last piece are zeros.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        let (whole, rest) = self.bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let whole = whole.iter().copied();
        let last = (!rest.is_empty()).then_some(last);
        whole.chain(last).map(u64::from_be_bytes)
    }

    /// The pieces in the set, by rising index.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        let first_pieces = (0u32..).step_by(64);
        let mut words = first_pieces.zip(self.words());
        let (mut first, mut left) = (0, 0u64);
        std::iter::from_fn(move || {
            while left == 0 {
                (first, left) = words.next()?;
            }
            let bit = left.leading_zeros();
            left &= !(1 << (63 - bit));
            Some(PieceIndex::new(first + bit))
        })
    }
}

impl fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitfield({} of {})", self.ones, self.piece_count)
    }
}

fn byte_count(geometry: &Geometry) -> usize {
    geometry.piece_count().div_ceil(8) as usize
}

fn spare_bits(piece_count: u32) -> u32 {
    piece_count.next_multiple_of(8) - piece_count
}

fn position(piece: PieceIndex) -> (usize, u8) {
    (piece.as_usize() / 8, 0x80 >> (piece.get() % 8))
}
