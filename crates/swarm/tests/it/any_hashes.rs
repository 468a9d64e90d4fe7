//! Whatever peers say of hashes and blocks of a v2 torrent in whatever order: nothing panics, all counts agree, nothing false is taken for
//! right, and an honest seed ends it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use rarest_metainfo::merkle::{self, Tree};
use rarest_metainfo::{Block, Builder, Metainfo, PeerId, Sha256Digest, Version};
use rarest_peer_wire::HashRange;
use rarest_peer_wire::connection::{Command, Event};
use rarest_swarm::{
    BlockData, BlockDigest, CompletePiece, Direction, PeerKey, PieceResult, Priority, SpillResult,
};

use crate::stage::{Stage, addr};

const PIECE: u32 = 64 * 1024;

/// A torrent of files of several pieces and of one, and the bytes of each by the root of its tree.
struct Sample {
    whole: Arc<Metainfo>,
    bare: Arc<Metainfo>,
    /// In the order of the pieces, each file from the beginning of a piece.
    space: Bytes,
    files: Vec<(Sha256Digest, Vec<u8>)>,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let lengths = [4 * PIECE as usize - 9, 2 * PIECE as usize, 30_000];
    let data: Vec<Vec<u8>> = lengths
        .iter()
        .enumerate()
        .map(|(number, &length)| {
            let bytes = (0..length).map(|at| u8::try_from((at / 7 + number) % 251).unwrap());
            bytes.collect()
        })
        .collect();
    let named = ["a", "b", "c"]
        .into_iter()
        .zip(data.iter().map(Vec::as_slice));
    let builder = Builder::new(Version::V2).piece_length(PIECE);
    let whole = builder.build_from_files("sample", named).unwrap();
    let raw = whole.info().raw().clone();
    let bare = Metainfo::from_info(raw, &whole.magnet()).unwrap();
    let mut space = Vec::new();
    let mut files = Vec::new();
    for (file, data) in whole.info().files().zip(data) {
        space.resize(usize::try_from(file.offset()).unwrap(), 0);
        space.extend_from_slice(&data);
        files.push((file.pieces_root().unwrap(), data));
    }
    Sample {
        whole: Arc::new(whole),
        bare: Arc::new(bare),
        space: space.into(),
        files,
    }
});

impl Sample {
    fn block(&self, stage: &Stage, block: Block) -> Event {
        let range = stage.geometry.range(block);
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        let data = self.space.slice(start..end);
        Event::Block { block, data }
    }

    fn hashes(&self, range: HashRange) -> Event {
        let root = Sha256Digest(range.pieces_root);
        let (_, data) = self.files.iter().find(|(other, _)| *other == root).unwrap();
        let tree = Tree::new(merkle::leaves(&[data]), 0, data.len() as u64);
        let answer = tree.answer(&range.request()).unwrap();
        Event::Hashes {
            range: Box::new(range),
            hashes: answer.iter().flat_map(|hash| hash.0).collect(),
        }
    }

    /// What a store says of a piece.
    fn judge(&self, world: &World, whole: &CompletePiece) -> PieceResult {
        let blocks = world.stage.geometry.blocks(whole.piece);
        let parts: Vec<_> = blocks
            .zip(&whole.parts)
            .map(|(block, part)| match part {
                BlockData::Memory(bytes) => (block, bytes.clone()),
                _ => (block, world.disk[&block].clone()),
            })
            .collect();
        let is_right = |(block, bytes): &(Block, Bytes)| {
            let range = world.stage.geometry.range(*block);
            let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
            self.space[start..end] == *bytes
        };
        let digest = |(_, bytes): &(Block, Bytes)| BlockDigest([bytes[0]; 20]);
        let block_digests = parts.iter().map(digest).collect();
        match parts.iter().all(is_right) {
            true => PieceResult::Verified { block_digests },
            false => PieceResult::Corrupt { block_digests },
        }
    }
}

/// The bytes that say what happens, one after the other; zeros when there are no more.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }
}

/// A peer, and what it was asked for and has not answered.
struct Peer {
    key: PeerKey,
    ranges: Vec<HashRange>,
}

struct World {
    stage: Stage,
    peers: Vec<Peer>,
    /// What was written before its piece was whole.
    disk: BTreeMap<Block, Bytes>,
}

impl World {
    /// Takes in what was asked for, and does what the driver is to do.
    fn settle(&mut self) {
        for peer in &mut self.peers {
            for command in self.stage.take_commands(peer.key) {
                if let Command::RequestHashes(range) = command {
                    assert!(range.is_well_formed());
                    assert!(!peer.ranges.contains(&range), "{range:?} is asked twice");
                    peer.ranges.push(*range);
                }
            }
        }
        for (_, pieces) in std::mem::take(&mut self.stage.found) {
            self.stage
                .torrent
                .handle_hashes_known(self.stage.now, &pieces);
            self.stage.drain();
        }
        for (block, bytes) in std::mem::take(&mut self.stage.spilled) {
            self.disk.insert(block, bytes);
            let written = SpillResult::Written;
            self.stage
                .torrent
                .handle_spilled(self.stage.now, &[block], written);
            self.stage.drain();
        }
        let dropped = std::mem::take(&mut self.stage.dropped);
        self.peers
            .retain(|peer| dropped.iter().all(|(key, _)| *key != peer.key));
    }

