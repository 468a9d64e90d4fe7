//! Peers that find each other in the DHT (BEP 5).

use std::time::Duration;

use rarest_sim::{Content, Introduction, Network, NodeId, NodeModel, Serving, World};

use crate::{seed, start};

const MINUTE: Duration = Duration::from_secs(60);

/// One in twenty datagrams is lost, and they overtake each other.
const ROUGH: Network = Network {
    jitter: Duration::from_millis(50),
    mean_lifetime: None,
    lost_datagrams: Some(20),
};

fn all_complete(world: &World, nodes: &[NodeId]) -> bool {
    nodes.iter().all(|&node| world.torrent(node).is_complete())
}

/// A swarm in which nobody knows anybody but the first one, who has nothing.
fn swarm(network: Network, seed: u64, count: usize, content: Content) -> (World, Vec<NodeId>) {
    let mut world = World::new(seed, network, content, start());
    let leecher = NodeModel {
        serving: Serving::Link,
        ..NodeModel::leecher()
    };
    let first = world.add(NodeModel {
        introduction: Introduction::Dht(Vec::new()),
        ..leecher.clone()
    });
    let introduction = Introduction::Dht(vec![first]);
    world.add(NodeModel {
        introduction: introduction.clone(),
        ..NodeModel::seed()
    });
    let mut leechers = vec![first];
    for number in 1..count {
        leechers.push(world.add(NodeModel {
            introduction: introduction.clone(),
            // A hundred a second.
            joins_after: Duration::from_millis(10 * number as u64),
            ..leecher.clone()
        }));
    }
    (world, leechers)
}

#[test]
fn one_magnet_and_one_node_of_the_dht_are_enough_for_a_thousand_peers() {
    let seed = seed(31);
    let content = Content::random(seed, 100_000, 16 * 1024);
    let (mut world, leechers) = swarm(ROUGH, seed, 999, content);
    let complete = |world: &World| all_complete(world, &leechers);
    world.run_until(10 * MINUTE, complete).unwrap();
    assert!(leechers.iter().all(|&node| world.is_consistent(node)));
}

#[test]
fn a_dht_that_loses_half_of_its_datagrams_only_costs_time() {
    let seed = seed(32);
    let content = Content::random(seed, 500_000, 32 * 1024);
    let network = Network {
        lost_datagrams: Some(2),
        ..ROUGH
    };
    let (mut world, leechers) = swarm(network, seed, 30, content);
    let complete = |world: &World| all_complete(world, &leechers);
    world.run_until(30 * MINUTE, complete).unwrap();
}

#[test]
fn without_the_first_node_nobody_finds_anybody() {
    let seed = seed(33);
    let content = Content::random(seed, 500_000, 32 * 1024);
    let (mut world, leechers) = swarm(ROUGH, seed, 10, content);
    world.leave(leechers[0]);
    world.run_for(10 * MINUTE);
    let found = leechers
        .iter()
        .any(|&node| world.torrent(node).is_complete());
    assert!(!found, "they know each other from somewhere else");
}
