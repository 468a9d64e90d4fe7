//! What a torrent must keep to, rule by rule.

use rarest_bencode::{DictWriter, encode_dict};
use rarest_hash::{Sha256Digest, sha1, sha256};
use rarest_metainfo::{
    Builder, DEFAULT_MAX_TORRENT_LENGTH, FileKind, FileTreeError, Geometry, GeometryError,
    HybridMismatch, MAX_COLLISIONS, MAX_FILE_LENGTH, MAX_PATH_BYTES, Magnet, Metainfo,
    MetainfoError, ParseOptions, PieceLayerError, Remark, Version, merkle, verify_pieces,
};

use crate::content::ramp;
use crate::fixtures::read;

/// A torrent around an info dictionary.
fn around(info: &[u8]) -> Vec<u8> {
    [b"d4:info", info, b"e"].concat()
}

fn parse_info(fill: impl FnOnce(&mut DictWriter<'_>)) -> Result<Metainfo, MetainfoError> {
    Metainfo::parse(around(&encode_dict(fill).unwrap()))
}

/// A v1 torrent of one file.
fn single(length: i128, piece_length: i128, pieces: usize) -> Result<Metainfo, MetainfoError> {
    parse_info(|info| {
        info.bytes("name", "a")
            .int("length", length)
            .int("piece length", piece_length);
        info.bytes("pieces", vec![1; 20 * pieces]);
    })
}

/// A v1 torrent of files of one byte each, in one piece.
fn folder(name: &[u8], paths: &[&[&[u8]]]) -> Result<Metainfo, MetainfoError> {
    parse_info(|info| {
        info.bytes("name", name)
            .int("piece length", 1 << 20)
            .bytes("pieces", [1; 20]);
        info.list("files", |files| {
            for path in paths {
                files.dict(|file| {
                    file.int("length", 1).list("path", |list| {
                        for component in *path {
                            list.bytes(component);
                        }
                    });
                });
            }
        });
    })
}

fn paths(torrent: &Metainfo) -> Vec<&str> {
    torrent
        .info()
        .files()
        .map(rarest_metainfo::File::path)
        .collect()
}

/// A v2 torrent with this file tree and these layers.
fn v2(
    tree: impl FnOnce(&mut DictWriter<'_>),
    layers: &[(&[u8], &[u8])],
) -> Result<Metainfo, MetainfoError> {
    let torrent = encode_dict(|root| {
        root.dict("info", |info| {
            info.bytes("name", "t")
                .int("piece length", 16_384)
                .int("meta version", 2)
                .dict("file tree", tree);
        });
        root.dict("piece layers", |dict| {
            for (root, layer) in layers {
                dict.bytes(root, layer);
            }
        });
    });
    Metainfo::parse(torrent.unwrap())
}

fn file(node: &mut DictWriter<'_>, length: u64, root: &[u8]) {
    node.dict("", |file| {
        file.int("length", length).bytes("pieces root", root);
    });
}

// 1

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

// 2

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

// 3

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
    let torrent = Builder::new(Version::V1).comment("x".repeat(DEFAULT_MAX_TORRENT_LENGTH));
    let bytes = torrent.build_from_bytes("a", b"x").unwrap().to_bytes();
    assert!(Metainfo::parse(bytes.clone()).is_err());
    assert!(
        ParseOptions::default()
            .max_length(bytes.len())
            .parse(bytes)
            .is_ok()
    );
}

// 4

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

// 5

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

// 6

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

// 7

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

// 8

/// A file of three pieces of 16 KiB: its root and its layer.
fn three_pieces() -> (Sha256Digest, Vec<u8>) {
    let leaves = merkle::leaves(&[&ramp(40_000)]);
    (
        merkle::root(&leaves, 0),
        leaves.iter().flat_map(|leaf| leaf.0).collect(),
    )
}

fn with_layers(layers: &[(&[u8], &[u8])]) -> Result<Metainfo, MetainfoError> {
    let (root, _) = three_pieces();
    v2(
        |tree| {
            tree.dict("a", |node| file(node, 40_000, &root.0));
        },
        layers,
    )
}

#[test]
fn piece_layers_are_checked_against_their_root() {
    let (root, layer) = three_pieces();
    assert!(
        with_layers(&[(&root.0, &layer)])
            .unwrap()
            .has_all_piece_layers()
    );
    let mut swapped = layer.clone();
    swapped.rotate_left(32);
    let wrong = Err(MetainfoError::PieceLayer(PieceLayerError::WrongRoot {
        root,
    }));
    assert_eq!(with_layers(&[(&root.0, &swapped)]), wrong);
}

#[test]
fn unknown_and_odd_sized_piece_layers_are_refused() {
    let (root, layer) = three_pieces();
    for length in [0, 32, 95, 97, 128] {
        let mut odd = layer.clone();
        odd.resize(length, 0);
        let wrong = PieceLayerError::WrongLength {
            root,
            actual: length,
            expected: 96,
        };
        assert_eq!(
            with_layers(&[(&root.0, &odd)]),
            Err(MetainfoError::PieceLayer(wrong))
        );
    }
    let unknown = PieceLayerError::UnknownRoot {
        root: Sha256Digest([9; 32]),
    };
    assert_eq!(
        with_layers(&[(&[9; 32], &layer)]),
        Err(MetainfoError::PieceLayer(unknown))
    );
    assert!(matches!(
        with_layers(&[(b"short", &layer)]),
        Err(MetainfoError::Invalid {
            key: "piece layers",
            ..
        })
    ));
}

#[test]
fn a_missing_piece_layer_is_allowed_and_can_be_added() {
    let (root, layer) = three_pieces();
    let mut torrent = with_layers(&[]).unwrap();
    assert_eq!(torrent.remarks(), [Remark::MissingPieceLayers { count: 1 }]);
    let piece = torrent.info().geometry().piece(2).unwrap();
    assert_eq!(torrent.piece_hash(piece), None);
    let wrong = torrent.add_piece_layer(root, vec![0; 96]);
    assert_eq!(wrong, Err(PieceLayerError::WrongRoot { root }));
    torrent.add_piece_layer(root, layer.clone()).unwrap();
    let hash = torrent.piece_hash(piece).unwrap();
    assert!(hash.matches(&[&ramp(40_000)[32_768..]]));
    assert_eq!(
        Metainfo::parse(torrent.to_bytes()).unwrap(),
        with_layers(&[(&root.0, &layer)]).unwrap()
    );
}

#[test]
fn peers_are_answered_from_the_piece_layer() {
    let (root, layer) = three_pieces();
    let torrent = with_layers(&[(&root.0, &layer)]).unwrap();
    let request = merkle::HashRequest::with_whole_proof(0, 2, 2, merkle::height(40_000));
    let answer = torrent.hashes(&root, &request).unwrap();
    let proven = request.verify(&root, 2, &answer).unwrap();
    assert_eq!(proven[0].0, layer[64..]);
    assert!(torrent.hashes(&Sha256Digest([9; 32]), &request).is_err());
}

// 9

#[test]
fn hybrid_lists_that_disagree_are_refused() {
    for (name, mismatch) in [
        (
            "made/hybrid-missing-file-a.torrent",
            HybridMismatch::FileCount,
        ),
        (
            "made/hybrid-name-mismatch-a.torrent",
            HybridMismatch::Name { file: 0 },
        ),
        (
            "made/hybrid-size-mismatch-a.torrent",
            HybridMismatch::Length { file: 0 },
        ),
        (
            "made/hybrid-unaligned-a.torrent",
            HybridMismatch::Alignment { file: 1 },
        ),
    ] {
        assert_eq!(
            Metainfo::parse(read(name)),
            Err(MetainfoError::HybridMismatch(mismatch)),
            "{name}"
        );
    }
}

#[test]
fn both_hashes_of_a_hybrid_piece_are_verified() {
    let data = ramp(20_000);
    let torrent = Builder::new(Version::Hybrid)
        .piece_length(32_768)
        .build_from_bytes("a", &data)
        .unwrap();
    let hash = torrent
        .piece_hash(torrent.info().geometry().piece(0).unwrap())
        .unwrap();
    assert!(hash.matches(&[&data]));
    let mut wrong_v1 = hash;
    wrong_v1.v1.as_mut().unwrap().0[0] ^= 1;
    let mut wrong_v2 = hash;
    wrong_v2.v2.as_mut().unwrap().root.0[0] ^= 1;
    let slices: &[&[u8]] = &[&data];
    let checked = verify_pieces(&[(wrong_v1, slices), (hash, slices), (wrong_v2, slices)]);
    assert_eq!(checked, [false, true, false]);
}

#[test]
fn the_v2_hash_of_a_piece_leaves_its_padding_out() {
    let torrent = Builder::new(Version::Hybrid)
        .piece_length(16_384)
        .build_from_files("t", [("a", &b"hello"[..]), ("b", &b"x"[..])])
        .unwrap();
    let hash = torrent
        .piece_hash(torrent.info().geometry().piece(0).unwrap())
        .unwrap();
    assert_eq!(hash.v2.unwrap().root, sha256(b"hello"));
    let mut data = b"hello".to_vec();
    assert!(!hash.matches(&[&data]));
    data.resize(16_384, 0);
    assert!(hash.matches(&[&data]));
}

#[test]
fn a_piece_of_a_wrong_length_matches_nothing() {
    let data = ramp(20_000);
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let torrent = Builder::new(version)
            .piece_length(16_384)
            .build_from_bytes("a", &data)
            .unwrap();
        let hash = torrent
            .piece_hash(torrent.info().geometry().piece(1).unwrap())
            .unwrap();
        assert!(hash.matches(&[&data[16_384..]]));
        assert!(!hash.matches(&[&data[16_384..19_999]]));
        assert!(!hash.matches(&[]));
    }
}

