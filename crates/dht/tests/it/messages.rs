//! Messages: what is written is read again, and no part of one is taken for a whole.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use rarest_dht::item::{PublicKey, Salt, Signature, Value};
use rarest_dht::krpc::{
    AnnouncedPort, Body, DecodeError, ErrorCode, ErrorReply, GotItem, MAX_DATAGRAM_LENGTH,
    MAX_ITEM_DATAGRAM_LENGTH, MAX_RECEIVED_LENGTH, MAX_TOKEN_LENGTH, MAX_TRANSACTION_LENGTH,
    Message, Method, NodeInfo, PeerCounts, PeerKind, PeersWanted, PutItem, Query, Response,
    Samples, Scrape, Service, Transaction, Want,
};
use rarest_dht::{BloomFilter, NodeId};
use rarest_metainfo::InfoHash;

fn ids() -> impl Strategy<Value = NodeId> {
    any::<[u8; 20]>().prop_map(NodeId)
}

fn hashes() -> impl Strategy<Value = InfoHash> {
    any::<[u8; 20]>().prop_map(InfoHash)
}

fn v4() -> impl Strategy<Value = SocketAddr> {
    (any::<Ipv4Addr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn v6() -> impl Strategy<Value = SocketAddr> {
    // Mapped addresses are IPv4.
    let ip = any::<u128>().prop_map(|bits| Ipv6Addr::from(bits | 1 << 125));
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

fn nodes(addr: impl Strategy<Value = SocketAddr>) -> impl Strategy<Value = Vec<NodeInfo>> {
    vec(
        (ids(), addr).prop_map(|(id, addr)| NodeInfo { id, addr }),
        0..9,
    )
}

fn bytes(up_to: usize) -> impl Strategy<Value = bytes::Bytes> {
    vec(any::<u8>(), 0..=up_to).prop_map(Into::into)
}

fn values() -> impl Strategy<Value = Value> {
    vec(any::<u8>(), 0..100).prop_map(|content| Value::from_bytes(&content).unwrap())
}

fn put_items() -> impl Strategy<Value = PutItem> {
    let mutable = (
        values(),
        any::<[u8; 32]>(),
        vec(any::<u8>(), 0..=64),
        0..i64::MAX,
        any::<Option<i64>>(),
    );
    prop_oneof![
        values().prop_map(PutItem::Immutable),
        mutable.prop_map(|(value, key, salt, seq, cas)| PutItem::Mutable {
            value,
            key: PublicKey(key),
            salt: Salt::new(&salt).unwrap(),
            seq,
            signature: Signature([5; 64]),
            cas,
        }),
    ]
}

fn methods() -> impl Strategy<Value = Method> {
    let port = prop_oneof![
        Just(AnnouncedPort::Implied),
        (1..=u16::MAX).prop_map(AnnouncedPort::Explicit)
    ];
    let kind = prop_oneof![Just(PeerKind::Seed), Just(PeerKind::Downloader)];
    prop_oneof![
        Just(Method::Ping),
        ids().prop_map(|target| Method::FindNode { target }),
        (hashes(), any::<[bool; 2]>()).prop_map(|(info_hash, [no_seeds, scrape])| {
            Method::GetPeers {
                info_hash,
                peers: if no_seeds {
                    PeersWanted::NoSeeds
                } else {
                    PeersWanted::All
                },
                scrape: if scrape { Scrape::Yes } else { Scrape::No },
            }
        }),
        (hashes(), port, kind, bytes(MAX_TOKEN_LENGTH)).prop_map(
            |(info_hash, port, kind, token)| Method::AnnouncePeer {
                info_hash,
                port,
                kind,
                token
            }
        ),
        (ids(), any::<Option<i64>>())
            .prop_map(|(target, newer_than)| Method::Get { target, newer_than }),
        (put_items(), bytes(MAX_TOKEN_LENGTH))
            .prop_map(|(item, token)| Method::Put { item, token }),
        ids().prop_map(|target| Method::SampleInfohashes { target }),
    ]
}

fn queries() -> impl Strategy<Value = Body> {
    let want = prop_oneof![
        Just(Want::Unsaid),
        Just(Want::V4),
        Just(Want::V6),
        Just(Want::Both)
    ];
    let service = prop_oneof![Just(Service::Full), Just(Service::ReadOnly)];
    (ids(), service, want, methods()).prop_map(|(id, service, want, method)| {
        Body::Query(Query {
            id,
            service,
            want,
            method,
        })
    })
}

fn responses() -> impl Strategy<Value = Body> {
    let item = (values(), any::<Option<[u8; 32]>>()).prop_map(|(value, key)| {
        Box::new(GotItem {
            value,
            signed: key.map(|key| (PublicKey(key), Signature([6; 64]))),
        })
    });
    let samples = (vec(hashes(), 0..5), any::<u64>(), any::<u64>()).prop_map(
        |(info_hashes, stored, interval_secs)| Samples {
            info_hashes,
            stored,
            interval_secs,
        },
    );
    let counts = any::<u8>().prop_map(|byte| {
        Box::new(PeerCounts {
            seeds: BloomFilter([byte; 256]),
            downloaders: BloomFilter::EMPTY,
        })
    });
    let option = proptest::option::of::<BoxedStrategy<_>>;
    (
        ids(),
        (nodes(v4()), nodes(v6())),
        proptest::option::of(bytes(MAX_TOKEN_LENGTH)),
        vec(prop_oneof![v4(), v6()], 0..5),
        option(item.boxed()),
        proptest::option::of(0..i64::MAX),
        proptest::option::of(prop_oneof![samples.prop_map(Ok), counts.prop_map(Err)]),
    )
        .prop_map(|(id, (nodes, nodes6), token, peers, item, seq, extra)| {
            let (samples, counts) = match extra {
                Some(Ok(samples)) => (Some(samples), None),
                Some(Err(counts)) => (None, Some(counts)),
                None => (None, None),
            };
            Body::Response(Response {
                id,
                nodes,
                nodes6,
                token,
                peers,
                counts,
                item,
                seq,
                samples,
            })
        })
}

fn messages() -> impl Strategy<Value = Message> {
    let error = (any::<i64>(), "[ -~]{0,60}").prop_map(|(code, text)| {
        Body::Error(ErrorReply {
            code: ErrorCode(code),
            text,
        })
    });
    let transaction =
        vec(any::<u8>(), 0..=MAX_TRANSACTION_LENGTH).prop_map(|id| Transaction::new(id).unwrap());
    let seen_as = proptest::option::of(prop_oneof![v4(), v6()]);
    (
        transaction,
        any::<Option<[u8; 4]>>(),
        seen_as,
        prop_oneof![queries(), responses(), error],
    )
        .prop_map(|(transaction, version, seen_as, body)| Message {
            transaction,
            version,
            seen_as,
            body,
        })
        // Whoever fills a message minds the limits.
        .prop_filter("too long", |message| {
            let has_item =
                matches!(&message.body, Body::Response(response) if response.item.is_some());
            message.encode().len()
                <= if has_item {
                    MAX_ITEM_DATAGRAM_LENGTH
                } else {
                    MAX_DATAGRAM_LENGTH
                }
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(message in messages()) {
        prop_assert_eq!(Message::decode(&message.encode()).unwrap(), message);
    }

    #[test]
    fn no_prefix_of_a_message_is_a_message(message in messages()) {
        let datagram = message.encode();
        for length in 0..datagram.len() {
            prop_assert!(Message::decode(&datagram[..length]).is_err());
        }
    }
}

fn decode(text: &str) -> Result<Message, DecodeError> {
    Message::decode(text.as_bytes())
}

fn refusal(text: &str) -> ErrorCode {
    match decode(text) {
        Err(DecodeError::Query { reply, .. }) => reply.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_datagram_is_no_longer_than_its_limit() {
    let ping = |padding: usize| {
        format!(
            "d1:ad2:id20:abcdefghij01234567893:pad{padding}:{}e1:q4:ping1:t2:aa1:y1:qe",
            "x".repeat(padding)
        )
    };
    let longest = MAX_DATAGRAM_LENGTH - (ping(900).len() - 900);
    assert!(decode(&ping(longest)).is_ok());
    let limit = MAX_DATAGRAM_LENGTH;
    assert_eq!(
        decode(&ping(longest + 1)),
        Err(DecodeError::TooLong {
            length: limit + 1,
            limit
        })
    );
    let limit = MAX_RECEIVED_LENGTH;
    assert_eq!(
        decode(&"x".repeat(limit + 1)),
        Err(DecodeError::TooLong {
            length: limit + 1,
            limit
        })
    );
}

#[test]
fn an_answer_of_others_may_be_longer_than_ours() {
    // A hundred peers, as libtorrent tells of, and eight nodes of each family.
    let answer = |peers: usize| {
        format!(
            "d1:rd2:id20:abcdefghij01234567895:nodes208:{}6:nodes6304:{}5:token4:aaaa6:valuesl{}ee1:t2:aa1:y1:re",
            "n".repeat(208),
            "n".repeat(304),
            "6:p.p.pp".repeat(peers)
        )
    };
    let Ok(Body::Response(response)) = decode(&answer(100)).map(|message| message.body) else {
        panic!("an answer of {} bytes is not read", answer(100).len());
    };
    assert_eq!(response.peers.len(), 100);
    assert_eq!((response.nodes.len(), response.nodes6.len()), (8, 8));
    assert!(decode(&answer(200)).is_err());
}

#[test]
fn nodes_of_ipv4_are_not_told_of_as_ipv6() {
    let mut answer = b"d1:rd2:id20:abcdefghij01234567896:nodes676:".to_vec();
    for address in ["::ffff:9.9.9.9", "2a00::1"] {
        let address: Ipv6Addr = address.parse().unwrap();
        answer.extend([[7; 20].as_slice(), &address.octets(), &[26, 225]].concat());
    }
    answer.extend(b"e1:t2:aa1:y1:re");
    let message = Message::decode(&answer).unwrap();
    assert_eq!(Message::decode(&message.encode()), Ok(message.clone()));
    let Body::Response(response) = message.body else {
        panic!("{message:?}")
    };
    let told: Vec<_> = response.nodes6.iter().map(|node| node.addr).collect();
    assert_eq!(told, ["[2a00::1]:6881".parse().unwrap()]);
}

#[test]
fn a_value_of_a_thousand_bytes_can_be_put_and_one_more_is_refused() {
    let put = |length: usize| {
        format!(
            "d1:ad2:id20:abcdefghij01234567895:token1:t1:v{length}:{}e1:q3:put1:t1:a1:y1:qe",
            "x".repeat(length)
        )
    };
    assert!(decode(&put(996)).is_ok());
    assert_eq!(refusal(&put(997)), ErrorCode::VALUE_TOO_LONG);
}

#[test]
fn a_salt_of_more_than_64_bytes_is_refused() {
    let put = |length: usize| {
        format!(
            "d1:ad2:id20:abcdefghij01234567891:k32:{k}4:salt{length}:{s}3:seqi1e3:sig64:{k}{k}5:token1:t1:v1:ae1:q3:put1:t1:a1:y1:qe",
            k = "k".repeat(32),
            s = "s".repeat(length),
        )
    };
    assert!(decode(&put(64)).is_ok());
    assert_eq!(refusal(&put(65)), ErrorCode::SALT_TOO_LONG);
}

#[test]
fn what_others_would_hash_otherwise_is_not_put() {
    let put =
        |v: &str| format!("d1:ad2:id20:abcdefghij01234567895:token1:t1:v{v}e1:q3:put1:t1:a1:y1:qe");
    assert!(decode(&put("d1:ai1e1:bi2ee")).is_ok());
    for v in ["i01e", "d1:bi2e1:ai1ee"] {
        assert_eq!(refusal(&put(v)), ErrorCode::PROTOCOL, "{v}");
    }
}

#[test]
fn a_long_transaction_or_token_is_not_kept() {
    let ping = |length: usize| {
        format!(
            "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t{length}:{}1:y1:qe",
            "x".repeat(length)
        )
    };
    assert!(decode(&ping(MAX_TRANSACTION_LENGTH)).is_ok());
    assert_eq!(
        decode(&ping(MAX_TRANSACTION_LENGTH + 1)),
        Err(DecodeError::Field("t"))
    );
    let response = |length: usize| {
        format!(
            "d1:rd2:id20:abcdefghij01234567895:token{length}:{}e1:t2:aa1:y1:re",
            "x".repeat(length)
        )
    };
    let token = |length| match decode(&response(length)).unwrap().body {
        Body::Response(response) => response.token,
        other => panic!("{other:?}"),
    };
    assert!(token(MAX_TOKEN_LENGTH).is_some());
    assert!(token(MAX_TOKEN_LENGTH + 1).is_none());
}

#[test]
fn deep_nesting_is_refused() {
    let nested = |depth: usize| {
        format!(
            "d1:ad2:id20:abcdefghij01234567891:x{}{}e1:q4:ping1:t2:aa1:y1:qe",
            "l".repeat(depth),
            "e".repeat(depth)
        )
    };
    assert!(decode(&nested(30)).is_ok());
    assert!(matches!(decode(&nested(31)), Err(DecodeError::Bencode(_))));
}
