//! Pieces, blocks and bitfields against models that are slow and plain.

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::prelude::*;
use rarest_metainfo::{
    BLOCK_LENGTH, Bitfield, BitfieldError, BlockRequest, Geometry, GeometryError, InvalidBlock,
};

fn block(piece: u32, offset: u32, length: u32) -> BlockRequest {
    BlockRequest {
        piece,
        offset,
        length,
    }
}

#[test]
fn only_the_last_piece_of_a_contiguous_space_is_shorter() {
    let geometry = Geometry::contiguous(100_001, 16_384).unwrap();
    let lengths: Vec<_> = geometry
        .pieces()
        .map(|piece| geometry.piece_length(piece))
        .collect();
    assert_eq!(
        lengths,
        [16_384, 16_384, 16_384, 16_384, 16_384, 16_384, 1697]
    );
    assert_eq!(geometry.total_length(), 100_001);
}

#[test]
fn every_file_of_an_aligned_space_begins_a_piece() {
    let geometry = Geometry::aligned([10, 0, 40_000, 32_768], 16_384).unwrap();
    let lengths: Vec<_> = geometry
        .pieces()
        .map(|piece| geometry.piece_length(piece))
        .collect();
    assert_eq!(lengths, [10, 16_384, 16_384, 7232, 16_384, 16_384]);
}

#[test]
fn a_space_without_bytes_or_with_too_many_pieces_is_refused() {
    assert_eq!(Geometry::contiguous(0, 16_384), Err(GeometryError::Empty));
    assert_eq!(Geometry::aligned([0, 0], 16_384), Err(GeometryError::Empty));
    assert_eq!(
        Geometry::contiguous(1, 0),
        Err(GeometryError::ZeroPieceLength)
    );
    let most = u64::from(Geometry::MAX_PIECES);
    assert_eq!(
        Geometry::contiguous(most, 1).unwrap().piece_count(),
        Geometry::MAX_PIECES
    );
    let too_many = Err(GeometryError::TooManyPieces { count: most + 1 });
    assert_eq!(Geometry::contiguous(most + 1, 1), too_many);
    assert_eq!(Geometry::aligned([most, 1], 1), too_many);
    assert!(Geometry::contiguous(u64::MAX, 1).is_err());
}

#[test]
fn a_block_that_leaves_its_piece_is_refused() {
    let geometry = Geometry::contiguous(50_000, 32_768).unwrap();
    assert_eq!(
        geometry.block(block(2, 0, 1)),
        Err(InvalidBlock::NoSuchPiece { piece: 2, count: 2 })
    );
    for (piece, offset, length) in [
        (0, 0, 0),
        (0, 32_768, 1),
        (0, 0, 32_769),
        (1, 17_232, 1),
        (1, 17_231, 2),
        (0, u32::MAX, 2),
        (0, 1, u32::MAX),
    ] {
        let refused = geometry.block(block(piece, offset, length));
        assert!(
            matches!(refused, Err(InvalidBlock::OutsidePiece { .. })),
            "{piece} {offset} {length}"
        );
    }
    let last = geometry.block(block(1, 16_384, 848)).unwrap();
    assert_eq!(
        (last.index_in_piece(), geometry.range(last)),
        (1, 49_152..50_000)
    );
    assert_eq!(BlockRequest::from(last), block(1, 16_384, 848));
}

#[test]
fn a_block_is_padding_only_if_all_of_it_is() {
    let geometry = Geometry::contiguous(65_536, 65_536).unwrap().with_padding([
        40_000..50_000,
        50_000..65_536,
        7..7,
    ]);
    let is_padding =
        |offset, length| geometry.is_padding(geometry.block(block(0, offset, length)).unwrap());
    assert!(is_padding(40_000, 25_536));
    assert!(is_padding(49_152, 16_384));
    assert!(!is_padding(39_999, 10));
    assert!(!is_padding(0, 16_384));
}

#[test]
fn a_bitfield_of_another_length_or_with_a_spare_bit_is_refused() {
    let geometry = Geometry::contiguous(10, 1).unwrap();
    let wrong = |actual| {
        Err(BitfieldError::WrongLength {
            actual,
            expected: 2,
            piece_count: 10,
        })
    };
    assert_eq!(Bitfield::from_bytes(&[0xff], &geometry), wrong(1));
    assert_eq!(Bitfield::from_bytes(&[0; 3], &geometry), wrong(3));
    assert_eq!(
        Bitfield::from_bytes(&[0xff, 0xe0], &geometry),
        Err(BitfieldError::SpareBitSet)
    );
    let full = Bitfield::from_bytes(&[0xff, 0xc0], &geometry).unwrap();
    assert!(full.is_full());
    assert_eq!(full, Bitfield::full(&geometry));
}