// 10

#[test]
fn padding_is_recognised_with_and_without_a_path() {
    let torrent = parse_info(|info| {
        info.bytes("name", "t")
            .int("piece length", 16_384)
            .bytes("pieces", [1; 20]);
        info.list("files", |files| {
            files.dict(|file| {
                file.int("length", 1).list("path", |path| {
                    path.bytes("a");
                });
            });
            files.dict(|file| {
                file.bytes("attr", "p").int("length", 7);
            });
            files.dict(|file| {
                file.bytes("attr", "xp")
                    .int("length", 8)
                    .list("path", |path| {
                        path.bytes(".pad").bytes("8");
                    });
            });
        });
    });
    let torrent = torrent.unwrap();
    let kinds: Vec<_> = torrent
        .info()
        .files()
        .map(rarest_metainfo::File::kind)
        .collect();
    assert_eq!(
        kinds,
        [FileKind::Regular, FileKind::Padding, FileKind::Padding]
    );
    assert_eq!(torrent.info().total_length(), 1);
    assert_eq!(torrent.info().geometry().total_length(), 16);
}

// 11

#[test]
fn a_hybrid_without_the_last_padding_is_read() {
    let with = Metainfo::parse(read("made/hybrid-multi-a.torrent")).unwrap();
    let without = Metainfo::parse(read("made/hybrid-no-tail-pad-a.torrent")).unwrap();
    assert_eq!(with.info().total_length(), without.info().total_length());
    assert_eq!(
        with.info().geometry().piece_count(),
        without.info().geometry().piece_count()
    );
}

