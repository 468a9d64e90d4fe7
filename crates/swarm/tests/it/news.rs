//! Peers are told of pieces that we verified.

use std::time::Duration;

use rarest_metainfo::PieceIndex;
use rarest_peer_wire::connection::{Command, Event};
use rarest_swarm::limits::HAVE_INTERVAL;
use rarest_swarm::{PeerKey, PieceResult};

use crate::stage::Stage;

fn verified() -> PieceResult {
    PieceResult::Verified {
        block_digests: Vec::new(),
    }
}

/// The pieces that a peer was told of since the last look.
fn told(stage: &mut Stage, peer: PeerKey) -> Vec<PieceIndex> {
    let commands = stage.take_commands(peer).into_iter();
    commands
        .filter_map(|command| match command {
            Command::Have(piece) => Some(piece),
            _ => None,
        })
        .collect()
}

#[test]
fn who_has_everything_is_told_of_what_it_loses_alone() {
    let mut stage = Stage::new(4, 1);
    let seed = stage.seed(1);
    let leecher = stage.partial(3, &[]);
    let piece = stage.piece(1);
    stage.done(piece, verified());
    assert_eq!(told(&mut stage, leecher), [piece]);
    assert_eq!(told(&mut stage, seed), []);
    // Who lost it may ask for it.
    stage.send(seed, vec![Event::DontHave(piece)]);
    assert_eq!(told(&mut stage, seed), [piece]);
    let other = stage.piece(2);
    stage.send(seed, vec![Event::DontHave(other)]);
    assert_eq!(told(&mut stage, seed), []);
}

/// BEP 16: it is a seed, and shows the next piece when it has heard that the one before has arrived.
#[test]
fn a_seed_that_shows_its_pieces_one_by_one_hears_that_they_arrived() {
    let mut stage = Stage::new(4, 1);
    let seed = stage.partial(1, &[]);
    let pieces: Vec<_> = stage.geometry.pieces().collect();
    for &piece in &pieces[..3] {
        stage.send(seed, vec![Event::Have(piece)]);
        stage.answer_all();
        stage.pass(HAVE_INTERVAL);
        assert_eq!(told(&mut stage, seed), [piece]);
    }
    // It has shown everything, and waits for nothing.
    stage.send(seed, vec![Event::Have(pieces[3])]);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn the_first_piece_is_told_at_once_and_those_that_follow_quickly_together() {
    let mut stage = Stage::new(8, 1);
    let leecher = stage.partial(1, &[]);
    let pieces: Vec<_> = stage.geometry.pieces().collect();
    stage.done(pieces[0], verified());
    assert_eq!(told(&mut stage, leecher), pieces[..1]);
    for &piece in &pieces[1..4] {
        stage.now += Duration::from_millis(1);
        stage.done(piece, verified());
    }
    assert_eq!(told(&mut stage, leecher), []);
    stage.pass(HAVE_INTERVAL);
    assert_eq!(told(&mut stage, leecher), pieces[1..4]);
    stage.pass(HAVE_INTERVAL);
    stage.done(pieces[4], verified());
    assert_eq!(told(&mut stage, leecher), pieces[4..5]);
}

#[test]
fn a_piece_that_is_lost_before_it_was_told_is_not() {
    let mut stage = Stage::new(4, 1);
    let leecher = stage.partial(1, &[]);
    let pieces: Vec<_> = stage.geometry.pieces().collect();
    for &piece in &pieces[..3] {
        stage.done(piece, verified());
    }
    stage.torrent.handle_pieces_lost(stage.now, &pieces[1..2]);
    stage.pass(HAVE_INTERVAL);
    assert_eq!(told(&mut stage, leecher), [pieces[0], pieces[2]]);
}
