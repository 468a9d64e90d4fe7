//! Handshakes, messages and payloads of other clients and of the BEPs, each with what is to be read in it.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use rarest_metainfo::{Bitfield, Geometry, InfoHash, PieceIndex};
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::extension::donthave;
use rarest_peer_wire::extension::holepunch::{Holepunch, HolepunchKind};
use rarest_peer_wire::extension::metadata::MetadataMessage;
use rarest_peer_wire::extension::pex::Pex;
use rarest_peer_wire::{
    Codec, Handshake, HashRange, Message, Reserved, allowed_fast_set, peer_priority,
};
use serde_json::{Map, Value, json};

/// Reads all entries of a kind with `read`, which gives the fields that the entry expects, or `None` for a refusal.
fn check(kind: &str, read: impl Fn(&Map<String, Value>) -> Option<Value>) {
    let corpus: Vec<Map<String, Value>> =
        serde_json::from_str(include_str!("../fixtures/peer_wire.json")).unwrap();
    let entries: Vec<_> = corpus.iter().filter(|it| it["kind"] == kind).collect();
    assert!(!entries.is_empty(), "no entry of kind {kind}");
    for entry in entries {
        match (&entry["ok"], read(entry)) {
            (Value::Bool(true), Some(fields)) => {
                let expected = entry.get("fields").unwrap_or(&Value::Null);
                assert_eq!(fields, *expected, "{entry:?}");
            }
            (Value::Bool(true), None) => panic!("refused: {entry:?}"),
            (Value::Bool(false), Some(fields)) => panic!("read as {fields}: {entry:?}"),
            // Reading it did not panic, and either answer is right.
            _ => {}
        }
    }
}

fn bytes(entry: &Map<String, Value>) -> Bytes {
    unhex(entry["hex"].as_str().unwrap())
}