// 12

#[test]
fn no_path_leads_out_of_the_download_folder() {
    let torrent = folder(
        b"../..",
        &[
            &[b"..", b"..", b"etc", b"passwd"],
            &[b"/etc/shadow"],
            &[b"C:\\windows", b"x"],
            &[b"a", b".", b"", b"b"],
            &[b"", b""],
            &[b"..\\..\\up"],
        ],
    )
    .unwrap();
    assert_eq!(
        paths(&torrent),
        [
            ".._../etc/passwd",
            ".._../_etc_shadow",
            ".._../C__windows/x",
            ".._../a/b",
            ".._../_",
            ".._../.._.._up"
        ]
        .map(|path| path.replacen(".._..", ".._", 1))
    );
}

#[test]
fn raw_names_are_kept() {
    let torrent = folder(b"t/u", &[&[b"a\xff", b"b"], &[b"plain"]]).unwrap();
    let raw: Vec<_> = torrent
        .info()
        .files()
        .map(rarest_metainfo::File::raw_path)
        .collect();
    assert_eq!(
        raw,
        [vec![&b"t/u"[..], b"a\xff", b"b"], vec![b"t/u", b"plain"]]
    );
    assert_eq!(torrent.info().raw_name(), b"t/u");
    assert_eq!(torrent.remarks(), [Remark::ChangedPaths { count: 1 }]);
}

