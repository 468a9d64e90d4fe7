//! Peers that come, go, and come twice.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rarest_metainfo::{Bitfield, PeerId};
use rarest_peer_wire::connection::Event;
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::peer_priority;
use rarest_swarm::limits::{MAX_BANNED, MAX_FAILURES, MAX_KNOWN_PEERS, MAX_OWN_ADDRESSES};
use rarest_swarm::{Config, Direction, DisconnectReason, Ended, PeerSource, Refused};

use crate::stage::{OUR_ID, Stage, addr, geometry};

const LESSER: PeerId = PeerId([1; 20]);
const GREATER: PeerId = PeerId([200; 20]);

fn learn(stage: &mut Stage, addrs: &[SocketAddr]) {
    stage
        .torrent
        .add_peers(stage.now, PeerSource::Tracker, addrs);
    stage.drain();
}

#[test]
fn a_connection_to_ourselves_is_refused_and_never_dialled_again() {
    let mut stage = Stage::new(1, 1);
    learn(&mut stage, &[addr(1)]);
    let result = stage.try_connect(addr(1), Direction::Outgoing, OUR_ID);
    assert_eq!(result, Err(Refused::Ourselves { addr: addr(1) }));
    learn(&mut stage, &[addr(1)]);
    stage.pass(Duration::from_secs(3600));
    assert_eq!(stage.dialled, [addr(1)]);
}

#[test]
fn only_so_many_addresses_are_taken_for_our_own() {
    let mut stage = Stage::new(1, 1);
    let most = u8::try_from(MAX_OWN_ADDRESSES).unwrap();
    for number in 1..=most + 1 {
        let result = stage.try_connect(addr(number), Direction::Outgoing, OUR_ID);
        assert!(matches!(result, Err(Refused::Ourselves { .. })));
    }
    learn(&mut stage, &(1..=most + 1).map(addr).collect::<Vec<_>>());
    assert_eq!(stage.dialled, [addr(most + 1)]);
}

#[test]
fn of_two_connections_both_ends_keep_the_one_dialled_by_the_greater_id() {
    // The remote end has the greater id: its dial wins, in whatever order the two come.
    let mut stage = Stage::new(1, 1);
    let ours = stage
        .try_connect(addr(1), Direction::Outgoing, GREATER)
        .unwrap();
    stage
        .try_connect(addr(1), Direction::Incoming, GREATER)
        .unwrap();
    assert_eq!(stage.dropped, [(ours, DisconnectReason::Duplicate)]);
    let result = stage.try_connect(addr(1), Direction::Outgoing, GREATER);
    assert_eq!(result, Err(Refused::Duplicate { addr: addr(1) }));
    // We have the greater id: our dial wins.
    let mut stage = Stage::new(1, 1);
    let theirs = stage
        .try_connect(addr(2), Direction::Incoming, LESSER)
        .unwrap();
    stage
        .try_connect(addr(2), Direction::Outgoing, LESSER)
        .unwrap();
    assert_eq!(stage.dropped, [(theirs, DisconnectReason::Duplicate)]);
}

#[test]
fn an_old_connection_is_not_pushed_out_by_somebody_with_the_same_id() {
    let mut stage = Stage::new(1, 1);
    stage
        .try_connect(addr(1), Direction::Outgoing, GREATER)
        .unwrap();
    stage.pass(Duration::from_secs(60));
    let result = stage.try_connect(addr(66), Direction::Incoming, GREATER);
    assert_eq!(result, Err(Refused::Duplicate { addr: addr(66) }));
    assert_eq!(stage.dropped, []);
}

#[test]
fn a_failed_dial_is_repeated_later_and_later_and_then_no_more() {
    let mut stage = Stage::new(1, 1);
    learn(&mut stage, &[addr(1)]);
    let mut pauses = Vec::new();
    let mut last = stage.now;
    for _ in 0..50 {
        if !stage.dialled.is_empty() {
            pauses.push((stage.now - last).as_secs());
            last = stage.now;
            stage.dialled.clear();
            stage.torrent.handle_dial_failed(stage.now, addr(1));
            stage.drain();
        }
        let Some(next) = stage.torrent.next_timeout() else {
            break;
        };
        let wait = next - stage.now;
        stage.pass(wait);
    }
    assert_eq!(pauses, [0, 15, 30, 60, 120, 240, 480, 960]);
    assert_eq!(pauses.len(), usize::from(MAX_FAILURES));
}

#[test]
fn only_so_many_dials_are_half_open() {
    let config = Config {
        max_half_open: 3,
        ..Config::default()
    };
    let mut stage = Stage::with(config, geometry(1, 1), |_| {});
    learn(&mut stage, &(1..=10).map(addr).collect::<Vec<_>>());
    assert_eq!(stage.dialled.len(), 3);
    let failed = stage.dialled[0];
    stage.torrent.handle_dial_failed(stage.now, failed);
    stage.drain();
    assert_eq!(stage.dialled.len(), 4);
}

