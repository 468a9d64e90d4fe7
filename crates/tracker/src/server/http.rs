//! The HTTP side of the server.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use rarest_bencode::encode_dict;
use rarest_metainfo::{InfoHash, PeerId};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::swarms::{Swarms, of_family};
use super::{lock, now};
use crate::announce::{Announce, AnnounceReply, Event, Failure, Family, Peer};
use crate::compact::encode_peer;
use crate::scrape::{MAX_HASHES_PER_SCRAPE, SwarmCounts};

/// Connections at once; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 1024;

/// How long a client may take to send a request's head, and to keep a connection idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long one connection is served at most, so that nobody holds one by reading slowly.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of a request's head; a scrape of [`MAX_HASHES_PER_SCRAPE`] takes 5 KiB.
const MAX_HEAD_LENGTH: usize = 16 * 1024;

/// How long to rest when the system has no more file descriptors.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn serve(listener: TcpListener, swarms: Arc<Mutex<Swarms>>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            continue;
        };
        let swarms = Arc::clone(&swarms);
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = respond(&swarms, from, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD_LENGTH)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks its connection has told us all that there is to know.
            let _ended = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(permit);
        });
    }
}

fn respond(
    swarms: &Mutex<Swarms>,
    from: SocketAddr,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default();
    let answered = match (request.method(), request.uri().path()) {
        (&Method::GET, "/announce") => announce(swarms, from.ip(), query),
        (&Method::GET, "/scrape") => Ok(scrape(swarms, query)),
        (&Method::GET, _) => return status(StatusCode::NOT_FOUND),
        _ => return status(StatusCode::METHOD_NOT_ALLOWED),
    };
    let body = answered.unwrap_or_else(|failure| failure_body(&failure));
    let mut response = Response::new(Full::from(body));
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// What stands in the query beside the announce itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerFormat {
    Compact,
    Dictionaries,
    DictionariesWithoutId,
}

fn announce(swarms: &Mutex<Swarms>, from: IpAddr, query: &str) -> Result<Vec<u8>, Failure> {
    let announce = parse_announce(query)?;
    let reply = lock(swarms).announce(now(), from, &announce)?;
    let format = match (value(query, "compact"), value(query, "no_peer_id")) {
        (Some(compact), Some(no_peer_id)) if compact == b"0" && no_peer_id == b"1" => {
            PeerFormat::DictionariesWithoutId
        }
        (Some(compact), _) if compact == b"0" => PeerFormat::Dictionaries,
        _ => PeerFormat::Compact,
    };
    Ok(announce_body(&reply, format))
}

fn parse_announce(query: &str) -> Result<Announce, Failure> {
    let event = match value(query, "event").as_deref() {
        None | Some(b"" | b"empty") => Event::Regular,
        Some(b"started") => Event::Started,
        Some(b"completed") => Event::Completed,
        Some(b"stopped") => Event::Stopped,
        Some(_) => return Err(refusal("the event is unknown")),
    };
    Ok(Announce {
        info_hash: InfoHash(bytes20(query, "info_hash")?),
        peer_id: PeerId(bytes20(query, "peer_id")?),
        port: number(query, "port").ok_or_else(|| refusal("the port is missing"))?,
        uploaded: number(query, "uploaded").unwrap_or(0),
        downloaded: number(query, "downloaded").unwrap_or(0),
        // Who does not say what is missing is no seeder.
        left: number(query, "left").unwrap_or(1),
        event,
        key: 0,
        num_want: number(query, "numwant"),
        tracker_id: None,
    })
}

fn scrape(swarms: &Mutex<Swarms>, query: &str) -> Vec<u8> {
    let asked = pairs(query).filter(|(name, _)| *name == "info_hash");
    let hashes = asked.filter_map(|(_, value)| decode(value).try_into().ok().map(InfoHash));
    let mut hashes: Vec<_> = hashes.take(MAX_HASHES_PER_SCRAPE).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let mut swarms = lock(swarms);
    let counts: Vec<_> = hashes
        .iter()
        .map(|hash| (*hash, swarms.scrape(now(), *hash)))
        .collect();
    scrape_body(&counts)
}

fn announce_body(reply: &AnnounceReply, format: PeerFormat) -> Vec<u8> {
    let body = encode_dict(|body| {
        body.int("complete", reply.seeders.unwrap_or(0));
        body.int("downloaded", reply.downloads.unwrap_or(0));
        body.int("incomplete", reply.leechers.unwrap_or(0));
        body.int("interval", reply.interval.unwrap_or_default().as_secs());
        match reply.external_ip {
            Some(IpAddr::V4(ip)) => drop(body.bytes("external ip", ip.octets())),
            Some(IpAddr::V6(ip)) => drop(body.bytes("external ip", ip.octets())),
            None => {}
        }
        match format {
            PeerFormat::Compact => {
                body.bytes("peers", compact(&reply.peers, Family::V4));
                body.bytes("peers6", compact(&reply.peers, Family::V6));
            }
            PeerFormat::Dictionaries | PeerFormat::DictionariesWithoutId => {
                body.list("peers", |list| {
                    for peer in &reply.peers {
                        list.dict(|entry| {
                            entry.bytes("ip", peer.address.ip().to_string());
                            entry.int("port", peer.address.port());
                            if let (PeerFormat::Dictionaries, Some(id)) = (format, peer.id) {
                                entry.bytes("peer id", id.as_bytes());
                            }
                        });
                    }
                });
            }
        }
    });
    body.expect("no key is written twice")
}

fn scrape_body(counts: &[(InfoHash, SwarmCounts)]) -> Vec<u8> {
    let body = encode_dict(|body| {
        body.dict("files", |files| {
            for (info_hash, counts) in counts {
                files.dict(info_hash.as_bytes(), |swarm| {
                    swarm.int("complete", counts.seeders.unwrap_or(0));
                    swarm.int("downloaded", counts.downloads.unwrap_or(0));
                    swarm.int("incomplete", counts.leechers.unwrap_or(0));
                });
            }
        });
    });
    body.expect("the hashes were made unique")
}

fn failure_body(failure: &Failure) -> Vec<u8> {
    let body = encode_dict(|body| {
        body.bytes("failure reason", &failure.reason);
    });
    body.expect("one key is not written twice")
}

fn compact(peers: &[Peer], family: Family) -> Vec<u8> {
    let mut compact = Vec::new();
    for peer in of_family(peers, family) {
        encode_peer(peer.address, family, &mut compact);
    }
    compact
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

fn decode(value: &str) -> Vec<u8> {
    percent_decode_str(value).collect()
}

fn value(query: &str, name: &str) -> Option<Vec<u8>> {
    pairs(query)
        .find(|(key, _)| *key == name)
        .map(|(_, value)| decode(value))
}

fn number<N: std::str::FromStr>(query: &str, name: &str) -> Option<N> {
    pairs(query).find(|(key, _)| *key == name)?.1.parse().ok()
}

fn bytes20(query: &str, name: &str) -> Result<[u8; 20], Failure> {
    let bytes = value(query, name).unwrap_or_default();
    bytes
        .try_into()
        .map_err(|_| refusal(&format!("{name} has not 20 bytes")))
}

fn refusal(reason: &str) -> Failure {
    Failure {
        reason: reason.to_owned(),
        retry: None,
    }
}