#[test]
fn an_empty_list_of_components_is_refused() {
    assert!(matches!(
        folder(b"t", &[&[]]),
        Err(MetainfoError::Invalid { key: "path", .. })
    ));
}

// 13

#[test]
fn names_are_cleaned_of_what_is_no_text() {
    let torrent = folder(
        b"t",
        &[&[b"a\xffb"], &["\u{202e}gpj.exe".as_bytes()], &[b"x\0y\n"]],
    )
    .unwrap();
    assert_eq!(paths(&torrent), ["t/a\u{fffd}b", "t/gpj.exe", "t/x_y_"]);
}

#[test]
fn a_utf8_name_wins_over_one_in_another_encoding() {
    let torrent = Metainfo::parse(read("made/name-utf8-key-a.torrent")).unwrap();
    assert_eq!(paths(&torrent), ["测试/文件"]);
}

// 14

#[test]
fn names_that_a_platform_cannot_hold_are_changed() {
    let long = [b"x".repeat(300), b".mkv".to_vec()].concat();
    let torrent = folder(
        b"t",
        &[&[b"CON"], &[b"aux.txt"], &[b"a:b?"], &[b"dot. "], &[&long]],
    )
    .unwrap();
    let cut = format!("t/{}.mkv", "x".repeat(251));
    assert_eq!(
        paths(&torrent),
        ["t/_CON", "t/_aux.txt", "t/a_b_", "t/dot", cut.as_str()]
    );
}

// 15

#[test]
fn names_that_are_the_same_are_told_apart() {
    let torrent = folder(
        b"t",
        &[
            &[b"a"],
            &[b"A"],
            &[b"a"],
            &[b"a", b"b"],
            &[b"x\xfe"],
            &[b"x\xff"],
        ],
    )
    .unwrap();
    assert_eq!(
        paths(&torrent),
        [
            "t/a",
            "t/A.1",
            "t/a.2",
            "t/a.3/b",
            "t/x\u{fffd}",
            "t/x\u{fffd}.4"
        ]
    );
}

#[test]
fn too_many_names_that_are_the_same_are_refused() {
    let path: &[&[u8]] = &[b"a"];
    assert!(folder(b"t", &vec![path; MAX_COLLISIONS as usize + 1]).is_ok());
    let refused = folder(b"t", &vec![path; MAX_COLLISIONS as usize + 2]);
    assert_eq!(refused, Err(MetainfoError::TooManyCollisions));
}

#[test]
fn files_in_padding_folders_do_not_collide() {
    let torrent = Metainfo::parse(read("made/hybrid-multi-a.torrent")).unwrap();
    assert_eq!(torrent.remarks(), []);
}

// 16

fn with_link(target: &[&[u8]], length: i32) -> Metainfo {
    let torrent = parse_info(|info| {
        info.bytes("name", "t")
            .int("piece length", 16_384)
            .bytes("pieces", [1; 20]);
        info.list("files", |files| {
            files.dict(|file| {
                file.int("length", 1).list("path", |path| {
                    path.bytes("a");
                });
            });
            files.dict(|file| {
                file.bytes("attr", "l")
                    .int("length", length)
                    .list("path", |path| {
                        path.bytes("link");
                    });
                file.list("symlink path", |path| {
                    for component in target {
                        path.bytes(component);
                    }
                });
            });
        });
    });
    torrent.unwrap()
}

