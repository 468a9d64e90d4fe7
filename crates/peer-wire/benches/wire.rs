//! How fast blocks come in, requests go out, and both travel between two connections.
#![expect(clippy::unwrap_used, reason = "a failure of the set-up ends the bench")]

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use rarest_metainfo::{Bitfield, Block, Geometry, InfoHash, PeerId};
use rarest_peer_wire::connection::{Command, Config, Connection, Event, LocalTorrent};
use rarest_peer_wire::{Codec, Message};

const BLOCKS: u32 = 4096;
const BLOCK_LENGTH: usize = 16 * 1024;
const READ_LENGTH: usize = 256 * 1024;
const INFO_HASH: InfoHash = InfoHash([7; 20]);

fn main() {
    divan::main();
}

/// Blocks in reads of 256 KiB, each into the room that the last one left, as from a socket.
#[divan::bench]
fn decode_blocks(bencher: Bencher<'_, '_>) {
    let mut stream = Vec::new();
    for index in 0..BLOCKS {
        let message = Message::Piece {
            piece: index / 64,
            offset: index % 64 * 16_384,
            data: Bytes::from_static(&[0x5a; BLOCK_LENGTH]),
        };
        message.encode(&mut stream);
    }
    bencher.counter(BytesCount::new(stream.len())).bench(|| {
        let mut codec = Codec::new();
        let mut input = BytesMut::new();
        let mut blocks = 0;
        for read in stream.chunks(READ_LENGTH) {
            input.extend_from_slice(read);
            while let Some(message) = codec.decode(&mut input).unwrap() {
                blocks += u32::from(matches!(message, Message::Piece { .. }));
            }
        }
        assert_eq!(blocks, BLOCKS);
    });
}

/// What the copy into the buffer alone costs in `decode_blocks`.
#[divan::bench]
fn copy_alone(bencher: Bencher<'_, '_>) {
    let stream = vec![0x5a; BLOCKS as usize * BLOCK_LENGTH];
    bencher.counter(BytesCount::new(stream.len())).bench(|| {
        let mut input = BytesMut::new();
        for read in stream.chunks(READ_LENGTH) {
            input.extend_from_slice(read);
            divan::black_box(input.split().freeze());
        }
    });
}

/// The small messages of a seeder's peer.
#[divan::bench]
fn decode_haves(bencher: Bencher<'_, '_>) {
    let mut stream = Vec::new();
    for piece in 0..100_000 {
        Message::Have { piece }.encode(&mut stream);
    }
    bencher
        .counter(ItemsCount::new(100_000u32))
        .with_inputs(|| BytesMut::from(&stream[..]))
        .bench_values(|mut input| {
            let mut codec = Codec::new();
            while let Some(message) = codec.decode(&mut input).unwrap() {
                divan::black_box(message);
            }
        });
}

#[divan::bench]
fn encode_requests(bencher: Bencher<'_, '_>) {
    let geometry = geometry();
    let blocks: Vec<Block> = blocks(&geometry);
    bencher
        .counter(ItemsCount::new(blocks.len()))
        .bench_local(|| {
            let mut out = BytesMut::new();
            for &block in &blocks {
                Message::Request(block.into()).encode(&mut out);
            }
            out
        });
}

/// Requests, blocks and events between two connections, so many blocks at a time: what one costs must not grow with the
/// requests in flight. The bytes of the blocks are copied once, as by a socket.
#[divan::bench(args = [16, 64, 512, 4096])]
fn connection_to_connection(bencher: Bencher<'_, '_>, in_flight: usize) {
    let geometry = geometry();
    let blocks = blocks(&geometry);
    let data = Bytes::from_static(&[0x5a; BLOCK_LENGTH]);
    bencher
        .counter(ItemsCount::new(blocks.len()))
        .with_inputs(|| connected(&geometry))
        .bench_local_values(|(now, mut leecher, mut seeder)| {
            let (mut to_seeder, mut to_leecher) = (BytesMut::new(), BytesMut::new());
            let mut received = 0;
            for batch in blocks.chunks(in_flight) {
                leecher.handle_commands(now, batch.iter().copied().map(Command::Request));
                carry(&mut leecher, &mut to_seeder);
                seeder.handle_input(now, &mut to_seeder).unwrap();
                while let Some(block) = seeder.poll_upload_request() {
                    seeder.send_block(now, block, data.clone());
                }
                while seeder.has_output() {
                    write_once(&mut seeder, &mut to_leecher);
                    leecher.handle_input(now, &mut to_leecher).unwrap();
                    while let Some(event) = leecher.poll_event() {
                        received += usize::from(matches!(event, Event::Block { .. }));
                    }
                }
            }
            assert_eq!(received, blocks.len());
        });
}

