//! A torrent on a stage: peers are played by the test, time is a variable.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_hash::Sha1Digest;
use rarest_metainfo::{
    Bitfield, Block, BlockRequest, Geometry, InfoHash, InfoHashV1, InfoHashes, Metainfo, PeerId,
    PieceIndex,
};
use rarest_peer_wire::connection::{Command, Event};
use rarest_peer_wire::{Handshake, HashRange, Reserved};
use rarest_swarm::{
    BlockDigest, CompletePiece, Config, Direction, DisconnectReason, Ended, Output, PeerKey,
    PieceResult, Refused, Start, Torrent, TorrentEvent, WebSeedEnd, WebSeedId,
};

pub(crate) const BLOCK: u32 = 16 * 1024;
pub(crate) const OUR_ID: PeerId = PeerId(*b"-RA0000-in the middl");
pub(crate) const INFO_HASH: InfoHash = InfoHash([7; 20]);

/// A torrent and all that it asked for.
pub(crate) struct Stage {
    pub(crate) torrent: Torrent,
    pub(crate) geometry: Arc<Geometry>,
    pub(crate) now: Instant,
    /// What stands in the handshakes of peers.
    pub(crate) swarm: InfoHash,
    pub(crate) commands: BTreeMap<PeerKey, Vec<Command>>,
    pub(crate) whole: Vec<CompletePiece>,
    pub(crate) spilled: Vec<(Block, Bytes)>,
    pub(crate) dialled: Vec<SocketAddr>,
    pub(crate) events: Vec<TorrentEvent>,
    pub(crate) banned: Vec<IpAddr>,
    pub(crate) dropped: Vec<(PeerKey, DisconnectReason)>,
    /// Those that were opened.
    pub(crate) web_seeds: Vec<(PeerKey, WebSeedId)>,
    /// What was told of hashes that peers gave.
    pub(crate) found: Vec<(Arc<Metainfo>, Vec<PieceIndex>)>,
    /// Hashes of ours that peers asked for.
    pub(crate) hashes_wanted: Vec<(PeerKey, HashRange)>,
    /// Requests that are out, those that were cancelled among them.
    requests: BTreeMap<PeerKey, BTreeSet<Block>>,
    cancelled: BTreeSet<(PeerKey, Block)>,
}

/// Some first instant: nothing depends on which.
#[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
pub(crate) fn first_instant() -> Instant {
    Instant::now()
}

/// A torrent of `pieces` pieces of `blocks` blocks.
pub(crate) fn geometry(pieces: u32, blocks: u32) -> Arc<Geometry> {
    let length = blocks * BLOCK;
    Arc::new(Geometry::contiguous(u64::from(pieces) * u64::from(length), length).unwrap())
}

impl Stage {
    pub(crate) fn new(pieces: u32, blocks: u32) -> Self {
        Self::with(Config::default(), geometry(pieces, blocks), |_| {})
    }

    pub(crate) fn with(
        config: Config,
        geometry: Arc<Geometry>,
        change: impl FnOnce(&mut Start),
    ) -> Self {
        let now = first_instant();
        let mut start = Start {
            info_hashes: InfoHashes {
                v1: Some(InfoHashV1(Sha1Digest(INFO_HASH.0))),
                v2: None,
            },
            peer_id: OUR_ID,
            verified: Bitfield::empty(&geometry),
            hash_unknown: Bitfield::empty(&geometry),
            on_disk: Vec::new(),
            metadata: None,
            geometry: Arc::clone(&geometry),
        };
        change(&mut start);
        let mut stage = Self {
            torrent: Torrent::new(config, start, now),
            geometry,
            now,
            swarm: INFO_HASH,
            commands: BTreeMap::new(),
            whole: Vec::new(),
            spilled: Vec::new(),
            dialled: Vec::new(),
            events: Vec::new(),
            banned: Vec::new(),
            dropped: Vec::new(),
            web_seeds: Vec::new(),
            found: Vec::new(),
            hashes_wanted: Vec::new(),
            requests: BTreeMap::new(),
            cancelled: BTreeSet::new(),
        };
        stage.drain();
        stage
    }

