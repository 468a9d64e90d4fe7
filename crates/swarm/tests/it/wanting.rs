//! What the user wants, changing while it is fetched.

use rarest_metainfo::Bitfield;
use rarest_peer_wire::connection::{Command, Event};
use rarest_swarm::{Config, DisconnectReason, Priority, TorrentEvent};

use crate::stage::{Stage, geometry};

fn set(stage: &mut Stage, pieces: impl IntoIterator<Item = u32>, priority: Priority) {
    let changes: Vec<_> = pieces
        .into_iter()
        .map(|index| (stage.piece(index), priority))
        .collect();
    stage.torrent.set_piece_priorities(stage.now, &changes);
    stage.drain();
}

#[test]
fn unwanted_pieces_are_never_asked_for_and_finished_is_not_complete() {
    let mut stage = Stage::new(10, 2);
    set(&mut stage, 0..7, Priority::Off);
    let seed = stage.seed(1);
    stage.answer_all();
    assert!(stage.torrent.is_finished() && !stage.torrent.is_complete());
    assert!(stage.events.contains(&TorrentEvent::Finished));
    assert!(!stage.events.contains(&TorrentEvent::Completed));
    assert_eq!(stage.torrent.verified().count(), 3);
    assert_eq!(stage.dropped, [(seed, DisconnectReason::BothComplete)]);
}

#[test]
fn higher_priorities_are_fetched_first() {
    let mut stage = Stage::new(12, 1);
    set(&mut stage, 0..4, Priority::Low);
    set(&mut stage, 8..12, Priority::High);
    let seed = stage.seed(1);
    stage.answer_all();
    let order: Vec<_> = stage
        .take_commands(seed)
        .into_iter()
        .filter_map(|command| match command {
            Command::Request(block) => Some(block.piece().get() / 4),
            _ => None,
        })
        .collect();
    assert_eq!(order, [2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0]);
}

#[test]
fn unwanting_a_piece_cancels_its_requests_and_ends_our_interest() {
    let mut stage = Stage::new(2, 4);
    let peer = stage.partial(1, &[1]);
    let asked = stage.asked(peer);
    stage.answer(peer, &asked[..1]);
    set(&mut stage, [1], Priority::Off);
    let commands = stage.take_commands(peer);
    let cancelled = asked[1..]
        .iter()
        .all(|&block| commands.contains(&Command::Cancel(block)));
    assert!(cancelled);
    assert_eq!(commands.last(), Some(&Command::NotInterested));
    assert_eq!(stage.spilled.len(), 1, "what came is kept on disk");
    // Nothing is asked while the peer answers the cancelled requests, nor twice when it is wanted again.
    set(&mut stage, [1], Priority::Normal);
    stage.send(
        peer,
        asked[1..]
            .iter()
            .map(|&block| Event::Returned(block))
            .collect(),
    );
    assert!(!stage.asked(peer).contains(&asked[0]));
}

#[test]
fn wanting_more_after_the_end_goes_on() {
    let mut stage = Stage::new(4, 1);
    set(&mut stage, 2..4, Priority::Off);
    stage.seed(1);
    stage.answer_all();
    assert!(stage.torrent.is_finished());
    set(&mut stage, 2..4, Priority::High);
    assert!(!stage.torrent.is_finished());
    stage.seed(2);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    let finished = stage
        .events
        .iter()
        .filter(|event| **event == TorrentEvent::Finished)
        .count();
    assert_eq!(finished, 2);
}

#[test]
fn interest_follows_what_a_peer_has() {
    let mut stage = Stage::with(Config::default(), geometry(3, 1), |start| {
        start.verified.insert(start.geometry.piece(0).unwrap());
    });
    let peer = stage.connect(1);
    let has = stage.bitfield(&[0]);
    stage.send(peer, vec![Event::Has(has)]);
    assert_eq!(stage.take_commands(peer), [], "it has what we have");
    stage.send(peer, vec![Event::Have(stage.piece(1))]);
    assert_eq!(stage.take_commands(peer), [Command::Interested]);
    stage.send(peer, vec![Event::Unchoked]);
    stage.answer_all();
    let commands = stage.take_commands(peer);
    assert_eq!(
        commands[commands.len() - 2..],
        [Command::NotInterested, Command::Have(stage.piece(1))]
    );
}

#[test]
fn when_complete_not_interested_goes_out() {
    let mut stage = Stage::new(2, 1);
    let peer = stage.partial(1, &[0]);
    let other = stage.partial(2, &[1]);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    for peer in [peer, other] {
        assert!(stage.take_commands(peer).contains(&Command::NotInterested));
    }
    assert_eq!(stage.dropped, [], "they lack pieces of ours");
}

#[test]
fn bytes_left_count_what_is_not_verified() {
    let mut stage = Stage::new(10, 2);
    set(&mut stage, 0..5, Priority::Off);
    let piece = 2 * 16 * 1024;
    assert_eq!(stage.torrent.bytes_left(), 10 * piece);
    assert_eq!(stage.torrent.stats(stage.now).wanted_left, 5 * piece);
    stage.seed(1);
    stage.answer_all();
    assert_eq!(stage.torrent.bytes_left(), 5 * piece);
    assert_eq!(stage.torrent.stats(stage.now).wanted_left, 0);
}

#[test]
fn a_complete_torrent_wants_nothing() {
    let mut stage = Stage::with(Config::default(), geometry(3, 1), |start| {
        start.verified = Bitfield::full(&start.geometry);
    });
    let peer = stage.partial(1, &[0, 1]);
    assert_eq!(stage.take_commands(peer), []);
}
