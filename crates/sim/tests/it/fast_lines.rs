//! Lines that are long and fat, and peers that are slow on them.

use std::time::Duration;

use rarest_sim::{Content, Link, Network, NodeId, NodeModel, World};
use rarest_swarm::limits::MAX_WAIT;

use crate::{seed, start};

/// 1 Gbit/s in bytes a second.
const GIGABIT: u64 = 125_000_000;

const MIB: usize = 1024 * 1024;

fn line(bytes_per_s: u64, round_trip: Duration) -> Link {
    Link {
        upload: bytes_per_s,
        download: bytes_per_s,
        latency: round_trip / 4,
    }
}

fn world(length: usize) -> World {
    let content = Content::zeros(length, 4 << 20);
    World::new(seed(21), Network::default(), content, start())
}

fn seed_on(link: Link) -> NodeModel {
    NodeModel {
        link,
        ..NodeModel::seed()
    }
}

fn leecher_on(link: Link) -> NodeModel {
    NodeModel {
        link,
        max_peers: 100,
        ..NodeModel::leecher()
    }
}

/// Bytes of blocks that each peer gave the leecher in the next second.
fn next_second(world: &mut World, leecher: NodeId, peers: &[NodeId]) -> Vec<u64> {
    let given = |world: &World| -> Vec<u64> {
        let of = |&peer| world.peer_stats(leecher, peer);
        let bytes = peers.iter().map(of);
        bytes
            .map(|peer| peer.map_or(0, |peer| peer.downloaded))
            .collect()
    };
    let before = given(world);
    world.run_for(Duration::from_secs(1));
    let after = given(world);
    after
        .iter()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before))
        .collect()
}

/// How long it takes until each peer's line is used to 95 % for two seconds; the first of them counts.
///
/// Headers and handshakes take their part of the line.
fn time_to_fill(world: &mut World, leecher: NodeId, peers: &[NodeId], rate: u64) -> Duration {
    let mut full_seconds = 0;
    for second in 1..=10 {
        let given = next_second(world, leecher, peers);
        if given.iter().all(|&bytes| bytes >= rate / 100 * 95) {
            full_seconds += 1;
        } else {
            full_seconds = 0;
        }
        if full_seconds == 2 {
            return Duration::from_secs(second - 1);
        }
    }
    panic!("the lines were never full");
}

/// One peer with a gigabit, that far away.
fn time_to_fill_gigabit(round_trip: Duration, length: usize) -> Duration {
    let mut world = world(length);
    let link = line(GIGABIT, round_trip);
    let peer = world.add(seed_on(link));
    let leecher = world.add(leecher_on(link));
    time_to_fill(&mut world, leecher, &[peer], GIGABIT)
}

#[test]
fn a_gigabit_at_100_ms_is_full_within_3_seconds() {
    let after = time_to_fill_gigabit(Duration::from_millis(100), 480 * MIB);
    assert!(after <= Duration::from_secs(3), "{after:?}");
}

#[test]
fn a_gigabit_at_300_ms_is_full_within_8_seconds() {
    let after = time_to_fill_gigabit(Duration::from_millis(300), 800 * MIB);
    assert!(after <= Duration::from_secs(8), "{after:?}");
}

#[test]
fn fifty_lines_of_20_mbit_are_full_within_3_seconds() {
    let rate = GIGABIT / 50;
    let mut world = world(480 * MIB);
    let peers: Vec<_> = (0..50)
        .map(|peer| world.add(seed_on(line(rate, Duration::from_millis(10 + 4 * peer)))))
        .collect();
    let leecher = world.add(leecher_on(line(GIGABIT, Duration::from_millis(20))));
    let after = time_to_fill(&mut world, leecher, &peers, rate);
    assert!(after <= Duration::from_secs(3), "{after:?}");
}

/// A peer that holds 500 requests, as many do, gets 500, and its line is used as far as they go.
#[test]
fn a_peer_is_asked_for_as_much_as_it_holds() {
    let round_trip = Duration::from_millis(300);
    let mut world = world(160 * MIB);
    let link = line(GIGABIT, round_trip);
    let peer = world.add(NodeModel {
        request_queue: 500,
        ..seed_on(link)
    });
    let leecher = world.add(leecher_on(link));
    world.run_for(Duration::from_secs(5));
    let given: u64 = (0..3)
        .flat_map(|_| next_second(&mut world, leecher, &[peer]))
        .sum();
    let round_trips = 3000 / 300;
    assert!(given >= round_trips * 500 * 16 * 1024 / 100 * 95, "{given}");
    let requests = world.peer_stats(leecher, peer).unwrap().requests;
    assert!((450..=500).contains(&requests), "{requests}");
}

/// Blocks that a line carries in a time, and one that has begun.
fn blocks_in(bytes_per_s: u64, time: Duration) -> u64 {
    bytes_per_s * time.as_secs() / (16 * 1024) + 1
}

#[test]
fn slow_peers_hold_no_more_than_their_share() {
    let (fast, slow) = (GIGABIT / 10, 40_000);
    let round_trip = Duration::from_millis(50);
    let mut world = world(64 * MIB);
    world.add(seed_on(line(fast, round_trip)));
    let slow_peers = world.add_many(10, &seed_on(line(slow, round_trip)));
    let leecher = world.add(leecher_on(line(GIGABIT, round_trip)));
    while !world.torrent(leecher).is_complete() {
        world.run_for(Duration::from_millis(100));
        for &peer in &slow_peers {
            let held = world
                .peer_stats(leecher, peer)
                .map_or(0, |peer| peer.requests);
            assert!(
                held as u64 <= blocks_in(slow, Duration::from_secs(3)),
                "{held} requests"
            );
        }
    }
    // The fast peer alone would take 5.4 s.
    let after = world.completed_after(leecher).unwrap();
    assert!(after <= Duration::from_millis(6500), "{after:?}");
}

#[test]
fn a_peer_that_becomes_slow_gives_back_what_it_cannot_send() {
    let (fast, slow) = (GIGABIT / 10, 40_000);
    let round_trip = Duration::from_millis(50);
    let mut world = world(256 * MIB);
    world.add(seed_on(line(fast, round_trip)));
    let tired = world.add(seed_on(line(fast, round_trip)));
    let leecher = world.add(leecher_on(line(GIGABIT, round_trip)));
    world.run_for(Duration::from_secs(4));
    assert!(world.peer_stats(leecher, tired).unwrap().requests > 100);
    world.set_upload(tired, slow);
    world.run_for(Duration::from_secs(10));
    assert!(!world.torrent(leecher).is_complete());
    let held = world.peer_stats(leecher, tired).unwrap().requests;
    assert!(held as u64 <= blocks_in(slow, MAX_WAIT), "{held} requests");
}
