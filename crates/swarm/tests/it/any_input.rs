//! Whatever peers, the store and the user do in whatever order: nothing panics, all counts agree, and a good seed ends it.

use std::time::Duration;

use bytes::Bytes;
use rarest_metainfo::{Block, PeerId};
use rarest_peer_wire::Extension;
use rarest_peer_wire::connection::Event;
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::extension::pex::{Pex, PexFlags, PexPeer};
use rarest_swarm::{
    BlockDigest, Config, Direction, PeerKey, PeerSource, PieceResult, Priority, SpillResult,
    UploadSlots, WebSeedEnd,
};

use crate::stage::{Stage, addr, block_event, geometry};

const PIECES: u32 = 12;
const BLOCKS: u32 = 3;

/// The bytes that say what happens, one after the other; zeros when there are no more.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.next()) % bound.max(1)
    }
}

/// A torrent lives through a script, and completes when a good seed comes in the end.
pub(crate) fn torrent_lives_through(input: &[u8]) {
    let mut script = Script(input);
    let config = Config {
        seed: u64::from(script.next()),
        max_peers: 6,
        upload_slots: UploadSlots::Fixed(script.below(4)),
        ..Config::default()
    };
    let mut stage = Stage::with(config, geometry(PIECES, BLOCKS), |start| {
        let piece = start.geometry.piece(3).unwrap();
        start.on_disk = start.geometry.blocks(piece).take(2).collect();
        for _ in 0..script.below(4) {
            let unknown = u32::from(script.next()) % PIECES;
            start
                .hash_unknown
                .insert(start.geometry.piece(unknown).unwrap());
        }
    });
    let mut peers = Vec::new();
    while !script.0.is_empty() {
        happen(&mut stage, &mut peers, &mut script);
    }
    end_well(&mut stage);
}

fn happen(stage: &mut Stage, peers: &mut Vec<PeerKey>, script: &mut Script<'_>) {
    let now = stage.now;
    let choice = script.next() % 27;
    let peer = match peers.len() {
        0 => None,
        count => Some(peers[script.below(count)]),
    };
    let piece = stage.piece(u32::from(script.next()) % PIECES);
    match (choice, peer) {
        (0 | 1, _) | (_, None) => {
            let number = script.next() % 40 + 1;
            let direction = match script.next() % 2 {
                0 => Direction::Incoming,
                _ => Direction::Outgoing,
            };
            let id = PeerId([number % 30; 20]);
            if let Ok(key) = stage.try_connect(addr(number), direction, id) {
                peers.push(key);
                let pieces: Vec<_> = (0..PIECES)
                    .filter(|_| !script.next().is_multiple_of(3))
                    .collect();
                let has = stage.bitfield(&pieces);
                stage.send(key, vec![Event::Has(has)]);
            }
        }
        (2, Some(peer)) => stage.send(peer, vec![Event::Have(piece)]),
        (3, Some(peer)) => stage.send(peer, vec![Event::DontHave(piece)]),
        (4, Some(peer)) => stage.send(peer, vec![Event::Choked]),
        (5 | 6, Some(peer)) => stage.send(peer, vec![Event::Unchoked]),
        (7, Some(peer)) => stage.send(peer, vec![Event::Interested]),
        (8, Some(peer)) => stage.send(peer, vec![Event::NotInterested]),
        (9 | 10, Some(peer)) => {
            let count = script.below(8);
            let blocks: Vec<_> = stage.outstanding(peer).into_iter().take(count).collect();
            stage.answer(peer, &blocks);
        }
        (11, Some(peer)) => {
            let count = script.below(8);
            let blocks = stage.outstanding(peer).into_iter().take(count);
            stage.send(peer, blocks.map(Event::Returned).collect());
        }
        (12, Some(peer)) => stage.disconnect(peer),
        (13, Some(_)) => stage.pass(Duration::from_secs(u64::from(script.next() % 40))),
        (14 | 15, Some(_)) => {
            if !stage.whole.is_empty() {
                let whole = stage.whole.remove(0);
                let result = result(script, whole.parts.len());
                stage.done(whole.piece, result);
            }
        }
        (16, Some(_)) => {
            let target = u64::from(script.next()) * 1024;
            stage.torrent.handle_memory_pressure(now, target);
        }
        (17, Some(_)) => spilled(stage, script),
        (18, Some(_)) => {
            let priority = match script.next() % 4 {
                0 => Priority::Off,
                1 => Priority::Low,
                2 => Priority::Normal,
                _ => Priority::High,
            };
            stage
                .torrent
                .set_piece_priorities(now, &[(piece, priority)]);
        }
        (19, Some(_)) => match script.next() % 4 {
            0 => stage.torrent.pause(now),
            1 => stage.torrent.resume(now),
            2 => stage.torrent.handle_hashes_known(now, &[piece]),
            _ => stage.torrent.handle_store_recovered(now),
        },
        (20, Some(peer)) => {
            stage.send(
                peer,
                vec![Event::Suggested(piece), Event::AllowedFast(piece)],
            );
        }
        (21, Some(peer)) => {
            let mut handshake = ExtensionHandshake::default();
            handshake.request_queue = Some(u32::from(script.next()) % 8);
            handshake.listen_port = Some(6881);
            handshake.ids = vec![("ut_pex".to_owned(), script.next() % 3)];
            handshake.upload_only = Some(script.next().is_multiple_of(2));
            let uploaded = Event::Uploaded { bytes: 100_000 };
            stage.send(
                peer,
                vec![Event::ExtensionHandshake(Box::new(handshake)), uploaded],
            );
        }
        (22, Some(_)) => {
            let number = script.next();
            stage
                .torrent
                .add_peers(now, PeerSource::Tracker, &[addr(number)]);
            stage.torrent.handle_dial_failed(now, addr(script.next()));
        }
        (23, Some(_)) => {
            let pieces: Vec<_> = (0..script.below(5))
                .map(|_| stage.piece(u32::from(script.next()) % PIECES))
                .collect();
            match script.next() % 4 {
                0 => stage.torrent.handle_pieces_doubted(now, &pieces),
                1 => stage.torrent.handle_check_begun(now),
                2 => stage.torrent.handle_pieces_lost(now, &pieces),
                _ => {
                    let mut verified = stage.torrent.verified().clone();
                    for piece in pieces {
                        if !verified.remove(piece) {
                            verified.insert(piece);
                        }
                    }
                    stage.torrent.handle_checked(now, &verified);
                }
            }
        }
        (24, Some(peer)) => {
            let payload = match script.next() % 8 {
                0 => Bytes::from_static(b"no"),
                _ => told(script).encode().into(),
            };
            let extension = Extension::Pex;
            stage.send(peer, vec![Event::Extended { extension, payload }]);
        }
        (25, Some(peer)) => match script.next() % 3 {
            0 => {
                stage.torrent.add_web_seed(now);
                stage.drain();
                peers.extend(stage.web_seeds.drain(..).map(|(key, _)| key));
            }
            1 if is_web_seed(stage, peer) => {
                let end = WebSeedEnd::TryAfter(Duration::from_secs(20));
                stage.end_web_seed(peer, end);
            }
            2 if is_web_seed(stage, peer) => stage.end_web_seed(peer, WebSeedEnd::GiveUp),
            _ => {}
        },
        // What nobody asked for.
        (_, Some(peer)) => {
            let block = stage.block(piece.get(), u32::from(script.next()) % BLOCKS);
            if !stage.outstanding(peer).contains(&block) {
                stage.send(peer, vec![block_event(block), Event::Returned(block)]);
            }
            stage
                .torrent
                .handle_spilled(now, &[block], SpillResult::Written);
            let result = result(script, BLOCKS as usize);
            if !matches!(result, PieceResult::Verified { .. }) && !is_with_store(stage, block) {
                stage.torrent.handle_piece_done(now, piece, result);
            }
        }
    }
    stage.drain();
}

