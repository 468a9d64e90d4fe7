//! Swarms in which some speak encrypted alone, and some have never heard of it.

use std::time::Duration;

use rarest_sim::{Content, Encryption, Network, NodeId, NodeModel, World};

use crate::{seed, start};

const MINUTE: Duration = Duration::from_secs(60);

fn leechers(world: &mut World, count: usize, encryption: Encryption) -> Vec<NodeId> {
    let model = NodeModel {
        encryption,
        ..NodeModel::leecher()
    };
    world.add_many(count, &model)
}

fn encrypted_connections(world: &World) -> usize {
    let encrypted = |line: &&str| line.ends_with(", encrypted");
    world.log().lines().filter(encrypted).count()
}

#[test]
fn everybody_completes_though_some_do_not_understand_each_other() {
    let seed = seed(21);
    let content = Content::random(seed, 2_000_000, 32 * 1024);
    let network = Network {
        jitter: Duration::from_millis(20),
        mean_lifetime: Some(Duration::from_secs(60)),
        ..Network::default()
    };
    let mut world = World::new(seed, network, content, start());
    world.add(NodeModel {
        encryption: Encryption::Required,
        ..NodeModel::seed()
    });
    let stern = leechers(&mut world, 8, Encryption::Required);
    let bilingual = leechers(&mut world, 8, Encryption::Preferred);
    let simple = leechers(&mut world, 8, Encryption::Unknown);
    let all = [&stern[..], &bilingual, &simple].concat();
    let complete = |world: &World| all.iter().all(|&node| world.torrent(node).is_complete());
    while !complete(&world) {
        assert!(world.elapsed() < 10 * MINUTE);
        world.run_for(Duration::from_secs(1));
        for &one in &stern {
            let met = |&&other: &&NodeId| world.peer_stats(one, other).is_some();
            assert_eq!(simple.iter().find(met), None);
        }
    }
    assert!(all.iter().all(|&node| world.is_consistent(node)));
    assert!(encrypted_connections(&world) > 0);
}

#[test]
fn two_that_do_not_understand_each_other_never_meet() {
    let seed = seed(22);
    let content = Content::random(seed, 200_000, 32 * 1024);
    let mut world = World::new(seed, Network::default(), content, start());
    let first = world.add(NodeModel {
        encryption: Encryption::Required,
        ..NodeModel::seed()
    });
    let [simple] = leechers(&mut world, 1, Encryption::Unknown)[..] else {
        panic!()
    };
    world.run_for(5 * MINUTE);
    assert!(world.peer_stats(first, simple).is_none());
    assert_eq!(world.stats(simple).left, 200_000);
}

#[test]
fn one_that_only_speaks_in_the_clear_is_reached_at_the_second_dial() {
    let seed = seed(23);
    let content = Content::random(seed, 200_000, 32 * 1024);
    let mut world = World::new(seed, Network::default(), content, start());
    world.add(NodeModel::seed());
    let leechers = leechers(&mut world, 2, Encryption::Preferred);
    let complete = |world: &World| {
        let mut nodes = leechers.iter();
        nodes.all(|&node| world.torrent(node).is_complete())
    };
    world.run_until(MINUTE, complete).unwrap();
}
