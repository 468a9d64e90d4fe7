//! The fixtures: messages, ids and items with what a correct node reads from them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rarest_dht::item::{
    KeyPair, MutableItem, PublicKey, Salt, Signature, Value as ItemValue, signed_bytes,
};
use rarest_dht::krpc::{
    AnnouncedPort, Body, DecodeError, ErrorCode, Message, Method, PeersWanted, PutItem, Query,
    Response, Scrape, Want,
};
use rarest_dht::{BloomFilter, NodeId, is_exempt};
use serde_json::{Value, json};

fn entries(kind: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(include_str!("../fixtures/dht.json")).unwrap();
    let entries: Vec<_> = all
        .into_iter()
        .filter(|entry| entry["kind"] == kind)
        .collect();
    assert!(!entries.is_empty(), "no {kind}");
    entries
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn array<const N: usize>(hex: &Value) -> [u8; N] {
    bytes(hex).try_into().unwrap()
}

fn hex(bytes: &[u8]) -> Value {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into()
}

#[test]
fn messages_are_read_as_given_or_refused() {
    for entry in entries("krpc") {
        let message = Message::decode(&bytes(&entry["hex"]));
        match entry["ok"].as_bool() {
            Some(ok) => assert_eq!(message.is_ok(), ok, "{message:?}: {entry}"),
            None if message.is_err() => continue,
            None => {}
        }
        if let Ok(message) = message {
            for (name, expected) in entry["fields"].as_object().unwrap() {
                assert_eq!(&field(&message, name), expected, "{name} of {entry}");
            }
            let again = Message::decode(&message.encode()).unwrap();
            assert_eq!(again, message, "{entry}");
        }
    }
}

#[test]
fn malformed_queries_are_answered_with_the_error_that_fits() {
    let mut answered = 0;
    for entry in entries("krpc") {
        let note = entry["note"].as_str().unwrap_or_default();
        if entry["ok"] == false && note.contains("answer 203") {
            let Err(DecodeError::Query { reply, .. }) = Message::decode(&bytes(&entry["hex"]))
            else {
                panic!("{entry}")
            };
            assert_eq!(reply.code, ErrorCode::PROTOCOL);
            answered += 1;
        }
    }
    assert_eq!(answered, 3);
}

fn field(message: &Message, name: &str) -> Value {
    match (name, &message.body) {
        ("transaction_hex", _) => hex(message.transaction.as_bytes()),
        ("version_hex", _) => message.version.map_or(Value::Null, |version| hex(&version)),
        ("ip", _) => message.seen_as.map(|addr| addr.to_string()).into(),
        ("type", Body::Query(_)) => "query".into(),
        ("type", Body::Response(_)) => "response".into(),
        ("type", Body::Error(_)) => "error".into(),
        (name, Body::Query(query)) => query_field(query, name),
        (name, Body::Response(response)) => response_field(response, name),
        ("code", Body::Error(error)) => error.code.0.into(),
        ("message", Body::Error(error)) => error.text.clone().into(),
        (name, Body::Error(_)) => panic!("an error has no {name}"),
    }
}

fn query_field(query: &Query, name: &str) -> Value {
    match (name, &query.method) {
        ("id", _) => query.id.to_string().into(),
        ("method", method) => String::from_utf8(method.name().to_vec()).unwrap().into(),
        ("want", _) => match query.want {
            Want::Unsaid => Value::Null,
            Want::V4 => json!(["n4"]),
            Want::V6 => json!(["n6"]),
            Want::Both => json!(["n4", "n6"]),
        },
        (
            "target",
            Method::FindNode { target }
            | Method::SampleInfohashes { target }
            | Method::Get { target, .. },
        ) => target.to_string().into(),
        (
            "info_hash",
            Method::GetPeers { info_hash, .. } | Method::AnnouncePeer { info_hash, .. },
        ) => info_hash.to_string().into(),
        ("noseed", Method::GetPeers { peers, .. }) => (*peers == PeersWanted::NoSeeds).into(),
        ("scrape", Method::GetPeers { scrape, .. }) => (*scrape == Scrape::Yes).into(),
        // Beside `implied_port` the port says nothing, and is not kept.
        ("port", Method::AnnouncePeer { port, .. }) => match port {
            AnnouncedPort::Implied => 6881.into(),
            AnnouncedPort::Explicit(port) => (*port).into(),
        },
        ("implied_port", Method::AnnouncePeer { port, .. }) => {
            (*port == AnnouncedPort::Implied).into()
        }
        ("token_hex", Method::AnnouncePeer { token, .. } | Method::Put { token, .. }) => hex(token),
        (
            "value_hex",
            Method::Put {
                item: PutItem::Immutable(value) | PutItem::Mutable { value, .. },
                ..
            },
        ) => hex(value.encoded()),
        (name, method) => panic!("{method:?} has no {name}"),
    }
}

fn response_field(response: &Response, name: &str) -> Value {
    match name {
        "id" => response.id.to_string().into(),
        "token_hex" => response
            .token
            .as_ref()
            .map_or(Value::Null, |token| hex(token)),
        "nodes" => {
            let nodes = response.nodes.iter();
            nodes
                .map(|node| json!([node.id.to_string(), node.addr.to_string()]))
                .collect()
        }
        "values" => response.peers.iter().map(ToString::to_string).collect(),
        name => panic!("a response has no {name}"),
    }
}

#[test]
fn ids_belong_to_addresses_as_bep_42_says() {
    for entry in entries("bep42") {
        let ip: IpAddr = entry["ip"].as_str().unwrap().parse().unwrap();
        let id = NodeId(array(&entry["node_id"]));
        if let Some(valid) = entry["valid"].as_bool() {
            assert_eq!(id.is_allowed_for(ip), valid, "{entry}");
        }
        if let Some(exempt) = entry.get("exempt").and_then(Value::as_bool) {
            assert_eq!(is_exempt(ip), exempt, "{entry}");
        }
    }
}

#[test]
fn items_are_believed_and_stored_as_bep_44_says() {
    for entry in entries("bep44") {
        let Some(encoded) = entry.get("value_hex") else {
            continue;
        };
        let value = ItemValue::from_encoded(&bytes(encoded));
        let believed = match entry["type"].as_str() {
            Some("immutable") => {
                value.is_ok_and(|value| json!(value.target().to_string()) == entry["target"])
            }
            Some("mutable") => mutable_is_believed(&entry, value.ok()),
            other => panic!("{other:?}"),
        };
        if let Some(valid) = entry["valid"].as_bool() {
            assert_eq!(believed, valid, "{entry}");
        }
    }
}

fn mutable_is_believed(entry: &Value, value: Option<ItemValue>) -> bool {
    let salt = Salt::new(&bytes(&entry["salt_hex"]));
    let (Some(value), Ok(salt)) = (value, salt) else {
        return false;
    };
    let (key, seq) = (
        PublicKey(array(&entry["public_key"])),
        entry["seq"].as_i64().unwrap(),
    );
    let signature = Signature(array(&entry["signature"]));
    if let Some(signed) = entry.get("signed_buffer_hex") {
        assert_eq!(&hex(&signed_bytes(&value, &salt, seq)), signed);
        assert_eq!(json!(key.target(&salt).to_string()), entry["target"]);
    }
    if let Some(seed) = entry.get("seed")
        && seq >= 0
    {
        let ours = KeyPair::from_seed(&array(seed));
        assert_eq!(ours.public(), key);
        let item = ours.sign(value.clone(), salt.clone(), seq).unwrap();
        assert_eq!(item.signature(), signature);
    }
    MutableItem::verify(key, salt, seq, value, signature).is_ok()
}

#[test]
fn a_put_over_a_stored_item_follows_seq_and_cas() {
    let rules: Vec<_> = entries("bep44")
        .into_iter()
        .filter(|e| e["type"] == "put rules")
        .collect();
    assert!(!rules.is_empty());
    for entry in rules {
        let (stored, put) = (
            entry["stored_seq"].as_i64().unwrap(),
            entry["put_seq"].as_i64().unwrap(),
        );
        let mut node = crate::network::Lone::default();
        assert_eq!(node.put(stored, None), None);
        assert_eq!(
            json!(node.put(put, entry["cas"].as_i64())),
            entry["error"],
            "{entry}"
        );
    }
}

#[test]
fn addresses_are_counted_as_bep_33_says() {
    for entry in entries("bep33 bloom filter") {
        let mut filter = BloomFilter::EMPTY;
        let text = |key: &str| entry[key].as_str().unwrap().to_owned();
        let [from, to] =
            ["ipv4_from", "ipv4_to"].map(|key| u32::from(text(key).parse::<Ipv4Addr>().unwrap()));
        (from..=to).for_each(|ip| filter.insert(Ipv4Addr::from(ip).into()));
        let [from, to] =
            ["ipv6_from", "ipv6_to"].map(|key| u128::from(text(key).parse::<Ipv6Addr>().unwrap()));
        (from..=to).for_each(|ip| filter.insert(Ipv6Addr::from(ip).into()));
        assert_eq!(hex(&filter.0), entry["filter_hex"]);
        let estimate = entry["estimate"].as_f64().unwrap();
        assert!((filter.estimate() - estimate).abs() < 0.001);
    }
}