fn is_web_seed(stage: &Stage, key: PeerKey) -> bool {
    let mut peers = stage.torrent.peers(stage.now);
    peers.any(|peer| peer.key == key && peer.web_seed.is_some())
}

fn told(script: &mut Script<'_>) -> Pex {
    let added = (0..script.below(4)).map(|_| PexPeer {
        addr: addr(script.next()),
        flags: PexFlags(script.next()),
    });
    Pex {
        added: added.collect(),
        dropped: Vec::new(),
    }
}

fn is_with_store(stage: &Stage, block: Block) -> bool {
    stage.whole.iter().any(|whole| whole.piece == block.piece())
}

fn result(script: &mut Script<'_>, blocks: usize) -> PieceResult {
    let block_digests = (0..blocks)
        .map(|_| BlockDigest([script.next() % 2; 20]))
        .collect();
    match script.next() % 6 {
        0 | 1 => PieceResult::Verified { block_digests },
        2 => PieceResult::Corrupt { block_digests },
        3 => PieceResult::SpillLost,
        4 => PieceResult::HashUnknown,
        _ => PieceResult::StoreFailed,
    }
}

fn spilled(stage: &mut Stage, script: &mut Script<'_>) {
    let blocks: Vec<_> = stage.spilled.drain(..).map(|(block, _)| block).collect();
    let result = match script.next() % 3 {
        0 => SpillResult::StoreFailed,
        _ => SpillResult::Written,
    };
    stage.torrent.handle_spilled(stage.now, &blocks, result);
}

/// The store works, everything is wanted and a good seed comes: nothing may be stuck.
fn end_well(stage: &mut Stage) {
    let all: Vec<_> = stage
        .geometry
        .pieces()
        .map(|piece| (piece, Priority::Normal))
        .collect();
    stage.torrent.resume(stage.now);
    stage.torrent.set_piece_priorities(stage.now, &all);
    stage.torrent.handle_store_recovered(stage.now);
    let pieces: Vec<_> = stage.geometry.pieces().collect();
    stage.torrent.handle_hashes_known(stage.now, &pieces);
    let verified = stage.torrent.verified().clone();
    stage.torrent.handle_checked(stage.now, &verified);
    stage.drain();
    for key in stage
        .torrent
        .peers(stage.now)
        .map(|peer| peer.key)
        .collect::<Vec<_>>()
    {
        stage.disconnect(key);
    }
    stage.seed(250);
    for _ in 0..1000 {
        let blocks: Vec<_> = stage.spilled.drain(..).map(|(block, _)| block).collect();
        stage
            .torrent
            .handle_spilled(stage.now, &blocks, SpillResult::Written);
        stage.drain();
        stage.answer_all();
        if stage.torrent.is_complete() {
            assert_eq!(stage.torrent.buffered_bytes(), 0);
            return;
        }
        stage.pass(Duration::from_secs(1));
    }
    panic!(
        "{:?} are missing: {:#?}",
        stage.torrent.verified(),
        stage.torrent.stats(stage.now)
    );
}