    /// A torrent of which only `known` is known. Peers come for its last swarm, that of v2 if it has one.
    pub(crate) fn of(known: &Arc<Metainfo>) -> Self {
        let geometry = Arc::clone(known.info().geometry());
        let info_hashes = known.info_hashes();
        let mut stage = Self::with(Config::default(), geometry, |start| {
            start.info_hashes = info_hashes;
            for piece in start.geometry.pieces() {
                if known.piece_hash(piece).is_none() {
                    start.hash_unknown.insert(piece);
                }
            }
        });
        stage.swarm = info_hashes.swarms().last().unwrap();
        stage.torrent.set_metainfo(stage.now, Arc::clone(known));
        stage.drain();
        stage
    }

    /// Takes what the torrent asks for, and checks what must hold of it always.
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.torrent.poll_output() {
            match output {
                Output::Commands(key, commands) => {
                    for command in &commands {
                        match command {
                            Command::Request(block) => {
                                let is_new = self.requests.entry(key).or_default().insert(*block);
                                assert!(is_new, "{block:?} was asked twice of {key:?}");
                            }
                            Command::Cancel(block) => {
                                assert!(self.requests[&key].contains(block));
                                assert!(self.cancelled.insert((key, *block)));
                            }
                            _ => {}
                        }
                    }
                    self.commands.entry(key).or_default().extend(commands);
                }
                Output::Dial(addr) => self.dialled.push(addr),
                Output::OpenWebSeed { key, web_seed } => self.web_seeds.push((key, web_seed)),
                Output::CompletePiece(piece) => self.whole.push(piece),
                Output::Spill(blocks) => self.spilled.extend(blocks),
                Output::Disconnect(key, reason) => {
                    self.forget(key);
                    self.dropped.push((key, reason));
                }
                Output::Ban(ip, _) => self.banned.push(ip),
                Output::Event(event) => self.events.push(event),
                Output::HashesFound { metainfo, pieces } => self.found.push((metainfo, pieces)),
                Output::AnswerHashes { peer, range } => self.hashes_wanted.push((peer, *range)),
                other => panic!("unexpected {other:?}"),
            }
        }
        if self.geometry.piece_count() <= 1000 {
            self.torrent.assert_consistent(self.now);
        }
    }

    fn forget(&mut self, key: PeerKey) {
        self.requests.remove(&key);
        self.cancelled.retain(|&(other, _)| other != key);
    }

    pub(crate) fn connect(&mut self, number: u8) -> PeerKey {
        self.try_connect(addr(number), Direction::Incoming, PeerId([number; 20]))
            .unwrap()
    }

    pub(crate) fn try_connect(
        &mut self,
        addr: SocketAddr,
        direction: Direction,
        peer_id: PeerId,
    ) -> Result<PeerKey, Refused> {
        let handshake = Handshake {
            reserved: Reserved::NONE,
            info_hash: self.swarm,
            peer_id,
        };
        let result = self
            .torrent
            .handle_peer_connected(self.now, addr, direction, &handshake);
        self.drain();
        result
    }

    pub(crate) fn send(&mut self, key: PeerKey, events: Vec<Event>) {
        for event in &events {
            if let Event::Block { block, .. } | Event::Returned(block) = event {
                self.requests.entry(key).or_default().remove(block);
                self.cancelled.remove(&(key, *block));
            }
        }
        self.torrent.handle_peer_events(self.now, key, events);
        self.drain();
    }

    /// A peer that has everything and lets us request.
    pub(crate) fn seed(&mut self, number: u8) -> PeerKey {
        let key = self.connect(number);
        let all = Bitfield::full(&self.geometry);
        self.send(key, vec![Event::Has(all), Event::Unchoked]);
        key
    }

    /// A peer that has these pieces and lets us request.
    pub(crate) fn partial(&mut self, number: u8, pieces: &[u32]) -> PeerKey {
        let key = self.connect(number);
        let has = self.bitfield(pieces);
        self.send(key, vec![Event::Has(has), Event::Unchoked]);
        key
    }

    pub(crate) fn bitfield(&self, pieces: &[u32]) -> Bitfield {
        let mut bitfield = Bitfield::empty(&self.geometry);
        for &piece in pieces {
            bitfield.insert(self.piece(piece));
        }
        bitfield
    }

    pub(crate) fn piece(&self, index: u32) -> PieceIndex {
        self.geometry.piece(index).unwrap()
    }

    pub(crate) fn block(&self, piece: u32, number: u32) -> Block {
        self.geometry
            .block(BlockRequest {
                piece,
                offset: number * BLOCK,
                length: BLOCK,
            })
            .unwrap()
    }

    /// Requests that are out to the peer and not cancelled, in order of their place.
    pub(crate) fn asked(&self, key: PeerKey) -> Vec<Block> {
        let blocks = self.requests.get(&key).into_iter().flatten().copied();
        blocks
            .filter(|&block| !self.cancelled.contains(&(key, block)))
            .collect()
    }

    /// Requests that the peer owes an answer, cancelled or not.
    pub(crate) fn outstanding(&self, key: PeerKey) -> Vec<Block> {
        let blocks = self.requests.get(&key).into_iter().flatten();
        blocks.copied().collect()
    }

    /// The peer rejects what was cancelled.
    pub(crate) fn reject_cancelled(&mut self) {
        for (key, block) in std::mem::take(&mut self.cancelled) {
            self.send(key, vec![Event::Returned(block)]);
        }
    }

    /// The peer answers these requests with one read.
    pub(crate) fn answer(&mut self, key: PeerKey, blocks: &[Block]) {
        let events = blocks.iter().map(|&block| block_event(block)).collect();
        self.send(key, events);
    }

    /// Every peer answers everything at once, again and again, until nothing is asked any more.
    pub(crate) fn answer_all(&mut self) {
        loop {
            self.reject_cancelled();
            let asked: Vec<_> = self
                .requests
                .keys()
                .map(|&key| (key, self.asked(key)))
                .filter(|(_, blocks)| !blocks.is_empty())
                .collect();
            if asked.is_empty() && self.whole.is_empty() {
                return;
            }
            self.now += Duration::from_millis(50);
            for (key, blocks) in asked {
                self.answer(key, &blocks);
            }
            self.verify_all();
        }
    }

    /// The store finds every whole piece good.
    pub(crate) fn verify_all(&mut self) {
        for piece in std::mem::take(&mut self.whole) {
            let digests = vec![BlockDigest([0; 20]); piece.parts.len()];
            self.done(
                piece.piece,
                PieceResult::Verified {
                    block_digests: digests,
                },
            );
        }
    }

    pub(crate) fn done(&mut self, piece: PieceIndex, result: PieceResult) {
        self.torrent.handle_piece_done(self.now, piece, result);
        self.drain();
    }

    pub(crate) fn disconnect(&mut self, key: PeerKey) {
        self.forget(key);
        self.torrent
            .handle_peer_disconnected(self.now, key, Ended::Closed);
        self.drain();
    }

    /// Lets time pass, with all timeouts on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.torrent.next_timeout()
            && next <= end
        {
            assert!(next >= self.now || self.torrent.next_timeout() == Some(next));
            self.now = self.now.max(next);
            self.torrent.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Learns of a web seed, which is opened.
    pub(crate) fn web_seed(&mut self) -> PeerKey {
        self.torrent.add_web_seed(self.now).unwrap();
        self.drain();
        self.web_seeds.last().unwrap().0
    }

    pub(crate) fn end_web_seed(&mut self, key: PeerKey, end: WebSeedEnd) {
        self.forget(key);
        self.torrent.handle_web_seed_ended(self.now, key, end);
        self.drain();
    }

    pub(crate) fn take_commands(&mut self, key: PeerKey) -> Vec<Command> {
        self.commands.remove(&key).unwrap_or_default()
    }
}

pub(crate) fn block_event(block: Block) -> Event {
    Event::Block {
        block,
        data: Bytes::from(vec![1; block.length() as usize]),
    }
}

pub(crate) fn ip(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))
}

pub(crate) fn addr(number: u8) -> SocketAddr {
    SocketAddr::new(ip(number), 6881)
}
