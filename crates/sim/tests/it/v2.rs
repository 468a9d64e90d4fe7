//! Swarms of a v2 torrent whose leechers lack the piece layers.

use std::time::Duration;

use rarest_sim::{Content, Habit, Knowledge, Network, NodeId, NodeModel, World};

use crate::{seed, start};

const MINUTE: Duration = Duration::from_secs(60);

/// 520 pieces of two blocks, so that the layer is asked for in two ranges.
fn content(seed: u64) -> Content {
    Content::random_v2(seed, 520 * 32 * 1024 - 777, 32 * 1024)
}

fn bare() -> NodeModel {
    NodeModel {
        knowledge: Knowledge::WithoutLayers,
        ..NodeModel::leecher()
    }
}

fn complete(world: &mut World, leechers: &[NodeId]) {
    world
        .run_until(10 * MINUTE, |world| {
            let mut leechers = leechers.iter();
            leechers.all(|&node| world.torrent(node).is_complete())
        })
        .unwrap();
    for &node in leechers {
        assert!(world.is_consistent(node));
    }
}

#[test]
fn leechers_without_piece_layers_get_them_of_each_other_and_complete() {
    let seed = seed(31);
    let mut world = World::new(seed, Network::default(), content(seed), start());
    world.add(NodeModel::seed());
    let leechers = world.add_many(8, &bare());
    complete(&mut world, &leechers);
    assert_eq!(world.bans(), 0);
}

#[test]
fn a_peer_that_lies_about_hashes_and_blocks_is_banned_and_everyone_else_completes() {
    let seed = seed(32);
    let mut world = World::new(seed, Network::default(), content(seed), start());
    let honest = world.add(NodeModel::seed());
    let liar = world.add(NodeModel {
        habit: Habit::LiesOnceIn(3),
        ..NodeModel::seed()
    });
    let leechers = world.add_many(6, &bare());
    complete(&mut world, &leechers);
    assert!(leechers.iter().any(|&node| world.has_banned(node, liar)));
    let banned_for = |why: &str| world.log().lines().any(|line| line.contains(why));
    assert!(banned_for("WrongHashes"));
    for &judge in &leechers {
        for node in leechers.iter().copied().chain([honest]) {
            assert!(!world.has_banned(judge, node), "{judge:?} {node:?}");
        }
    }
}

#[test]
fn a_rare_liar_is_found_by_the_leaves_of_the_first_corrupt_piece() {
    let seed = seed(33);
    let mut world = World::new(seed, Network::default(), content(seed), start());
    let honest = [0, 1].map(|_| world.add(NodeModel::seed()));
    let liar = world.add(NodeModel {
        habit: Habit::LiesOnceIn(40),
        ..NodeModel::seed()
    });
    let leecher = world.add(bare());
    complete(&mut world, &[leecher]);
    assert!(world.has_banned(leecher, liar));
    for node in honest {
        assert!(!world.has_banned(leecher, node));
    }
    let corrupt = world
        .log()
        .lines()
        .filter(|line| line.contains("PieceCorrupt"));
    assert!(corrupt.count() <= 3, "each tells who lied");
}

#[test]
fn silent_peers_hold_up_nobody_who_lacks_layers() {
    let seed = seed(34);
    let mut world = World::new(seed, Network::default(), content(seed), start());
    world.add(NodeModel::seed());
    world.add_many(
        3,
        &NodeModel {
            habit: Habit::Silent,
            ..NodeModel::seed()
        },
    );
    let leechers = world.add_many(2, &bare());
    complete(&mut world, &leechers);
}
