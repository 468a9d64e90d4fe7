//! Torrents made for a test, with all their bytes.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use bytes::Bytes;
use rarest_bencode::{DictWriter, encode_dict};
use rarest_hash::{sha1, sha1_many};
use rarest_metainfo::{Block, Geometry, Metainfo, PieceIndex, merkle};
use rarest_piece_store::{
    BlockDigests, Check, Checked, DEFAULT_OPEN_FILES, FileStorage, OpenFiles, Part, PieceStore,
    Storage, WholePiece,
};
use tempfile::TempDir;

/// A file of a torrent to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewFile {
    pub(crate) path: String,
    pub(crate) data: Vec<u8>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    Padding,
    Symlink(String),
}

/// A file of bytes that repeat nowhere near.
pub(crate) fn file(path: &str, length: usize) -> NewFile {
    let mut state = path.bytes().fold(length as u32 | 1, |state, byte| {
        state.wrapping_mul(16_777_619) ^ u32::from(byte)
    });
    let data = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    NewFile {
        path: path.to_owned(),
        data: data.take(length).collect(),
        kind: Kind::Regular,
    }
}

pub(crate) fn padding(length: usize) -> NewFile {
    NewFile {
        path: format!(".pad/{length}"),
        data: vec![0; length],
        kind: Kind::Padding,
    }
}

pub(crate) fn symlink(path: &str, target: &str) -> NewFile {
    NewFile {
        path: path.to_owned(),
        data: Vec::new(),
        kind: Kind::Symlink(target.to_owned()),
    }
}

/// A torrent and the whole of its piece space.
pub(crate) struct Made {
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) space: Vec<u8>,
}

/// Seven pieces of 32 KiB; `b` and `c` share the one with number 3.
pub(crate) fn three_files() -> Made {
    const KIB: usize = 1024;
    v1(
        32 * KIB,
        &[
            file("a", 64 * KIB),
            file("b", 50 * KIB),
            file("c", 100 * KIB),
        ],
    )
}

/// A v1 torrent in a folder `torrent`.
pub(crate) fn v1(piece_length: usize, files: &[NewFile]) -> Made {
    let space = files.concat_data();
    let torrent = encode_dict(|root| {
        root.dict("info", |info| {
            info.bytes("name", "torrent")
                .int("piece length", piece_length as u64);
            write_v1(info, piece_length, files, &space);
        });
    });
    Made::new(torrent.unwrap(), space)
}

/// A v2 torrent in a folder `torrent`. Files must be given in the order of their paths.
pub(crate) fn v2(piece_length: usize, files: &[NewFile]) -> Made {
    let torrent = encode_dict(|root| {
        root.dict("info", |info| {
            info.bytes("name", "torrent")
                .int("piece length", piece_length as u64);
            write_v2(info, files);
        });
        write_layers(root, piece_length, files);
    });
    let mut space = Vec::new();
    for file in files {
        space.resize(space.len().next_multiple_of(piece_length), 0);
        space.extend(&file.data);
    }
    Made::new(torrent.unwrap(), space)
}

/// A hybrid of the same files, padding added.
pub(crate) fn hybrid(piece_length: usize, files: &[NewFile]) -> Made {
    let mut padded = Vec::new();
    for file in files {
        let end: usize = padded.iter().map(|file: &NewFile| file.data.len()).sum();
        let gap = end.next_multiple_of(piece_length) - end;
        if gap > 0 {
            padded.push(padding(gap));
        }
        padded.push(file.clone());
    }
    let space = padded.concat_data();
    let torrent = encode_dict(|root| {
        root.dict("info", |info| {
            info.bytes("name", "torrent")
                .int("piece length", piece_length as u64);
            write_v1(info, piece_length, &padded, &space);
            write_v2(info, files);
        });
        write_layers(root, piece_length, files);
    });
    Made::new(torrent.unwrap(), space)
}

trait ConcatData {
    fn concat_data(&self) -> Vec<u8>;
}

impl ConcatData for [NewFile] {
    fn concat_data(&self) -> Vec<u8> {
        self.iter().flat_map(|file| file.data.clone()).collect()
    }
}

fn write_v1(info: &mut DictWriter<'_>, piece_length: usize, files: &[NewFile], space: &[u8]) {
    info.list("files", |list| {
        for file in files {
            list.dict(|entry| {
                entry.int("length", file.data.len() as u64);
                entry.list("path", |path| {
                    for part in file.path.split('/') {
                        path.bytes(part);
                    }
                });
                match &file.kind {
                    Kind::Regular => {}
                    Kind::Padding => {
                        entry.bytes("attr", "p");
                    }
                    Kind::Symlink(target) => {
                        entry.bytes("attr", "l");
                        entry.list("symlink path", |path| {
                            for part in target.split('/') {
                                path.bytes(part);
                            }
                        });
                    }
                }
            });
        }
    });
    let pieces: Vec<u8> = space
        .chunks(piece_length)
        .flat_map(|piece| sha1(piece).0)
        .collect();
    info.bytes("pieces", pieces);
}

