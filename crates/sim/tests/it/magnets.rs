//! Swarms in which nobody but the seed knows more than an info-hash.

use std::time::Duration;

use rarest_sim::{Content, Dialect, Link, Network, NodeModel, Serving, World};

use crate::{seed, start};

fn linked() -> NodeModel {
    NodeModel {
        serving: Serving::Link,
        ..NodeModel::leecher()
    }
}

#[test]
fn a_swarm_of_links_completes_from_one_seed() {
    let seed = seed(41);
    let network = Network {
        jitter: Duration::from_millis(20),
        mean_lifetime: Some(Duration::from_secs(40)),
        ..Network::default()
    };
    let content = Content::random(seed, 2_000_000, 16 * 1024);
    let mut world = World::new(seed, network, content, start());
    world.add(NodeModel {
        link: Link::ADSL,
        ..NodeModel::seed()
    });
    let mut leechers = world.add_many(40, &linked());
    leechers.extend(world.add_many(
        5,
        &NodeModel {
            dialect: Dialect::WithoutFast,
            joins_after: Duration::from_secs(30),
            ..linked()
        },
    ));
    let complete = |world: &World| {
        leechers
            .iter()
            .all(|&node| world.torrent(node).is_complete())
    };
    world.run_until(Duration::from_secs(900), complete).unwrap();
    assert!(leechers.iter().all(|&node| world.is_consistent(node)));
}

#[test]
fn links_alone_find_nothing() {
    let seed = seed(42);
    let content = Content::random(seed, 200_000, 16 * 1024);
    let mut world = World::new(seed, Network::default(), content, start());
    let leechers = world.add_many(5, &linked());
    world.run_for(Duration::from_secs(600));
    for node in leechers {
        assert!(!world.torrent(node).knows_pieces());
        assert!(world.stats(node).peers > 0, "they wait together");
    }
}
