//! A corrupt piece of a v2 torrent: its leaves tell which block is wrong (BEP 52).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rarest_metainfo::merkle::{self, Tree};
use rarest_metainfo::{Block, Builder, Metainfo, PieceIndex, Sha256Digest, Version};
use rarest_peer_wire::HashRange;
use rarest_peer_wire::connection::{Command, Event};
use rarest_swarm::limits::{DISPUTE_TIME, HASH_REST, LEAVES_TIMEOUT, MAX_DISPUTES};
use rarest_swarm::{BlockDigest, PeerKey, PieceResult, TorrentEvent};

use crate::stage::{BLOCK, Stage, ip};

const BLOCKS: u32 = 4;

/// A torrent of one file, and its bytes.
struct Sample {
    metainfo: Arc<Metainfo>,
    data: Bytes,
}

impl Sample {
    fn new(version: Version, pieces: u32) -> Self {
        // The last block is short.
        let length = (pieces * BLOCKS * BLOCK) as usize - 100;
        let data: Bytes = (0..length)
            .map(|at| u8::try_from(at / 999 % 251).unwrap())
            .collect();
        let builder = Builder::new(version).piece_length(BLOCKS * BLOCK);
        let metainfo = builder.build_from_bytes("sample", &data).unwrap();
        Self {
            metainfo: Arc::new(metainfo),
            data,
        }
    }

    fn block(&self, stage: &Stage, block: Block) -> Event {
        let range = stage.geometry.range(block);
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        let data = self.data.slice(start..end);
        Event::Block { block, data }
    }

    fn lie(&self, block: Block) -> Event {
        let data = vec![0xee; block.length() as usize].into();
        Event::Block { block, data }
    }

    fn leaves(&self, range: HashRange) -> Event {
        let tree = Tree::new(merkle::leaves(&[&self.data]), 0, self.data.len() as u64);
        assert_eq!(tree.root(), Sha256Digest(range.pieces_root));
        let answer = tree.answer(&range.request()).unwrap();
        Event::Hashes {
            range: Box::new(range),
            hashes: answer.iter().flat_map(|hash| hash.0).collect(),
        }
    }

    /// The peers send what they are asked for of a piece, the first of them a false block. Gives the block.
    fn corrupt(&self, stage: &mut Stage, piece: u32, peers: [PeerKey; 2]) -> Block {
        let [liar, honest] = peers;
        let lie = stage.block(piece, 1);
        stage.send(liar, vec![self.lie(lie)]);
        let first = stage.block(piece, 0);
        stage.send(liar, vec![self.block(stage, first)]);
        for number in 2..BLOCKS {
            let block = stage.geometry.block_at(stage.piece(piece), number).unwrap();
            stage.send(honest, vec![self.block(stage, block)]);
        }
        stage.reject_cancelled();
        lie
    }
}

fn corrupt() -> PieceResult {
    PieceResult::Corrupt {
        block_digests: vec![BlockDigest([1; 20]); BLOCKS as usize],
    }
}

fn asked_hashes(stage: &mut Stage, peer: PeerKey) -> Vec<HashRange> {
    let commands = stage.take_commands(peer).into_iter();
    commands
        .filter_map(|command| match command {
            Command::RequestHashes(range) => Some(*range),
            _ => None,
        })
        .collect()
}

/// Two peers that have sent a corrupt piece, of which the first lied, and one that sent nothing.
fn disputed(sample: &Sample) -> (Stage, [PeerKey; 3], Block) {
    let mut stage = Stage::of(&sample.metainfo);
    let liar = stage.seed(1);
    let honest = stage.seed(2);
    let lie = sample.corrupt(&mut stage, 0, [liar, honest]);
    let witness = stage.seed(3);
    stage.take_commands(witness);
    stage.whole.clear();
    stage.done(stage.piece(0), corrupt());
    let corrupt = TorrentEvent::PieceCorrupt(stage.piece(0));
    assert_eq!(stage.events, [corrupt]);
    (stage, [liar, honest, witness], lie)
}