fn write_v2(info: &mut DictWriter<'_>, files: &[NewFile]) {
    info.int("meta version", 2);
    info.dict("file tree", |tree| {
        for file in files {
            tree.dict(&file.path, |name| {
                name.dict("", |entry| {
                    entry.int("length", file.data.len() as u64);
                    if !file.data.is_empty() {
                        let root = merkle::root(&merkle::leaves(&[&file.data]), 0);
                        entry.bytes("pieces root", root.0);
                    }
                });
            });
        }
    });
}

fn write_layers(root: &mut DictWriter<'_>, piece_length: usize, files: &[NewFile]) {
    root.dict("piece layers", |layers| {
        for file in files.iter().filter(|file| file.data.len() > piece_length) {
            let leaves = merkle::leaves(&[&file.data]);
            let per_piece = piece_length / 16_384;
            let layer: Vec<u8> = leaves
                .chunks(per_piece)
                .flat_map(|leaves| merkle::subtree_root(leaves, 0, per_piece.ilog2()).0)
                .collect();
            layers.bytes(merkle::root(&leaves, 0).0, layer);
        }
    });
}

impl Made {
    fn new(torrent: Vec<u8>, space: Vec<u8>) -> Self {
        let metainfo = Metainfo::parse(torrent).expect("a torrent made right is read");
        Self {
            metainfo: Arc::new(metainfo),
            space,
        }
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        self.metainfo.info().geometry()
    }

    pub(crate) fn piece(&self, index: u32) -> PieceIndex {
        self.geometry().piece(index).expect("the piece exists")
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let geometry = self.geometry();
        geometry
            .pieces()
            .flat_map(|piece| geometry.blocks(piece))
            .collect()
    }

    pub(crate) fn bytes(&self, block: Block) -> Bytes {
        let range = self.geometry().range(block);
        Bytes::copy_from_slice(&self.space[range.start as usize..range.end as usize])
    }

    /// A piece in blocks, as it comes from peers.
    pub(crate) fn whole(&self, piece: PieceIndex) -> WholePiece {
        let blocks = self.geometry().blocks(piece);
        WholePiece {
            piece,
            parts: blocks
                .map(|block| Part::Memory(self.bytes(block)))
                .collect(),
            block_digests: BlockDigests::default(),
        }
    }

    pub(crate) fn wholes(&self) -> Vec<WholePiece> {
        self.geometry()
            .pieces()
            .map(|piece| self.whole(piece))
            .collect()
    }

    /// SHA-1 of the blocks of a piece.
    pub(crate) fn digests(&self, piece: PieceIndex) -> Vec<rarest_hash::Sha1Digest> {
        let blocks: Vec<_> = self
            .geometry()
            .blocks(piece)
            .map(|block| self.bytes(block))
            .collect();
        let slices: Vec<[&[u8]; 1]> = blocks.iter().map(|block| [&block[..]]).collect();
        sha1_many(&slices.iter().map(|block| &block[..]).collect::<Vec<_>>())
    }

    pub(crate) fn store<S: Storage>(&self, storage: S) -> PieceStore<S> {
        PieceStore::new(storage, Arc::clone(&self.metainfo))
    }

    pub(crate) fn in_folder(&self, folder: &Path) -> PieceStore<FileStorage> {
        self.store(self.files(folder))
    }

    /// Nothing is there yet.
    pub(crate) fn in_new_folder(&self) -> (TempDir, PieceStore<FileStorage>) {
        let folder = tempfile::tempdir().unwrap();
        let store = self.in_folder(folder.path());
        (folder, store)
    }

    /// All pieces are there.
    pub(crate) fn complete_in_folder(&self) -> (TempDir, PieceStore<FileStorage>) {
        let (folder, store) = self.in_new_folder();
        self.fill(&store);
        (folder, store)
    }

    pub(crate) fn files(&self, folder: &Path) -> FileStorage {
        FileStorage::new(&self.metainfo, folder, OpenFiles::new(DEFAULT_OPEN_FILES))
    }

    /// Completes every piece.
    pub(crate) fn fill<S: Storage>(&self, store: &PieceStore<S>) {
        for result in store.complete(&self.wholes()) {
            result.expect("right pieces are verified");
        }
    }

    /// What the file of that path in the torrent holds.
    pub(crate) fn data(&self, path: &str) -> &[u8] {
        let file = self.file(path);
        let range = self.metainfo.info().file(file).range();
        &self.space[range.start as usize..range.end as usize]
    }

    pub(crate) fn file(&self, path: &str) -> rarest_metainfo::FileIndex {
        let path = format!("torrent/{path}");
        let mut files = self.metainfo.info().files();
        files
            .find(|file| file.path() == path)
            .expect("the file exists")
            .index()
    }
}

pub(crate) fn check_all<S: Storage>(store: &PieceStore<S>) -> Checked {
    store.check(&Check::all(), |_| ControlFlow::Continue(()))
}

/// Everything below a folder that is no folder, sorted.
pub(crate) fn listing(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(inside).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                names.push(
                    path.strip_prefix(folder)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    names.sort();
    names
}
