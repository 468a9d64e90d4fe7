//! What one block costs a torrent, from its arrival to the request that follows it, over sizes of torrents and swarms.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench begins at some instant, and ends when something fails"
)]

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use divan::Bencher;
use rarest_metainfo::{Bitfield, Block, Geometry, InfoHash, InfoHashes, PeerId, PieceIndex};
use rarest_peer_wire::connection::{Command, Event};
use rarest_peer_wire::{Handshake, Reserved};
use rarest_swarm::{Config, Direction, Output, PeerKey, PieceResult, Start, Torrent};

fn main() {
    divan::main();
}

/// Blocks that are received in one measured run.
const BLOCKS: usize = 4096;

/// Blocks of one read of a socket.
const BATCH: usize = 16;

const BLOCK: u32 = 16 * 1024;

/// A torrent with peers that let us request, and what it asked of them.
struct Swarm {
    torrent: Torrent,
    geometry: Arc<Geometry>,
    now: Instant,
    keys: Vec<PeerKey>,
    asked: VecDeque<(PeerKey, VecDeque<Block>)>,
    data: Bytes,
}

#[derive(Clone, Copy)]
enum Peers {
    /// They have everything.
    Seeds,
    /// Each has a random half.
    Halves,
}

impl Swarm {
    fn new(pieces: u32, peers: usize, kind: Peers) -> Self {
        let length = 16 * BLOCK;
        let geometry = Geometry::contiguous(u64::from(pieces) * u64::from(length), length).unwrap();
        let geometry = Arc::new(geometry);
        let now = Instant::now();
        let info_hash = InfoHash([1; 20]);
        let start = Start {
            geometry: Arc::clone(&geometry),
            info_hashes: InfoHashes {
                v1: None,
                v2: Some(rarest_metainfo::InfoHashV2(rarest_hash::Sha256Digest(
                    [1; 32],
                ))),
            },
            peer_id: PeerId([0; 20]),
            verified: Bitfield::empty(&geometry),
            hash_unknown: Bitfield::empty(&geometry),
            on_disk: Vec::new(),
        };
        let config = Config {
            max_peers: peers,
            ..Config::default()
        };
        let mut swarm = Self {
            torrent: Torrent::new(config, start, now),
            geometry,
            now,
            keys: Vec::new(),
            asked: VecDeque::new(),
            data: Bytes::from(vec![0; BLOCK as usize]),
        };
        for number in 1..=u32::try_from(peers).unwrap() {
            let mut peer_id = [1; 20];
            peer_id[..4].copy_from_slice(&number.to_be_bytes());
            let handshake = Handshake {
                reserved: Reserved::NONE,
                info_hash,
                peer_id: PeerId(peer_id),
            };
            let addr = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + number), 6881));
            let direction = Direction::Incoming;
            let key = swarm
                .torrent
                .handle_peer_connected(now, addr, direction, &handshake)
                .unwrap();
            let has = swarm.pieces_of(number, kind);
            let events = vec![Event::Has(has), Event::Unchoked];
            swarm.torrent.handle_peer_events(now, key, events);
            swarm.keys.push(key);
        }
        swarm.drain();
        swarm
    }

    fn pieces_of(&self, number: u32, kind: Peers) -> Bitfield {
        let mut has = Bitfield::full(&self.geometry);
        if let Peers::Halves = kind {
            for piece in self.geometry.pieces() {
                let mixed =
                    (piece.get() ^ number.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
                if mixed >> 31 == 0 {
                    has.remove(piece);
                }
            }
        }
        has
    }

    fn drain(&mut self) -> Vec<PieceIndex> {
        let mut whole = Vec::new();
        while let Some(output) = self.torrent.poll_output() {
            match output {
                Output::Commands(key, commands) => {
                    let blocks = commands.into_iter().filter_map(|command| match command {
                        Command::Request(block) => Some(block),
                        _ => None,
                    });
                    let blocks: VecDeque<_> = blocks.collect();
                    if !blocks.is_empty() {
                        self.asked.push_back((key, blocks));
                    }
                }
                Output::CompletePiece(piece) => whole.push(piece.piece),
                _ => {}
            }
        }
        whole
    }

    /// Receives blocks in batches, verifying what becomes whole.
    fn receive(&mut self, blocks: usize) {
        let mut received = 0;
        while received < blocks {
            let Some((key, mut asked)) = self.asked.pop_front() else {
                return;
            };
            self.now += Duration::from_micros(100);
            let batch: Vec<_> = asked.drain(..asked.len().min(BATCH)).collect();
            received += batch.len();
            let events = batch.into_iter().map(|block| Event::Block {
                block,
                data: self.data.slice(..block.length() as usize),
            });
            let events = events.collect();
            self.torrent.handle_peer_events(self.now, key, events);
            if !asked.is_empty() {
                self.asked.push_back((key, asked));
            }
            for piece in self.drain() {
                let result = PieceResult::Verified {
                    block_digests: Vec::new(),
                };
                self.torrent.handle_piece_done(self.now, piece, result);
            }
            self.drain();
        }
    }
}

