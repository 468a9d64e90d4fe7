//! Stories of a few nodes in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use rarest_dht::item::{Item, KeyPair, Salt, Value};
use rarest_dht::krpc::{
    AnnouncedPort, Body, ErrorCode, Message, Method, PeerKind, PeersWanted, Response, Scrape,
    Service, Want,
};
use rarest_dht::{
    Announce, CONCURRENCY, Config, Event, Families, Family, GetTarget, Node, NodeId, QUERY_TIMEOUT,
    VOTES_TO_CHANGE_ID,
};
use rarest_metainfo::InfoHash;

use crate::network::{Lone, Nature, Network, origin, public_v4};

const HASH: InfoHash = InfoHash([0x5a; 20]);

const SECOND: Duration = Duration::from_secs(1);

fn announce(port: u16) -> Option<Announce> {
    Some(Announce {
        port: AnnouncedPort::Explicit(port),
        kind: PeerKind::Downloader,
    })
}

fn get_peers() -> Method {
    Method::GetPeers {
        info_hash: HASH,
        peers: PeersWanted::All,
        scrape: Scrape::No,
    }
}

#[test]
fn a_node_that_knows_one_other_finds_its_place_among_all() {
    let (mut network, hosts) = Network::joined(1, 40);
    for host in &hosts {
        assert!(network.node(*host).table_len(Family::V4) >= 8, "{host}");
    }
    let events = network.events(hosts[39]);
    assert!(
        matches!(events[..], [Event::Bootstrapped { family: Family::V4, nodes }] if nodes >= 8),
        "{events:?}"
    );
}

#[test]
fn peers_that_one_node_announces_are_found_by_another() {
    let (mut network, hosts) = Network::joined(2, 40);
    let lookup = network.act(hosts[3], |node, now| {
        node.get_peers(now, HASH, announce(4321)).unwrap()
    });
    assert_eq!(network.finish(hosts[3], lookup).summary.stored, 8);
    let lookup = network.act(hosts[30], |node, now| {
        node.get_peers(now, HASH, None).unwrap()
    });
    let found = network.finish(hosts[30], lookup);
    assert!(
        found
            .peers
            .iter()
            .eq([&SocketAddr::new(hosts[3].ip(), 4321)])
    );
    assert!(found.summary.steps_to_find.is_some());
}

#[test]
fn two_nodes_alone_find_each_others_announcements() {
    let mut network = Network::new(3);
    let [a, b] =
        ["127.0.0.1:1001", "127.0.0.1:1002"].map(|addr| network.add(addr.parse().unwrap()));
    network.act(a, |node, now| node.bootstrap(now, &[b]));
    network.run(SECOND);
    for (ours, theirs) in [(a, b), (b, a)] {
        let port = ours.port();
        let lookup = network.act(ours, |node, now| {
            node.get_peers(now, HASH, announce(port)).unwrap()
        });
        assert_eq!(network.finish(ours, lookup).summary.stored, 1);
        let lookup = network.act(theirs, |node, now| node.get_peers(now, HASH, None).unwrap());
        assert!(
            network.finish(theirs, lookup).peers.contains(&ours),
            "{theirs} finds {ours}"
        );
    }
}

#[test]
fn a_bootstrap_that_nobody_answers_is_tried_again() {
    let mut network = Network::new(4);
    let [a, late] = [1, 2].map(public_v4);
    network.add(a);
    network.act(a, |node, now| node.bootstrap(now, &[late]));
    network.run(10 * SECOND);
    assert_eq!(
        network.events(a),
        [Event::Bootstrapped {
            family: Family::V4,
            nodes: 0
        }]
    );
    network.add(late);
    network.run(60 * SECOND);
    assert_eq!(network.node(a).table_len(Family::V4), 1);
}

