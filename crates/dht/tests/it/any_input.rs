//! What must hold for any input; also run by the fuzzer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rarest_dht::item::{Item, Value};
use rarest_dht::krpc::{
    AnnouncedPort, Body, MAX_DATAGRAM_LENGTH, MAX_ITEM_DATAGRAM_LENGTH, Message, NodeInfo,
    PeerKind, Response, Transaction,
};
use rarest_dht::{Announce, Config, Family, GetTarget, MAX_LOOKUPS, Node, NodeId};
use rarest_metainfo::InfoHash;

/// Datagrams are read or refused; what was read is written and read again as the same.
pub(crate) fn datagrams(datagram: &[u8]) {
    if let Ok(message) = Message::decode(datagram) {
        let again = Message::decode(&message.encode());
        // Texts of errors are cut and repaired, which may make them longer than the datagram may be; all else fits again.
        match (&message.body, again) {
            (_, Ok(again)) => assert_eq!(again, message),
            (Body::Error(_), Err(_)) => {}
            (body, Err(error)) => panic!("{error}: {body:?}"),
        }
    }
}

/// A node lives through any order of datagrams, times and wishes: `script` is read as a list of steps.
pub(crate) fn nodes(script: &[u8]) {
    let mut now = origin();
    let mut node = Node::new(Config::default(), [7; 32], now);
    let mut asked: Vec<(SocketAddr, Transaction)> = Vec::new();
    let mut lookups = Vec::new();
    let mut rest = script.iter().copied();
    while let (Some(step), Some(value)) = (rest.next(), rest.next()) {
        let somebody = match value % 3 {
            0 => SocketAddr::from(([9, value, 9, 9], 6881)),
            1 => SocketAddr::from(([127, 0, 0, 1], value.into())),
            _ => SocketAddr::from(([0x2001, 0, value.into(), 0, 0, 0, 0, 1], 6881)),
        };
        let hash = InfoHash([value; 20]);
        match step % 16 {
            0 => node.bootstrap(now, &[somebody]),
            1 => node.add_node(now, somebody),
            2 => {
                let announce = Announce {
                    port: AnnouncedPort::Explicit(value.into()),
                    kind: PeerKind::Downloader,
                };
                lookups.extend(node.get_peers(now, hash, Some(announce)));
            }
            3 => lookups.extend(node.get(now, GetTarget::Immutable(hash.into()))),
            4 => {
                let item = Value::from_bytes(&[value])
                    .map(Item::Immutable)
                    .expect("one byte fits");
                lookups.extend(node.put(now, item, None));
            }
            5 => lookups.extend(node.sample_infohashes(now, hash.into())),
            6 => lookups
                .pop()
                .into_iter()
                .for_each(|lookup| node.cancel(lookup)),
            7 => now += Duration::from_millis(u64::from(value) * 20),
            8 => {
                node = Node::restore(Config::default(), [8; 32], now, &node.save())
                    .expect("it was saved");
            }
            9 => drop(Node::restore(
                Config::default(),
                [8; 32],
                now,
                &script[..script.len().min(value.into())],
            )),
            10 | 11 => {
                let datagram: Vec<u8> = rest.by_ref().take(value.into()).collect();
                node.handle_datagram(now, somebody, &datagram);
            }
            _ => {
                let Some((to, transaction)) = asked.pop() else {
                    continue;
                };
                let mut response = Response::new(NodeId([value; 20]));
                let told = NodeInfo {
                    id: NodeId([!value; 20]),
                    addr: somebody,
                };
                response.nodes = vec![told; usize::from(value % 20)];
                response.token = Some(vec![value; 4].into());
                response.peers = vec![somebody];
                let body = Body::Response(response);
                let answer = Message {
                    transaction,
                    version: None,
                    seen_as: Some(somebody),
                    body,
                };
                node.handle_datagram(now, to, &answer.encode());
            }
        }
        node.handle_timeout(now);
        assert!(node.next_timeout().is_some_and(|at| at > now));
        assert!(node.lookups() <= MAX_LOOKUPS + Family::ALL.len());
        while let Some(transmit) = node.poll_transmit() {
            assert!(transmit.datagram.len() <= MAX_ITEM_DATAGRAM_LENGTH);
            let message = Message::decode(&transmit.datagram).expect("what is sent is read");
            match message.body {
                Body::Query(_) => asked.push((transmit.to, message.transaction)),
                Body::Response(response) => {
                    assert!(
                        response.item.is_some() || transmit.datagram.len() <= MAX_DATAGRAM_LENGTH
                    );
                }
                Body::Error(_) => {}
            }
        }
        while node.poll_event().is_some() {}
    }
    // Whatever was begun ends, even if nobody answers any more.
    for _ in 0..10_000 {
        let Some(at) = node.next_timeout().filter(|_| node.lookups() > 0) else {
            break;
        };
        node.handle_timeout(at);
        while node.poll_transmit().is_some() {}
    }
    assert_eq!(node.lookups(), 0);
}

#[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
fn origin() -> Instant {
    Instant::now()
}