#[test]
fn known_addresses_are_bounded() {
    let mut stage = Stage::new(1, 1);
    let addrs: Vec<_> = (0..)
        .map(|number: u32| SocketAddr::from(((0x0a00_0001 + number).to_be_bytes(), 6881)))
        .take(MAX_KNOWN_PEERS + 1000)
        .collect();
    learn(&mut stage, &addrs);
    assert_eq!(stage.torrent.stats(stage.now).known, MAX_KNOWN_PEERS);
}

#[test]
fn bans_are_bounded_and_the_oldest_ends_first() {
    let mut stage = Stage::new(1, 1);
    let ip = |number: usize| {
        let number = u32::try_from(number).unwrap();
        IpAddr::from((0x0a00_0001 + number).to_be_bytes())
    };
    for number in 0..=MAX_BANNED {
        stage.torrent.ban(stage.now, ip(number));
    }
    let oldest = SocketAddr::new(ip(0), 1);
    let newest = SocketAddr::new(ip(MAX_BANNED), 1);
    stage
        .try_connect(oldest, Direction::Incoming, LESSER)
        .unwrap();
    let refused = stage.try_connect(newest, Direction::Incoming, GREATER);
    assert_eq!(refused, Err(Refused::Banned { addr: newest }));
}

#[test]
fn impossible_addresses_are_not_dialled() {
    let mut stage = Stage::new(1, 1);
    let addrs = [
        "0.0.0.0:1",
        "10.0.0.1:0",
        "224.0.0.1:1",
        "[::]:1",
        "[ff02::1]:1",
    ];
    learn(&mut stage, &addrs.map(|addr| addr.parse().unwrap()));
    assert_eq!(stage.dialled, []);
}

#[test]
fn when_full_a_useless_peer_gives_its_place_and_a_useful_one_does_not() {
    let config = Config {
        max_peers: 2,
        ..Config::default()
    };
    let mut stage = Stage::with(config, geometry(4, 1), |_| {});
    let useful = stage.partial(1, &[0]);
    let useless = stage.partial(2, &[]);
    let refused = stage.try_connect(addr(3), Direction::Incoming, PeerId([3; 20]));
    assert_eq!(refused, Err(Refused::Full { limit: 2 }), "it just came");
    stage.pass(Duration::from_secs(90));
    stage.connect(3);
    assert_eq!(stage.dropped, [(useless, DisconnectReason::Replaced)]);
    assert!(
        stage
            .torrent
            .peers(stage.now)
            .any(|peer| peer.key == useful)
    );
}

#[test]
fn two_complete_peers_part_and_the_seed_is_not_dialled_again() {
    let mut stage = Stage::with(Config::default(), geometry(2, 1), |start| {
        start.verified = Bitfield::full(&start.geometry);
    });
    learn(&mut stage, &[addr(1)]);
    let peer = stage
        .try_connect(addr(1), Direction::Outgoing, LESSER)
        .unwrap();
    let all = stage.bitfield(&[0, 1]);
    stage.send(peer, vec![Event::Has(all)]);
    assert_eq!(stage.dropped, [(peer, DisconnectReason::BothComplete)]);
    stage.pass(Duration::from_secs(600));
    assert_eq!(stage.dialled, [addr(1)]);
}

#[test]
fn a_seed_is_kept_until_we_are_complete() {
    let mut stage = Stage::new(4, 2);
    let seed = stage.seed(1);
    assert_eq!(stage.dropped, []);
    stage.answer_all();
    assert_eq!(stage.dropped, [(seed, DisconnectReason::BothComplete)]);
}

#[test]
fn a_key_of_an_ended_connection_is_ignored() {
    let mut stage = Stage::new(4, 2);
    let old = stage.seed(1);
    stage.disconnect(old);
    let new = stage.seed(2);
    stage
        .torrent
        .handle_peer_events(stage.now, old, vec![Event::Choked]);
    stage
        .torrent
        .handle_peer_disconnected(stage.now, old, Ended::Closed);
    stage.drain();
    assert_ne!(old, new);
    assert!(
        stage
            .torrent
            .peers(stage.now)
            .any(|peer| peer.key == new && peer.is_unchoking)
    );
}

#[test]
fn a_lost_peer_is_dialled_again() {
    let mut stage = Stage::new(4, 2);
    learn(&mut stage, &[addr(1)]);
    let peer = stage
        .try_connect(addr(1), Direction::Outgoing, LESSER)
        .unwrap();
    stage.disconnect(peer);
    stage.pass(Duration::from_secs(16));
    assert_eq!(stage.dialled, [addr(1), addr(1)]);
}

