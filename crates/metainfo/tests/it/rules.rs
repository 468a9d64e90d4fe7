//! What a torrent must keep to, rule by rule.

mod info;
mod paths;
mod root;
mod v2;

use rarest_bencode::{DictWriter, encode_dict};
use rarest_metainfo::{Metainfo, MetainfoError};

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
