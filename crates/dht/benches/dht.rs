//! What a node does most: reading, writing and answering messages, and finding the closest nodes it knows.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rarest_dht::krpc::{Body, Message, Method, NodeInfo, Query, Response, Service, Want};
use rarest_dht::{Config, Families, Node, NodeId};

fn main() {
    divan::main();
}

fn addr(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from(([20 + a, b, c, 7], 6881))
}

fn query() -> Message {
    Message {
        transaction: (*b"aaaa").into(),
        version: None,
        seen_as: None,
        body: Body::Query(Query {
            id: NodeId([1; 20]),
            service: Service::ReadOnly,
            want: Want::Unsaid,
            method: Method::FindNode {
                target: NodeId([2; 20]),
            },
        }),
    }
}

fn response() -> Message {
    let mut rng = StdRng::seed_from_u64(1);
    let mut response = Response::new(NodeId([1; 20]));
    response.token = Some(vec![7; 8].into());
    let node = |number| NodeInfo {
        id: NodeId::random(&mut rng),
        addr: addr(number),
    };
    response.nodes = (0..8).map(node).collect();
    response.peers = (0..50).map(addr).collect();
    Message {
        body: Body::Response(response),
        ..query()
    }
}

#[divan::bench]
fn decode_query(bencher: Bencher<'_, '_>) {
    let datagram = query().encode();
    let bencher = bencher.counter(ItemsCount::new(1_usize));
    bencher.bench_local(|| Message::decode(black_box(&datagram)));
}

#[divan::bench]
fn decode_response(bencher: Bencher<'_, '_>) {
    let datagram = response().encode();
    let bencher = bencher.counter(ItemsCount::new(1_usize));
    bencher.bench_local(|| Message::decode(black_box(&datagram)));
}

#[divan::bench]
fn encode_response(bencher: Bencher<'_, '_>) {
    let message = response();
    let bencher = bencher.counter(ItemsCount::new(1_usize));
    bencher.bench_local(|| black_box(&message).encode());
}

/// Ten strangers, so that none is over the limit of its host.
#[divan::bench]
#[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
fn answer_find_node(bencher: Bencher<'_, '_>) {
    let mut now = Instant::now();
    let mut rng = StdRng::seed_from_u64(1);
    let config = Config {
        families: Families::V4,
        outgoing_rate: u32::MAX,
        ..Config::default()
    };
    let mut node = Node::new(config, [1; 32], now);
    for number in 0..500 {
        node.add_node(now, addr(number));
        while let Some(asked) = node.poll_transmit() {
            let query = Message::decode(&asked.datagram).expect("our own message");
            let body = Body::Response(Response::new(NodeId::random(&mut rng)));
            node.handle_datagram(now, asked.to, &Message { body, ..query }.encode());
        }
    }
    let datagram = query().encode();
    let mut number = 0;
    let bencher = bencher.counter(ItemsCount::new(1_usize));
    bencher.bench_local(|| {
        number = (number + 1) % 1_000;
        now += Duration::from_millis(1);
        node.handle_datagram(now, addr(1_000 + number), black_box(&datagram));
        node.poll_transmit()
    });
}