#[test]
fn a_symlink_stays_inside_the_torrent_and_is_empty() {
    let torrent = with_link(&[b"dir", b"real"], 425);
    let link = torrent.info().file_at(1).unwrap();
    assert_eq!(
        (link.kind(), link.length(), link.symlink_target()),
        (FileKind::Symlink, 0, Some("dir/real"))
    );
}

#[test]
fn a_v1_symlink_that_leads_out_becomes_an_empty_file() {
    let targets: [&[&[u8]]; 5] = [
        &[b"..", b"x"],
        &[b"a", b"..", b"..", b"x"],
        &[b"/etc/passwd"],
        &[b""],
        &[],
    ];
    for target in targets {
        let torrent = with_link(target, 0);
        let link = torrent.info().file_at(1).unwrap();
        assert_eq!(
            (link.kind(), link.symlink_target()),
            (FileKind::Regular, None)
        );
        assert_eq!(torrent.remarks(), [Remark::SymlinkOutside { file: 1 }]);
    }
}

#[test]
fn a_v2_symlink_that_leads_out_is_refused() {
    let refused = v2(
        |tree| {
            tree.dict("a", |node| {
                node.dict("", |file| {
                    file.bytes("attr", "l").int("length", 0);
                    file.list("symlink path", |path| {
                        path.bytes("..").bytes("x");
                    });
                });
            });
        },
        &[],
    );
    assert_eq!(
        refused,
        Err(MetainfoError::FileTree(FileTreeError::BadSymlink))
    );
}

#[test]
fn no_file_lies_below_a_symlink() {
    let torrent = Metainfo::parse(read("made/v1-file-below-symlink-a.torrent")).unwrap();
    assert_eq!(
        paths(&torrent),
        ["winter-logs/d", "winter-logs/d.1/x", "winter-logs/e/y"]
    );
}

// 17

#[test]
fn an_empty_name_falls_back_to_the_info_hash() {
    for name in [&b""[..], b"..", b".", b"...", "\u{200b}".as_bytes()] {
        let torrent = folder(name, &[&[b"a"]]).unwrap();
        let hash = torrent.info_hashes().v1.unwrap().to_string();
        assert_eq!(torrent.info().name(), hash);
        assert_eq!(paths(&torrent), [format!("{hash}/a")]);
        assert!(torrent.remarks().contains(&Remark::NoName));
    }
}

#[test]
fn a_missing_name_is_refused() {
    let refused = parse_info(|info| {
        info.int("length", 1)
            .int("piece length", 16_384)
            .bytes("pieces", [1; 20]);
    });
    assert_eq!(refused, Err(MetainfoError::Missing { key: "name" }));
}

// 18

