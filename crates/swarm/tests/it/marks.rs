//! Pieces that were verified and are no longer, and pieces that are found.

use std::time::Duration;

use rarest_metainfo::{Bitfield, PeerId, PieceIndex};
use rarest_peer_wire::connection::{Command, Event, Role};
use rarest_swarm::limits::{HAVE_INTERVAL, MAX_NEWS_AT_ONCE};
use rarest_swarm::{
    Config, Direction, DisconnectReason, PeerSource, PieceResult, SpillResult, TorrentEvent,
};

use crate::stage::{Stage, addr, geometry};

const PIECE: u64 = 2 * 16 * 1024;

/// A torrent of four pieces of two blocks that has them all.
fn complete() -> Stage {
    Stage::with(Config::default(), geometry(4, 2), |start| {
        start.verified = Bitfield::full(&start.geometry);
    })
}

fn pieces(stage: &Stage, numbers: &[u32]) -> Vec<PieceIndex> {
    numbers.iter().map(|&number| stage.piece(number)).collect()
}

#[test]
fn lost_pieces_are_told_and_fetched_again_and_nobody_is_disconnected() {
    let mut stage = complete();
    let peer = stage.partial(1, &[1, 2]);
    let lost = pieces(&stage, &[1, 3]);
    stage.torrent.handle_pieces_lost(stage.now, &lost);
    stage.drain();
    assert_eq!(stage.torrent.verified(), &stage.bitfield(&[0, 2]));
    assert_eq!(stage.torrent.bytes_left(), 2 * PIECE);
    assert_eq!(stage.torrent.stats(stage.now).wanted_left, 2 * PIECE);
    let request = |number| Command::Request(stage.block(1, number));
    let expected = [
        Command::DontHave(lost[0]),
        Command::DontHave(lost[1]),
        Command::Interested,
        request(0),
        request(1),
        Command::Role(Role::Downloader),
    ];
    assert_eq!(stage.take_commands(peer), expected);
    let gained = stage.piece(3);
    stage.send(peer, vec![Event::Have(gained)]);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    assert!(stage.events.contains(&TorrentEvent::Finished));
    let role = Command::Role(Role::UploadOnly);
    assert!(stage.take_commands(peer).contains(&role));
    assert_eq!(stage.dropped, []);
}