#[test]
fn the_leaves_name_the_liar_and_only_the_false_block_is_fetched_again() {
    for version in [Version::V2, Version::Hybrid] {
        let sample = Sample::new(version, 1);
        let (mut stage, [liar, honest, witness], lie) = disputed(&sample);
        assert!(stage.banned.is_empty());
        let [range] = asked_hashes(&mut stage, witness)[..] else {
            panic!("{version:?}")
        };
        assert_eq!(
            (range.base_layer, range.index, range.length),
            (0, 0, BLOCKS)
        );
        assert_eq!(asked_hashes(&mut stage, liar), []);
        stage.send(witness, vec![sample.leaves(range)]);
        assert_eq!(stage.banned, [ip(1)]);
        let asked = [stage.asked(honest), stage.asked(witness)].concat();
        assert!(asked.iter().all(|&block| block == lie), "{asked:?}");
        let asked_of = if stage.asked(honest).is_empty() {
            witness
        } else {
            honest
        };
        stage.send(asked_of, vec![sample.block(&stage, lie)]);
        assert_eq!(stage.whole.len(), 1);
        stage.verify_all();
        assert!(stage.torrent.is_complete());
    }
}

#[test]
fn once_the_leaves_are_known_the_next_false_block_is_caught_as_it_comes() {
    let sample = Sample::new(Version::V2, 1);
    let (mut stage, [_, honest, witness], lie) = disputed(&sample);
    let range = asked_hashes(&mut stage, witness)[0];
    stage.send(witness, vec![sample.leaves(range)]);
    let second = if stage.asked(honest).is_empty() {
        witness
    } else {
        honest
    };
    stage.send(second, vec![sample.lie(lie)]);
    assert_eq!(stage.banned.len(), 2);
    assert!(
        stage.whole.is_empty(),
        "it was not waited for the whole piece"
    );
    let third = if second == honest { witness } else { honest };
    assert_eq!(stage.asked(third), [lie]);
}

/// A peer sends half of each piece it is asked for, one block of it false, and goes silent; another sends the rest, and all else. Gives the
/// pieces that are whole and corrupt.
fn spoil(stage: &mut Stage, sample: &Sample, liar: PeerKey, honest: PeerKey) -> Vec<PieceIndex> {
    let asked = stage.asked(liar);
    let mut events: Vec<_> = asked
        .iter()
        .filter(|block| block.index_in_piece() < 2)
        .map(|&block| match block.index_in_piece() {
            0 => sample.block(stage, block),
            _ => sample.lie(block),
        })
        .collect();
    let rest = asked.iter().filter(|block| block.index_in_piece() >= 2);
    events.push(Event::Choked);
    events.extend(rest.map(|&block| Event::Returned(block)));
    stage.send(liar, events);
    let mut spoilt: Vec<_> = asked.iter().map(|block| block.piece()).collect();
    spoilt.dedup();
    let is_whole = |stage: &Stage, piece| stage.whole.iter().any(|whole| whole.piece == piece);
    for _ in 0..200 {
        if spoilt.iter().all(|&piece| is_whole(stage, piece)) {
            break;
        }
        let asked = stage.asked(honest);
        let of_spoilt = asked.iter().find(|block| spoilt.contains(&block.piece()));
        let &block = of_spoilt.or(asked.first()).unwrap();
        stage.send(honest, vec![sample.block(stage, block)]);
    }
    for whole in std::mem::take(&mut stage.whole) {
        let result = match spoilt.contains(&whole.piece) {
            true => corrupt(),
            false => PieceResult::Verified {
                block_digests: Vec::new(),
            },
        };
        stage.done(whole.piece, result);
    }
    spoilt
}

#[test]
fn after_a_corrupt_piece_the_leaves_of_others_are_asked_for_in_advance() {
    let sample = Sample::new(Version::V2, 40);
    let mut stage = Stage::of(&sample.metainfo);
    let [liar, honest] = [1, 2].map(|number| stage.seed(number));
    let spoilt = spoil(&mut stage, &sample, liar, honest);
    let piece = |range: &HashRange| range.index / BLOCKS;
    for peer in [liar, honest] {
        for range in asked_hashes(&mut stage, peer) {
            assert_eq!(piece(&range), spoilt[0].get());
            stage.send(peer, vec![sample.leaves(range)]);
        }
    }
    assert_eq!(stage.banned, [ip(1)]);

    // What is begun from now on is watched: one false block is enough.
    let second = stage.seed(3);
    let mut watched = Vec::new();
    for peer in [honest, second] {
        for range in asked_hashes(&mut stage, peer) {
            watched.push(piece(&range));
            stage.send(peer, vec![sample.leaves(range)]);
        }
    }
    let asked = stage.asked(second);
    let block = asked
        .iter()
        .find(|block| watched.contains(&block.piece().get()));
    stage.send(second, vec![sample.lie(*block.unwrap())]);
    assert_eq!(stage.banned, [ip(1), ip(3)]);
}

