//! Runs a swarm of all sorts of peers: `explore [--seed N] [--runs COUNT] [--log]`.
//!
//! Without `--runs`, one run. Each further run has the next seed. A run that does not finish ends the program with its seed.

use std::time::{Duration, Instant};

use rarest_sim::{Content, Dialect, Habit, Link, Network, NodeModel, Unfinished, World};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut seed = 0;
    let mut runs = 1;
    let mut show: fn(&World) = |_| {};
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().unwrap_or_default().parse::<u64>();
        match argument.as_str() {
            "--seed" => seed = number()?,
            "--runs" => runs = number()?,
            "--log" => show = |world| world.log().lines().for_each(|line| println!("{line}")),
            other => return Err(format!("{other} is no flag of this program").into()),
        }
    }
    for seed in seed..seed + runs {
        let (world, result) = run(seed);
        show(&world);
        let after = result?;
        let hash = world.log().hash();
        println!(
            "seed {seed}: complete after {after:?}, {} bans, log {hash:016x}",
            world.bans()
        );
    }
    Ok(())
}

fn run(seed: u64) -> (World, Result<Duration, Unfinished>) {
    let content = Content::random(seed, 4_000_000, 128 * 1024);
    let network = Network {
        jitter: Duration::from_millis(seed % 50),
        mean_lifetime: seed.is_multiple_of(3).then(|| Duration::from_secs(10)),
        ..Network::default()
    };
    #[expect(clippy::disallowed_methods, reason = "virtual time needs a beginning")]
    let start = Instant::now();
    let mut world = World::new(seed, network, content, start);
    world.add(NodeModel::seed());
    let habits = [Habit::LiesOnceIn(10), Habit::Silent, Habit::Fickle];
    for habit in habits {
        world.add(NodeModel {
            habit,
            ..NodeModel::seed()
        });
    }
    let mut leechers = world.add_many(10, &NodeModel::leecher());
    leechers.extend(world.add_many(
        5,
        &NodeModel {
            link: Link::ADSL,
            dialect: Dialect::WithoutFast,
            request_queue: 3,
            ..NodeModel::leecher()
        },
    ));
    let result = world.run_until(Duration::from_secs(1800), |world| {
        leechers
            .iter()
            .all(|&node| world.torrent(node).is_complete())
    });
    (world, result)
}