fn unhex(hex: &str) -> Bytes {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number(entry: &Map<String, Value>, key: &str) -> u32 {
    u32::try_from(entry[key].as_u64().unwrap()).unwrap()
}

fn geometry(pieces: u32) -> Geometry {
    Geometry::contiguous(pieces.into(), 1).unwrap()
}

#[test]
fn handshakes() {
    check("handshake", |entry| {
        let mut input = BytesMut::from(&bytes(entry)[..]);
        let handshake = Handshake::decode(&mut input).ok()??;
        assert_eq!(handshake.to_bytes()[..], bytes(entry)[..]);
        let reserved = handshake.reserved;
        Some(json!({
            "reserved": hex(&reserved.0),
            "info_hash": hex(handshake.info_hash.as_bytes()),
            "peer_id_hex": hex(handshake.peer_id.as_bytes()),
            "extension_protocol": reserved.has(Reserved::EXTENSION_PROTOCOL),
            "fast": reserved.has(Reserved::FAST),
            "dht": reserved.has(Reserved::DHT),
            "v2_upgrade": reserved.has(Reserved::V2_UPGRADE),
        }))
    });
}

#[test]
fn messages() {
    check("message", |entry| {
        let mut input = BytesMut::from(&bytes(entry)[..]);
        let mut codec = Codec::new();
        let message = codec.decode(&mut input).ok()??;
        assert!(input.is_empty());
        let mut encoded = Vec::new();
        message.encode(&mut encoded);
        assert_eq!(encoded, bytes(entry));
        let (name, fields) = describe(&message, entry)?;
        assert_eq!(entry["message"], name);
        Some(fields)
    });
}

#[test]
fn well_formed_messages_of_wrong_peers_are_read() {
    let corpus: Vec<Map<String, Value>> =
        serde_json::from_str(include_str!("../fixtures/peer_wire.json")).unwrap();
    let odd = corpus.iter().filter(|it| {
        let name = it.get("message").and_then(Value::as_str).unwrap_or("");
        it["ok"].is_null() && it["kind"] == "message" && !name.starts_with("unknown")
    });
    for entry in odd {
        let message = Codec::new().decode(&mut BytesMut::from(&bytes(entry)[..]));
        let message = message.unwrap().unwrap();
        // An extension handshake may be refused by who reads its payload.
        if let Some((name, fields)) = describe(&message, entry) {
            assert_eq!(entry["message"], name);
            assert_eq!(entry["fields"], fields, "{entry:?}");
        }
    }
}

#[test]
fn unknown_messages_are_skipped() {
    let corpus: Vec<Map<String, Value>> =
        serde_json::from_str(include_str!("../fixtures/peer_wire.json")).unwrap();
    let unknown = corpus.iter().filter(|it| {
        let name = it.get("message").and_then(Value::as_str).unwrap_or("");
        name.starts_with("unknown")
    });
    for entry in unknown {
        let mut input = BytesMut::from(&bytes(entry)[..]);
        input.extend_from_slice(&[0, 0, 0, 1, 1]);
        let mut codec = Codec::new();
        assert_eq!(codec.decode(&mut input), Ok(Some(Message::Unchoke)));
    }
}

fn describe(message: &Message, entry: &Map<String, Value>) -> Option<(&'static str, Value)> {
    let request = |request: &rarest_metainfo::BlockRequest| {
        json!({
            "piece": request.piece,
            "begin": request.offset,
            "length": request.length,
        })
    };
    Some(match message {
        Message::KeepAlive => ("keep-alive", Value::Null),
        Message::Choke => ("choke", Value::Null),
        Message::Unchoke => ("unchoke", Value::Null),
        Message::Interested => ("interested", Value::Null),
        Message::NotInterested => ("not interested", Value::Null),
        Message::HaveAll => ("have all", Value::Null),
        Message::HaveNone => ("have none", Value::Null),
        Message::Have { piece } => ("have", json!({ "piece": piece })),
        Message::SuggestPiece { piece } => ("suggest piece", json!({ "piece": piece })),
        Message::AllowedFast { piece } => ("allowed fast", json!({ "piece": piece })),
        Message::Port(port) => ("port", json!({ "port": port })),
        Message::Request(it) => ("request", request(it)),
        Message::Cancel(it) => ("cancel", request(it)),
        Message::RejectRequest(it) => ("reject request", request(it)),
        Message::Piece {
            piece,
            offset,
            data,
        } => {
            let fields = json!({ "piece": piece, "begin": offset, "block_hex": hex(data) });
            ("piece", fields)
        }
        Message::Bitfield(bytes) => {
            let geometry = geometry(number(entry, "num_pieces"));
            let pieces = Bitfield::from_bytes(bytes, &geometry).ok()?;
            let pieces: Vec<_> = pieces.iter().map(PieceIndex::get).collect();
            ("bitfield", json!({ "pieces": pieces }))
        }
        Message::HashRequest(range) => ("hash request", hash_range(range)),
        Message::HashReject(range) => ("hash reject", hash_range(range)),
        Message::Hashes { range, hashes } => {
            let mut fields = hash_range(range);
            fields["hashes"] = hashes.chunks(32).map(hex).collect();
            ("hashes", fields)
        }
        Message::Extended { id: 0, payload } => {
            let handshake = ExtensionHandshake::decode(payload).ok()?;
            assert_eq!(
                ExtensionHandshake::decode(&handshake.encode()).as_ref(),
                Ok(&handshake)
            );
            ("extended", extension_handshake(&handshake))
        }
        Message::Extended { .. } => ("extended", Value::Null),
    })
}

fn hash_range(range: &HashRange) -> Value {
    json!({
        "pieces_root": hex(&range.pieces_root),
        "base_layer": range.base_layer,
        "index": range.index,
        "length": range.length,
        "proof_layers": range.proof_layers,
    })
}

fn extension_handshake(handshake: &ExtensionHandshake) -> Value {
    let ids = handshake.ids.iter().cloned();
    let ids: Map<_, _> = ids.map(|(name, id)| (name, id.into())).collect();
    let mut fields = json!({ "extended": "handshake", "ids": ids });
    for (key, value) in [
        ("client", handshake.client.as_ref().map(|it| json!(it))),
        ("port", handshake.listen_port.map(|it| json!(it))),
        ("reqq", handshake.request_queue.map(|it| json!(it))),
        ("yourip", handshake.your_ip.map(|it| json!(it.to_string()))),
        ("ipv4", handshake.ipv4.map(|it| json!(it.to_string()))),
        ("ipv6", handshake.ipv6.map(|it| json!(it.to_string()))),
        ("metadata_size", handshake.metadata_size.map(|it| json!(it))),
        (
            "upload_only",
            handshake.upload_only.map(|it| json!(u8::from(it))),
        ),
    ] {
        if let Some(value) = value {
            fields[key] = value;
        }
    }
    fields
}

#[test]
fn metadata_payloads() {
    check("ut_metadata", |entry| {
        let message = MetadataMessage::decode(&bytes(entry)).ok()?;
        assert_eq!(
            MetadataMessage::decode(&message.encode().into()).as_ref(),
            Ok(&message)
        );
        Some(match message {
            MetadataMessage::Request { piece } => json!({ "msg_type": "request", "piece": piece }),
            MetadataMessage::Data {
                piece,
                total_size,
                data,
            } => json!({
                "msg_type": "data",
                "piece": piece,
                "total_size": total_size,
                "data_hex": hex(&data),
            }),
            MetadataMessage::Reject { piece } => json!({ "msg_type": "reject", "piece": piece }),
            MetadataMessage::Unknown { msg_type } => json!({ "msg_type": msg_type }),
        })
    });
}

#[test]
fn pex_payloads() {
    let addr = |addr: SocketAddr| json!({ "ip": addr.ip().to_string(), "port": addr.port() });
    check("ut_pex", |entry| {
        let pex = Pex::decode(&bytes(entry)).ok()?;
        assert_eq!(Pex::decode(&pex.encode()).as_ref(), Ok(&pex));
        let added: Vec<_> = pex
            .added
            .iter()
            .map(|peer| {
                let mut fields = addr(peer.addr);
                if peer.flags.0 != 0 {
                    fields["flags"] = peer.flags.0.into();
                }
                fields
            })
            .collect();
        let dropped: Vec<_> = pex.dropped.iter().copied().map(addr).collect();
        Some(json!({ "added": added, "dropped": dropped }))
    });
}

#[test]
fn holepunch_payloads() {
    check("ut_holepunch", |entry| {
        let message = Holepunch::decode(&bytes(entry)).ok()?;
        let encoded = message.encode();
        assert_eq!(Holepunch::decode(&encoded), Ok(message));
        assert!(encoded.starts_with(&bytes(entry)));
        let (name, error) = match message.kind {
            HolepunchKind::Rendezvous => ("rendezvous", 0),
            HolepunchKind::Connect => ("connect", 0),
            HolepunchKind::Error(code) => ("error", code.number()),
        };
        Some(json!({
            "type": name,
            "ip": message.addr.ip().to_string(),
            "port": message.addr.port(),
            "error": error,
        }))
    });
}

#[test]
fn donthave_payloads() {
    check("lt_donthave", |entry| {
        let piece = donthave::decode(&bytes(entry)).ok()?;
        assert_eq!(donthave::encode(piece)[..], bytes(entry)[..]);
        Some(json!({ "piece": piece }))
    });
}

#[test]
fn streams_give_the_same_messages_however_they_are_cut() {
    check("stream", |entry| {
        let stream = bytes(entry);
        let whole = read_in_parts(&[&stream]);
        assert_eq!(json!(whole), entry["messages"]);
        let single: Vec<_> = stream.chunks(1).collect();
        assert_eq!(read_in_parts(&single), whole);
        for cut in 0..=stream.len() {
            assert_eq!(read_in_parts(&[&stream[..cut], &stream[cut..]]), whole);
        }
        Some(Value::Null)
    });
}

fn read_in_parts(parts: &[&[u8]]) -> Vec<&'static str> {
    let mut codec = Codec::new();
    let mut input = BytesMut::new();
    let mut names = Vec::new();
    for part in parts {
        input.extend_from_slice(part);
        while let Some(message) = codec.decode(&mut input).unwrap() {
            names.push(describe(&message, &Map::new()).unwrap().0);
        }
    }
    assert!(input.is_empty());
    names
}