#[test]
fn an_immutable_item_is_found_under_its_hash() {
    let (mut network, hosts) = Network::joined(5, 30);
    let value = Value::from_bytes(b"Hello World!").unwrap();
    let item = Item::Immutable(value.clone());
    let lookup = network.act(hosts[1], |node, now| {
        node.put(now, item.clone(), None).unwrap()
    });
    assert_eq!(network.finish(hosts[1], lookup).summary.stored, 8);
    let target = GetTarget::Immutable(value.target());
    let lookup = network.act(hosts[20], |node, now| node.get(now, target).unwrap());
    assert_eq!(network.finish(hosts[20], lookup).item, Some(item));
}

#[test]
fn of_a_mutable_item_the_newest_is_found_and_cas_guards_it() {
    let (mut network, hosts) = Network::joined(6, 30);
    let key = KeyPair::from_seed(&[3; 32]);
    let salt = Salt::new(b"blog").unwrap();
    let item = |text: &str, seq| {
        let value = Value::from_bytes(text.as_bytes()).unwrap();
        Item::Mutable(key.sign(value, salt.clone(), seq).unwrap())
    };
    let put = |network: &mut Network, item: Item, cas| {
        let lookup = network.act(hosts[1], |node, now| node.put(now, item, cas).unwrap());
        network.finish(hosts[1], lookup)
    };
    assert_eq!(put(&mut network, item("first", 1), None).summary.stored, 8);
    assert_eq!(
        put(&mut network, item("second", 2), Some(1)).summary.stored,
        8
    );
    assert_eq!(
        put(&mut network, item("third", 3), Some(1)).summary.stored,
        0
    );
    let old = put(&mut network, item("old", 1), None);
    assert_eq!((old.summary.stored, old.item), (0, Some(item("second", 2))));
    let target = GetTarget::Mutable {
        key: key.public(),
        salt: salt.clone(),
    };
    let lookup = network.act(hosts[20], |node, now| node.get(now, target).unwrap());
    assert_eq!(
        network.finish(hosts[20], lookup).item,
        Some(item("second", 2))
    );
}

#[test]
fn an_item_that_its_key_did_not_sign_is_not_believed() {
    let mut lone = Lone::default();
    let honest = KeyPair::from_seed(&[3; 32]);
    let forger = KeyPair::from_seed(&[4; 32]);
    let target = GetTarget::Mutable {
        key: honest.public(),
        salt: Salt::default(),
    };
    lone.node.bootstrap(lone.now, &[lone.from]);
    lone.answers();
    lone.node.get(lone.now, target).unwrap();
    let query = lone.answers().pop().unwrap();
    let forged = forger
        .sign(Value::from_bytes(b"x").unwrap(), Salt::default(), 9)
        .unwrap();
    let mut response = Response::new(NodeId([1; 20]));
    response.seq = Some(9);
    response.item = Some(Box::new(rarest_dht::krpc::GotItem {
        value: forged.value().clone(),
        signed: Some((honest.public(), forged.signature())),
    }));
    lone.send(
        &Message {
            body: Body::Response(response),
            ..query
        }
        .encode(),
    );
    let events: Vec<_> = std::iter::from_fn(|| lone.node.poll_event()).collect();
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Item { .. })),
        "{events:?}"
    );
}

#[test]
fn swarms_are_sampled() {
    let (mut network, hosts) = Network::joined(7, 20);
    for number in 0..30 {
        let hash = InfoHash([number; 20]);
        let host = hosts[usize::from(number % 20)];
        let lookup = network.act(host, |node, now| {
            node.get_peers(now, hash, announce(1)).unwrap()
        });
        network.finish(host, lookup);
    }
    let lookup = network.act(hosts[0], |node, now| {
        node.sample_infohashes(now, NodeId([0; 20])).unwrap()
    });
    let samples = network.finish(hosts[0], lookup).samples;
    assert!(samples.len() >= 20, "{} of 30", samples.len());
}

