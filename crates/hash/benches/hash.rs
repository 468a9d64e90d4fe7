//! Hashing pieces: `cargo bench -p rarest-hash`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use rarest_hash::{Slices, sha1, sha1_many, sha256, sha256_many};

/// Length of the pieces, in bytes.
const PIECE_LENGTH: usize = 1 << 20;

/// Length of the blocks that pieces arrive in, in bytes.
const BLOCK_LENGTH: usize = 1 << 14;

fn main() {
    divan::main();
}

fn bench_many<D>(bencher: Bencher<'_, '_>, pieces: usize, hash: fn(&[Slices<'_>]) -> Vec<D>) {
    let data = vec![0xa5; pieces * PIECE_LENGTH];
    let blocks: Vec<&[u8]> = data.chunks(BLOCK_LENGTH).collect();
    let messages: Vec<Slices<'_>> = blocks.chunks(PIECE_LENGTH / BLOCK_LENGTH).collect();
    bencher
        .counter(BytesCount::of_slice(&data))
        .bench_local(|| hash(black_box(&messages)));
}

#[divan::bench]
fn sha1_of_one_piece(bencher: Bencher<'_, '_>) {
    let piece = vec![0xa5; PIECE_LENGTH];
    bencher
        .counter(BytesCount::of_slice(&piece))
        .bench_local(|| sha1(black_box(&piece)));
}

#[divan::bench(args = [1, 2, 3, 4, 6, 8, 12, 16])]
fn sha1_of_pieces(bencher: Bencher<'_, '_>, pieces: usize) {
    bench_many(bencher, pieces, sha1_many);
}

#[divan::bench]
fn sha256_of_one_piece(bencher: Bencher<'_, '_>) {
    let piece = vec![0xa5; PIECE_LENGTH];
    bencher
        .counter(BytesCount::of_slice(&piece))
        .bench_local(|| sha256(black_box(&piece)));
}

#[divan::bench(args = [1, 2, 3, 4, 6, 8, 12, 16])]
fn sha256_of_pieces(bencher: Bencher<'_, '_>, pieces: usize) {
    bench_many(bencher, pieces, sha256_many);
}

/// The nodes of a merkle tree: many messages of 64 bytes.
#[divan::bench]
fn sha256_of_merkle_layer(bencher: Bencher<'_, '_>) {
    let hashes = vec![0xa5; 2048 * 32];
    let nodes: Vec<[&[u8]; 1]> = hashes.chunks(64).map(|node| [node]).collect();
    let messages: Vec<Slices<'_>> = nodes.iter().map(|node| &node[..]).collect();
    bencher
        .counter(BytesCount::of_slice(&hashes))
        .bench_local(|| sha256_many(black_box(&messages)));
}
