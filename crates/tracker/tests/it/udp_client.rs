//! The UDP client against trackers of every kind, over loopback.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rarest_tracker::client::{BoxFuture, Network, UdpClient, UdpConfig};
use rarest_tracker::udp::{ConnectionId, Request, Response};
use rarest_tracker::{AnnounceReply, Error, Family, Peer, SwarmCounts, TrackerUrl};
use tokio::net::{TcpStream, UdpSocket};

use crate::announce;

/// A tracker played by the test.
struct Tracker {
    socket: UdpSocket,
}

impl Tracker {
    async fn start(address: &str) -> Self {
        Self {
            socket: UdpSocket::bind(address).await.unwrap(),
        }
    }

    fn url(&self) -> TrackerUrl {
        format!("udp://{}/announce?k=1", self.socket.local_addr().unwrap())
            .parse()
            .unwrap()
    }

    async fn receive(&self) -> (Request, SocketAddr) {
        let mut buffer = [0; 2048];
        let (length, from) = self.socket.recv_from(&mut buffer).await.unwrap();
        (Request::decode(&buffer[..length]).unwrap(), from)
    }

    async fn send(&self, response: &Response, to: SocketAddr) {
        let datagram = response.encode(Family::of(to.ip()));
        self.socket.send_to(&datagram, to).await.unwrap();
    }

    /// Answers requests as they should be answered.
    async fn serve(&self) -> ! {
        loop {
            let (request, from) = self.receive().await;
            let response = match request {
                Request::Connect { transaction } => Response::Connect {
                    transaction,
                    connection: ConnectionId(5),
                },
                Request::Announce {
                    transaction,
                    announce,
                    url_data,
                    ..
                } => {
                    assert_eq!(url_data.as_bytes(), b"/announce?k=1");
                    assert_eq!(announce, crate::announce());
                    Response::Announce {
                        transaction,
                        reply: reply(),
                    }
                }
                Request::Scrape {
                    transaction,
                    info_hashes,
                    ..
                } => {
                    let counts = SwarmCounts {
                        seeders: Some(3),
                        ..SwarmCounts::default()
                    };
                    Response::Scrape {
                        transaction,
                        swarms: vec![counts; info_hashes.len()],
                    }
                }
            };
            self.send(&response, from).await;
        }
    }
}

fn reply() -> AnnounceReply {
    AnnounceReply {
        interval: Some(Duration::from_secs(900)),
        seeders: Some(1),
        leechers: Some(2),
        peers: vec![Peer {
            address: "1.2.3.4:5".parse().unwrap(),
            id: None,
        }],
        ..AnnounceReply::default()
    }
}

fn client() -> UdpClient {
    UdpClient::new(UdpConfig::default()).unwrap()
}

/// `work` beside a tracker that serves meanwhile.
async fn beside<T>(tracker: &Tracker, work: impl Future<Output = T>) -> T {
    tokio::select! {
        done = work => done,
        never = tracker.serve() => never,
    }
}

#[tokio::test]
async fn announces_and_scrapes_are_answered() {
    let tracker = Tracker::start("127.0.0.1:0").await;
    let (client, url) = (client(), tracker.url());
    let got = beside(&tracker, client.announce(&url, Family::V4, &announce()))
        .await
        .unwrap();
    assert_eq!(got, reply());
    let hash = announce().info_hash;
    let got = beside(&tracker, client.scrape(&url, Family::V4, &[hash]))
        .await
        .unwrap();
    assert_eq!(got.swarms[&hash].seeders, Some(3));
}

/// A resolver that knows these addresses of every host.
#[derive(Debug)]
struct Known(Vec<SocketAddr>);

impl Network for Known {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Ok(self.0.clone()) })
    }

    fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        unreachable!("UDP has no connections")
    }
}

#[tokio::test]
async fn where_one_address_of_a_host_is_silent_the_next_one_is_asked() {
    let [silent, tracker] = [
        Tracker::start("127.0.0.1:0").await,
        Tracker::start("127.0.0.1:0").await,
    ];
    let addresses = [&silent, &tracker].map(|tracker| tracker.socket.local_addr().unwrap());
    let client = UdpClient::new(UdpConfig {
        network: Arc::new(Known(addresses.to_vec())),
        ..UdpConfig::default()
    })
    .unwrap();
    let url = "udp://host:1/announce?k=1".parse().unwrap();
    tokio::time::pause();
    let mut waits = Vec::new();
    for _ in 0..2 {
        let began = tokio::time::Instant::now();
        let got = beside(&tracker, client.announce(&url, Family::V4, &announce())).await;
        assert_eq!(got.unwrap(), reply());
        waits.push(began.elapsed().as_secs());
    }
    // The second time, the one that answered is asked first.
    assert_eq!(waits, [15, 0]);
}

