//! The in-memory tracker: who is in which swarm, and our clients talking to it.

use std::net::IpAddr;
use std::time::Duration;

use rarest_metainfo::{InfoHash, PeerId};
use rarest_tracker::client::{Client, HttpClient, HttpConfig, UdpClient, UdpConfig};
use rarest_tracker::server::{Limits, Server, ServerConfig, Swarms};
use rarest_tracker::{Announce, Error, Event, Family, SwarmCounts, TrackerUrl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::announce;

const INTERVAL: Duration = Duration::from_secs(600);

fn swarms(limits: Limits) -> Swarms {
    Swarms::new(INTERVAL, limits, 1)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn seeder(port: u16) -> Announce {
    Announce {
        left: 0,
        ..leecher(port)
    }
}

fn leecher(port: u16) -> Announce {
    Announce { port, ..announce() }
}

fn counts(seeders: u32, leechers: u32, downloads: u32) -> SwarmCounts {
    SwarmCounts {
        seeders: Some(seeders),
        leechers: Some(leechers),
        downloads: Some(downloads),
        downloaders: None,
    }
}

#[test]
fn peers_learn_of_each_other_but_not_of_themselves() {
    let (mut swarms, now) = (swarms(Limits::default()), crate::origin());
    let here = ip("10.0.0.1");
    assert_eq!(swarms.announce(now, here, &leecher(1)).unwrap().peers, []);
    let reply = swarms.announce(now, here, &leecher(2)).unwrap();
    let ports: Vec<_> = reply.peers.iter().map(|peer| peer.address.port()).collect();
    assert_eq!(ports, [1]);
    assert_eq!((reply.seeders, reply.leechers), (Some(0), Some(2)));
    assert_eq!(reply.interval, Some(INTERVAL));
    assert_eq!(reply.external_ip, Some(here));
}

#[test]
fn seeders_are_not_sent_to_seeders() {
    let (mut swarms, now) = (swarms(Limits::default()), crate::origin());
    swarms.announce(now, ip("10.0.0.1"), &seeder(1)).unwrap();
    assert_eq!(
        swarms
            .announce(now, ip("10.0.0.2"), &seeder(2))
            .unwrap()
            .peers,
        []
    );
    assert_eq!(
        swarms
            .announce(now, ip("10.0.0.3"), &leecher(3))
            .unwrap()
            .peers
            .len(),
        2
    );
}

#[test]
fn completed_counts_once_and_stopped_leaves() {
    let (mut swarms, now) = (swarms(Limits::default()), crate::origin());
    let (here, hash) = (ip("10.0.0.1"), announce().info_hash);
    let completed = Announce {
        event: Event::Completed,
        ..seeder(1)
    };
    swarms.announce(now, here, &completed).unwrap();
    assert_eq!(
        swarms.scrape(now, hash),
        counts(1, 0, 0),
        "it was never seen downloading"
    );
    swarms.announce(now, here, &leecher(1)).unwrap();
    swarms.announce(now, here, &completed).unwrap();
    swarms.announce(now, here, &completed).unwrap();
    assert_eq!(swarms.scrape(now, hash), counts(1, 0, 1));
    swarms
        .announce(
            now,
            here,
            &Announce {
                event: Event::Stopped,
                ..seeder(1)
            },
        )
        .unwrap();
    assert_eq!(swarms.scrape(now, hash), counts(0, 0, 0));
    assert_eq!(swarms.peers(), 0);
}

#[test]
fn silent_peers_are_forgotten() {
    let (mut swarms, now) = (swarms(Limits::default()), crate::origin());
    let hash = announce().info_hash;
    swarms.announce(now, ip("10.0.0.1"), &leecher(1)).unwrap();
    swarms
        .announce(now + INTERVAL, ip("10.0.0.2"), &leecher(2))
        .unwrap();
    let forgotten = now + 2 * INTERVAL + Duration::from_secs(60);
    assert_eq!(
        swarms.scrape(forgotten - Duration::from_secs(1), hash),
        counts(0, 2, 0)
    );
    assert_eq!(swarms.scrape(forgotten, hash), counts(0, 1, 0));
    assert_eq!(swarms.scrape(forgotten + INTERVAL, hash), counts(0, 0, 0));
}

#[test]
fn memory_is_bounded() {
    let limits = Limits {
        swarms: 2,
        peers_per_swarm: 3,
        peers: 4,
    };
    let (mut swarms, now) = (swarms(limits), crate::origin());
    let here = ip("10.0.0.1");
    let mut enter = |hash: u8, port: u16| {
        let announce = Announce {
            info_hash: InfoHash([hash; 20]),
            ..leecher(port)
        };
        swarms
            .announce(now, here, &announce)
            .map_err(|failure| failure.reason)
    };
    let full = |what: &str| Err(format!("the {what} is full"));
    for port in 1..=3 {
        enter(1, port).unwrap();
    }
    assert_eq!(enter(1, 4), full("swarm"));
    enter(1, 3).unwrap();
    enter(2, 1).unwrap();
    assert_eq!(enter(2, 2), full("tracker"), "peers");
    assert_eq!(enter(3, 1), full("tracker"), "swarms");
    assert_eq!(swarms.peers(), 4);
}

#[test]
fn no_trace_is_left_of_swarms_that_everybody_left() {
    let limits = Limits {
        swarms: 1,
        ..Limits::default()
    };
    let (mut swarms, now) = (swarms(limits), crate::origin());
    for hash in 0..10 {
        for event in [Event::Started, Event::Stopped] {
            let announce = Announce {
                info_hash: InfoHash([hash; 20]),
                event,
                ..leecher(1)
            };
            swarms.announce(now, ip("10.0.0.1"), &announce).unwrap();
        }
    }
}

#[test]
fn no_more_than_200_peers_are_given() {
    let (mut swarms, now) = (swarms(Limits::default()), crate::origin());
    for port in 1..=500 {
        swarms
            .announce(now, ip("10.0.0.1"), &leecher(port))
            .unwrap();
    }
    let mut given = |num_want| {
        let announce = Announce {
            num_want,
            ..leecher(1)
        };
        swarms
            .announce(now, ip("10.0.0.1"), &announce)
            .unwrap()
            .peers
            .len()
    };
    assert_eq!(
        [
            given(None),
            given(Some(7)),
            given(Some(u32::MAX)),
            given(Some(0))
        ],
        [50, 7, 200, 0]
    );
}

#[test]
fn port_0_is_refused() {
    let (mut swarms, now) = (swarms(Limits::default()), crate::origin());
    assert!(swarms.announce(now, ip("10.0.0.1"), &leecher(0)).is_err());
}

fn start() -> Server {
    let both = || vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let config = ServerConfig {
        http: both(),
        udp: both(),
        ..ServerConfig::default()
    };
    Server::start(&config).unwrap()
}

fn client() -> Client {
    let http = HttpClient::new(HttpConfig::default()).unwrap();
    Client::new(http, UdpClient::new(UdpConfig::default()).unwrap())
}

fn family_of(url: &TrackerUrl) -> Family {
    Family::of(ip(url.host()))
}

#[tokio::test]
async fn all_four_ways_lead_into_the_same_swarm() {
    let (server, client) = (start(), client());
    let urls: Vec<_> = server.announce_urls().collect();
    assert_eq!(urls.len(), 4);
    for (at, url) in (0_u16..).zip(&urls) {
        let announce = Announce {
            peer_id: PeerId([1; 20]),
            ..leecher(100 + at)
        };
        let reply = client
            .announce(url, family_of(url), &announce)
            .await
            .unwrap();
        assert_eq!(reply.leechers, Some(u32::from(at) + 1), "{url}");
        assert_eq!(reply.interval, Some(Duration::from_secs(1800)), "{url}");
        let scraped = client
            .scrape(url, family_of(url), &[announce.info_hash])
            .await
            .unwrap();
        assert_eq!(
            scraped.swarms[&announce.info_hash].leechers,
            Some(u32::from(at) + 1),
            "{url}"
        );
    }
    assert_eq!(server.counts(announce().info_hash).leechers, Some(4));
    for (at, url) in (0_u16..).zip(&urls) {
        let announce = Announce {
            event: Event::Stopped,
            ..leecher(100 + at)
        };
        client
            .announce(url, family_of(url), &announce)
            .await
            .unwrap();
    }
    assert_eq!(server.counts(announce().info_hash).leechers, Some(0));
}

#[tokio::test]
async fn http_gives_peers_of_both_families_and_udp_of_its_own() {
    let (server, client) = (start(), client());
    let urls: Vec<_> = server.announce_urls().collect();
    let mut addresses = Vec::new();
    for (at, url) in (0_u16..).zip(&urls) {
        let announce = leecher(100 + at);
        client
            .announce(url, family_of(url), &announce)
            .await
            .unwrap();
        let reply = client
            .announce(url, family_of(url), &leecher(99))
            .await
            .unwrap();
        let mut found: Vec<_> = reply
            .peers
            .iter()
            .map(|peer| peer.address.to_string())
            .collect();
        found.retain(|address| !address.ends_with(":99"));
        found.sort();
        addresses.push(found.join(" "));
    }
    assert_eq!(
        addresses,
        [
            "127.0.0.1:100",
            "127.0.0.1:100 [::1]:101",
            "127.0.0.1:100 127.0.0.1:102",
            "[::1]:101 [::1]:103",
        ]
    );
}

#[tokio::test]
async fn the_external_address_is_told_over_http() {
    let (server, client) = (start(), client());
    let url = server.announce_urls().next().unwrap();
    let reply = client
        .announce(&url, Family::V4, &announce())
        .await
        .unwrap();
    assert_eq!(reply.external_ip, Some(ip("127.0.0.1")));
}

#[tokio::test]
async fn port_0_is_refused_over_both_protocols() {
    let (server, client) = (start(), client());
    for url in server.announce_urls() {
        let outcome = client.announce(&url, family_of(&url), &leecher(0)).await;
        assert!(
            matches!(outcome, Err(Error::Refused(_))),
            "{url}: {outcome:?}"
        );
    }
}

/// What the server answers to a request line.
async fn get(server: &Server, target: &str) -> String {
    let mut stream = TcpStream::connect(server.http_addresses()[0])
        .await
        .unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn peers_come_as_dictionaries_when_asked_for() {
    let (server, client) = (start(), client());
    let url = server.announce_urls().next().unwrap();
    client
        .announce(&url, Family::V4, &leecher(100))
        .await
        .unwrap();
    let query = "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=cccccccccccccccccccc&port=9&left=1&compact=0";
    let answer = get(&server, query).await;
    assert!(
        answer.ends_with("5:peersld2:ip9:127.0.0.17:peer id20:-RA0100-bbbbbbbbbbbb4:porti100eeee"),
        "{answer}"
    );
    let answer = get(&server, &format!("{query}&no_peer_id=1")).await;
    assert!(
        answer.ends_with("5:peersld2:ip9:127.0.0.14:porti100eeee"),
        "{answer}"
    );
}

#[tokio::test]
async fn bad_requests_are_refused_in_words() {
    let server = start();
    for (target, words) in [
        ("/announce", "info_hash has not 20 bytes"),
        (
            "/announce?info_hash=short&port=1",
            "info_hash has not 20 bytes",
        ),
        (
            "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=cccccccccccccccccccc",
            "the port is missing",
        ),
        (
            "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=cccccccccccccccccccc&port=99999",
            "the port is missing",
        ),
        ("/announce?event=x", "the event is unknown"),
        ("/", "404"),
    ] {
        let answer = get(&server, target).await;
        assert!(answer.contains(words), "{target}: {answer}");
    }
}

#[tokio::test]
async fn datagrams_that_are_no_requests_get_no_answer() {
    let server = start();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.udp_addresses()[0]).await.unwrap();
    for garbage in [&b""[..], b"x", &[0xff; 16], &[0; 98], &[0; 2000]] {
        socket.send(garbage).await.unwrap();
    }
    // What was answered to garbage would come before this.
    let forged = rarest_tracker::udp::Request::Scrape {
        connection: rarest_tracker::udp::ConnectionId(1),
        transaction: rarest_tracker::udp::TransactionId(7),
        info_hashes: vec![announce().info_hash],
    };
    socket.send(&forged.encode()).await.unwrap();
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).await.unwrap();
    assert_eq!(
        &buffer[..length],
        b"\0\0\0\x03\0\0\0\x07the connection id has expired"
    );
}

#[tokio::test]
async fn answers_over_udp_fit_into_one_datagram() {
    let (server, client) = (start(), client());
    let urls: Vec<_> = server.announce_urls().collect();
    for port in 1..=250 {
        client
            .announce(&urls[1], Family::V6, &leecher(port))
            .await
            .unwrap();
    }
    let announce = Announce {
        num_want: Some(200),
        ..leecher(1000)
    };
    let reply = client
        .announce(&urls[3], Family::V6, &announce)
        .await
        .unwrap();
    assert_eq!(reply.peers.len(), 76);
}
