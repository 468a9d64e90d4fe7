//! Which pieces are verified, shared by all threads.

use std::{
    fmt,
    sync::atomic::{AtomicU8, AtomicU32, Ordering},
};

use rarest_metainfo::{Bitfield, Geometry, PieceIndex};

/// One bit a piece, in the order of the `bitfield` message.
///
/// A bit is set after the bytes are written and read with `Acquire`, so that whoever sees it finds the bytes.
pub(super) struct VerifiedPieces {
    bytes: Box<[AtomicU8]>,
    count: AtomicU32,
}

impl VerifiedPieces {
    pub(super) fn none(geometry: &Geometry) -> Self {
        Self::of(&Bitfield::empty(geometry))
    }

    pub(super) fn all(geometry: &Geometry) -> Self {
        Self::of(&Bitfield::full(geometry))
    }

    fn of(pieces: &Bitfield) -> Self {
        Self {
            bytes: pieces
                .as_bytes()
                .iter()
                .copied()
                .map(AtomicU8::new)
                .collect(),
            count: AtomicU32::new(pieces.count()),
        }
    }

    pub(super) fn contains(&self, piece: PieceIndex) -> bool {
        let (byte, mask) = position(piece);
        let byte = self.bytes.get(byte);
        byte.is_some_and(|byte| byte.load(Ordering::Acquire) & mask != 0)
    }

    /// Adds a piece; says whether it was missing.
    pub(super) fn insert(&self, piece: PieceIndex) -> bool {
        let (byte, mask) = position(piece);
        let added = self.bytes[byte].fetch_or(mask, Ordering::AcqRel) & mask == 0;
        self.count.fetch_add(added.into(), Ordering::Relaxed);
        added
    }

    /// Takes a piece out; says whether it was there.
    pub(super) fn remove(&self, piece: PieceIndex) -> bool {
        let (byte, mask) = position(piece);
        let removed = self.bytes[byte].fetch_and(!mask, Ordering::AcqRel) & mask != 0;
        self.count.fetch_sub(removed.into(), Ordering::Relaxed);
        removed
    }

    pub(super) fn clear(&self) {
        for byte in &self.bytes {
            let ones = byte.swap(0, Ordering::AcqRel).count_ones();
            self.count.fetch_sub(ones, Ordering::Relaxed);
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn to_bitfield(&self, geometry: &Geometry) -> Bitfield {
        let bytes: Vec<u8> = self
            .bytes
            .iter()
            .map(|byte| byte.load(Ordering::Acquire))
            .collect();
        Bitfield::from_bytes(&bytes, geometry).expect("only pieces that exist are inserted")
    }
}

fn position(piece: PieceIndex) -> (usize, u8) {
    (piece.as_usize() / 8, 0x80 >> (piece.get() % 8))
}

impl fmt::Debug for VerifiedPieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedPieces({})", self.count())
    }
}
