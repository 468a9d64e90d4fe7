//! A torrent to be, as bytes.

use rarest_bencode::{DictWriter, encode_dict};
use rarest_hash::Sha256Digest;

use super::plan::{Entry, Plan};
use super::{Builder, PieceDigests};
use crate::torrent::encode_trackers;
use crate::{Version, merkle};

pub(super) fn encode(builder: &Builder, plan: &Plan, digests: &[PieceDigests]) -> Vec<u8> {
    let is_v2 = builder.version != Version::V1;
    let torrent = encode_dict(|root| {
        encode_trackers(&builder.trackers, root);
        if let Some(comment) = &builder.comment {
            root.bytes("comment", comment);
        }
        if let Some(created_by) = &builder.created_by {
            root.bytes("created by", created_by);
        }
        if let Some(date) = builder.creation_date {
            root.int("creation date", date);
        }
        root.dict("info", |info| encode_info(builder, plan, digests, info));
        if is_v2 {
            root.dict("piece layers", |layers| {
                encode_layers(plan, digests, layers);
            });
        }
        match builder.web_seeds.as_slice() {
            [] => {}
            [url] => {
                root.bytes("url-list", url);
            }
            urls => {
                root.list("url-list", |list| {
                    for url in urls {
                        list.bytes(url);
                    }
                });
            }
        }
    });
    torrent.expect("paths are different, and so are the keys")
}

fn encode_info(
    builder: &Builder,
    plan: &Plan,
    digests: &[PieceDigests],
    info: &mut DictWriter<'_>,
) {
    if builder.version != Version::V2 {
        encode_files_v1(builder, plan, info);
        let pieces: Vec<u8> = digests.iter().flat_map(|digests| digests.v1.0).collect();
        info.bytes("pieces", pieces);
    }
    if builder.version != Version::V1 {
        info.int("meta version", 2);
        let files: Vec<(&Entry, Option<Sha256Digest>)> = plan
            .entries
            .iter()
            .enumerate()
            .map(|(index, entry)| (entry, pieces_root(plan, index, digests)))
            .collect();
        info.dict("file tree", |tree| encode_tree(&files, 0, tree));
    }
    info.bytes("name", &plan.name);
    info.int("piece length", plan.geometry.nominal_piece_length());
    if builder.is_private {
        info.int("private", 1);
    }
    if let Some(source) = &builder.source {
        info.bytes("source", source);
    }
}

fn encode_files_v1(builder: &Builder, plan: &Plan, info: &mut DictWriter<'_>) {
    if !plan.is_folder {
        info.int("length", plan.entries[0].length);
        return;
    }
    info.list("files", |files| {
        for (index, entry) in plan.entries.iter().enumerate() {
            files.dict(|file| {
                file.int("length", entry.length);
                encode_strings("path", &entry.path, file);
                encode_symlink(entry, file);
            });
            let padding = plan.padding_after(index);
            if builder.version == Version::Hybrid && padding > 0 {
                files.dict(|file| {
                    file.bytes("attr", "p").int("length", padding);
                    // The name by which clients that don't know BEP 47 group padding.
                    encode_strings("path", &[".pad".to_owned(), padding.to_string()], file);
                });
            }
        }
    });
}

fn encode_symlink(entry: &Entry, file: &mut DictWriter<'_>) {
    if let Some(target) = &entry.target {
        file.bytes("attr", "l");
        encode_strings("symlink path", target, file);
    }
}

fn encode_strings(key: &str, strings: &[String], dict: &mut DictWriter<'_>) {
    dict.list(key, |list| {
        for string in strings {
            list.bytes(string);
        }
    });
}

/// Writes the files, which all lie in the same folder `depth` deep. Recursion ends at the depth to which plans are limited.
fn encode_tree(files: &[(&Entry, Option<Sha256Digest>)], depth: usize, tree: &mut DictWriter<'_>) {
    for siblings in files.chunk_by(|(a, _), (b, _)| a.path[depth] == b.path[depth]) {
        let (first, root) = &siblings[0];
        tree.dict(&first.path[depth], |node| {
            if first.path.len() > depth + 1 {
                encode_tree(siblings, depth + 1, node);
                return;
            }
            node.dict("", |file| {
                file.int("length", first.length);
                if let Some(root) = root {
                    file.bytes("pieces root", root);
                }
                encode_symlink(first, file);
            });
        });
    }
}

/// The root of an entry's merkle tree; empty ones have none.
fn pieces_root(plan: &Plan, entry: usize, digests: &[PieceDigests]) -> Option<Sha256Digest> {
    let layer = layer(plan, entry, digests);
    match layer.as_slice() {
        [] => None,
        [only] => Some(*only),
        layer => Some(merkle::root(layer, piece_height(plan))),
    }
}

fn layer(plan: &Plan, entry: usize, digests: &[PieceDigests]) -> Vec<Sha256Digest> {
    digests[plan.pieces_of(entry)]
        .iter()
        .map(|digests| digests.v2)
        .collect()
}

fn piece_height(plan: &Plan) -> u32 {
    merkle::height(plan.geometry.nominal_piece_length().into())
}

fn encode_layers(plan: &Plan, digests: &[PieceDigests], layers: &mut DictWriter<'_>) {
    let mut known: Vec<(Sha256Digest, usize)> = (0..plan.entries.len())
        .filter(|&entry| plan.pieces_of(entry).len() > 1)
        .filter_map(|entry| Some((pieces_root(plan, entry, digests)?, entry)))
        .collect();
    // Files of the same content share a layer.
    known.sort_unstable();
    known.dedup_by_key(|(root, _)| *root);
    for (root, entry) in known {
        let layer: Vec<u8> = layer(plan, entry, digests)
            .iter()
            .flat_map(|hash| hash.0)
            .collect();
        layers.bytes(root, layer);
    }
}