#[test]
fn allowed_fast_sets() {
    check("allowed fast set", |entry| {
        let ip = entry["ip"].as_str().unwrap().parse().unwrap();
        let info_hash = unhex(entry["info_hash"].as_str().unwrap());
        let info_hash = InfoHash(info_hash[..].try_into().unwrap());
        let geometry = geometry(number(entry, "num_pieces"));
        let count = number(entry, "k") as usize;
        let set = allowed_fast_set(ip, info_hash, &geometry, count);
        let set: Vec<_> = set.into_iter().map(PieceIndex::get).collect();
        assert_eq!(json!(set), entry["set"]);
        Some(Value::Null)
    });
}

#[test]
fn peer_priorities() {
    check("peer priority", |entry| {
        let addr = |ip: &str, port: &str| {
            let ip: std::net::IpAddr = entry[ip].as_str().unwrap().parse().unwrap();
            SocketAddr::from((ip, u16::try_from(entry[port].as_u64().unwrap()).unwrap()))
        };
        let (a, b) = (addr("a", "port_a"), addr("b", "port_b"));
        let priority = peer_priority(a, b);
        assert_eq!(priority, peer_priority(b, a));
        assert_eq!(format!("{priority:08x}"), entry["priority"]);
        Some(Value::Null)
    });
}
