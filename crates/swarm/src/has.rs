//! Which pieces a peer has.

use rarest_metainfo::{Bitfield, PieceIndex};

/// What a peer has. A seed needs no bitfield: of 2 million pieces that would be 256 KiB a peer.
#[derive(Clone, Debug, Default)]
pub(crate) enum Has {
    /// The peer has not said yet.
    #[default]
    Unknown,
    /// These pieces. May have become all of them one by one.
    Some(Bitfield),
    /// It said at once that it has everything.
    All,
}

impl Has {
    pub(crate) fn new(pieces: Bitfield) -> Self {
        if pieces.is_full() {
            Self::All
        } else {
            Self::Some(pieces)
        }
    }

    pub(crate) fn contains(&self, piece: PieceIndex) -> bool {
        match self {
            Self::Unknown => false,
            Self::Some(pieces) => pieces.contains(piece),
            Self::All => true,
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Some(pieces) => pieces.is_full(),
            Self::All => true,
        }
    }

    /// Number of pieces the peer has, of `piece_count`.
    pub(crate) fn count(&self, piece_count: u32) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Some(pieces) => pieces.count(),
            Self::All => piece_count,
        }
    }

    /// How many pieces of `other` the peer has.
    pub(crate) fn count_in(&self, other: &Bitfield) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Some(pieces) => common_words(pieces, other)
                .map(|(_, word)| word.count_ones())
                .sum(),
            Self::All => other.count(),
        }
    }
}

/// The words of 64 pieces that two sets have in common, with the number of the first piece of each; the first piece is
/// the highest bit.
pub(crate) fn common_words<'a>(
    left: &'a Bitfield,
    right: &'a Bitfield,
) -> impl Iterator<Item = (u32, u64)> + 'a {
    (0u32..)
        .step_by(64)
        .zip(left.words().zip(right.words()))
        .map(|(first, (left, right))| (first, left & right))
        .filter(|&(_, word)| word != 0)
}

/// The piece that has `number` others before it among those that both sets have.
pub(crate) fn nth_common(mut number: u32, left: &Bitfield, right: &Bitfield) -> Option<u32> {
    for (first, mut word) in common_words(left, right) {
        if number >= word.count_ones() {
            number -= word.count_ones();
            continue;
        }
        for _ in 0..number {
            word &= !(1 << (63 - word.leading_zeros()));
        }
        return Some(first + word.leading_zeros());
    }
    None
}

#[cfg(test)]
mod tests {
    use rarest_metainfo::Geometry;

    use super::*;

    #[test]
    fn common_words_count_what_both_sets_hold() {
        let geometry = Geometry::contiguous(1 << 24, 1 << 16).unwrap();
        let mut left = Bitfield::empty(&geometry);
        let mut right = Bitfield::empty(&geometry);
        for index in [0, 1, 63, 64, 200, 255] {
            left.insert(geometry.piece(index).unwrap());
        }
        for index in [1, 64, 65, 255] {
            right.insert(geometry.piece(index).unwrap());
        }
        assert_eq!(Has::new(left).count_in(&right), 3);
        assert_eq!(Has::All.count_in(&right), 4);
        assert_eq!(Has::Unknown.count_in(&right), 0);
    }

    #[test]
    fn common_pieces_are_found_by_number() {
        let geometry = Geometry::contiguous(300 << 14, 1 << 14).unwrap();
        let mut left = Bitfield::full(&geometry);
        let mut right = Bitfield::empty(&geometry);
        for index in [0, 5, 63, 64, 127, 250, 299] {
            right.insert(geometry.piece(index).unwrap());
        }
        left.remove(geometry.piece(250).unwrap());
        let found: Vec<_> = (0..)
            .map_while(|number| nth_common(number, &left, &right))
            .collect();
        assert_eq!(found, [0, 5, 63, 64, 127, 299]);
    }
}
