//! What strangers can make a node send, store and compute.

use std::net::SocketAddr;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rarest_dht::item::{PublicKey, Salt, Signature, Value};
use rarest_dht::krpc::{
    AnnouncedPort, Body, ErrorCode, MAX_DATAGRAM_LENGTH, Message, Method, NodeInfo, PeerKind,
    PeersWanted, PutItem, Response, Scrape, Service, Want,
};
use rarest_dht::{
    Busy, Config, Families, GetTarget, INCOMING_WINDOW, MAX_CHECKS, MAX_DATAGRAMS_PER_HOST,
    MAX_ITEMS, MAX_LOOKUPS, MAX_PEERS_PER_LOOKUP, MAX_ROUTERS, Node, NodeId, StateError,
};
use rarest_metainfo::InfoHash;

use crate::network::{Lone, origin, public_v4};

const HASH: InfoHash = InfoHash([5; 20]);

const PING: Method = Method::Ping;

fn get_peers(scrape: Scrape) -> Method {
    Method::GetPeers {
        info_hash: HASH,
        peers: PeersWanted::All,
        scrape,
    }
}

/// Another stranger asks at another time, so that no rate stands in the way of what is tested.
fn next_stranger(lone: &mut Lone, number: u32) {
    lone.from = public_v4(1_000 + number);
    lone.now += Duration::from_millis(50);
}

