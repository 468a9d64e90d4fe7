//! Peers that find each other through those they know (BEP 11).

use std::time::Duration;

use rarest_sim::{Content, Introduction, Link, Network, NodeId, NodeModel, World};

use crate::{seed, start};

const MINUTE: Duration = Duration::from_secs(60);

/// A world whose nodes know one seed and nobody else.
fn acquaintances_of_one_seed(seed: u64, count: usize, content: Content) -> (World, Vec<NodeId>) {
    let mut world = World::new(seed, Network::default(), content, start());
    let first = world.add(NodeModel {
        link: Link::ADSL,
        introduction: Introduction::Acquaintances(Vec::new()),
        ..NodeModel::seed()
    });
    let leechers = world.add_many(
        count,
        &NodeModel {
            introduction: Introduction::Acquaintances(vec![first]),
            ..NodeModel::leecher()
        },
    );
    (world, leechers)
}

#[test]
fn two_clients_known_to_one_seed_find_each_other() {
    let seed = seed(11);
    let content = Content::random(seed, 8_000_000, 64 * 1024);
    let (mut world, leechers) = acquaintances_of_one_seed(seed, 2, content);
    let [left, right] = leechers[..] else {
        panic!()
    };
    let met = |world: &World| world.peer_stats(left, right).is_some();
    world.run_until(Duration::from_secs(15), met).unwrap();
}

#[test]
fn a_swarm_grows_together_from_one_slow_seed() {
    let seed = seed(12);
    let content = Content::random(seed, 2_000_000, 32 * 1024);
    let (mut world, leechers) = acquaintances_of_one_seed(seed, 60, content);
    let complete = |world: &World| {
        let mut nodes = leechers.iter();
        nodes.all(|&node| world.torrent(node).is_complete())
    };
    // The seed alone, at 128 KB/s, would take a quarter of an hour.
    world.run_until(5 * MINUTE, complete).unwrap();
}