#[test]
fn a_token_is_needed_to_announce_and_belongs_to_one_address() {
    let mut lone = Lone::default();
    let announce = |lone: &mut Lone, token: bytes::Bytes| {
        let (port, kind) = (AnnouncedPort::Implied, PeerKind::Downloader);
        let answer = lone.ask(Method::AnnouncePeer {
            info_hash: HASH,
            port,
            kind,
            token,
        });
        answer.unwrap().map_err(|error| error.code)
    };
    let token = lone.token();
    assert_eq!(
        announce(&mut lone, b"bad".as_slice().into()),
        Err(ErrorCode::PROTOCOL)
    );
    assert!(announce(&mut lone, token.clone()).is_ok());
    let announced = lone.from;
    lone.from = public_v4(77);
    assert_eq!(announce(&mut lone, token.clone()), Err(ErrorCode::PROTOCOL));
    assert_eq!(lone.ask(get_peers()).unwrap().unwrap().peers, [announced]);
    lone.from = announced;
    lone.now += 10 * 60 * SECOND;
    assert!(announce(&mut lone, token.clone()).is_ok());
    lone.now += 5 * 60 * SECOND;
    assert_eq!(announce(&mut lone, token), Err(ErrorCode::PROTOCOL));
}

#[test]
fn an_unknown_method_is_answered_with_204() {
    let answer = Lone::default().ask(Method::Unknown {
        name: b"dance".as_slice().into(),
    });
    assert_eq!(answer.unwrap().unwrap_err().code, ErrorCode::METHOD_UNKNOWN);
}

#[test]
fn who_asks_is_checked_before_it_enters_the_table_and_who_is_read_only_is_not() {
    let mut lone = Lone::default();
    for (service, expected) in [(Service::ReadOnly, 0), (Service::Full, 1)] {
        lone.send(&ping(service));
        let queries: Vec<_> = lone
            .answers()
            .into_iter()
            .filter(|m| matches!(m.body, Body::Query(_)))
            .collect();
        assert_eq!(queries.len(), expected, "{service:?}");
        assert_eq!(lone.node.table_len(Family::V4), 0);
        for query in queries {
            let body = Body::Response(Response::new(NodeId([9; 20])));
            lone.send(&Message { body, ..query }.encode());
            assert_eq!(lone.node.table_len(Family::V4), 1);
        }
    }
}

fn ping(service: Service) -> Vec<u8> {
    let query = rarest_dht::krpc::Query {
        id: NodeId([9; 20]),
        service,
        want: Want::Unsaid,
        method: Method::Ping,
    };
    Message {
        transaction: (*b"ping").into(),
        version: None,
        seen_as: None,
        body: Body::Query(query),
    }
    .encode()
}

#[test]
fn a_read_only_node_asks_says_so_and_does_not_answer() {
    let mut network = Network::new(8);
    let [full, shy] = [1, 2].map(public_v4);
    network.add(full);
    network.add_with(
        shy,
        Config {
            service: Service::ReadOnly,
            ..Config::default()
        },
    );
    network.act(shy, |node, now| node.bootstrap(now, &[full]));
    network.run(SECOND);
    assert_eq!(network.node(shy).table_len(Family::V4), 1);
    assert_eq!(network.node(full).table_len(Family::V4), 0);
    let lookup = network.act(shy, |node, now| {
        node.get_peers(now, HASH, announce(1)).unwrap()
    });
    assert_eq!(network.finish(shy, lookup).summary.stored, 1);
    network.act(shy, |node, now| {
        node.handle_datagram(now, full, &ping(Service::Full));
    });
    network.act(shy, |node, _| assert_eq!(node.poll_transmit(), None));
}