fn announce(lone: &mut Lone, info_hash: InfoHash) {
    let token = lone.token();
    let (port, kind) = (AnnouncedPort::Explicit(1), PeerKind::Downloader);
    lone.ask(Method::AnnouncePeer {
        info_hash,
        port,
        kind,
        token,
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_host_that_floods_is_answered_no_more_until_it_rests() {
    let mut lone = Lone::default();
    let ask = |lone: &mut Lone, port| {
        lone.from.set_port(port);
        lone.ask(PING).is_some()
    };
    let answered = (1..500).filter(|port| ask(&mut lone, *port)).count();
    assert_eq!(answered, MAX_DATAGRAMS_PER_HOST as usize);
    lone.now += INCOMING_WINDOW;
    assert!(ask(&mut lone, 1));
}

#[test]
fn a_sender_at_port_0_is_neither_answered_nor_told_of() {
    let mut lone = Lone::default();
    let token = lone.token();
    lone.from.set_port(0);
    let (port, kind) = (AnnouncedPort::Implied, PeerKind::Downloader);
    let answer = lone.ask(Method::AnnouncePeer {
        info_hash: HASH,
        port,
        kind,
        token,
    });
    assert_eq!(answer, None);
    assert_eq!(lone.node.stored_swarms(), 0);
}

#[test]
fn answers_stay_below_the_rate_however_many_ask() {
    let mut lone = Lone::default();
    let config = Config {
        outgoing_rate: 2_000,
        families: Families::V4,
        ..Config::default()
    };
    lone.node = Node::new(config, [1; 32], lone.now);
    let mut sent = 0;
    for number in 0..2_000 {
        lone.from = public_v4(number);
        lone.now += Duration::from_millis(1);
        let answer = lone.ask(PING);
        sent += answer.map_or(0, |_| 68);
    }
    // Two seconds, and a burst of four.
    assert!((8_000..=12_100).contains(&sent), "{sent} bytes");
}

#[test]
fn however_many_ask_us_we_can_ask() {
    let mut lone = Lone::default();
    for number in 0..10_000 {
        lone.from = public_v4(number);
        lone.ask(PING);
    }
    assert_eq!(lone.ask(PING), None, "the rate is used up");
    lone.node.bootstrap(lone.now, &[public_v4(20_000)]);
    assert_eq!(lone.answers().len(), 1);
}

#[test]
fn lookups_wait_for_room_in_the_rate_and_go_on_then() {
    let now = origin();
    let config = Config {
        outgoing_rate: 400,
        families: Families::V4,
        ..Config::default()
    };
    let mut node = Node::new(config, [1; 32], now);
    let routers: Vec<_> = (0..30).map(public_v4).collect();
    node.bootstrap(now, &routers);
    for number in 0..30 {
        node.get_peers(now, InfoHash([number; 20]), None).unwrap();
    }
    let drain = |node: &mut Node| {
        std::iter::from_fn(|| node.poll_transmit())
            .map(|t| t.datagram.len())
            .sum::<usize>()
    };
    let burst = drain(&mut node);
    assert!((1_000..=1_600).contains(&burst), "{burst} bytes");
    let mut sent = 0;
    while let Some(at) = node
        .next_timeout()
        .filter(|at| *at <= now + Duration::from_secs(10))
    {
        node.handle_timeout(at);
        sent += drain(&mut node);
    }
    assert!(
        (3_000..=4_400).contains(&sent),
        "{sent} bytes in ten seconds"
    );
}

#[test]
fn answers_fit_into_a_datagram_whatever_is_asked() {
    let mut lone = Lone::default();
    for number in 0..250 {
        next_stranger(&mut lone, number);
        announce(&mut lone, HASH);
        announce(&mut lone, InfoHash([number.to_be_bytes()[3]; 20]));
    }
    let mut longest = 0;
    let methods = [
        get_peers(Scrape::No),
        get_peers(Scrape::Yes),
        Method::SampleInfohashes {
            target: NodeId([0; 20]),
        },
    ];
    for (number, method) in (300..).zip(methods) {
        next_stranger(&mut lone, number);
        let answer = lone
            .ask_as(Service::ReadOnly, Want::Both, method)
            .unwrap()
            .unwrap();
        assert!(!answer.peers.is_empty() || answer.samples.is_some());
        let message = Message {
            transaction: (*b"aaaa").into(),
            version: None,
            seen_as: None,
            body: Body::Response(answer),
        };
        longest = longest.max(message.encode().len());
    }
    assert!(
        (500..MAX_DATAGRAM_LENGTH).contains(&longest),
        "{longest} bytes"
    );
}

#[test]
fn a_node_checks_few_strangers_at_a_time() {
    let mut lone = Lone::default();
    let mut checks = 0;
    for number in 0..100 {
        next_stranger(&mut lone, number);
        lone.ask_as(Service::Full, Want::Unsaid, PING);
        lone.send(b"d1:y1:q1:q4:ping1:t1:a1:ad2:id20:abcdefghij0123456789ee");
        checks += lone
            .answers()
            .iter()
            .filter(|m| matches!(m.body, Body::Query(_)))
            .count();
    }
    // One was taken by `ask_as`.
    assert!(checks <= MAX_CHECKS, "{checks}");
}

#[test]
fn so_many_lookups_and_no_more_are_under_way() {
    let mut lone = Lone::default();
    lone.node.bootstrap(lone.now, &[public_v4(1)]);
    let mut begun = 1;
    while lone
        .node
        .get(lone.now, GetTarget::Immutable(NodeId([0; 20])))
        .is_ok()
    {
        begun += 1;
    }
    assert_eq!(begun, MAX_LOOKUPS);
    assert_eq!(lone.node.get_peers(lone.now, HASH, None), Err(Busy));
}

#[test]
fn a_lookup_tells_of_so_many_peers_and_no_more() {
    let mut lone = Lone::default();
    let routers: Vec<_> = (0..100).map(public_v4).collect();
    lone.node.bootstrap(lone.now, &routers);
    while lone.node.poll_transmit().is_some() {}
    lone.node.get_peers(lone.now, HASH, None).unwrap();
    let (mut found, mut number) = (0, 0_u32);
    for _ in 0..2_000 {
        while let Some(transmit) = lone.node.poll_transmit() {
            let query = Message::decode(&transmit.datagram).unwrap();
            let mut response = Response::new(NodeId::random_sharing(
                HASH.into(),
                8,
                &mut StdRng::seed_from_u64(number.into()),
            ));
            response.peers = (0..80).map(|at| public_v4(number * 80 + at)).collect();
            response.nodes = (0..8)
                .map(|at| NodeInfo {
                    id: NodeId([at; 20]),
                    addr: public_v4(50_000 + number * 8 + u32::from(at)),
                })
                .collect();
            number += 1;
            let answer = Message {
                body: Body::Response(response),
                ..query
            };
            lone.node
                .handle_datagram(lone.now, transmit.to, &answer.encode());
        }
        lone.now += Duration::from_secs(1);
        lone.node.handle_timeout(lone.now);
        while let Some(event) = lone.node.poll_event() {
            if let rarest_dht::Event::Peers { peers, .. } = event {
                found += peers.len();
            }
        }
    }
    assert!(number > 20);
    assert_eq!(found, MAX_PEERS_PER_LOOKUP);
}

#[test]
fn routers_are_remembered_up_to_a_limit() {
    let mut lone = Lone::default();
    let routers: Vec<_> = (0..1_000).map(public_v4).collect();
    lone.node.bootstrap(lone.now, &routers);
    // Nobody answers, so that all that are known are asked.
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..100 {
        lone.now += Duration::from_millis(500);
        lone.node.handle_timeout(lone.now);
        asked.extend(std::iter::from_fn(|| lone.node.poll_transmit()).map(|transmit| transmit.to));
    }
    assert_eq!(asked.len(), MAX_ROUTERS);
}

#[test]
fn items_beyond_the_room_are_refused_or_replace_others() {
    let mut lone = Lone::default();
    let mut refused = 0;
    for number in 0..2 * u32::try_from(MAX_ITEMS).unwrap() {
        next_stranger(&mut lone, number);
        let token = lone.token();
        let item = PutItem::Immutable(Value::from_bytes(&number.to_be_bytes()).unwrap());
        let answer = lone.ask(Method::Put { item, token }).unwrap();
        refused += usize::from(answer.is_err_and(|error| error.code == ErrorCode::SERVER));
    }
    assert!(refused > 0);
    assert_eq!(lone.node.stored_items(), MAX_ITEMS);
}

#[test]
fn an_item_with_a_wrong_signature_is_refused() {
    let mut lone = Lone::default();
    let token = lone.token();
    let item = PutItem::Mutable {
        value: Value::from_bytes(b"a").unwrap(),
        key: PublicKey([1; 32]),
        salt: Salt::default(),
        seq: 1,
        signature: Signature([2; 64]),
        cas: None,
    };
    let answer = lone.ask(Method::Put { item, token }).unwrap();
    assert_eq!(answer.unwrap_err().code, ErrorCode::INVALID_SIGNATURE);
    assert_eq!(lone.node.stored_items(), 0);
}

#[test]
fn a_state_that_no_node_made_is_refused() {
    let restore =
        |state: &[u8]| Node::restore(Config::default(), [1; 32], origin(), state).map(|_| ());
    let saved = Node::new(Config::default(), [1; 32], origin()).save();
    assert_eq!(restore(&saved), Ok(()));
    for length in 0..saved.len() {
        assert!(restore(&saved[..length]).is_err());
    }
    let length = 1 << 20;
    assert_eq!(
        restore(&vec![b'd'; length]),
        Err(StateError::TooLong { length })
    );
    assert_eq!(
        restore(b"d2:id3:abc5:nodes0:e"),
        Err(StateError::Field("id"))
    );
    assert_eq!(restore(b"le"), Err(StateError::Field("dictionary")));
}

#[test]
fn the_internet_cannot_send_us_into_our_own_network() {
    let mut lone = Lone::default();
    lone.node.bootstrap(lone.now, &[public_v4(1)]);
    let mut told = lone.answers();
    let query = told.pop().unwrap();
    let mut response = Response::new(NodeId([1; 20]));
    let local: SocketAddr = ([192, 168, 0, 1], 80).into();
    response.nodes = vec![NodeInfo {
        id: NodeId([2; 20]),
        addr: local,
    }];
    let answer = Message {
        body: Body::Response(response),
        ..query
    };
    lone.send(&answer.encode());
    assert_eq!(lone.answers(), []);
}