#[test]
fn losing_what_was_not_verified_changes_nothing() {
    let mut stage = Stage::new(4, 2);
    let seed = stage.seed(1);
    let asked = stage.asked(seed);
    stage.answer(seed, &asked[..1]);
    stage.take_commands(seed);
    let all = pieces(&stage, &[0, 1, 2, 3]);
    stage.torrent.handle_pieces_lost(stage.now, &all);
    stage.torrent.handle_pieces_doubted(stage.now, &all);
    stage.drain();
    assert_eq!(stage.take_commands(seed), []);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn a_lost_piece_that_is_not_wanted_is_not_fetched() {
    let mut stage = complete();
    let lost = stage.piece(2);
    stage
        .torrent
        .set_piece_priorities(stage.now, &[(lost, rarest_swarm::Priority::Off)]);
    stage.torrent.handle_pieces_lost(stage.now, &[lost]);
    stage.drain();
    assert!(stage.torrent.is_finished() && !stage.torrent.is_complete());
    let peer = stage.partial(1, &[2]);
    assert_eq!(stage.outstanding(peer), []);
}

#[test]
fn pieces_in_doubt_are_neither_served_nor_fetched_until_the_store_has_looked() {
    let mut stage = complete();
    let leecher = stage.partial(2, &[]);
    let peer = stage.partial(1, &[0, 1]);
    let doubted = pieces(&stage, &[0, 1]);
    stage.torrent.handle_pieces_doubted(stage.now, &doubted);
    stage.drain();
    let told = [Command::DontHave(doubted[0]), Command::DontHave(doubted[1])];
    assert_eq!(stage.take_commands(peer), told);
    assert!(!stage.torrent.is_finished());
    assert!(!stage.torrent.awaits_hashes());
    assert_eq!(stage.torrent.verified(), &stage.bitfield(&[2, 3]));
    // One is there after all, the other is gone.
    let found = stage.bitfield(&[0, 2, 3]);
    stage.torrent.handle_checked(stage.now, &found);
    stage.drain();
    let commands = stage.take_commands(leecher);
    assert!(commands.contains(&Command::Have(doubted[0])));
    assert!(commands.contains(&Command::Role(Role::Downloader)));
    assert_eq!(stage.asked(peer), [stage.block(1, 0), stage.block(1, 1)]);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    assert_eq!(stage.dropped, []);
}

#[test]
fn a_look_at_the_disk_finds_pieces_that_are_being_fetched() {
    let mut stage = Stage::new(4, 2);
    let leecher = stage.partial(2, &[]);
    let seed = stage.seed(1);
    let asked = stage.asked(seed);
    stage.answer(seed, &asked[..1]);
    let found = asked[0].piece();
    let mut verified = Bitfield::empty(&stage.geometry);
    verified.insert(found);
    stage.torrent.handle_checked(stage.now, &verified);
    stage.drain();
    assert_eq!(stage.torrent.verified(), &verified);
    assert_eq!(stage.torrent.buffered_bytes(), 0);
    let commands = stage.take_commands(seed);
    assert!(commands.contains(&Command::Cancel(asked[1])));
    assert_eq!(stage.take_commands(leecher), [Command::Have(found)]);
    assert_eq!(stage.events, [], "nothing was downloaded");
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn a_look_at_the_disk_leaves_the_answer_of_a_whole_piece_to_the_store() {
    let mut stage = Stage::new(1, 2);
    let seed = stage.seed(1);
    let asked = stage.asked(seed);
    stage.answer(seed, &asked);
    let verified = Bitfield::full(&stage.geometry);
    stage.torrent.handle_checked(stage.now, &verified);
    stage.drain();
    assert!(!stage.torrent.is_complete());
    stage.verify_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn after_the_loss_of_very_much_peers_are_told_with_one_bitfield() {
    let count = u32::try_from(MAX_NEWS_AT_ONCE).unwrap();
    let mut stage = Stage::with(Config::default(), geometry(count + 1, 1), |start| {
        start.verified = Bitfield::full(&start.geometry);
    });
    let peer = stage.partial(1, &[0]);
    let all: Vec<_> = stage.geometry.pieces().collect();
    stage.torrent.handle_pieces_lost(stage.now, &all[1..]);
    stage.drain();
    let is_loss = |command: &Command| matches!(command, Command::DontHave(_));
    let commands = stage.take_commands(peer);
    let told = commands.iter().filter(|command| is_loss(command)).count();
    assert_eq!(told, MAX_NEWS_AT_ONCE);
    let verified = Bitfield::full(&stage.geometry);
    stage.torrent.handle_checked(stage.now, &verified);
    stage.drain();
    let is_found = |command: &Command| matches!(command, Command::Have(_));
    let commands = stage.take_commands(peer);
    let told = commands.iter().filter(|command| is_found(command)).count();
    assert_eq!(told, MAX_NEWS_AT_ONCE);

    stage.torrent.handle_pieces_lost(stage.now, &all);
    stage.drain();
    assert_eq!(stage.dropped, [(peer, DisconnectReason::PiecesChanged)]);
    assert_eq!(stage.take_commands(peer), []);
    let peer = stage.seed(2);
    stage.take_commands(peer);
    stage.torrent.handle_checked(stage.now, &verified);
    stage.drain();
    assert_eq!(stage.dropped[1], (peer, DisconnectReason::PiecesChanged));
}

#[test]
fn a_peer_that_joins_after_much_was_found_is_not_told_of_each_piece() {
    let mut stage = Stage::new(1000, 1);
    // A round of news has just gone out, so that the next one waits.
    let leecher = stage.partial(1, &[]);
    let first = stage.piece(0);
    let verified = PieceResult::Verified {
        block_digests: Vec::new(),
    };
    stage.done(first, verified);
    assert_eq!(stage.take_commands(leecher), [Command::Have(first)]);
    stage.disconnect(leecher);
    let all = Bitfield::full(&stage.geometry);
    stage.torrent.handle_checked(stage.now, &all);
    stage.drain();
    let late = stage.partial(2, &[]);
    stage.pass(HAVE_INTERVAL * 2);
    assert_eq!(stage.take_commands(late), []);
}

#[test]
fn while_everything_is_looked_at_nothing_is_requested_and_what_is_there_is_served() {
    let mut stage = Stage::with(Config::default(), geometry(4, 2), |start| {
        start.verified.insert(start.geometry.piece(0).unwrap());
    });
    let seed = stage.seed(1);
    let asked = stage.asked(seed);
    stage.torrent.handle_check_begun(stage.now);
    stage.drain();
    assert_eq!(stage.asked(seed), []);
    stage.answer(seed, &asked[..1]);
    stage.send(seed, vec![Event::Choked, Event::Unchoked]);
    stage.reject_cancelled();
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.outstanding(seed), []);
    let leecher = stage.partial(2, &[]);
    stage.send(leecher, vec![Event::Interested]);
    assert!(stage.take_commands(leecher).contains(&Command::Unchoke));

    let found = stage.bitfield(&[0, 1]);
    stage.torrent.handle_checked(stage.now, &found);
    stage.drain();
    assert!(!stage.asked(seed).contains(&asked[0]), "what came is kept");
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn blocks_that_were_spilled_are_fetched_again_when_they_are_lost() {
    let mut stage = Stage::new(1, 3);
    let seed = stage.seed(1);
    let asked = stage.asked(seed);
    stage.answer(seed, &asked[..1]);
    stage.torrent.handle_memory_pressure(stage.now, 0);
    stage.drain();
    stage
        .torrent
        .handle_spilled(stage.now, &asked[..1], SpillResult::Written);
    stage.answer(seed, &asked[1..2]);
    stage
        .torrent
        .handle_pieces_lost(stage.now, &[asked[0].piece()]);
    stage.drain();
    assert_eq!(stage.torrent.blocks_on_disk().count(), 0);
    assert_eq!(stage.asked(seed), [asked[0], asked[2]]);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn seeds_that_were_put_off_are_dialled_again_when_pieces_are_lost() {
    let mut stage = Stage::new(4, 1);
    let seed = addr(7);
    stage
        .torrent
        .add_peers(stage.now, PeerSource::Tracker, &[seed]);
    stage.drain();
    let key = stage
        .try_connect(seed, Direction::Outgoing, PeerId([7; 20]))
        .unwrap();
    let all = Bitfield::full(&stage.geometry);
    stage.send(key, vec![Event::Has(all), Event::Unchoked]);
    stage.answer_all();
    assert_eq!(stage.dropped, [(key, DisconnectReason::BothComplete)]);
    stage.dialled.clear();
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.dialled, [], "it has nothing for us");
    let doubted = pieces(&stage, &[1]);
    stage.torrent.handle_pieces_doubted(stage.now, &doubted);
    stage.drain();
    assert_eq!(stage.dialled, []);
    let verified = stage.torrent.verified().clone();
    stage.torrent.handle_checked(stage.now, &verified);
    stage.drain();
    assert_eq!(stage.dialled, [seed]);
}