#[test]
fn an_id_changes_after_several_votes_and_not_by_a_few() {
    let mut lone = Lone::default();
    let before = lone.node.id(Family::V4).unwrap();
    let seen_as = SocketAddr::from(([84, 124, 73, 14], 6881));
    for number in 1..=u32::try_from(VOTES_TO_CHANGE_ID).unwrap() {
        assert_eq!(
            lone.node.id(Family::V4),
            Some(before),
            "after {} votes",
            number - 1
        );
        // One host has one vote, however often it is asked.
        for _ in 0..2 {
            lone.from = public_v4(number);
            lone.node.add_node(lone.now, lone.from);
            let Some(query) = lone.answers().pop() else {
                panic!("no question for voter {number}")
            };
            let body = Body::Response(Response::new(NodeId([number.to_be_bytes()[3]; 20])));
            lone.send(
                &Message {
                    seen_as: Some(seen_as),
                    body,
                    ..query
                }
                .encode(),
            );
        }
    }
    let id = lone.node.id(Family::V4).unwrap();
    assert!(id.is_allowed_for(seen_as.ip()));
    let changed = Event::IdChanged {
        family: Family::V4,
        id,
    };
    assert!(std::iter::from_fn(|| lone.node.poll_event()).any(|event| event == changed));
}

#[test]
fn the_place_of_an_id_that_changed_during_the_bootstrap_is_looked_for() {
    let mut lone = Lone::default();
    let seen_as = SocketAddr::from(([84, 124, 73, 14], 6881));
    let voters = u32::try_from(VOTES_TO_CHANGE_ID).unwrap() + 1;
    let routers: Vec<_> = (1..=voters).map(public_v4).collect();
    lone.node.bootstrap(lone.now, &routers);
    let mut targets = Vec::new();
    while let Some(transmit) = lone.node.poll_transmit() {
        let query = Message::decode(&transmit.datagram).unwrap();
        let Body::Query(asked) = &query.body else {
            panic!("{query:?}")
        };
        if let Method::FindNode { target } = asked.method {
            targets.push(target);
        }
        lone.from = transmit.to;
        let number = routers.iter().position(|router| *router == transmit.to);
        let id = NodeId([u8::try_from(number.unwrap()).unwrap(); 20]);
        let answer = Message {
            seen_as: Some(seen_as),
            body: Body::Response(Response::new(id)),
            ..query
        };
        lone.send(&answer.encode());
    }
    let id = lone.node.id(Family::V4).unwrap();
    assert!(id.is_allowed_for(seen_as.ip()));
    assert!(targets.contains(&id));
}

#[test]
fn nodes_of_both_families_are_told_to_who_wants_them() {
    let now = origin();
    let mut lone = Lone {
        node: Node::new(Config::default(), [1; 32], now),
        ..Lone::default()
    };
    let v6 = SocketAddr::from(([0x2a00, 1, 2, 3, 0, 0, 0, 1], 6881));
    for (addr, id) in [(public_v4(5), NodeId([5; 20])), (v6, NodeId([6; 20]))] {
        lone.node.add_node(now, addr);
        let query = lone.answers().pop().unwrap();
        assert!(matches!(&query.body, Body::Query(query) if query.want == Want::Both));
        let answer = Message {
            body: Body::Response(Response::new(id)),
            ..query
        };
        lone.node.handle_datagram(now, addr, &answer.encode());
    }
    for (want, expected) in [
        (Want::Unsaid, [1, 0]),
        (Want::V4, [1, 0]),
        (Want::V6, [0, 1]),
        (Want::Both, [1, 1]),
    ] {
        let method = Method::FindNode {
            target: NodeId([0; 20]),
        };
        let answer = lone
            .ask_as(Service::ReadOnly, want, method)
            .unwrap()
            .unwrap();
        assert_eq!(
            [answer.nodes.len(), answer.nodes6.len()],
            expected,
            "{want:?}"
        );
    }
}

#[test]
fn ipv6_nodes_have_a_network_of_their_own() {
    let mut network = Network::new(9);
    let hosts: Vec<_> = (1..=12)
        .map(|number| network.add(SocketAddr::from(([0x2a00, number, 0, 0, 0, 0, 0, 1], 6881))))
        .collect();
    for host in &hosts[1..] {
        network.act(*host, |node, now| node.bootstrap(now, &[hosts[0]]));
        network.run(SECOND);
    }
    let lookup = network.act(hosts[1], |node, now| {
        node.get_peers(now, HASH, announce(7)).unwrap()
    });
    network.finish(hosts[1], lookup);
    let lookup = network.act(hosts[11], |node, now| {
        node.get_peers(now, HASH, None).unwrap()
    });
    assert!(
        network
            .finish(hosts[11], lookup)
            .peers
            .contains(&SocketAddr::new(hosts[1].ip(), 7))
    );
}

