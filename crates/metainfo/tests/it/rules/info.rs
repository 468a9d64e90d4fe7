//! The info dictionary: identity, limits, sizes, versions.

use rarest_hash::{sha1, sha256};
use rarest_metainfo::{
    Builder, DEFAULT_MAX_TORRENT_LENGTH, FileTreeError, Geometry, GeometryError, MAX_FILE_LENGTH,
    Metainfo, MetainfoError, ParseOptions, Remark, Version,
};

use crate::fixtures::read;

use super::{around, file, parse_info, single, v2};

#[test]
fn the_info_hash_is_that_of_the_raw_bytes() {
    let info = b"d4:name1:a6:lengthi1e12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaa7:unknowni007ee";
    let torrent = Metainfo::parse(around(info)).unwrap();
    assert_eq!(torrent.info_hashes().v1.unwrap().0, sha1(info));
    assert_eq!(torrent.info().raw(), info.as_slice());
    assert!(torrent.info_hashes().v2.is_none());
}

#[test]
fn the_v2_info_hash_is_that_of_the_raw_bytes() {
    let torrent = Metainfo::parse(read("made/hybrid-single-a.torrent")).unwrap();
    let raw = torrent.info().raw();
    assert_eq!(torrent.info_hashes().v1.unwrap().0, sha1(raw));
    assert_eq!(torrent.info_hashes().v2.unwrap().0, sha256(raw));
}

#[test]
fn a_v1_torrent_that_is_not_canonical_is_read_with_a_remark() {
    let torrent = Metainfo::parse(read("made/info-unsorted-a.torrent")).unwrap();
    assert!(matches!(torrent.remarks(), [Remark::NotCanonical { .. }]));
    let zeros = Metainfo::parse(read("made/info-leading-zeros-a.torrent")).unwrap();
    assert!(matches!(
        zeros.remarks(),
        [Remark::NotCanonical { count: 1, .. }]
    ));
}

#[test]
fn a_v2_info_that_is_not_canonical_is_refused() {
    let refused = Metainfo::parse(read("made/v2-unsorted-tree-a.torrent"));
    assert!(matches!(refused, Err(MetainfoError::NotCanonical(_))));
}

#[test]
fn duplicate_keys_inside_info_are_refused() {
    let info = b"d6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaa1:xd1:yi1e1:yi2eee";
    assert!(matches!(
        Metainfo::parse(around(info)),
        Err(MetainfoError::DuplicateKey { .. })
    ));
    let refused = Metainfo::parse(read("made/info-duplicate-name-a.torrent"));
    assert!(matches!(refused, Err(MetainfoError::DuplicateKey { .. })));
}

#[test]
fn two_infos_are_refused() {
    let refused = Metainfo::parse(read("made/info-twice-a.torrent"));
    assert!(matches!(refused, Err(MetainfoError::DuplicateKey { .. })));
}

#[test]
fn depth_number_of_values_and_length_are_bounded() {
    for hostile in [
        b"d".repeat(1_000_000),
        b"l".repeat(1_000_000),
        b"d1:a".repeat(200_000),
    ] {
        assert!(matches!(
            Metainfo::parse(hostile),
            Err(MetainfoError::Bencode(_))
        ));
    }
    let many = [b"d1:xl".to_vec(), b"le".repeat(4_000_000), b"ee".to_vec()].concat();
    assert!(matches!(
        ParseOptions::default().max_length(1 << 30).parse(many),
        Err(MetainfoError::Bencode(_))
    ));
    let long = vec![b'x'; DEFAULT_MAX_TORRENT_LENGTH + 1];
    assert!(matches!(
        Metainfo::parse(long),
        Err(MetainfoError::Bencode(_))
    ));
}

#[test]
fn a_longer_torrent_is_read_when_asked_to() {
    let short = Builder::new(Version::V1).build_from_bytes("a", b"x");
    let short = short.unwrap().to_bytes();
    let comment = "x".repeat(DEFAULT_MAX_TORRENT_LENGTH);
    let mut bytes = format!("d7:comment{}:{comment}", comment.len()).into_bytes();
    bytes.extend(&short[1..]);
    assert!(Metainfo::parse(bytes.clone()).is_err());
    assert!(
        ParseOptions::default()
            .max_length(bytes.len())
            .parse(bytes)
            .is_ok()
    );
}

#[test]
fn pieces_must_be_a_multiple_of_20_and_fit_the_files() {
    let ragged = parse_info(|info| {
        info.bytes("name", "a")
            .int("length", 1)
            .int("piece length", 16_384)
            .bytes("pieces", [1; 21]);
    });
    assert_eq!(ragged, Err(MetainfoError::RaggedPieces { length: 21 }));
    assert_eq!(
        single(16_385, 16_384, 1),
        Err(MetainfoError::WrongPieceCount {
            actual: 1,
            expected: 2
        })
    );
    assert_eq!(
        single(16_384, 16_384, 2),
        Err(MetainfoError::WrongPieceCount {
            actual: 2,
            expected: 1
        })
    );
    assert!(single(16_385, 16_384, 2).is_ok());
}

