//! Liars, full disks and rotten ones.

use std::time::Duration;

use rarest_sim::{Content, DiskModel, Habit, Network, NodeModel, World};

use crate::{seed, start};

const MINUTE: Duration = Duration::from_secs(60);

fn small(seed: u64) -> Content {
    Content::random(seed, 2_000_000, 128 * 1024)
}

#[test]
fn a_liar_is_found_and_banned_and_everyone_else_completes() {
    let seed = seed(11);
    let mut world = World::new(seed, Network::default(), small(seed), start());
    let honest = world.add(NodeModel::seed());
    let liar = world.add(NodeModel {
        habit: Habit::LiesOnceIn(8),
        ..NodeModel::seed()
    });
    let leechers = world.add_many(20, &NodeModel::leecher());
    world
        .run_until(10 * MINUTE, |world| {
            leechers
                .iter()
                .all(|&node| world.torrent(node).is_complete())
        })
        .unwrap();
    assert!(leechers.iter().any(|&node| world.has_banned(node, liar)));
    for &judge in &leechers {
        assert!(world.is_consistent(judge));
        for node in leechers.iter().copied().chain([honest]) {
            assert!(
                !world.has_banned(judge, node),
                "{judge:?} banned {node:?}, who is honest"
            );
        }
    }
}

#[test]
fn a_seed_with_a_rotten_disk_is_banned_like_a_liar() {
    let seed = seed(12);
    let mut world = World::new(seed, Network::default(), small(seed), start());
    world.add(NodeModel::seed());
    let rotten = world.add(NodeModel {
        disk: DiskModel::ROTTEN,
        ..NodeModel::seed()
    });
    let leecher = world.add(NodeModel::leecher());
    world
        .run_until(10 * MINUTE, |world| world.torrent(leecher).is_complete())
        .unwrap();
    assert!(world.has_banned(leecher, rotten));
    assert!(world.is_consistent(leecher));
}

#[test]
fn a_full_disk_waits_for_room_and_then_goes_on() {
    let seed = seed(13);
    let mut world = World::new(seed, Network::default(), small(seed), start());
    world.add(NodeModel::seed());
    let leecher = world.add(NodeModel {
        disk: DiskModel::with_room(1_000_000),
        ..NodeModel::leecher()
    });
    world
        .run_until(MINUTE, |world| world.torrent(leecher).is_upload_only())
        .unwrap();
    world.run_for(MINUTE);
    assert!(!world.torrent(leecher).is_complete());
    assert!(world.is_consistent(leecher), "what was verified is kept");
    world.set_disk_room(leecher, u64::MAX);
    world
        .run_until(MINUTE, |world| world.torrent(leecher).is_complete())
        .unwrap();
    assert!(world.is_consistent(leecher));
}

#[test]
fn without_seeds_nobody_finishes_and_the_run_names_its_seed() {
    let seed = seed(14);
    let mut world = World::new(seed, Network::default(), small(seed), start());
    let leechers = world.add_many(3, &NodeModel::leecher());
    let unfinished = world
        .run_until(MINUTE, |world| world.torrent(leechers[0]).is_complete())
        .unwrap_err();
    assert!(
        unfinished
            .to_string()
            .ends_with(&format!("RAREST_SIM_SEED={seed}"))
    );
}
