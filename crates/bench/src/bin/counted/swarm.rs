//! Blocks that come in, and the requests that follow them.

use std::collections::VecDeque;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_hash::Sha1Digest;
use rarest_metainfo::{Bitfield, Block, Geometry, InfoHash, InfoHashV1, InfoHashes, PeerId};
use rarest_peer_wire::connection::{Command, Event};
use rarest_peer_wire::{Handshake, Reserved};
use rarest_swarm::{Config, Direction, Output, PeerKey, PieceResult, Start, Torrent};

use crate::MOST_TIMES;

/// Blocks of one read of a socket.
const BATCH: usize = 16;

/// Bytes of a block.
const BLOCK_LENGTH: u32 = 16 * 1024;

/// Pieces of the torrent, of a batch of blocks each: more than are received.
const PIECES: u32 = 2000;

/// Peers that have everything.
const SEEDS: u32 = 20;

/// Receives a batch of blocks so often, after as many that fill the pipelines.
pub(crate) fn sixteen_blocks_picked(times: usize) {
    let mut swarm = Swarm::new();
    for _ in 0..MOST_TIMES {
        swarm.receive();
    }
    for _ in 0..times {
        swarm.receive();
    }
}

/// A torrent, and what it asked of its peers.
struct Swarm {
    torrent: Torrent,
    now: Instant,
    asked: VecDeque<(PeerKey, VecDeque<Block>)>,
    data: Bytes,
}

impl Swarm {
    fn new() -> Self {
        let piece_length = 16 * BLOCK_LENGTH;
        let length = u64::from(PIECES) * u64::from(piece_length);
        let geometry = Geometry::contiguous(length, piece_length).expect("a usual geometry");
        let geometry = Arc::new(geometry);
        let now = Instant::now();
        let info_hash = InfoHash([1; 20]);
        let start = Start {
            geometry: Arc::clone(&geometry),
            info_hashes: InfoHashes {
                v1: Some(InfoHashV1(Sha1Digest(info_hash.0))),
                v2: None,
            },
            peer_id: PeerId([0; 20]),
            verified: Bitfield::empty(&geometry),
            hash_unknown: Bitfield::empty(&geometry),
            on_disk: Vec::new(),
            metadata: None,
        };
        let mut swarm = Self {
            torrent: Torrent::new(Config::default(), start, now),
            now,
            asked: VecDeque::new(),
            data: Bytes::from(vec![0; BLOCK_LENGTH as usize]),
        };
        for number in 1..=SEEDS {
            let mut peer_id = [1; 20];
            peer_id[..4].copy_from_slice(&number.to_be_bytes());
            let handshake = Handshake {
                reserved: Reserved::NONE,
                info_hash,
                peer_id: PeerId(peer_id),
            };
            let addr = SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + number), 6881));
            let key = swarm
                .torrent
                .handle_peer_connected(now, addr, Direction::Incoming, &handshake)
                .expect("there is room for all seeds");
            let events = vec![Event::Has(Bitfield::full(&geometry)), Event::Unchoked];
            swarm.torrent.handle_peer_events(now, key, events);
        }
        swarm.drain();
        swarm
    }

    /// Receives one batch from the peer that was asked first, and verifies what becomes whole.
    fn receive(&mut self) {
        let (key, mut asked) = self.asked.pop_front().expect("something is always asked");
        self.now += Duration::from_micros(100);
        let batch = asked.drain(..asked.len().min(BATCH));
        let events = batch.map(|block| Event::Block {
            block,
            data: self.data.slice(..block.length() as usize),
        });
        let events = events.collect();
        self.torrent.handle_peer_events(self.now, key, events);
        if !asked.is_empty() {
            self.asked.push_back((key, asked));
        }
        self.drain();
    }

    fn drain(&mut self) {
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
                Output::CompletePiece(whole) => {
                    let result = PieceResult::Verified {
                        block_digests: Vec::new(),
                    };
                    self.torrent
                        .handle_piece_done(self.now, whole.piece, result);
                }
                other => {
                    black_box(other);
                }
            }
        }
    }
}
