//! What is asked of peers, in which order and how much.

use std::collections::BTreeSet;
use std::time::Duration;

use rarest_metainfo::{Block, Geometry};
use rarest_peer_wire::connection::{Command, Event};
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_swarm::limits::{MAX_WAIT, SNUB_CHECK_INTERVAL};
use rarest_swarm::{Config, Direction, PeerKey, TorrentEvent};
use std::sync::Arc;

use crate::stage::{BLOCK, Stage, block_event};

#[test]
fn one_seed_gives_everything_and_each_block_once() {
    let mut stage = Stage::new(20, 4);
    let seed = stage.seed(1);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    let mut requests = Vec::new();
    for command in stage.take_commands(seed) {
        if let Command::Request(block) = command {
            requests.push(block);
        }
    }
    let distinct: BTreeSet<Block> = requests.iter().copied().collect();
    assert_eq!((requests.len(), distinct.len()), (80, 80));
    assert!(stage.events.contains(&TorrentEvent::Completed));
}

#[test]
fn nothing_is_asked_while_the_peer_chokes() {
    let mut stage = Stage::new(4, 4);
    let peer = stage.connect(1);
    let all = stage.bitfield(&[0, 1, 2, 3]);
    stage.send(peer, vec![Event::Has(all)]);
    assert_eq!(stage.take_commands(peer), [Command::Interested]);
    stage.send(peer, vec![Event::Unchoked]);
    assert!(!stage.asked(peer).is_empty());
}

#[test]
fn a_begun_piece_is_finished_before_another_is_begun() {
    let mut stage = Stage::new(50, 64);
    let first = stage.seed(1);
    let begun = stage.asked(first)[0].piece();
    let second = stage.seed(2);
    let third = stage.seed(3);
    for peer in [first, second, third] {
        assert!(stage.asked(peer).iter().all(|block| block.piece() == begun));
    }
}

#[test]
fn the_rarest_piece_is_begun_first() {
    let mut stage = Stage::with(Config::default(), crate::stage::geometry(20, 1), |start| {
        // The first pieces would be random.
        for index in 0..4 {
            start.verified.insert(start.geometry.piece(index).unwrap());
        }
    });
    let common: Vec<u32> = (4..19).collect();
    for number in 1..5 {
        let peer = stage.connect(number);
        let has = stage.bitfield(&common);
        stage.send(peer, vec![Event::Has(has)]);
    }
    let rare = stage.connect(9);
    let has = stage.bitfield(&(4..20).collect::<Vec<_>>());
    stage.send(rare, vec![Event::Has(has), Event::Unchoked]);
    let first = stage
        .take_commands(rare)
        .into_iter()
        .find_map(|command| match command {
            Command::Request(block) => Some(block.piece().get()),
            _ => None,
        });
    assert_eq!(first, Some(19));
}

