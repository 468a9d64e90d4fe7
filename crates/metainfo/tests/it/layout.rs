//! Files in the piece space.

use proptest::prelude::*;
use rarest_metainfo::{Builder, FileKind, Metainfo, Version};

use crate::fixtures::read;

fn spans(torrent: &Metainfo, range: std::ops::Range<u64>) -> Vec<(String, u64, u64, bool)> {
    let info = torrent.info();
    info.spans(range)
        .map(|span| {
            (
                info.file(span.file).path().to_owned(),
                span.offset,
                span.length,
                span.is_padding,
            )
        })
        .collect()
}

#[test]
fn a_piece_spans_files_and_padding() {
    let torrent = Metainfo::parse(read("made/v1-pad-files-a.torrent")).unwrap();
    let expected = [
        ("winter-logs/a".to_owned(), 50, 50, false),
        ("winter-logs/.pad/16284".to_owned(), 0, 16_284, true),
        ("winter-logs/b".to_owned(), 0, 16, false),
    ];
    assert_eq!(spans(&torrent, 50..16_400), expected);
}

#[test]
fn nothing_lies_between_the_files_of_a_v2_torrent() {
    let torrent = Metainfo::parse(read("made/v2-multi-a.torrent")).unwrap();
    let expected = [
        ("winter-logs/a/deep/x.bin".to_owned(), 49_999, 1, false),
        ("winter-logs/b.txt".to_owned(), 0, 7, false),
    ];
    assert_eq!(spans(&torrent, 49_999..81_920), expected);
}

#[test]
fn a_file_knows_its_pieces() {
    let torrent = Metainfo::parse(read("made/v2-multi-a.torrent")).unwrap();
    let info = torrent.info();
    let pieces: Vec<Vec<u32>> = info
        .files()
        .map(|file| {
            info.pieces_of(file.index())
                .map(rarest_metainfo::PieceIndex::get)
                .collect()
        })
        .collect();
    assert_eq!(pieces, [vec![0, 1, 2, 3], vec![], vec![4], vec![5, 6, 7]]);
}

#[test]
fn padding_is_in_the_geometry_and_not_in_the_size() {
    let torrent = Metainfo::parse(read("made/hybrid-multi-a.torrent")).unwrap();
    let info = torrent.info();
    assert_eq!(info.total_length(), 83_340);
    assert_eq!(info.geometry().total_length(), 8 * 16_384);
    let last = info.geometry().piece(7).unwrap();
    let block = info.geometry().blocks(last).next().unwrap();
    assert!(
        !info.geometry().is_padding(block),
        "the block holds the end of a file"
    );
    assert_eq!(
        info.files()
            .filter(|file| file.kind() == FileKind::Padding)
            .count(),
        3
    );
}

#[test]
fn ten_thousand_small_files_take_little_memory() {
    let names: Vec<_> = (0..10_000)
        .map(|n| format!("folder{}/file{n}", n % 100))
        .collect();
    let files = names.iter().map(|name| (name.as_str(), &b"x"[..]));
    let torrent = Builder::new(Version::V1)
        .build_from_files("t", files)
        .unwrap();
    let paths: usize = torrent.info().files().map(|file| file.path().len()).sum();
    assert!(torrent.info().memory_used() < paths + 64 * names.len());
}

/// A torrent of files with those lengths.
fn torrent(version: Version, lengths: &[usize], piece_length: u32) -> Option<Metainfo> {
    let data: Vec<_> = lengths
        .iter()
        .enumerate()
        .map(|(n, &length)| (format!("{n:03}"), vec![7; length]))
        .collect();
    let files = data
        .iter()
        .map(|(name, data)| (name.as_str(), data.as_slice()));
    Builder::new(version)
        .piece_length(piece_length)
        .build_from_files("t", files)
        .ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn spans_cover_every_piece_exactly(
        lengths in proptest::collection::vec(prop_oneof![0..40_000usize, Just(0), Just(16_384)], 1..8),
        version in prop_oneof![Just(Version::V1), Just(Version::V2), Just(Version::Hybrid)],
        large: bool,
    ) {
        let Some(torrent) = torrent(version, &lengths, if large { 32_768 } else { 16_384 }) else { return Ok(()) };
        let info = torrent.info();
        let mut reached = vec![0; info.file_count() as usize];
        for piece in info.geometry().pieces() {
            let start = info.geometry().piece_offset(piece);
            let length = u64::from(info.geometry().piece_length(piece));
            let mut next = start;
            for span in info.spans(start..start + length) {
                let file = info.file(span.file);
                prop_assert_eq!(file.offset() + span.offset, next);
                prop_assert_eq!(span.offset, reached[span.file.as_usize()]);
                prop_assert_eq!(span.is_padding, file.is_padding());
                prop_assert!(info.pieces_of(span.file).any(|found| found == piece));
                reached[span.file.as_usize()] += span.length;
                next += span.length;
            }
            prop_assert_eq!(next, start + length);
        }
        for file in info.files() {
            prop_assert_eq!(reached[file.index().as_usize()], file.length());
            prop_assert_eq!(info.pieces_of(file.index()).len() == 0, file.length() == 0);
        }
    }

    #[test]
    fn spans_of_any_range_are_those_of_its_bytes(
        lengths in proptest::collection::vec(0..300usize, 1..6),
        start in 0..1000u64,
        length in 0..600u64,
    ) {
        let Some(torrent) = torrent(Version::V1, &lengths, 64) else { return Ok(()) };
        let info = torrent.info();
        let model: Vec<_> = (start..start + length)
            .filter_map(|byte| info.files().find(|file| file.range().contains(&byte)).map(|file| (file.index(), byte)))
            .collect();
        let actual: Vec<_> = info
            .spans(start..start + length)
            .flat_map(|span| (0..span.length).map(move |byte| (span.file, span.offset + byte)))
            .map(|(file, byte)| (file, info.file(file).offset() + byte))
            .collect();
        prop_assert_eq!(actual, model);
    }
}
