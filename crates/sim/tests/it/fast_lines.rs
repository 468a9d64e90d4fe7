//! Lines that are long and fat.

use std::time::Duration;

use rarest_sim::{Content, Link, Network, NodeModel, World};

use crate::{seed, start};

/// 1 Gbit/s in bytes a second.
const GIGABIT: u64 = 125_000_000;

/// How long one peer takes to fill 95 % of a gigabit, a round trip away.
fn time_to_fill(round_trip: Duration, content: Content) -> Duration {
    let seed = seed(21);
    let link = Link {
        upload: GIGABIT,
        download: GIGABIT,
        latency: round_trip / 4,
    };
    let mut world = World::new(seed, Network::default(), content, start());
    world.add(NodeModel {
        link,
        request_queue: 4096,
        ..NodeModel::seed()
    });
    let leecher = world.add(NodeModel {
        link,
        ..NodeModel::leecher()
    });
    let mut before = 0;
    for second in 1..=10 {
        world.run_for(Duration::from_secs(1));
        let now = world.stats(leecher).downloaded;
        let rate = now - before;
        before = now;
        // Headers and handshakes take their part of the line.
        if rate >= GIGABIT / 100 * 95 {
            return Duration::from_secs(second);
        }
    }
    panic!("the line was never full");
}

#[test]
fn a_gigabit_at_100_ms_is_full_within_3_seconds() {
    let content = Content::zeros(320 << 20, 4 << 20);
    let after = time_to_fill(Duration::from_millis(100), content);
    assert!(after <= Duration::from_secs(3), "{after:?}");
}

#[test]
fn a_gigabit_at_300_ms_is_full_within_8_seconds() {
    let content = Content::zeros(500 << 20, 4 << 20);
    let after = time_to_fill(Duration::from_millis(300), content);
    assert!(after <= Duration::from_secs(8), "{after:?}");
}