#[test]
fn an_upload_only_peer_without_pieces_may_lack_the_metadata_and_is_kept() {
    let mut stage = Stage::with(Config::default(), geometry(2, 1), |start| {
        start.verified = Bitfield::full(&start.geometry);
    });
    let mut handshake = ExtensionHandshake::default();
    handshake.upload_only = Some(true);
    let upload_only = Event::ExtensionHandshake(Box::new(handshake));
    let empty = stage.partial(1, &[]);
    stage.send(empty, vec![upload_only.clone()]);
    assert_eq!(stage.dropped, []);
    let partial = stage.partial(2, &[1]);
    stage.send(partial, vec![upload_only]);
    assert_eq!(stage.dropped, [(partial, DisconnectReason::BothComplete)]);
}

#[test]
fn a_ban_holds_for_an_ipv4_address_in_the_dress_of_ipv6() {
    let mut stage = Stage::new(1, 1);
    stage.torrent.ban(stage.now, "10.0.0.1".parse().unwrap());
    let mapped = "[::ffff:10.0.0.1]:6881".parse().unwrap();
    let refused = stage.try_connect(mapped, Direction::Incoming, LESSER);
    assert_eq!(refused, Err(Refused::Banned { addr: addr(1) }));
    learn(&mut stage, &[mapped]);
    assert_eq!(stage.dialled, []);
}

fn introduce(stage: &mut Stage, key: rarest_swarm::PeerKey, port: u16) {
    let mut handshake = ExtensionHandshake::default();
    handshake.listen_port = Some(port);
    stage.send(key, vec![Event::ExtensionHandshake(Box::new(handshake))]);
}

#[test]
fn a_peer_that_names_many_ports_is_remembered_with_one() {
    let mut stage = Stage::new(1, 1);
    let peer = stage.connect(1);
    for port in 1..=10_000 {
        introduce(&mut stage, peer, port);
    }
    assert_eq!(stage.torrent.stats(stage.now).known, 1);
}

#[test]
fn an_address_that_was_known_is_not_dialled_while_its_peer_is_connected() {
    let mut stage = Stage::new(1, 1);
    learn(&mut stage, &[addr(1)]);
    stage.torrent.handle_dial_failed(stage.now, addr(1));
    let peer = stage.connect(1);
    introduce(&mut stage, peer, addr(1).port());
    stage.dialled.clear();
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.dialled, []);
    stage.disconnect(peer);
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.dialled, [addr(1)], "dialled when it has left");
}

#[test]
fn a_machine_need_not_be_kept_while_all_is_there_and_nobody_is_known() {
    let missing = Stage::new(2, 1);
    assert!(!missing.torrent.is_replaceable());
    let complete = || {
        Stage::with(Config::default(), geometry(2, 1), |start| {
            start.verified = Bitfield::full(&start.geometry);
        })
    };
    let mut stage = complete();
    assert!(stage.torrent.is_replaceable());
    // Connected, then known for a while.
    let peer = stage.connect(1);
    assert!(!stage.torrent.is_replaceable());
    stage.disconnect(peer);
    learn(&mut stage, &[addr(2)]);
    assert!(!stage.torrent.is_replaceable());
    let mut stage = complete();
    stage.torrent.ban(stage.now, addr(3).ip());
    stage.drain();
    assert!(!stage.torrent.is_replaceable(), "a ban is to be remembered");
}

#[test]
fn when_all_places_are_taken_the_canonical_priority_decides() {
    let config = Config {
        max_peers: 3,
        ..Config::default()
    };
    let mut stage = Stage::with(config, geometry(2, 1), |_| {});
    let peers = [1, 2, 3].map(|number| (number, stage.seed(number)));
    let ours = IpAddr::from([198, 51, 100, 7]);
    let priority = |number| peer_priority(SocketAddr::new(ours, 0), addr(number));
    let (lowest, dropped) = peers
        .into_iter()
        .min_by_key(|&(number, _)| priority(number))
        .unwrap();
    let higher = (4..200)
        .find(|&number| priority(number) > priority(lowest))
        .unwrap();
    let lower = (4..200)
        .find(|&number| priority(number) < priority(lowest))
        .unwrap();
    let come = |stage: &mut Stage, number| {
        stage.try_connect(addr(number), Direction::Incoming, PeerId([number; 20]))
    };
    // Nobody is believed alone about our address.
    let introduce = |stage: &mut Stage, key| {
        let mut handshake = ExtensionHandshake::default();
        handshake.your_ip = Some(ours);
        stage.send(key, vec![Event::ExtensionHandshake(Box::new(handshake))]);
    };
    introduce(&mut stage, peers[0].1);
    introduce(&mut stage, peers[0].1);
    let full = Err(Refused::Full { limit: 3 });
    assert_eq!(come(&mut stage, higher), full);
    introduce(&mut stage, peers[1].1);
    assert_eq!(come(&mut stage, lower), full);
    assert!(come(&mut stage, higher).is_ok());
    assert_eq!(stage.dropped, [(dropped, DisconnectReason::Replaced)]);
}
