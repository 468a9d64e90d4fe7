//! What must hold for any input. The fuzz targets call these functions, and so do the tests.

use std::collections::HashSet;
use std::path::{Component, Path};

use rarest_metainfo::merkle::{self, HashRequest};
use rarest_metainfo::{Builder, Magnet, Metainfo, Version};

/// No torrent makes the reader panic; its paths stay inside and differ, its spans cover its pieces, and it can be written and read again.
pub(crate) fn a_torrent_is_refused_or_sound(bytes: &[u8]) {
    let Ok(torrent) = Metainfo::parse(bytes.to_vec()) else {
        return;
    };
    paths_stay_inside_and_differ(&torrent);
    spans_cover_pieces(&torrent);
    let magnet = torrent.magnet();
    assert_eq!(magnet.to_string().parse(), Ok(magnet.clone()));
    let from_peers =
        Metainfo::from_info(torrent.info().raw().clone(), &magnet).expect("the same dictionary");
    assert_eq!(from_peers.info(), torrent.info());
    let written = Metainfo::parse(from_peers.to_bytes()).expect("what was read can be read again");
    assert_eq!(written.info_hashes(), torrent.info_hashes());
}

/// The same of a bare info dictionary.
pub(crate) fn an_info_is_refused_or_sound(info: &[u8]) {
    a_torrent_is_refused_or_sound(&[b"d4:info", info, b"e"].concat());
}

fn paths_stay_inside_and_differ(torrent: &Metainfo) {
    let mut paths = HashSet::new();
    for file in torrent.info().files() {
        let links = file.symlink_target();
        for path in [file.path()].into_iter().chain(links) {
            assert!(
                Path::new(path)
                    .components()
                    .all(|part| matches!(part, Component::Normal(_))),
                "{path:?}"
            );
            assert!(
                !path.contains(['\\', ':', '\0']) && !path.contains("//"),
                "{path:?}"
            );
        }
        assert!(
            file.is_padding() || paths.insert(file.path().to_lowercase()),
            "{file:?} is there twice"
        );
        assert!(!file.raw_path().is_empty());
    }
}

fn spans_cover_pieces(torrent: &Metainfo) {
    let info = torrent.info();
    for piece in info.geometry().pieces().take(100) {
        let start = info.geometry().piece_offset(piece);
        let end = start + u64::from(info.geometry().piece_length(piece));
        let covered: u64 = info.spans(start..end).map(|span| span.length).sum();
        assert_eq!(covered, end - start);
        let hash = torrent.piece_hash(piece);
        assert!(hash.is_some() || info.version() == Version::V2);
        assert!(hash.is_none_or(|hash| !hash.matches(&[])));
    }
}

/// A magnet link that is read is the same when it is printed and read again.
pub(crate) fn a_magnet_survives_printing(uri: &str) {
    if let Ok(magnet) = uri.parse::<Magnet>() {
        assert_eq!(magnet.to_string().parse(), Ok(magnet));
    }
}

/// Padding of a hybrid is as long as pieces are, and hashed: longer ones would only take time.
const LONGEST_PIECE: u32 = 1 << 20;

/// What the builder makes is read back, and its pieces match; odd paths are refused.
pub(crate) fn what_is_built_is_read_back(
    version: Version,
    piece_length: u32,
    files: &[(String, Vec<u8>)],
) {
    let content = files
        .iter()
        .map(|(path, data)| (path.as_str(), data.as_slice()));
    let Ok(torrent) = Builder::new(version)
        .piece_length(piece_length.min(LONGEST_PIECE))
        .build_from_files("t", content)
    else {
        return;
    };
    assert_eq!(Metainfo::parse(torrent.to_bytes()).as_ref(), Ok(&torrent));
    assert_eq!(torrent.info().version(), version);
    assert!(torrent.has_all_piece_layers());
    let length: usize = files.iter().map(|(_, data)| data.len()).sum();
    assert_eq!(torrent.info().total_length(), length as u64);
    a_torrent_is_refused_or_sound(&torrent.to_bytes());
}

/// A proof holds only for the tree that it is of.
pub(crate) fn a_proof_is_refused_or_holds(request: HashRequest, height: u32, hashes: &[[u8; 32]]) {
    let hashes: Vec<_> = hashes.iter().map(|&hash| hash.into()).collect();
    assert!(request.uncle_count() <= request.proof_layers);
    let _ = request.verify(&merkle::padding_hash(height % 32), height, &hashes);
    let tree = merkle::Tree::new(hashes, 0, u64::from(height) << 14);
    let _ = tree.answer(&request);
}
