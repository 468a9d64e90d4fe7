//! Completing, reading and checking pieces in files: `cargo bench -p rarest-piece-store`.

use std::{num::NonZeroUsize, ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use divan::{Bencher, counter::BytesCount};
use rarest_bencode::encode_dict;
use rarest_hash::sha1;
use rarest_metainfo::{Block, Metainfo};
use rarest_piece_store::{
    BlockDigests, Check, DEFAULT_OPEN_FILES, FileStorage, OpenFiles, Part, PieceStore, WholePiece,
};
use tempfile::TempDir;

fn main() {
    divan::main();
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Bytes of the torrent; small enough to stay in the page cache, so that not the disk is measured.
const TOTAL: u64 = 512 * MIB;

/// A torrent of one file whose pieces are all alike, with the blocks of one.
struct Torrent {
    metainfo: Arc<Metainfo>,
    blocks: Vec<Bytes>,
}

impl Torrent {
    fn new(piece_length: u64) -> Self {
        let count = usize::try_from(TOTAL / piece_length).expect("few pieces");
        let piece: Bytes = (0..piece_length)
            .map(|index| (index * 31 % 251).to_le_bytes()[0])
            .collect();
        let torrent = encode_dict(|torrent| {
            torrent.dict("info", |info| {
                info.bytes("name", "file")
                    .int("length", TOTAL)
                    .int("piece length", piece_length);
                info.bytes("pieces", sha1(&piece).0.repeat(count));
            });
        });
        let torrent = torrent.expect("the keys differ");
        let blocks = (0..piece.len())
            .step_by(16 * 1024)
            .map(|at| piece.slice(at..at + 16 * 1024));
        Self {
            metainfo: Arc::new(Metainfo::parse(torrent).expect("made right")),
            blocks: blocks.collect(),
        }
    }

    fn store(&self, folder: &TempDir) -> PieceStore<FileStorage> {
        let open = OpenFiles::new(DEFAULT_OPEN_FILES);
        let storage = FileStorage::new(&self.metainfo, folder.path(), open);
        PieceStore::new(storage, Arc::clone(&self.metainfo))
    }

    fn wholes(&self) -> Vec<WholePiece> {
        let parts: Vec<_> = self.blocks.iter().cloned().map(Part::Memory).collect();
        let pieces = self.metainfo.info().geometry().pieces();
        pieces
            .map(|piece| WholePiece {
                piece,
                parts: parts.clone(),
                block_digests: BlockDigests::OfCorrupt,
            })
            .collect()
    }

    /// A store in which all is there.
    fn filled(&self, folder: &TempDir) -> PieceStore<FileStorage> {
        let store = self.store(folder);
        for batch in self.wholes().chunks(4) {
            assert!(store.complete(batch).iter().all(Result::is_ok));
        }
        store
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// One thread, four pieces a batch; a disk worker takes as many as are hashed side by side.
#[divan::bench(args = [256, 1024, 4096], sample_count = 3, sample_size = 1)]
fn complete(bencher: Bencher<'_, '_>, piece_kib: u64) {
    let torrent = Torrent::new(piece_kib * KIB);
    let wholes = torrent.wholes();
    bencher
        .counter(BytesCount::new(TOTAL))
        .with_inputs(folder)
        .bench_local_refs(|folder| {
            let store = torrent.store(folder);
            for batch in wholes.chunks(4) {
                divan::black_box(store.complete(batch));
            }
        });
}

/// 64 requests of a peer at once, from neighbouring blocks.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn read(bencher: Bencher<'_, '_>) {
    let torrent = Torrent::new(MIB);
    let folder = folder();
    let store = torrent.filled(&folder);
    let geometry = torrent.metainfo.info().geometry();
    let blocks: Vec<Block> = geometry
        .pieces()
        .flat_map(|piece| geometry.blocks(piece))
        .collect();
    bencher.counter(BytesCount::new(TOTAL)).bench_local(|| {
        for batch in blocks.chunks(64) {
            let mut read = Vec::with_capacity(batch.len());
            store.read(batch, &mut read).expect("all is verified");
            divan::black_box(read);
        }
    });
}

/// All cores, one reader.
#[divan::bench(args = [16, 256, 1024, 4096, 16384], sample_count = 3, sample_size = 1)]
fn check(bencher: Bencher<'_, '_>, piece_kib: u64) {
    check_with(bencher, piece_kib, NonZeroUsize::MIN);
}

/// All cores, all of which read.
#[divan::bench(args = [1024], sample_count = 3, sample_size = 1)]
fn check_with_many_readers(bencher: Bencher<'_, '_>, piece_kib: u64) {
    check_with(bencher, piece_kib, NonZeroUsize::MAX);
}

fn check_with(bencher: Bencher<'_, '_>, piece_kib: u64, readers: NonZeroUsize) {
    let torrent = Torrent::new(piece_kib * KIB);
    let folder = folder();
    torrent.filled(&folder);
    let store = torrent.store(&folder);
    let check = Check::all().with_readers(readers);
    bencher.counter(BytesCount::new(TOTAL)).bench_local(|| {
        let checked = store.check(&check, |_| ControlFlow::Continue(()));
        assert_eq!(checked.progress.verified, checked.progress.total);
    });
}