#[tokio::test]
async fn ipv6_is_spoken() {
    let tracker = Tracker::start("[::1]:0").await;
    let (client, url) = (client(), tracker.url());
    let got = beside(&tracker, client.announce(&url, Family::V6, &announce()))
        .await
        .unwrap();
    assert_eq!(got.interval, reply().interval);
    let outcome = client.announce(&url, Family::V4, &announce()).await;
    assert!(
        matches!(outcome, Err(Error::NoAddress(Family::V4))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn all_trackers_are_spoken_to_from_one_socket() {
    let trackers = [
        Tracker::start("127.0.0.1:0").await,
        Tracker::start("127.0.0.1:0").await,
    ];
    let client = client();
    let mut senders = Vec::new();
    for tracker in &trackers {
        let url = tracker.url();
        let (client, announce) = (client.clone(), announce());
        tokio::spawn(async move { client.announce(&url, Family::V4, &announce).await });
        senders.push(tracker.receive().await.1);
    }
    assert_eq!(senders[0], senders[1]);
}

#[tokio::test]
async fn a_refusal_is_told() {
    let tracker = Tracker::start("127.0.0.1:0").await;
    let (client, url) = (client(), tracker.url());
    let refuse = async {
        let (Request::Connect { transaction }, from) = tracker.receive().await else {
            panic!("no connect request");
        };
        tracker
            .send(
                &Response::Error {
                    transaction,
                    message: "go away".into(),
                },
                from,
            )
            .await;
    };
    let announced = announce();
    let (outcome, ()) = tokio::join!(client.announce(&url, Family::V4, &announced), refuse);
    assert!(
        matches!(&outcome, Err(Error::Refused(failure)) if failure.reason == "go away"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn garbage_is_passed_over() {
    let tracker = Tracker::start("127.0.0.1:0").await;
    let (client, url) = (client(), tracker.url());
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let answer = async {
        let (request, from) = tracker.receive().await;
        let Request::Connect { transaction } = request else {
            panic!("no connect request");
        };
        for garbage in [&b""[..], b"x", &[0xff; 16], &[0; 1400]] {
            tracker.socket.send_to(garbage, from).await.unwrap();
        }
        let forged = Response::Error {
            transaction,
            message: "forged".into(),
        };
        stranger
            .send_to(&forged.encode(Family::V4), from)
            .await
            .unwrap();
        tracker
            .send(
                &Response::Connect {
                    transaction,
                    connection: ConnectionId(5),
                },
                from,
            )
            .await;
        tracker.serve().await;
    };
    let announced = announce();
    tokio::select! {
        outcome = client.announce(&url, Family::V4, &announced) => assert_eq!(outcome.unwrap(), reply()),
        () = answer => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_tracker_is_given_up() {
    let tracker = Tracker::start("127.0.0.1:0").await;
    let outcome = client()
        .announce(&tracker.url(), Family::V4, &announce())
        .await;
    let waited = Duration::from_secs(15 + 30 + 60);
    assert!(
        matches!(outcome, Err(Error::TimedOut(after)) if after >= waited),
        "{outcome:?}"
    );
    for _ in 0..3 {
        assert!(matches!(tracker.receive().await.0, Request::Connect { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_waits_for_is_not_sent_again() {
    let tracker = Tracker::start("127.0.0.1:0").await;
    let (client, url) = (client(), tracker.url());
    let announced = announce();
    tokio::select! {
        _ = client.announce(&url, Family::V4, &announced) => panic!("nobody answers"),
        _ = tracker.receive() => {}
    }
    let silence = tokio::time::timeout(Duration::from_secs(1000), tracker.receive()).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test]
async fn a_bound_family_is_the_only_one() {
    let config = UdpConfig {
        bind: vec!["127.0.0.1".parse().unwrap()],
        ..UdpConfig::default()
    };
    let client = UdpClient::new(config).unwrap();
    let tracker = Tracker::start("[::1]:0").await;
    let outcome = client
        .announce(&tracker.url(), Family::V6, &announce())
        .await;
    assert!(
        matches!(outcome, Err(Error::NoAddress(Family::V6))),
        "{outcome:?}"
    );
    let elsewhere = UdpConfig {
        bind: vec!["203.0.113.1".parse().unwrap()],
        ..UdpConfig::default()
    };
    assert!(
        UdpClient::new(elsewhere).is_err(),
        "an address that is not ours"
    );
}

#[tokio::test]
async fn an_http_tracker_is_not_asked_over_udp() {
    let tracker = "http://127.0.0.1:1/announce".parse().unwrap();
    let outcome = client().announce(&tracker, Family::V4, &announce()).await;
    assert!(matches!(outcome, Err(Error::NoClient(_))), "{outcome:?}");
}
