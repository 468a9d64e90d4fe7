//! The fixtures: messages with what a correct client reads from them.

use std::net::IpAddr;
use std::time::Duration;

use rarest_metainfo::InfoHash;
use rarest_tracker::udp::{Request, Response, UrlData};
use rarest_tracker::{
    AnnounceReply, Error, Event, Failure, Family, Retry, ScrapeReply, TrackerUrl, http,
};
use serde_json::Value;

fn entries(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap()
}

fn http_entries(request: &str) -> impl Iterator<Item = Value> {
    let all = entries(include_str!("../fixtures/tracker_http.json"));
    all.into_iter()
        .filter(move |entry| entry["request"] == request)
}

fn udp_entries(kind: &str) -> impl Iterator<Item = Value> {
    let all = entries(include_str!("../fixtures/tracker_udp.json"));
    all.into_iter().filter(move |entry| entry["kind"] == kind)
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares each field that the fixture names.
fn check<F: Fn(&str) -> Value>(entry: &Value, expected: &Value, field: F) {
    for (name, expected) in expected.as_object().into_iter().flatten() {
        if name == "hosts" || name.starts_with("note") {
            continue;
        }
        assert_eq!(&field(name), expected, "{name} of {entry}");
    }
}

fn secs(duration: Option<Duration>) -> Value {
    duration.map(|duration| duration.as_secs()).into()
}

fn peers(reply: &AnnounceReply, expected: &Value) -> Value {
    let with_id = |at: usize| expected["peers"][at].get("id_hex").is_some();
    reply
        .peers
        .iter()
        .enumerate()
        .map(|(at, peer)| {
            let mut value = serde_json::json!({
                "ip": peer.address.ip().to_string(), "port": peer.address.port(),
            });
            if let (true, Some(id)) = (with_id(at), peer.id) {
                value["id_hex"] = hex(id.as_bytes()).into();
            }
            value
        })
        .collect()
}

fn announce_field(reply: &AnnounceReply, expected: &Value, name: &str) -> Value {
    match name {
        "peers" => peers(reply, expected),
        "peers_count" => reply.peers.len().into(),
        "interval" => secs(reply.interval.or(Some(Duration::ZERO))),
        "interval_usable" => reply.interval.is_some().into(),
        "min_interval" => secs(reply.min_interval),
        "complete" | "seeders" => reply.seeders.into(),
        "incomplete" | "leechers" => reply.leechers.into(),
        "downloaded" => reply.downloads.into(),
        "warning" => reply.warning.clone().into(),
        "external_ip" => reply.external_ip.map(|ip: IpAddr| ip.to_string()).into(),
        "tracker_id_hex" => reply.tracker_id.as_ref().map(|id| hex(id)).into(),
        other => panic!("the fixture expects an unknown field {other}"),
    }
}

fn failure_field(failure: &Failure, name: &str) -> Value {
    match (name, failure.retry) {
        ("failure_reason", _) => failure.reason.clone().into(),
        ("retry_in_minutes", Some(Retry::After(wait))) => (wait.as_secs() / 60).into(),
        _ => Value::Null,
    }
}

#[test]
fn http_announce_replies() {
    for entry in http_entries("announce") {
        let expected = &entry["expect"];
        match (
            http::parse_announce(&bytes(&entry["hex"])),
            entry["ok"].as_bool(),
        ) {
            (Ok(reply), Some(true) | None) => {
                check(&entry, expected, |name| {
                    announce_field(&reply, expected, name)
                });
            }
            (Err(Error::Refused(failure)), Some(true)) => {
                check(&entry, expected, |name| failure_field(&failure, name));
            }
            (Err(Error::Reply(_)), Some(false) | None) => {}
            (other, _) => panic!("{other:?} for {entry}"),
        }
    }
}

#[test]
fn http_scrape_replies() {
    for entry in http_entries("scrape") {
        let expected = &entry["expect"];
        match (
            http::parse_scrape(&bytes(&entry["hex"])),
            entry["ok"].as_bool(),
        ) {
            (Ok(reply), Some(true)) => check_files(&entry, &reply),
            (Ok(reply), None) => {
                assert!(
                    reply.swarms.values().all(|counts| counts.seeders.is_none()),
                    "{entry}"
                );
            }
            (Err(Error::Refused(failure)), Some(true)) => {
                check(&entry, expected, |name| failure_field(&failure, name));
            }
            (Err(Error::Reply(_)), Some(false) | None) => {}
            (other, _) => panic!("{other:?} for {entry}"),
        }
    }
}

fn check_files(entry: &Value, reply: &ScrapeReply) {
    let files = entry["expect"]["files"].as_object().unwrap();
    assert_eq!(reply.swarms.len(), files.len(), "{entry}");
    for (hash, expected) in files {
        let hash = InfoHash(bytes(&Value::from(hash.as_str())).try_into().unwrap());
        let counts = reply.swarms[&hash];
        check(entry, expected, |name| match name {
            "complete" => counts.seeders.into(),
            "incomplete" => counts.leechers.into(),
            "downloaded" => counts.downloads.into(),
            "downloaders" => counts.downloaders.into(),
            other => panic!("the fixture expects an unknown field {other}"),
        });
    }
}

#[test]
fn announce_urls() {
    for entry in http_entries("build_url") {
        let tracker: TrackerUrl = entry["announce"].as_str().unwrap().parse().unwrap();
        let mut announce = crate::announce();
        announce.info_hash = InfoHash(bytes(&entry["info_hash"]).try_into().unwrap());
        let url = http::announce_url(&tracker, &announce);
        assert!(
            url.contains(entry["expect_contains"].as_str().unwrap()),
            "{url} for {entry}"
        );
    }
}

#[test]
fn scrape_urls() {
    for entry in http_entries("scrape_url") {
        let tracker: TrackerUrl = entry["announce"].as_str().unwrap().parse().unwrap();
        let url = http::scrape_url(&tracker, &[]);
        assert_eq!(Value::from(url), entry["expect"], "{entry}");
        assert_eq!(tracker.can_scrape(), entry["expect"].is_string(), "{entry}");
    }
}

#[test]
fn udp_requests() {
    for kind in ["connect request", "announce request", "scrape request"] {
        for entry in udp_entries(kind) {
            let packet = bytes(&entry["hex"]);
            let request = Request::decode(&packet).unwrap();
            check(&entry, &entry["fields"], |name| {
                request_field(&request, name)
            });
            assert_eq!(request.encode(), packet, "{entry}");
        }
    }
}

fn request_field(request: &Request, name: &str) -> Value {
    match (request, name) {
        (Request::Connect { .. }, "protocol_id") => "0x41727101980".into(),
        (Request::Connect { .. }, "action") => 0.into(),
        (Request::Announce { .. }, "action") => 1.into(),
        (Request::Scrape { .. }, "action") => 2.into(),
        (
            Request::Connect { transaction }
            | Request::Announce { transaction, .. }
            | Request::Scrape { transaction, .. },
            "transaction_id",
        ) => transaction.0.into(),
        (
            Request::Announce { connection, .. } | Request::Scrape { connection, .. },
            "connection_id",
        ) => hex(&connection.0.to_be_bytes()).into(),
        (Request::Scrape { info_hashes, .. }, "info_hashes") => {
            info_hashes.iter().map(ToString::to_string).collect()
        }
        (Request::Announce { announce, .. }, name) => match name {
            "info_hash" => announce.info_hash.to_string().into(),
            "peer_id_hex" => hex(announce.peer_id.as_bytes()).into(),
            "downloaded" => announce.downloaded.into(),
            "left" => announce.left.into(),
            "uploaded" => announce.uploaded.into(),
            "event" => match announce.event {
                Event::Regular => "none",
                Event::Started => "started",
                Event::Completed => "completed",
                Event::Stopped => "stopped",
            }
            .into(),
            "key" => announce.key.into(),
            "num_want" => announce.num_want.map_or((-1).into(), Value::from),
            "port" => announce.port.into(),
            // Never sent, never believed.
            "ip" => "0.0.0.0".into(),
            other => panic!("the fixture expects an unknown field {other}"),
        },
        (_, other) => panic!("the fixture expects an unknown field {other}"),
    }
}

#[test]
fn udp_responses() {
    for kind in [
        "connect response",
        "announce response",
        "scrape response",
        "error response",
        "any response",
    ] {
        for entry in udp_entries(kind) {
            let family = if entry["address_family"] == "ipv6" {
                Family::V6
            } else {
                Family::V4
            };
            let response = Response::decode(&bytes(&entry["hex"]), family);
            // The kind that was due decides, as a transaction does in an exchange.
            let is_due = matches!(
                (&response, kind),
                (Ok(Response::Connect { .. }), "connect response")
                    | (Ok(Response::Announce { .. }), "announce response")
                    | (Ok(Response::Scrape { .. }), "scrape response")
                    | (Ok(Response::Error { .. }), "error response")
            );
            match (response, entry["ok"].as_bool()) {
                (Ok(response), Some(true) | None) if is_due => {
                    let expected = &entry["fields"];
                    check(&entry, expected, |name| {
                        response_field(&response, expected, name)
                    });
                }
                (_, Some(false) | None) if !is_due => {}
                (other, _) => panic!("{other:?} for {entry}"),
            }
        }
    }
}

fn response_field(response: &Response, expected: &Value, name: &str) -> Value {
    match (response, name) {
        (Response::Connect { .. }, "action") => 0.into(),
        (response, "transaction_id") => response.transaction().0.into(),
        (Response::Connect { connection, .. }, "connection_id") => {
            hex(&connection.0.to_be_bytes()).into()
        }
        (Response::Announce { reply, .. }, name) => announce_field(reply, expected, name),
        (Response::Scrape { swarms, .. }, "entries") => swarms.iter().map(|counts| {
            serde_json::json!({
                "seeders": counts.seeders, "completed": counts.downloads, "leechers": counts.leechers,
            })
        }).collect(),
        (Response::Error { message, .. }, "message") => message.as_str().into(),
        (_, other) => panic!("the fixture expects an unknown field {other}"),
    }
}

#[test]
fn udp_options() {
    for entry in udp_entries("options") {
        let data = UrlData::decode(&bytes(&entry["hex"]));
        assert_eq!(data.is_ok(), entry["ok"] == true, "{entry}");
        let text = data
            .ok()
            .map(|data| String::from_utf8(data.as_bytes().to_vec()).unwrap());
        assert_eq!(Value::from(text), entry["url_data"], "{entry}");
    }
}

#[test]
fn urls_to_udp_options() {
    const ANNOUNCE_LENGTH: usize = 98;
    for entry in udp_entries("url to options") {
        let tracker = entry["url"].as_str().unwrap().parse().unwrap();
        let packet = Request::Announce {
            connection: rarest_tracker::udp::ConnectionId(1),
            transaction: rarest_tracker::udp::TransactionId(2),
            announce: crate::announce(),
            url_data: UrlData::of(&tracker),
        }
        .encode();
        let options = &packet[ANNOUNCE_LENGTH..];
        let without_empty_ones = if entry["hex"] == "0200" {
            String::new()
        } else {
            entry["hex"].as_str().unwrap().to_owned()
        };
        assert_eq!(hex(options), without_empty_ones, "{entry}");
    }
}
