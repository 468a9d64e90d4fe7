//! Whom we serve.

use std::time::Duration;

use rarest_metainfo::{Bitfield, PeerId};
use rarest_peer_wire::connection::{Command, Event};
use rarest_peer_wire::{Handshake, Reserved};
use rarest_swarm::{Config, Direction, PeerKey, UploadSlots};

use crate::stage::{INFO_HASH, Stage, addr, geometry};

fn seeding(slots: UploadSlots) -> Stage {
    let config = Config {
        upload_slots: slots,
        ..Config::default()
    };
    Stage::with(config, geometry(10, 4), |start| {
        start.verified = Bitfield::full(&start.geometry);
    })
}

fn leecher(stage: &mut Stage, number: u8) -> PeerKey {
    let peer = stage.connect(number);
    let has = stage.bitfield(&[]);
    stage.send(peer, vec![Event::Has(has), Event::Interested]);
    peer
}

fn unchoked(stage: &Stage) -> usize {
    stage.torrent.stats(stage.now).unchoked
}

#[test]
fn a_free_slot_is_given_at_once() {
    let mut stage = seeding(UploadSlots::Fixed(2));
    let peer = leecher(&mut stage, 1);
    assert_eq!(stage.take_commands(peer), [Command::Unchoke]);
}

#[test]
fn a_slot_that_becomes_free_goes_to_the_one_who_waits_longest() {
    let mut stage = seeding(UploadSlots::Fixed(1));
    let first = leecher(&mut stage, 1);
    let second = leecher(&mut stage, 2);
    let third = leecher(&mut stage, 3);
    stage.disconnect(first);
    assert_eq!(stage.take_commands(second), [Command::Unchoke]);
    assert_eq!(stage.take_commands(third), []);
    stage.send(second, vec![Event::NotInterested]);
    assert_eq!(stage.take_commands(third), [Command::Unchoke]);
}

#[test]
fn slots_grow_at_once_with_what_is_uploaded() {
    let mut stage = seeding(UploadSlots::Automatic);
    let peers: Vec<_> = (1..=200)
        .map(|number| leecher(&mut stage, number))
        .collect();
    assert_eq!(unchoked(&stage), rarest_swarm::limits::AUTOMATIC_SLOTS_MIN);
    stage.now += Duration::from_millis(500);
    stage.send(peers[0], vec![Event::Uploaded { bytes: 10_000_000 }]);
    assert_eq!(unchoked(&stage), 200);
}

#[test]
fn a_seed_serves_everybody_in_turn() {
    let mut stage = seeding(UploadSlots::Fixed(4));
    let peers: Vec<_> = (1..=20).map(|number| leecher(&mut stage, number)).collect();
    // Five turns of half a minute each for twenty peers, and a round more.
    stage.pass(Duration::from_secs(5 * 30 + 20));
    for peer in peers {
        assert!(stage.take_commands(peer).contains(&Command::Unchoke));
    }
    assert_eq!(unchoked(&stage), 4);
}

#[test]
fn while_downloading_those_who_give_most_are_served() {
    let config = Config {
        upload_slots: UploadSlots::Fixed(5),
        ..Config::default()
    };
    let mut stage = Stage::with(config, geometry(500, 4), |_| {});
    let peers: Vec<_> = (1..=20)
        .map(|number| {
            let peer = stage.partial(number, &(0..499).collect::<Vec<_>>());
            stage.send(peer, vec![Event::Interested]);
            peer
        })
        .collect();
    let givers = &peers[10..14];
    for _ in 0..25 {
        stage.now += Duration::from_secs(1);
        for &giver in givers {
            let asked = stage.asked(giver);
            stage.answer(giver, &asked);
            stage.verify_all();
        }
        stage.pass(Duration::ZERO);
    }
    let served: Vec<_> = stage
        .torrent
        .peers(stage.now)
        .filter(|peer| peer.is_unchoked)
        .map(|peer| peer.key)
        .collect();
    assert!(givers.iter().all(|giver| served.contains(giver)));
    assert_eq!(served.len(), 5);
}

#[test]
fn the_optimistic_slot_moves_on() {
    let config = Config {
        upload_slots: UploadSlots::Fixed(1),
        ..Config::default()
    };
    let mut stage = Stage::with(config, geometry(50, 4), |_| {});
    let peers: Vec<_> = (1..=4).map(|number| leecher(&mut stage, number)).collect();
    stage.pass(Duration::from_secs(600));
    for peer in peers {
        assert!(stage.take_commands(peer).contains(&Command::Unchoke));
    }
}

#[test]
fn a_peer_that_wants_nothing_takes_no_slot() {
    let mut stage = seeding(UploadSlots::Fixed(1));
    let first = leecher(&mut stage, 1);
    stage.send(first, vec![Event::NotInterested]);
    let second = leecher(&mut stage, 2);
    assert_eq!(stage.take_commands(second), [Command::Unchoke]);
    // The first one kept its unchoke, but its slot is gone.
    stage.take_commands(first);
    stage.send(first, vec![Event::Interested]);
    assert_eq!(stage.take_commands(first), [Command::Choke]);
}

#[test]
fn a_peer_with_nothing_to_trade_may_request_some_pieces_at_once() {
    let mut stage = seeding(UploadSlots::Fixed(0));
    let handshake = Handshake {
        reserved: Reserved::FAST,
        info_hash: INFO_HASH,
        peer_id: PeerId([1; 20]),
    };
    let peer = stage
        .torrent
        .handle_peer_connected(stage.now, addr(1), Direction::Incoming, &handshake)
        .unwrap();
    let has = stage.bitfield(&[]);
    stage.send(peer, vec![Event::Has(has), Event::Interested]);
    let commands = stage.take_commands(peer);
    assert_eq!(commands.len(), rarest_swarm::limits::ALLOWED_FAST);
    let is_allowed = |command| matches!(command, Command::AllowFast(_));
    assert!(commands.into_iter().all(is_allowed));
}