#[test]
fn sizes_that_are_negative_zero_or_too_large_are_refused() {
    assert!(matches!(
        single(-1, 16_384, 1),
        Err(MetainfoError::Invalid { key: "length", .. })
    ));
    assert_eq!(
        single(0, 16_384, 0),
        Err(MetainfoError::Geometry(GeometryError::Empty))
    );
    let limit = i128::from(MAX_FILE_LENGTH);
    assert!(single(limit, 1 << 30, 1 << 14).is_ok());
    assert!(matches!(
        single(limit + 1, 1 << 30, 1),
        Err(MetainfoError::FileTooLong { .. })
    ));
    assert!(matches!(
        single(i128::MAX, 16_384, 1),
        Err(MetainfoError::Invalid { .. })
    ));
}

#[test]
fn more_than_two_million_pieces_are_refused() {
    let count = i128::from(Geometry::MAX_PIECES) + 1;
    assert!(matches!(
        single(count, 1, 1),
        Err(MetainfoError::Geometry(GeometryError::TooManyPieces { .. }))
    ));
}

#[test]
fn long_and_odd_piece_lengths_are_read() {
    for (length, piece_length, pieces) in [
        (1000, 100, 10),
        (1, 64 << 20, 1),
        (1 << 33, 4_294_967_295, 3),
        (7, 3, 3),
    ] {
        let torrent = single(length, piece_length, pieces).unwrap();
        assert_eq!(
            i128::from(torrent.info().geometry().nominal_piece_length()),
            piece_length
        );
    }
}

#[test]
fn a_piece_length_of_zero_less_or_above_32_bits_is_refused() {
    for piece_length in [0, -1] {
        assert!(matches!(
            single(1, piece_length, 1),
            Err(MetainfoError::Invalid {
                key: "piece length",
                ..
            })
        ));
    }
    assert_eq!(
        single(1, 1 << 32, 1),
        Err(MetainfoError::PieceTooLong { length: 1 << 32 })
    );
}

#[test]
fn meta_version_is_checked_before_all_else() {
    for version in [0, 3, -2] {
        let refused = parse_info(|info| {
            info.int("meta version", version).int("file tree", 1);
        });
        assert_eq!(refused, Err(MetainfoError::UnknownMetaVersion { version }));
    }
}

#[test]
fn a_v2_piece_length_is_a_power_of_two_of_at_least_16_kib() {
    for length in [8192, 16_385, 49_152] {
        let refused = parse_info(|info| {
            info.bytes("name", "a")
                .int("meta version", 2)
                .int("piece length", length);
        });
        assert_eq!(refused, Err(MetainfoError::V2PieceLength { length }));
    }
}

#[test]
fn a_file_tree_without_meta_version_does_not_count() {
    let torrent = Metainfo::parse(read("made/v1-with-file-tree-no-version-a.torrent")).unwrap();
    assert_eq!(torrent.info().version(), Version::V1);
    assert_eq!(torrent.remarks(), [Remark::FileTreeWithoutVersion]);
}

#[test]
fn a_tree_with_a_wrong_node_is_refused() {
    let root = [1; 32];
    let refusals: [(Result<Metainfo, _>, FileTreeError); 8] = [
        (v2(|_| {}, &[]), FileTreeError::Empty),
        (
            v2(|tree| file(tree, 1, &root), &[]),
            FileTreeError::FileBesideFolder,
        ),
        (
            v2(
                |tree| {
                    tree.int("a", 1);
                },
                &[],
            ),
            FileTreeError::NotADictionary,
        ),
        (
            v2(
                |tree| {
                    tree.dict("a", |node| {
                        node.int("", 1);
                    });
                },
                &[],
            ),
            FileTreeError::NotADictionary,
        ),
        (
            v2(
                |tree| {
                    tree.dict("..", |node| file(node, 1, &root));
                },
                &[],
            ),
            FileTreeError::Navigation,
        ),
        (
            v2(
                |tree| {
                    tree.dict("a", |node| file(node, 1, &[0; 32]));
                },
                &[],
            ),
            FileTreeError::BadRoot,
        ),
        (
            v2(
                |tree| {
                    tree.dict("a", |node| file(node, 1, &[1; 31]));
                },
                &[],
            ),
            FileTreeError::BadRoot,
        ),
        (
            v2(
                |tree| {
                    tree.dict("a", |node| file(node, 0, &root));
                },
                &[],
            ),
            FileTreeError::RootOfNothing,
        ),
    ];
    for (refused, error) in refusals {
        assert_eq!(refused, Err(MetainfoError::FileTree(error)));
    }
    let beside = v2(
        |tree| {
            tree.dict("a", |node| {
                file(node, 1, &root);
                node.dict("b", |node| file(node, 1, &root));
            });
        },
        &[],
    );
    assert_eq!(
        beside,
        Err(MetainfoError::FileTree(FileTreeError::FileBesideFolder))
    );
}

#[test]
fn padding_in_a_file_tree_is_refused() {
    let refused = v2(
        |tree| {
            tree.dict("a", |node| {
                node.dict("", |file| {
                    file.bytes("attr", "p")
                        .int("length", 1)
                        .bytes("pieces root", [1; 32]);
                });
            });
        },
        &[],
    );
    assert_eq!(
        refused,
        Err(MetainfoError::FileTree(FileTreeError::Padding))
    );
}
