//! Ten thousand nodes: lookups take few steps, and a third of dead or lying nodes does not stop them.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{SliceRandom, index};
use rand::{RngExt, SeedableRng};
use rarest_bencode::encode_dict;
use rarest_dht::krpc::{AnnouncedPort, PeerKind};
use rarest_dht::{Announce, BUCKET_SIZE, Config, Families, LookupId, Node, NodeId};
use rarest_metainfo::InfoHash;

use crate::network::{Nature, Network, public_v4};

const NODES: u32 = 10_000;

/// Steps that a lookup may take: each at least halves the distance, and most much more; a table of so many nodes has log2(n) buckets.
const MAX_STEPS: u32 = NODES.ilog2();

struct Population {
    network: Network,
    hosts: Vec<SocketAddr>,
}

/// Nodes that have been in the network for long: each knows some of every bucket, as its state from an earlier run says.
fn grown(seed: u64) -> Population {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut network = Network::new(seed);
    let mut nodes: Vec<_> = (0..NODES)
        .map(|number| {
            let addr = public_v4(number);
            (NodeId::random_for(addr.ip(), &mut rng), addr)
        })
        .collect();
    nodes.sort_unstable();
    for (id, addr) in &nodes {
        let config = Config {
            families: Families::V4,
            external_ips: vec![addr.ip()],
            ..Config::default()
        };
        let state = state(*id, &nodes, &mut rng);
        let node = Node::restore(config, rng.random(), network.now, &state).unwrap();
        network.add_node(*addr, node);
    }
    let mut hosts: Vec<_> = nodes.into_iter().map(|(_, addr)| addr).collect();
    hosts.shuffle(&mut rng);
    Population { network, hosts }
}

fn state(own: NodeId, sorted: &[(NodeId, SocketAddr)], rng: &mut StdRng) -> Vec<u8> {
    let mut known = Vec::new();
    let mut around = sorted;
    for bit in 0..NodeId::BITS {
        // Those that share all bits up to here: a half has the same next bit, the other half is the bucket.
        let is_set = |id: NodeId| id.0[bit / 8] & (0x80 >> (bit % 8)) != 0;
        let (zeros, ones) = around.split_at(around.partition_point(|(id, _)| !is_set(*id)));
        let (same, bucket) = if is_set(own) {
            (ones, zeros)
        } else {
            (zeros, ones)
        };
        let count = BUCKET_SIZE.min(bucket.len());
        known.extend(
            index::sample(rng, bucket.len(), count)
                .iter()
                .map(|at| bucket[at]),
        );
        around = same;
        if around.len() <= 1 {
            break;
        }
    }
    let mut compact = Vec::new();
    for (id, addr) in known {
        let SocketAddr::V4(addr) = addr else {
            unreachable!("all are IPv4")
        };
        compact.extend(id.0);
        compact.extend(addr.ip().octets());
        compact.extend(addr.port().to_be_bytes());
    }
    encode_dict(|state| {
        state.bytes("id", own.0).bytes("nodes", &compact);
    })
    .unwrap()
}

/// Some nodes announce a swarm each, others look for them; all lookups run side by side.
fn announce_and_find(population: &mut Population, swarms: usize) -> Vec<rarest_dht::LookupSummary> {
    let Population { network, hosts } = population;
    let hash = |number: usize| {
        let mut rng = StdRng::seed_from_u64(number as u64);
        InfoHash(rng.random())
    };
    let port = AnnouncedPort::Explicit(4_444);
    let announce = Announce {
        port,
        kind: PeerKind::Seed,
    };
    let begin = |network: &mut Network, host, number, announce| -> LookupId {
        network.act(host, |node, now| {
            node.get_peers(now, hash(number), announce).unwrap()
        })
    };
    let announces: Vec<_> = (0..swarms)
        .map(|at| begin(network, hosts[at], at, Some(announce)))
        .collect();
    for (at, lookup) in announces.into_iter().enumerate() {
        let summary = network.finish(hosts[at], lookup).summary;
        assert!(summary.stored >= 4, "announce {at}: {summary:?}");
    }
    let seekers = &hosts[swarms..2 * swarms];
    let lookups: Vec<_> = (0..swarms)
        .map(|at| begin(network, seekers[at], at, None))
        .collect();
    let mut summaries = Vec::new();
    for (at, lookup) in lookups.into_iter().enumerate() {
        let found = network.finish(seekers[at], lookup);
        let announced = SocketAddr::new(hosts[at].ip(), 4_444);
        assert!(
            found.peers.contains(&announced),
            "lookup {at}: {:?}",
            found.summary
        );
        summaries.push(found.summary);
    }
    assert!(network.longest <= 1_024, "{} bytes", network.longest);
    summaries
}

#[test]
fn a_lookup_among_ten_thousand_nodes_finds_what_was_announced_in_few_steps() {
    let mut population = grown(1);
    let summaries = announce_and_find(&mut population, 40);
    let most = summaries.iter().map(|s| s.steps).max().unwrap();
    let first = summaries
        .iter()
        .filter_map(|s| s.steps_to_find)
        .max()
        .unwrap();
    let queries: u32 = summaries.iter().map(|s| s.queries).sum();
    println!(
        "steps {most}, to the first {first}, queries {}",
        queries / 40
    );
    assert!(most <= MAX_STEPS && first <= MAX_STEPS, "{summaries:?}");
    assert!(queries / 40 < 40);
}

#[test]
fn a_third_of_dead_and_lying_nodes_and_lost_datagrams_do_not_stop_a_lookup() {
    let mut population = grown(2);
    // Those at the front announce and look.
    let (_, others) = population.hosts.split_at(60);
    let bad = &others[..NODES as usize * 3 / 10];
    for (at, host) in bad.iter().enumerate() {
        let nature = if at % 2 == 0 {
            Nature::Dead
        } else {
            Nature::Liar
        };
        population.network.set_nature(*host, nature);
    }
    population.network.loss_percent = 3;
    let summaries = announce_and_find(&mut population, 30);
    let most = summaries.iter().map(|s| s.steps).max().unwrap();
    let queries: u32 = summaries.iter().map(|s| s.queries).sum();
    println!("steps {most}, queries {}", queries / 30);
    assert!(most <= MAX_STEPS, "{summaries:?}");
    population.network.run(Duration::from_secs(1));
}
