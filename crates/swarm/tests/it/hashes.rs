//! Pieces of a v2 torrent whose hash is not known yet (BEP 52).

use rarest_metainfo::{Bitfield, Block, PieceIndex};
use rarest_peer_wire::connection::{Command, Event};
use rarest_swarm::{Config, PieceResult, Priority, SpillResult, TorrentEvent};

use crate::stage::{Stage, geometry};

const PIECE: u64 = 2 * 16 * 1024;

/// Four pieces of two blocks. The hashes of these are not known.
fn without_hashes_of(pieces: &[u32]) -> Stage {
    Stage::with(Config::default(), geometry(4, 2), |start| {
        for &piece in pieces {
            let piece = start.geometry.piece(piece).unwrap();
            start.hash_unknown.insert(piece);
        }
    })
}

fn pieces(stage: &Stage, numbers: &[u32]) -> Vec<PieceIndex> {
    numbers.iter().map(|&number| stage.piece(number)).collect()
}

fn missing_was_told(stage: &Stage) -> usize {
    let is_it = |event: &&TorrentEvent| **event == TorrentEvent::HashesMissing;
    stage.events.iter().filter(is_it).count()
}

#[test]
fn a_piece_is_asked_for_only_once_its_hash_is_known() {
    let mut stage = without_hashes_of(&[1, 3]);
    let seed = stage.seed(1);
    let allowed = stage.piece(3);
    stage.send(
        seed,
        vec![Event::AllowedFast(allowed), Event::Suggested(allowed)],
    );
    stage.answer_all();
    assert_eq!(stage.torrent.verified(), &stage.bitfield(&[0, 2]));
    assert_eq!(stage.outstanding(seed), []);
    assert_eq!(stage.torrent.buffered_bytes(), 0);
    assert_eq!(missing_was_told(&stage), 1);
    assert!(stage.torrent.awaits_hashes() && !stage.torrent.is_finished());
    assert_eq!(stage.torrent.pieces_without_hash(), 2);

    let known = pieces(&stage, &[3]);
    stage.torrent.handle_hashes_known(stage.now, &known);
    stage.drain();
    assert!(!stage.torrent.awaits_hashes());
    assert_eq!(stage.asked(seed), [stage.block(3, 0), stage.block(3, 1)]);
    stage.answer_all();
    assert_eq!(missing_was_told(&stage), 2);
    let known = pieces(&stage, &[1]);
    stage.torrent.handle_hashes_known(stage.now, &known);
    stage.drain();
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn a_peer_that_has_only_pieces_without_hash_is_of_no_interest_until_they_are_known() {
    let mut stage = without_hashes_of(&[1, 3]);
    let peer = stage.partial(1, &[1]);
    assert_eq!(stage.take_commands(peer), []);
    let gained = stage.piece(3);
    stage.send(peer, vec![Event::Have(gained)]);
    assert_eq!(stage.take_commands(peer), []);
    let known = pieces(&stage, &[1]);
    stage.torrent.handle_hashes_known(stage.now, &known);
    stage.drain();
    let request = |number| Command::Request(stage.block(1, number));
    let expected = [Command::Interested, request(0), request(1)];
    assert_eq!(stage.take_commands(peer), expected);
}

#[test]
fn priorities_do_not_make_a_piece_without_hash_asked_for() {
    let mut stage = without_hashes_of(&[0, 1, 2, 3]);
    let seed = stage.seed(1);
    assert!(stage.torrent.awaits_hashes());
    for priority in [Priority::Off, Priority::High] {
        let all: Vec<_> = stage
            .geometry
            .pieces()
            .map(|piece| (piece, priority))
            .collect();
        stage.torrent.set_piece_priorities(stage.now, &all);
        stage.drain();
        assert_eq!(stage.outstanding(seed), []);
        assert_eq!(stage.torrent.is_finished(), priority == Priority::Off);
    }
    assert!(stage.torrent.awaits_hashes());
}

#[test]
fn a_whole_piece_on_disk_waits_for_its_hash_and_is_not_fetched_again() {
    let mut stage = Stage::with(Config::default(), geometry(4, 2), |start| {
        start.hash_unknown = Bitfield::full(&start.geometry);
        let piece = start.geometry.piece(1).unwrap();
        start.on_disk = start.geometry.blocks(piece).collect();
    });
    assert!(stage.whole.is_empty());
    assert_eq!(stage.torrent.blocks_on_disk().count(), 2);
    let known = pieces(&stage, &[1]);
    stage.torrent.handle_hashes_known(stage.now, &known);
    stage.drain();
    assert_eq!(stage.whole[0].piece, known[0]);
}

#[test]
fn a_piece_whose_hash_the_store_does_not_know_leaves_memory_under_pressure_and_is_not_lost() {
    let mut stage = Stage::new(2, 2);
    let seed = stage.seed(1);
    let piece = stage.asked(seed)[0].piece();
    let blocks: Vec<Block> = stage.geometry.blocks(piece).collect();
    stage.answer(seed, &blocks);
    stage.whole.clear();
    stage.done(piece, PieceResult::HashUnknown);
    assert_eq!(stage.torrent.buffered_bytes(), PIECE);
    assert_eq!(stage.torrent.pieces_without_hash(), 1);
    stage.torrent.handle_memory_pressure(stage.now, 0);
    stage.drain();
    let spilled: Vec<_> = stage.spilled.iter().map(|&(block, _)| block).collect();
    assert_eq!(spilled, blocks, "what cannot be completed goes first");
    stage
        .torrent
        .handle_spilled(stage.now, &spilled, SpillResult::Written);
    stage.drain();
    assert_eq!(stage.torrent.buffered_bytes(), 0);
    assert!(stage.whole.is_empty());
    stage.torrent.handle_hashes_known(stage.now, &[piece]);
    stage.drain();
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    let asked_again = stage.take_commands(seed).into_iter();
    let asked_again = asked_again
        .filter(|command| matches!(command, Command::Request(block) if block.piece() == piece));
    assert_eq!(asked_again.count(), 2, "each block came once");
}