    fn happen(&mut self, script: &mut Script<'_>) {
        let choice = script.next() % 16;
        let count = self.peers.len();
        let stage = &mut self.stage;
        if count == 0 || choice == 0 {
            let number = script.next() % 40 + 1;
            let id = PeerId([number; 20]);
            if let Ok(key) = stage.try_connect(addr(number), Direction::Incoming, id) {
                let ranges = Vec::new();
                self.peers.push(Peer { key, ranges });
                let all = rarest_metainfo::Bitfield::full(&stage.geometry);
                stage.send(key, vec![Event::Has(all), Event::Unchoked]);
            }
            return;
        }
        let peer = &mut self.peers[usize::from(script.next()) % count];
        let key = peer.key;
        let asked = stage.asked(key);
        match choice {
            1..=3 => {
                if !peer.ranges.is_empty() {
                    let range = peer
                        .ranges
                        .remove(usize::from(script.next()) % peer.ranges.len());
                    let event = match choice {
                        1 => Event::HashesReturned(Box::new(range)),
                        2 => Event::Hashes {
                            range: Box::new(range),
                            hashes: vec![script.next(); 32 * usize::from(script.next() % 9)].into(),
                        },
                        _ => SAMPLE.hashes(range),
                    };
                    stage.send(key, vec![event]);
                }
            }
            4..=8 => {
                let events = asked.iter().take(usize::from(script.next() % 6));
                let events = events.map(|&block| SAMPLE.block(stage, block)).collect();
                stage.send(key, events);
            }
            9 => {
                if let Some(&block) = asked.first() {
                    let data = vec![script.next(); block.length() as usize].into();
                    stage.send(key, vec![Event::Block { block, data }]);
                }
            }
            10 => {
                let returned = asked.iter().map(|&block| Event::Returned(block));
                let events = std::iter::once(Event::Choked).chain(returned).collect();
                stage.send(key, events);
                stage.send(key, vec![Event::Unchoked]);
            }
            11 => {
                stage.disconnect(key);
                self.peers.retain(|peer| peer.key != key);
            }
            12 => stage.pass(Duration::from_secs(u64::from(script.next() % 20))),
            13 => {
                let range = HashRange {
                    pieces_root: SAMPLE.files[usize::from(script.next()) % 3].0.0,
                    base_layer: u32::from(script.next() % 4),
                    index: u32::from(script.next() % 4) * 2,
                    length: 2,
                    proof_layers: 0,
                };
                stage.send(key, vec![Event::HashesRequested(Box::new(range))]);
                if script.next().is_multiple_of(2) {
                    for (peer, range) in std::mem::take(&mut stage.hashes_wanted) {
                        let now = stage.now;
                        let hashes = Some(Bytes::from_static(&[0; 64]));
                        stage
                            .torrent
                            .handle_hashes_read(now, peer, Box::new(range), hashes);
                        stage.drain();
                    }
                }
            }
            14 => {
                let pieces = stage.geometry.piece_count();
                let piece = stage.piece(u32::from(script.next()) % pieces);
                let priority = match script.next() % 3 {
                    0 => Priority::Off,
                    1 => Priority::Normal,
                    _ => Priority::High,
                };
                stage
                    .torrent
                    .set_piece_priorities(stage.now, &[(piece, priority)]);
                stage.drain();
            }
            _ => self.judge(),
        }
    }

    fn judge(&mut self) {
        for whole in std::mem::take(&mut self.stage.whole) {
            let result = SAMPLE.judge(self, &whole);
            self.stage.done(whole.piece, result);
        }
    }

    /// An honest seed comes, and time passes.
    fn end_well(&mut self) {
        let stage = &mut self.stage;
        let pieces = stage.geometry.pieces();
        let wanted: Vec<_> = pieces.map(|piece| (piece, Priority::Normal)).collect();
        stage.torrent.set_piece_priorities(stage.now, &wanted);
        stage.drain();
        let key = stage.seed(200);
        let ranges = Vec::new();
        self.peers.push(Peer { key, ranges });
        for _ in 0..200 {
            self.settle();
            self.judge();
            if self.stage.torrent.is_complete() {
                return;
            }
            let Some(honest) = self.peers.iter_mut().find(|peer| peer.key == key) else {
                panic!("the honest seed was sent away");
            };
            let mut events: Vec<_> = honest
                .ranges
                .drain(..)
                .map(|range| SAMPLE.hashes(range))
                .collect();
            let asked = self.stage.asked(key);
            events.extend(asked.iter().map(|&block| SAMPLE.block(&self.stage, block)));
            self.stage.send(key, events);
            self.stage.reject_cancelled();
            self.stage.pass(Duration::from_secs(2));
        }
        panic!(
            "an honest seed is there, and it does not end: {:?}",
            self.stage.torrent.stats(self.stage.now)
        );
    }
}

/// A v2 torrent without its piece layers lives through a script.
pub(crate) fn hashes_live_through(input: &[u8]) {
    let mut script = Script(input);
    let known = if script.next().is_multiple_of(3) {
        &SAMPLE.whole
    } else {
        &SAMPLE.bare
    };
    let mut world = World {
        stage: Stage::of(known),
        peers: Vec::new(),
        disk: BTreeMap::new(),
    };
    while !script.0.is_empty() {
        world.happen(&mut script);
        world.settle();
    }
    world.end_well();
}