#[test]
fn a_bitfield_without_spare_bits_is_read() {
    let geometry = Geometry::contiguous(16, 1).unwrap();
    assert!(
        Bitfield::from_bytes(&[0xff, 0xff], &geometry)
            .unwrap()
            .is_full()
    );
    assert!(Bitfield::from_bytes(&[0, 0], &geometry).unwrap().is_empty());
}

/// Where each piece of a space begins and ends, by walking over its files byte range by byte range.
fn naive_pieces(file_lengths: &[u64], piece_length: u32) -> Vec<Range<u64>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for &length in file_lengths {
        let mut left = length;
        while left > 0 {
            let taken = left.min(piece_length.into());
            pieces.push(start..start + taken);
            start += u64::from(piece_length);
            left -= taken;
        }
    }
    pieces
}

proptest! {
    #[test]
    fn pieces_are_those_of_the_model(
        files in proptest::collection::vec(0..200_000u64, 1..8),
        piece_length in prop_oneof![1000..70_000u32, Just(16_384), Just(65_536)],
        contiguous: bool,
    ) {
        let files = if contiguous { vec![files.iter().sum()] } else { files };
        let model = naive_pieces(&files, piece_length);
        let geometry = Geometry::aligned(files.iter().copied(), piece_length);
        let Ok(geometry) = geometry else {
            prop_assert!(model.is_empty());
            return Ok(());
        };
        let actual: Vec<_> = geometry.pieces().map(|piece| {
            let start = geometry.piece_offset(piece);
            start..start + u64::from(geometry.piece_length(piece))
        }).collect();
        prop_assert_eq!(actual, model);
        prop_assert_eq!(geometry.total_length(), files.iter().sum::<u64>());
    }

    #[test]
    fn blocks_cover_a_piece_without_gaps(total in 1..300_000u64, piece_length in 1..100_000u32) {
        let geometry = Geometry::contiguous(total, piece_length).unwrap();
        for piece in geometry.pieces().take(5) {
            let mut next = 0;
            for (index, found) in (0..).zip(geometry.blocks(piece)) {
                prop_assert_eq!(found.offset(), next);
                prop_assert!(found.length() <= BLOCK_LENGTH);
                prop_assert_eq!(geometry.block_at(piece, index), Some(found));
                prop_assert_eq!(geometry.block(found.into()), Ok(found));
                next += found.length();
            }
            prop_assert_eq!(next, geometry.piece_length(piece));
            prop_assert_eq!(geometry.block_at(piece, geometry.block_count(piece)), None);
        }
    }

    #[test]
    fn padding_is_what_a_model_of_bytes_says(
        ranges in proptest::collection::vec((0..400u64, 0..60u64), 0..6),
        offset in 0..400u32,
        length in 1..60u32,
    ) {
        let ranges: Vec<_> = ranges.into_iter().map(|(start, length)| start..start + length).collect();
        let geometry = Geometry::contiguous(500, 500).unwrap().with_padding(ranges.clone());
        let found = geometry.block(block(0, offset, length)).unwrap();
        let mut bytes = geometry.range(found);
        let model = bytes.all(|byte| ranges.iter().any(|range| range.contains(&byte)));
        prop_assert_eq!(geometry.is_padding(found), model);
    }

    #[test]
    fn a_bitfield_is_a_set(count in 1..200u32, steps in proptest::collection::vec((0..200u32, any::<bool>()), 0..100)) {
        let geometry = Geometry::contiguous(count.into(), 1).unwrap();
        let mut bitfield = Bitfield::empty(&geometry);
        let mut model = BTreeSet::new();
        for (index, adds) in steps {
            let Some(piece) = geometry.piece(index % count) else { continue };
            if adds {
                prop_assert_eq!(bitfield.insert(piece), model.insert(piece));
            } else {
                prop_assert_eq!(bitfield.remove(piece), model.remove(&piece));
            }
            prop_assert_eq!(bitfield.contains(piece), model.contains(&piece));
        }
        prop_assert_eq!(bitfield.count() as usize, model.len());
        prop_assert_eq!(bitfield.is_empty(), model.is_empty());
        prop_assert_eq!(bitfield.is_full(), model.len() == count as usize);
        let in_words: u32 = bitfield.words().map(u64::count_ones).sum();
        prop_assert_eq!(in_words, bitfield.count());
        prop_assert_eq!(bitfield.words().count(), count.div_ceil(64) as usize);
        prop_assert!(bitfield.iter().eq(model));
        prop_assert_eq!(Bitfield::from_bytes(bitfield.as_bytes(), &geometry), Ok(bitfield));
    }
}