fn root_of(fill: impl FnOnce(&mut DictWriter<'_>)) -> Metainfo {
    let torrent = encode_dict(|root| {
        root.dict("info", |info| {
            info.bytes("name", "a")
                .int("length", 1)
                .int("piece length", 16_384)
                .bytes("pieces", [1; 20]);
        });
        fill(root);
    });
    Metainfo::parse(torrent.unwrap()).unwrap()
}

#[test]
fn tracker_urls_are_trimmed_and_bad_ones_dropped() {
    let torrent = root_of(|root| {
        root.bytes("announce", "http://hidden.example/");
        root.list("announce-list", |list| {
            list.list(|tier| {
                tier.bytes(" udp://a.example:1 \n").bytes("garbage").int(7);
            });
            list.list(|tier| {
                tier.bytes("");
            });
            list.list(|tier| {
                tier.bytes("http://b.example/").bytes("udp://a.example:1");
            });
        });
    });
    assert_eq!(
        torrent.trackers(),
        [["udp://a.example:1"], ["http://b.example/"]]
    );
    assert_eq!(
        torrent.remarks(),
        [Remark::DroppedUrls {
            key: "announce-list",
            count: 1
        }]
    );
}

#[test]
fn announce_counts_when_the_list_holds_no_url() {
    let torrent = root_of(|root| {
        root.bytes("announce", " http://a.example/ ")
            .list("announce-list", |list| {
                list.list(|_| {});
            });
    });
    assert_eq!(torrent.trackers(), [["http://a.example/"]]);
}

#[test]
fn url_list_may_be_a_string_or_a_list() {
    let string = root_of(|root| {
        root.bytes("url-list", "http://a.example/");
    });
    assert_eq!(string.web_seeds(), ["http://a.example/"]);
    let list = root_of(|root| {
        root.list("url-list", |list| {
            list.bytes("http://a.example/")
                .bytes("bad")
                .bytes("http://a.example/");
        });
        root.list("httpseeds", |list| {
            list.bytes("http://b.example/seed");
        });
    });
    assert_eq!(
        (list.web_seeds(), list.http_seeds()),
        (
            string.web_seeds(),
            &["http://b.example/seed".to_owned()][..]
        )
    );
}

// More

#[test]
fn private_is_read_from_info_only() {
    assert!(
        Metainfo::parse(read("made/private-a.torrent"))
            .unwrap()
            .info()
            .is_private()
    );
    assert!(
        !Metainfo::parse(read("made/private-not-a.torrent"))
            .unwrap()
            .info()
            .is_private()
    );
}

#[test]
fn metadata_from_peers_becomes_a_torrent_if_it_is_the_right_one() {
    let torrent = Metainfo::parse(read("made/v1-multi-a.torrent")).unwrap();
    let magnet = torrent.magnet();
    let from_peers = Metainfo::from_info(torrent.info().raw().clone(), &magnet).unwrap();
    assert_eq!(from_peers.info(), torrent.info());
    assert_eq!(from_peers.trackers(), torrent.trackers());
    let other: Magnet = format!("magnet:?xt=urn:btih:{}", "a".repeat(40))
        .parse()
        .unwrap();
    let refused = Metainfo::from_info(torrent.info().raw().clone(), &other);
    assert!(matches!(refused, Err(MetainfoError::WrongInfoHash { .. })));
    let trailing = [torrent.info().raw(), &b"x"[..]].concat();
    assert!(matches!(
        Metainfo::from_info(trailing, &magnet),
        Err(MetainfoError::Bencode(_))
    ));
}

#[test]
fn a_hybrid_known_by_one_hash_is_the_same_torrent() {
    let torrent = Metainfo::parse(read("made/hybrid-multi-a.torrent")).unwrap();
    let mut hashes = torrent.info_hashes();
    hashes.v2 = None;
    let from_peers =
        Metainfo::from_info(torrent.info().raw().clone(), &Magnet::new(hashes)).unwrap();
    assert_eq!(from_peers.info_hashes(), torrent.info_hashes());
    assert!(!from_peers.has_all_piece_layers());
    let piece = from_peers.info().geometry().piece(0).unwrap();
    assert!(
        from_peers
            .piece_hash(piece)
            .is_some_and(|hash| hash.v1.is_some() && hash.v2.is_none())
    );
}

#[test]
fn folders_with_long_names_around_many_files_do_not_grow_without_bound() {
    let name = "d".repeat(MAX_PATH_BYTES / 1000);
    let refused = v2(
        |tree| {
            tree.dict(&name, |folder| {
                for n in 0..1001 {
                    folder.dict(format!("{n}"), |node| file(node, 1, &[1; 32]));
                }
            });
        },
        &[],
    );
    assert_eq!(refused, Err(MetainfoError::PathsTooLong));
}

#[test]
fn a_torrent_is_the_bytes_it_was_read_from() {
    let bytes = read("made/root-unsorted-a.torrent");
    assert_eq!(Metainfo::parse(bytes.clone()).unwrap().to_bytes(), bytes);
}