#[test]
fn a_node_that_began_anew_knows_whom_it_knew() {
    let (mut network, hosts) = Network::joined(10, 30);
    let old = network.node(hosts[5]);
    let (state, id, known) = (old.save(), old.id(Family::V4), old.table_len(Family::V4));
    let config = Config {
        families: Families::V4,
        external_ips: vec![hosts[5].ip()],
        ..Config::default()
    };
    let node = Node::restore(config, [9; 32], network.now, &state).unwrap();
    assert_eq!(
        (node.id(Family::V4), node.table_len(Family::V4)),
        (id, known)
    );
    network.add_node(hosts[5], node);
    let lookup = network.act(hosts[5], |node, now| {
        node.get_peers(now, HASH, announce(1)).unwrap()
    });
    assert_eq!(network.finish(hosts[5], lookup).summary.stored, 8);
}

#[test]
fn nodes_that_died_leave_the_table_when_others_can_take_their_place() {
    let (mut network, hosts) = Network::joined(11, 60);
    for host in &hosts[1..20] {
        network.set_nature(*host, Nature::Dead);
    }
    network.run(60 * 60 * SECOND);
    let lookup = network.act(hosts[0], |node, now| {
        node.get_peers(now, HASH, None).unwrap()
    });
    let summary = network.finish(hosts[0], lookup).summary;
    // Those that the lookup did not wait for.
    let unanswered = (summary.queries - summary.answers) as usize;
    assert!(unanswered < CONCURRENCY, "{summary:?}");
}

#[test]
fn an_answer_from_elsewhere_or_too_late_is_not_believed() {
    let mut lone = Lone::default();
    lone.node.add_node(lone.now, lone.from);
    let query = lone.answers().pop().unwrap();
    let answer = Message {
        body: Body::Response(Response::new(NodeId([1; 20]))),
        ..query
    }
    .encode();
    lone.node.handle_datagram(lone.now, public_v4(2), &answer);
    assert_eq!(lone.node.table_len(Family::V4), 0);
    lone.now += QUERY_TIMEOUT;
    lone.node.handle_timeout(lone.now);
    lone.send(&answer);
    assert_eq!(lone.node.table_len(Family::V4), 0);
}

#[test]
fn a_cancelled_lookup_says_nothing_more() {
    let (mut network, hosts) = Network::joined(12, 10);
    network.events(hosts[1]);
    let lookup = network.act(hosts[1], |node, now| {
        node.get_peers(now, HASH, announce(1)).unwrap()
    });
    network.act(hosts[1], |node, _| node.cancel(lookup));
    network.run(10 * SECOND);
    assert_eq!(network.events(hosts[1]), []);
    assert_eq!(network.node(hosts[1]).lookups(), 0);
}

#[test]
fn a_lookup_without_any_node_ends_at_once() {
    let mut lone = Lone::default();
    let lookup = lone.node.get_peers(lone.now, HASH, None).unwrap();
    let done = std::iter::from_fn(|| lone.node.poll_event());
    assert!(
        done.into_iter()
            .any(|event| matches!(event, Event::Done { lookup: of, .. } if of == lookup))
    );
}

#[test]
fn a_node_told_of_by_a_peer_enters_the_table_when_it_answers() {
    let mut network = Network::new(13);
    let [a, b] = [1, 2].map(public_v4);
    network.add(a);
    network.add(b);
    network.act(a, |node, now| node.add_node(now, b));
    network.run(SECOND);
    assert_eq!(network.node(a).table_len(Family::V4), 1);
}
