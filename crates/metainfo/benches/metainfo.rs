//! How fast torrents are read, made and verified.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use rarest_metainfo::{Builder, Magnet, Metainfo, Version, verify_pieces};

const VERSIONS: [Version; 3] = [Version::V1, Version::V2, Version::Hybrid];
const PIECE_LENGTH: u32 = 1024 * 1024;

fn main() {
    divan::main();
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| i.to_le_bytes()[0]).collect()
}

/// A torrent of a thousand files in ten folders.
#[divan::bench(args = VERSIONS)]
fn parse_thousand_files(bencher: Bencher<'_, '_>, version: Version) {
    let names: Vec<_> = (0..1000)
        .map(|n| format!("folder {}/file {n}.bin", n % 10))
        .collect();
    let files = names.iter().map(|name| (name.as_str(), &b"some bytes"[..]));
    let bytes = Builder::new(version)
        .build_from_files("bench", files)
        .expect("the files make a torrent")
        .to_bytes();
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench(|| Metainfo::parse(bytes.clone()));
}

/// Four pieces of 1 MiB at once, as a disk worker has them.
#[divan::bench(args = VERSIONS)]
fn verify_four_pieces(bencher: Bencher<'_, '_>, version: Version) {
    let data = content(4 * PIECE_LENGTH as usize);
    let torrent = Builder::new(version)
        .piece_length(PIECE_LENGTH)
        .build_from_bytes("bench", &data)
        .expect("the data makes a torrent");
    let slices: Vec<Vec<&[u8]>> = data
        .chunks(PIECE_LENGTH as usize)
        .map(|piece| piece.chunks(16 * 1024).collect())
        .collect();
    let pieces: Vec<_> = torrent
        .info()
        .geometry()
        .pieces()
        .filter_map(|piece| torrent.piece_hash(piece))
        .zip(slices.iter().map(Vec::as_slice))
        .collect();
    bencher
        .counter(BytesCount::new(data.len()))
        .bench(|| verify_pieces(black_box(&pieces)));
}

#[divan::bench(args = VERSIONS)]
fn make_from_memory(bencher: Bencher<'_, '_>, version: Version) {
    let data = content(16 * PIECE_LENGTH as usize);
    let builder = Builder::new(version).piece_length(PIECE_LENGTH);
    bencher
        .counter(BytesCount::new(data.len()))
        .bench(|| builder.build_from_bytes("bench", black_box(&data)));
}

#[divan::bench]
fn parse_magnet(bencher: Bencher<'_, '_>) {
    let mut uri = format!("magnet:?xt=urn:btih:{}&dn=a%20name", "ab".repeat(20));
    for n in 0..20 {
        uri += &format!("&tr=udp%3A%2F%2Ftracker{n}.example%3A6969%2Fannounce");
    }
    bencher.bench(|| black_box(&uri).parse::<Magnet>());
}