/// Every request is made and then cancelled, the last one first, as when a peer became slow.
#[divan::bench(args = [16, 64, 512, 4096])]
fn requests_and_cancels(bencher: Bencher<'_, '_>, in_flight: usize) {
    let geometry = geometry();
    let blocks = blocks(&geometry);
    bencher
        .counter(ItemsCount::new(blocks.len()))
        .with_inputs(|| connected(&geometry))
        .bench_local_values(|(now, mut leecher, mut seeder)| {
            let mut to_seeder = BytesMut::new();
            for batch in blocks.chunks(in_flight) {
                leecher.handle_commands(now, batch.iter().copied().map(Command::Request));
                leecher.handle_commands(now, batch.iter().rev().copied().map(Command::Cancel));
                carry(&mut leecher, &mut to_seeder);
                seeder.handle_input(now, &mut to_seeder).unwrap();
                let mut answers = BytesMut::new();
                carry(&mut seeder, &mut answers);
                leecher.handle_input(now, &mut answers).unwrap();
                while leecher.poll_event().is_some() {}
            }
        });
}

fn geometry() -> Arc<Geometry> {
    let length = u64::from(BLOCKS) * 16_384;
    Arc::new(Geometry::contiguous(length, 1024 * 1024).unwrap())
}

fn blocks(geometry: &Geometry) -> Vec<Block> {
    let pieces = geometry.pieces();
    pieces.flat_map(|piece| geometry.blocks(piece)).collect()
}

/// What `writev` and `read` would do.
fn carry(from: &mut Connection, to: &mut BytesMut) {
    while from.has_output() {
        write_once(from, to);
    }
}

fn write_once(from: &mut Connection, to: &mut BytesMut) {
    let output = from.output();
    let mut slices = [IoSlice::new(&[]); 64];
    let filled = output.chunks_vectored(&mut slices);
    for slice in &slices[..filled] {
        to.extend_from_slice(slice);
    }
    let written = slices[..filled].iter().map(|slice| slice.len()).sum();
    output.advance(written);
}

fn connected(geometry: &Arc<Geometry>) -> (Instant, Connection, Connection) {
    #[expect(
        clippy::disallowed_methods,
        reason = "an arbitrary beginning of virtual time"
    )]
    let now = Instant::now();
    let addr = SocketAddr::from(([192, 0, 2, 1], 6881));
    let config = |id| Arc::new(Config::new(PeerId([id; 20])));
    let mut leecher = Connection::outgoing(config(1), addr, INFO_HASH, now);
    let mut seeder = Connection::incoming(config(2), addr, now);
    let (mut to_seeder, mut to_leecher) = (BytesMut::new(), BytesMut::new());
    let empty = Bitfield::empty(geometry);
    let full = Bitfield::full(geometry);
    for _ in 0..2 {
        carry(&mut leecher, &mut to_seeder);
        seeder.handle_input(now, &mut to_seeder).unwrap();
        let torrent = LocalTorrent::new(INFO_HASH, Arc::clone(geometry), full.clone());
        seeder.accept(now, torrent);
        seeder.handle_command(now, Command::Unchoke);
        carry(&mut seeder, &mut to_leecher);
        leecher.handle_input(now, &mut to_leecher).unwrap();
        let torrent = LocalTorrent::new(INFO_HASH, Arc::clone(geometry), empty.clone());
        leecher.accept(now, torrent);
        leecher.handle_input(now, &mut to_leecher).unwrap();
    }
    while leecher.poll_event().is_some() {}
    (now, leecher, seeder)
}