#[test]
fn who_lies_about_leaves_is_banned_and_others_are_asked() {
    let sample = Sample::new(Version::V2, 1);
    let (mut stage, [liar, honest, witness], lie) = disputed(&sample);
    let range = asked_hashes(&mut stage, witness)[0];
    let hashes = vec![5; 32 * BLOCKS as usize].into();
    let range = Box::new(range);
    stage.send(witness, vec![Event::Hashes { range, hashes }]);
    assert_eq!(stage.banned, [ip(3)]);
    let ranges = [liar, honest].map(|peer| asked_hashes(&mut stage, peer));
    let (asked, ranges): (Vec<_>, Vec<_>) = [liar, honest]
        .into_iter()
        .zip(ranges)
        .filter(|(_, ranges)| !ranges.is_empty())
        .unzip();
    stage.send(asked[0], vec![sample.leaves(ranges[0][0])]);
    assert_eq!(stage.banned, [ip(3), ip(1)]);
    assert_eq!(stage.asked(honest), [lie]);
}

#[test]
fn when_nobody_gives_leaves_all_of_the_piece_is_fetched_again_of_one_peer() {
    let sample = Sample::new(Version::V2, 1);
    let (mut stage, peers, _) = disputed(&sample);
    for _ in 0..3 {
        for peer in peers {
            for range in asked_hashes(&mut stage, peer) {
                stage.send(peer, vec![Event::HashesReturned(Box::new(range))]);
            }
        }
    }
    let asked: Vec<_> = peers
        .map(|peer| stage.asked(peer).len())
        .into_iter()
        .collect();
    assert_eq!(asked.iter().sum::<usize>(), BLOCKS as usize, "{asked:?}");
    assert_eq!(asked.iter().filter(|&&count| count > 0).count(), 1);
    assert!(stage.banned.is_empty());
}

#[test]
fn leaves_are_not_waited_for_for_ever() {
    let sample = Sample::new(Version::V2, 1);
    let (mut stage, [liar, honest, witness], _) = disputed(&sample);
    assert_eq!(asked_hashes(&mut stage, witness).len(), 1);
    stage.pass(LEAVES_TIMEOUT + Duration::from_secs(2));
    let others = [liar, honest].map(|peer| asked_hashes(&mut stage, peer).len());
    assert_eq!(others.iter().sum::<usize>(), 1, "one other is asked");
    assert!(stage.torrent.buffered_bytes() > 0);
    stage.pass(DISPUTE_TIME);
    assert_eq!(stage.torrent.buffered_bytes(), 0);
    let asked = [liar, honest, witness].map(|peer| stage.asked(peer).len());
    assert_eq!(asked.iter().sum::<usize>(), BLOCKS as usize);
}

#[test]
fn who_would_not_give_leaves_is_asked_again_after_a_while() {
    let sample = Sample::new(Version::V2, 40);
    let mut stage = Stage::of(&sample.metainfo);
    let [liar, honest] = [1, 2].map(|number| stage.seed(number));
    spoil(&mut stage, &sample, liar, honest);
    // Both refuse, and are asked for no leaves of what is begun next.
    let begin_another = |stage: &mut Stage| {
        for _ in 0..BLOCKS {
            let block = stage.asked(honest)[0];
            stage.send(honest, vec![sample.block(stage, block)]);
        }
        let mut asked = 0;
        for peer in [liar, honest] {
            for range in asked_hashes(stage, peer) {
                asked += 1;
                stage.send(peer, vec![Event::HashesReturned(Box::new(range))]);
            }
        }
        asked
    };
    assert!(begin_another(&mut stage) > 0);
    begin_another(&mut stage);
    assert_eq!(begin_another(&mut stage), 0);
    stage.pass(HASH_REST + Duration::from_secs(2));
    assert!(begin_another(&mut stage) > 0);
}

#[test]
fn corrupt_pieces_that_wait_for_leaves_are_bounded() {
    let sample = Sample::new(Version::V2, 60);
    let mut stage = Stage::of(&sample.metainfo);
    let mut spoilt = Vec::new();
    for number in 1..=MAX_DISPUTES + 3 {
        let number = u8::try_from(number).unwrap();
        let [liar, honest] = [number, 100 + number].map(|number| stage.seed(number));
        spoilt.extend(spoil(&mut stage, &sample, liar, honest));
    }
    assert!(spoilt.len() > MAX_DISPUTES);
    // Nobody answers: what waits is in memory, and of all else less than a piece.
    let held = stage.torrent.buffered_bytes() / u64::from(BLOCKS * BLOCK);
    assert_eq!(held, MAX_DISPUTES as u64);
}
