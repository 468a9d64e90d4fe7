//! Piece layers, hybrids and padding.

use rarest_bencode::{DEFAULT_MAX_INPUT_LENGTH, encode_dict};
use rarest_hash::{Sha256Digest, sha256};
use rarest_metainfo::{
    Builder, FileKind, HybridMismatch, Metainfo, MetainfoError, ParseOptions, PieceLayerError,
    Remark, Version, merkle, verify_pieces,
};

use crate::content::ramp;
use crate::fixtures::read;

use super::{file, parse_info, v2};

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

/// A torrent whose info dictionary has an unknown value of so many bytes, read back when its layer was added.
fn put_together_with_layer(unknown_length: usize) -> Metainfo {
    let (root, layer) = three_pieces();
    let bytes = encode_dict(|torrent| {
        torrent.bytes("announce", "udp://a:1").bytes("comment", "c");
        torrent.bytes("created by", "p").int("creation date", 7);
        torrent.list("httpseeds", |urls| {
            urls.bytes("http://h/");
        });
        torrent.dict("info", |info| {
            info.bytes("name", "t")
                .int("piece length", 16_384)
                .int("meta version", 2)
                .dict("file tree", |tree| {
                    tree.dict("a", |node| file(node, 40_000, &root.0));
                });
            info.bytes("x", vec![0; unknown_length]);
        });
        torrent.list("nodes", |nodes| {
            for (host, port) in [("192.0.2.1", 1), ("2001:db8::1", 2), ("a.example", 3)] {
                nodes.list(|node| {
                    node.bytes(host).int(port);
                });
            }
        });
        torrent.bytes("url-list", "http://w/");
    });
    let options = ParseOptions::default().max_length(2 * DEFAULT_MAX_INPUT_LENGTH);
    let before = options.parse(bytes.unwrap()).unwrap();
    let mut torrent = before.clone();
    torrent.add_piece_layer(root, layer).unwrap();
    let after = options.parse(torrent.to_bytes()).unwrap();
    assert_eq!(after.info(), before.info());
    assert_eq!(after.trackers(), before.trackers());
    assert_eq!(after.web_seeds(), before.web_seeds());
    assert_eq!(after.http_seeds(), before.http_seeds());
    assert_eq!(after.dht_nodes(), before.dht_nodes());
    assert_eq!(after.comment(), before.comment());
    assert_eq!(after.created_by(), before.created_by());
    assert_eq!(after.creation_date(), before.creation_date());
    after
}

#[test]
fn a_torrent_put_together_again_has_all_that_was_known() {
    let torrent = put_together_with_layer(0);
    assert_eq!(torrent.remarks(), []);
    assert_eq!(torrent.dht_nodes().len(), 3);
    assert!(torrent.has_all_piece_layers());
}

#[test]
fn a_torrent_over_the_limits_of_bencode_is_put_together_again() {
    let torrent = put_together_with_layer(DEFAULT_MAX_INPUT_LENGTH);
    assert!(torrent.has_all_piece_layers());
}

#[test]
fn a_layer_that_is_known_is_not_replaced() {
    let (root, layer) = three_pieces();
    let mut torrent = with_layers(&[(&root.0, &layer)]).unwrap();
    assert_eq!(torrent.add_piece_layer(root, layer.clone()), Ok(()));
    let wrong = torrent.add_piece_layer(root, vec![0; 96]);
    assert_eq!(wrong, Err(PieceLayerError::WrongRoot { root }));
    assert_eq!(torrent.piece_layer(&root).unwrap(), &layer);
}

#[test]
fn two_files_of_one_root_and_different_lengths_are_refused() {
    let (root, layer) = three_pieces();
    for (first, second) in [(40_000, 80_000), (80_000, 40_000)] {
        let torrent = v2(
            |tree| {
                tree.dict("a", |node| file(node, first, &root.0));
                tree.dict("b", |node| file(node, second, &root.0));
            },
            &[(&root.0, &layer)],
        );
        let wrong = PieceLayerError::WrongLength {
            root,
            actual: 96,
            expected: 160,
        };
        assert_eq!(torrent, Err(MetainfoError::PieceLayer(wrong)));
    }
}

#[test]
fn peers_are_answered_from_the_piece_layer() {
    let (root, layer) = three_pieces();
    let torrent = with_layers(&[(&root.0, &layer)]).unwrap();
    let request = merkle::HashRequest::with_whole_proof(0, 2, 2, merkle::height(40_000));
    let answer = torrent.hash_tree(&root).unwrap().answer(&request).unwrap();
    let proven = request.verify(&root, 2, &answer).unwrap();
    assert_eq!(proven[0].0, layer[64..]);
    assert_eq!(torrent.hash_tree(&Sha256Digest([9; 32])), None);
}

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
