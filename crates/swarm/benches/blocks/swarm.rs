//! A torrent with peers that send what they are asked for.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_metainfo::{Bitfield, Block, Geometry, InfoHash, InfoHashes, PeerId, PieceIndex};
use rarest_peer_wire::connection::{Command, Event};
use rarest_peer_wire::{Handshake, Reserved};
use rarest_swarm::{Config, Direction, Output, PeerKey, PieceResult, Start, Torrent};

/// Blocks that are received in one measured run.
pub(crate) const BLOCKS: usize = 4096;

/// Blocks of one read of a socket.
pub(crate) const BATCH: usize = 16;

const BLOCK: u32 = 16 * 1024;

/// A torrent with peers that let us request, and what it asked of them.
pub(crate) struct Swarm {
    pub(crate) torrent: Torrent,
    pub(crate) geometry: Arc<Geometry>,
    pub(crate) now: Instant,
    pub(crate) keys: Vec<PeerKey>,
    asked: VecDeque<(PeerKey, VecDeque<Block>)>,
    data: Bytes,
}

#[derive(Clone, Copy)]
pub(crate) enum Peers {
    /// They have everything.
    Seeds,
    /// Each has a random half.
    Halves,
}

impl Swarm {
    pub(crate) fn new(pieces: u32, peers: usize, kind: Peers) -> Self {
        let length = 16 * BLOCK;
        Self::of(u64::from(pieces) * u64::from(length), length, peers, kind)
    }

    pub(crate) fn of(total_length: u64, piece_length: u32, peers: usize, kind: Peers) -> Self {
        let geometry = Geometry::contiguous(total_length, piece_length).unwrap();
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
            metadata: None,
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
            data: Bytes::from_static(&[0; BLOCK as usize]),
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

    pub(crate) fn pieces_of(&self, number: u32, kind: Peers) -> Bitfield {
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
    pub(crate) fn receive(&mut self, blocks: usize) {
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