#[test]
fn blocks_of_a_peer_that_leaves_are_asked_of_another() {
    let mut stage = Stage::new(1, 4);
    let leaving = stage.seed(1);
    let staying = stage.seed(2);
    assert_eq!(stage.asked(leaving).len(), 4);
    stage.disconnect(leaving);
    assert_eq!(stage.asked(staying).len(), 4);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn rejected_blocks_go_back_and_are_asked_of_another() {
    let mut stage = Stage::new(2, 4);
    let peer = stage.partial(1, &[0]);
    let other = stage.partial(2, &[0, 1]);
    let asked = stage.asked(peer);
    let mut events: Vec<_> = vec![Event::Choked];
    events.extend(asked.iter().map(|&block| Event::Returned(block)));
    stage.send(peer, events);
    let events = stage.asked(other).into_iter().map(block_event).collect();
    stage.send(other, events);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn a_peer_that_refuses_everything_is_left_alone_for_a_while() {
    let mut stage = Stage::new(4, 16);
    let peer = stage.seed(1);
    let mut refused = 0;
    while !stage.asked(peer).is_empty() {
        let events: Vec<_> = stage.asked(peer).into_iter().map(Event::Returned).collect();
        refused += events.len();
        assert!(refused < 2 * rarest_swarm::limits::MAX_REFUSALS);
        stage.send(peer, events);
    }
    stage.pass(Duration::from_secs(30));
    assert!(!stage.asked(peer).is_empty());
}

#[test]
fn padding_is_never_asked_for() {
    // Two blocks a piece, of which the second is padding; the third piece is padding wholly.
    let block = u64::from(BLOCK);
    let geometry = Geometry::contiguous(6 * block, 2 * BLOCK)
        .unwrap()
        .with_padding([block..2 * block, 3 * block..6 * block]);
    let mut stage = Stage::with(Config::default(), Arc::new(geometry), |_| {});
    assert_eq!(stage.whole.len(), 1, "the padding is whole from the start");
    let seed = stage.seed(1);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    let requests = stage
        .take_commands(seed)
        .into_iter()
        .filter(|command| matches!(command, Command::Request(_)))
        .count();
    assert_eq!(requests, 2);
}

#[test]
fn suggested_pieces_come_first() {
    let mut stage = Stage::new(100, 1);
    let peer = stage.connect(1);
    let all = stage.bitfield(&(0..99).collect::<Vec<_>>());
    let suggested = stage.piece(42);
    stage.send(
        peer,
        vec![
            Event::Has(all),
            Event::Suggested(suggested),
            Event::Unchoked,
        ],
    );
    let first = stage
        .take_commands(peer)
        .into_iter()
        .find_map(|command| match command {
            Command::Request(block) => Some(block.piece()),
            _ => None,
        });
    assert_eq!(first, Some(suggested));
}

#[test]
fn allowed_fast_pieces_are_asked_while_choked_if_the_peer_has_them() {
    let mut stage = Stage::new(8, 2);
    let peer = stage.connect(1);
    let has = stage.bitfield(&[3]);
    let events = vec![
        Event::Has(has),
        Event::AllowedFast(stage.piece(3)),
        Event::AllowedFast(stage.piece(5)),
    ];
    stage.send(peer, events);
    assert_eq!(stage.asked(peer), [stage.block(3, 0), stage.block(3, 1)]);
}

#[test]
fn a_snubbing_peer_loses_its_blocks_to_others() {
    let mut stage = Stage::new(2, 4);
    let silent = stage.seed(1);
    let asked = stage.asked(silent);
    stage.pass(Duration::from_secs(25));
    let cancelled = stage
        .take_commands(silent)
        .into_iter()
        .filter(|command| matches!(command, Command::Cancel(_)))
        .count();
    assert_eq!(cancelled, asked.len() - 1, "one stays to see it come back");
    let good = stage.seed(2);
    assert!(asked.iter().all(|block| stage.asked(good).contains(block)));
}

#[test]
fn the_pipeline_grows_fourfold_every_round_trip_until_the_rate_does_not() {
    let mut stage = Stage::new(1000, 16);
    let seed = stage.seed(1);
    let mut depths = Vec::new();
    for _ in 0..6 {
        let asked = stage.asked(seed);
        depths.push(asked.len());
        stage.now += Duration::from_millis(100);
        stage.answer(seed, &asked);
    }
    // The stage's blocks run out before the line does: the last are all there are.
    assert_eq!(depths[..4], [4, 16, 64, 250]);
}

#[test]
fn a_slow_peer_holds_little() {
    let mut stage = Stage::new(1000, 16);
    let seed = stage.seed(1);
    for _ in 0..50 {
        // 16 KiB/s: one block a second.
        stage.now += Duration::from_secs(1);
        let first = stage.asked(seed)[0];
        stage.answer(seed, &[first]);
    }
    assert!(stage.asked(seed).len() <= 9, "{}", stage.asked(seed).len());
}

/// A peer that gave a piece quickly and has nothing else, beside another that would take over.
fn fast_and_idle() -> (Stage, PeerKey) {
    let mut stage = Stage::new(3, 256);
    let fast = stage.partial(1, &[0]);
    stage.partial(2, &[]);
    while !stage.asked(fast).is_empty() {
        stage.now += Duration::from_millis(50);
        let asked = stage.asked(fast);
        stage.answer(fast, &asked);
    }
    stage.verify_all();
    stage.take_commands(fast);
    (stage, fast)
}

fn cancelled(stage: &mut Stage, peer: PeerKey) -> usize {
    let commands = stage.take_commands(peer);
    let is_cancel = |command: &&Command| matches!(command, Command::Cancel(_));
    commands.iter().filter(is_cancel).count()
}

#[test]
fn a_peer_that_had_nothing_to_do_does_not_count_as_slow() {
    let (mut stage, peer) = fast_and_idle();
    // It is asked for much just before the peers are looked through.
    stage.pass(SNUB_CHECK_INTERVAL * 4 - Duration::from_millis(450));
    let piece = stage.piece(1);
    stage.send(peer, vec![Event::Have(piece)]);
    let asked = stage.asked(peer);
    assert!(asked.len() > 50, "{}", asked.len());
    stage.now += Duration::from_millis(50);
    stage.answer(peer, &asked[..2]);
    stage.pass(SNUB_CHECK_INTERVAL / 2);
    assert_eq!(cancelled(&mut stage, peer), 0);
}

#[test]
fn a_peer_that_became_slow_keeps_what_it_can_send_soon() {
    let (mut stage, peer) = fast_and_idle();
    let piece = stage.piece(1);
    stage.send(peer, vec![Event::Have(piece)]);
    let held = stage.asked(peer).len();
    assert!(held > 50, "{held}");
    for _ in 0..8 {
        stage.pass(SNUB_CHECK_INTERVAL / 4);
        let first = stage.asked(peer)[0];
        stage.answer(peer, &[first]);
    }
    assert!(cancelled(&mut stage, peer) > 40);
    // Two blocks a second.
    let soon = usize::try_from(2 * MAX_WAIT.as_secs()).unwrap();
    let held = stage.asked(peer).len();
    assert!((1..=soon).contains(&held), "{held}");
}

#[test]
fn a_peer_that_comes_and_goes_leaves_no_copies_behind() {
    let mut stage = Stage::new(64, 1);
    for number in 1..20 {
        let peer = stage.partial(number, &[0, 1, 5]);
        let events = vec![Event::Have(stage.piece(6)), Event::DontHave(stage.piece(0))];
        stage.send(peer, events);
        assert_eq!(stage.torrent.copies(stage.piece(6)), 1);
        stage.disconnect(peer);
    }
    assert!((0..64).all(|index| stage.torrent.copies(stage.piece(index)) == 0));
}

#[test]
fn a_seed_that_loses_a_piece_is_counted_piece_by_piece() {
    let mut stage = Stage::new(8, 1);
    let peer = stage.connect(1);
    let has = stage.bitfield(&(0..8).collect::<Vec<_>>());
    let events = vec![Event::Has(has), Event::DontHave(stage.piece(3))];
    stage.send(peer, events);
    let copies: Vec<_> = (0..8)
        .map(|index| stage.torrent.copies(stage.piece(index)))
        .collect();
    assert_eq!(copies, [1, 1, 1, 0, 1, 1, 1, 1]);
    stage.disconnect(peer);
    assert_eq!(stage.torrent.stats(stage.now).least_copies, 0);
}

#[test]
fn outputs_depend_on_the_seed_and_the_inputs_alone() {
    let run = |seed| {
        let config = Config {
            seed,
            ..Config::default()
        };
        let mut stage = Stage::with(config, crate::stage::geometry(200, 2), |_| {});
        let first = stage.seed(1);
        stage.seed(2);
        stage.answer_all();
        stage.take_commands(first)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_peer_of_another_torrent_is_refused() {
    let mut stage = Stage::new(1, 1);
    let handshake = rarest_peer_wire::Handshake {
        reserved: rarest_peer_wire::Reserved::NONE,
        info_hash: rarest_metainfo::InfoHash([9; 20]),
        peer_id: rarest_metainfo::PeerId([1; 20]),
    };
    let result = stage.torrent.handle_peer_connected(
        stage.now,
        crate::stage::addr(1),
        Direction::Incoming,
        &handshake,
    );
    assert!(result.is_err());
}

#[test]
fn the_peers_request_queue_bounds_the_pipeline() {
    let mut stage = Stage::new(100, 4);
    let peer = stage.connect(1);
    let mut handshake = ExtensionHandshake::default();
    handshake.request_queue = Some(3);
    let all = stage.bitfield(&(0..99).collect::<Vec<_>>());
    let introduced = Event::ExtensionHandshake(Box::new(handshake));
    stage.send(peer, vec![introduced, Event::Has(all), Event::Unchoked]);
    for _ in 0..20 {
        let asked = stage.asked(peer);
        assert_eq!(asked.len(), 3);
        stage.now += Duration::from_millis(1);
        stage.answer(peer, &asked);
    }
}