#[divan::bench(args = [1_000, 10_000, 100_000, 2_000_000], sample_count = 5, sample_size = 1)]
fn block_of_one_seed(bencher: Bencher<'_, '_>, pieces: u32) {
    receive(bencher, pieces, 1, Peers::Seeds);
}

#[divan::bench(args = [1, 10, 100, 1_000], sample_count = 5, sample_size = 1)]
fn block_among_seeds(bencher: Bencher<'_, '_>, peers: usize) {
    receive(bencher, 100_000, peers, Peers::Seeds);
}

#[divan::bench(args = [1, 10, 100, 1_000], sample_count = 3, sample_size = 1)]
fn block_among_halves(bencher: Bencher<'_, '_>, peers: usize) {
    receive(bencher, 20_000, peers, Peers::Halves);
}

#[divan::bench(args = [10, 100], sample_count = 3, sample_size = 1)]
fn block_of_two_million_pieces_among_halves(bencher: Bencher<'_, '_>, peers: usize) {
    receive(bencher, 2_000_000, peers, Peers::Halves);
}

fn receive(bencher: Bencher<'_, '_>, pieces: u32, peers: usize, kind: Peers) {
    bencher
        .with_inputs(|| {
            let mut swarm = Swarm::new(pieces, peers, kind);
            // The pipelines open first.
            swarm.receive(BLOCKS);
            swarm
        })
        .counter(divan::counter::ItemsCount::new(BLOCKS))
        .bench_local_refs(|swarm| swarm.receive(BLOCKS));
}

#[divan::bench(args = [1_000, 100_000, 2_000_000])]
fn have(bencher: Bencher<'_, '_>, pieces: u32) {
    let mut swarm = Swarm::new(pieces, 50, Peers::Seeds);
    let peer = swarm.keys[0];
    let piece = swarm.geometry.piece(pieces / 2).unwrap();
    bencher.bench_local(|| {
        let events = vec![Event::DontHave(piece), Event::Have(piece)];
        swarm.torrent.handle_peer_events(swarm.now, peer, events);
    });
}

#[divan::bench(args = [1_000, 100_000, 2_000_000], sample_count = 10, sample_size = 1)]
fn partial_peer_joins(bencher: Bencher<'_, '_>, pieces: u32) {
    let mut swarm = Swarm::new(pieces, 1, Peers::Seeds);
    let peer = swarm.keys[0];
    let has = swarm.pieces_of(7, Peers::Halves);
    bencher
        .with_inputs(|| vec![Event::Has(has.clone()), Event::Unchoked])
        .bench_local_values(|events| {
            swarm.torrent.handle_peer_events(swarm.now, peer, events);
        });
}

#[divan::bench(args = [1_000, 100_000, 2_000_000], sample_count = 5, sample_size = 1)]
fn new_torrent(bencher: Bencher<'_, '_>, pieces: u32) {
    bencher.bench_local(|| Swarm::new(pieces, 0, Peers::Seeds));
}
