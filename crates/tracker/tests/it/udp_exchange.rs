//! Two ends of the UDP protocol in virtual time: an exchange and a tracker played by the test.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rarest_metainfo::InfoHash;
use rarest_tracker::udp::{
    CONNECTION_LIFETIME, Config, ConnectionId, MAX_REQUESTS, Outcome, Request, RequestId, Response,
    TransactionId, UdpExchange, UrlData,
};
use rarest_tracker::{AnnounceReply, Error, Family, Peer, SwarmCounts};

use crate::announce;

const TRACKER: &str = "203.0.113.1:6969";
const OTHER: &str = "203.0.113.2:6969";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

struct Wire {
    exchange: UdpExchange,
    now: Instant,
}

impl Wire {
    fn new(max_retransmissions: u32) -> Self {
        Self {
            exchange: UdpExchange::new(
                Config {
                    max_retransmissions,
                },
                [7; 32],
            ),
            now: crate::origin(),
        }
    }

    fn announce(&mut self) -> RequestId {
        self.announce_to(TRACKER)
    }

    fn announce_to(&mut self, tracker: &str) -> RequestId {
        self.exchange
            .announce(self.now, addr(tracker), announce(), UrlData::default())
            .unwrap()
    }

    fn sent(&mut self) -> Vec<(SocketAddr, Request)> {
        std::iter::from_fn(|| self.exchange.poll_transmit())
            .map(|transmit| (transmit.to, Request::decode(&transmit.datagram).unwrap()))
            .collect()
    }

    /// The one datagram that was sent.
    fn one_sent(&mut self) -> Request {
        let [(_, request)] = self.sent().try_into().unwrap();
        request
    }

    fn receive_from(&mut self, from: &str, response: &Response) {
        let from = addr(from);
        let datagram = response.encode(Family::of(from.ip()));
        self.exchange.handle_datagram(self.now, from, &datagram);
    }

    fn receive(&mut self, response: &Response) {
        self.receive_from(TRACKER, response);
    }

    /// Answers a connect request and returns what is sent then.
    fn connect(&mut self, id: u64) -> Request {
        let request = self.one_sent();
        let Request::Connect { transaction } = request else {
            panic!("no connect request but {request:?}");
        };
        self.receive(&Response::Connect {
            transaction,
            connection: ConnectionId(id),
        });
        self.one_sent()
    }

    fn answer(&mut self, request: &Request) {
        self.receive(&Response::Announce {
            transaction: transaction(request),
            reply: reply(),
        });
    }

    fn refuse(&mut self, request: &Request) {
        let message = "no".to_owned();
        self.receive(&Response::Error {
            transaction: transaction(request),
            message,
        });
    }

    fn outcome(&mut self) -> (RequestId, Outcome) {
        self.exchange.poll_outcome().unwrap()
    }

    /// Goes to the next time-out; returns the seconds that it took.
    fn wait(&mut self) -> u64 {
        let at = self.exchange.next_timeout().unwrap();
        let waited = at - self.now;
        self.now = at;
        self.exchange.handle_timeout(at);
        waited.as_secs()
    }

    fn is_idle(&self) -> bool {
        self.exchange.next_timeout().is_none() && self.exchange.requests_under_way() == 0
    }
}

fn transaction(request: &Request) -> TransactionId {
    match request {
        Request::Connect { transaction }
        | Request::Announce { transaction, .. }
        | Request::Scrape { transaction, .. } => *transaction,
    }
}

fn connection(request: &Request) -> Option<u64> {
    match request {
        Request::Connect { .. } => None,
        Request::Announce { connection, .. } | Request::Scrape { connection, .. } => {
            Some(connection.0)
        }
    }
}

fn reply() -> AnnounceReply {
    AnnounceReply {
        interval: Some(secs(1800)),
        seeders: Some(1),
        leechers: Some(2),
        peers: vec![Peer {
            address: addr("198.51.100.7:6881"),
            id: None,
        }],
        ..AnnounceReply::default()
    }
}

#[test]
fn an_announce_connects_first() {
    let mut wire = Wire::new(8);
    let id = wire.announce();
    let sent = wire.connect(77);
    assert_eq!(connection(&sent), Some(77));
    wire.answer(&sent);
    let (done, outcome) = wire.outcome();
    assert_eq!(done, id);
    assert!(matches!(outcome, Outcome::Announced(got) if got == reply()));
    assert!(wire.is_idle());
}

#[test]
fn a_scrape_pairs_counts_with_hashes() {
    let mut wire = Wire::new(8);
    let hashes = [InfoHash([9; 20]), InfoHash([1; 20]), InfoHash([5; 20])];
    wire.exchange
        .scrape(wire.now, addr(TRACKER), &hashes)
        .unwrap();
    let sent = wire.connect(1);
    let counts = |seeders| SwarmCounts {
        seeders: Some(seeders),
        leechers: Some(0),
        downloads: Some(0),
        downloaders: None,
    };
    wire.receive(&Response::Scrape {
        transaction: transaction(&sent),
        swarms: vec![counts(4), counts(8)],
    });
    let (_, Outcome::Scraped(reply)) = wire.outcome() else {
        panic!("the scrape failed");
    };
    let seeders = |hash: &InfoHash| reply.swarms.get(hash).and_then(|counts| counts.seeders);
    assert_eq!(hashes.each_ref().map(seeders), [Some(4), Some(8), None]);
}

#[test]
fn at_most_74_hashes_are_scraped_at_once() {
    let mut wire = Wire::new(8);
    let hashes = [InfoHash([1; 20]); 100];
    wire.exchange
        .scrape(wire.now, addr(TRACKER), &hashes)
        .unwrap();
    let Request::Scrape { info_hashes, .. } = wire.connect(1) else {
        panic!("no scrape");
    };
    assert_eq!(info_hashes.len(), 74);
}

#[test]
fn time_outs_double_from_15_seconds_and_end_after_eight_retransmissions() {
    let mut wire = Wire::new(8);
    wire.announce();
    let first = wire.connect(1);
    // The connection id expires meanwhile; renewing it takes no time here.
    let mut waits = vec![wire.wait()];
    while wire.exchange.requests_under_way() > 0 {
        let sent = wire.one_sent();
        let sent = if connection(&sent).is_none() {
            let transaction = transaction(&sent);
            wire.receive(&Response::Connect {
                transaction,
                connection: ConnectionId(2),
            });
            wire.one_sent()
        } else {
            sent
        };
        assert_eq!(
            transaction(&sent),
            transaction(&first),
            "late answers still count"
        );
        waits.push(wire.wait());
    }
    assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1920, 3840]);
    assert!(
        matches!(wire.outcome().1, Outcome::Failed(Error::TimedOut(after)) if after == secs(7665))
    );
    assert!(wire.is_idle());
}

#[test]
fn connecting_is_retried_and_given_up_in_the_same_way() {
    let mut wire = Wire::new(2);
    wire.announce();
    wire.announce();
    let mut waits = Vec::new();
    while wire.exchange.requests_under_way() > 0 {
        assert!(
            matches!(wire.one_sent(), Request::Connect { .. }),
            "one for both"
        );
        waits.push(wire.wait());
    }
    assert_eq!(waits, [15, 30, 60]);
    for _ in 0..2 {
        assert!(matches!(
            wire.outcome().1,
            Outcome::Failed(Error::TimedOut(_))
        ));
    }
    assert!(wire.is_idle());
}

#[test]
fn a_connection_id_is_used_for_a_minute() {
    let mut wire = Wire::new(8);
    wire.announce();
    let sent = wire.connect(77);
    wire.answer(&sent);
    wire.now += CONNECTION_LIFETIME - secs(1);
    wire.announce();
    let sent = wire.one_sent();
    assert_eq!(connection(&sent), Some(77));
    wire.answer(&sent);
    wire.now += secs(1);
    wire.announce();
    assert_eq!(connection(&wire.one_sent()), None, "it asks for a new one");
}

#[test]
fn requests_that_wait_for_the_same_tracker_share_a_connection() {
    let mut wire = Wire::new(8);
    for _ in 0..10 {
        wire.announce();
    }
    let Request::Connect { transaction } = wire.one_sent() else {
        panic!("no connect request");
    };
    wire.receive(&Response::Connect {
        transaction,
        connection: ConnectionId(5),
    });
    assert_eq!(wire.sent().len(), 10);
}

#[test]
fn a_tracker_that_forgot_the_connection_id_is_connected_to_again() {
    let mut wire = Wire::new(8);
    wire.announce();
    let sent = wire.connect(1);
    wire.answer(&sent);
    wire.outcome();
    wire.announce();
    let sent = wire.one_sent();
    wire.refuse(&sent);
    let again = wire.connect(2);
    assert_eq!(connection(&again), Some(2));
    wire.refuse(&again);
    let (_, Outcome::Failed(Error::Refused(failure))) = wire.outcome() else {
        panic!("the second refusal is meant");
    };
    assert_eq!(failure.reason, "no");
    assert!(wire.is_idle());
}

#[test]
fn what_is_no_answer_to_us_is_ignored() {
    let mut wire = Wire::new(8);
    wire.announce();
    let sent = wire.connect(1);
    let right = transaction(&sent);
    let wrong = TransactionId(right.0 ^ 1);
    wire.receive(&Response::Announce {
        transaction: wrong,
        reply: reply(),
    });
    wire.receive_from(
        OTHER,
        &Response::Announce {
            transaction: right,
            reply: reply(),
        },
    );
    wire.receive_from(
        "203.0.113.1:1",
        &Response::Announce {
            transaction: right,
            reply: reply(),
        },
    );
    wire.receive(&Response::Scrape {
        transaction: right,
        swarms: vec![],
    });
    wire.receive(&Response::Connect {
        transaction: right,
        connection: ConnectionId(9),
    });
    let tracker = addr(TRACKER);
    for garbage in [&b""[..], b"\0", &[0xff; 16], &[0; 4], &[0xff; 2000]] {
        wire.exchange.handle_datagram(wire.now, tracker, garbage);
    }
    assert!(wire.exchange.poll_outcome().is_none());
    wire.answer(&sent);
    assert!(
        matches!(wire.outcome().1, Outcome::Announced(_)),
        "the request went on"
    );
    wire.answer(&sent);
    assert!(
        wire.exchange.poll_outcome().is_none(),
        "a second answer is none"
    );
}

#[test]
fn peers_over_ipv6_have_18_bytes() {
    let mut wire = Wire::new(8);
    wire.announce_to("[2001:db8::1]:6969");
    let transaction = transaction(&wire.one_sent());
    let from = "[2001:db8::1]:6969";
    wire.receive_from(
        from,
        &Response::Connect {
            transaction,
            connection: ConnectionId(1),
        },
    );
    let sent = wire.one_sent();
    let peer = Peer {
        address: addr("[2001:db8::2]:5"),
        id: None,
    };
    let reply = AnnounceReply {
        peers: vec![peer],
        ..reply()
    };
    wire.receive_from(
        from,
        &Response::Announce {
            transaction: self::transaction(&sent),
            reply,
        },
    );
    let (_, Outcome::Announced(reply)) = wire.outcome() else {
        panic!("the announce failed");
    };
    assert_eq!(reply.peers, [peer]);
}

#[test]
fn ipv4_trackers_answer_through_ipv6_sockets_too() {
    let mut wire = Wire::new(8);
    wire.announce();
    let sent = wire.connect(1);
    let datagram = Response::Announce {
        transaction: transaction(&sent),
        reply: reply(),
    }
    .encode(Family::V4);
    wire.exchange
        .handle_datagram(wire.now, addr("[::ffff:203.0.113.1]:6969"), &datagram);
    assert!(matches!(wire.outcome().1, Outcome::Announced(got) if got.peers.len() == 1));
}

#[test]
fn one_silent_tracker_delays_no_other() {
    let mut wire = Wire::new(8);
    wire.announce_to(OTHER);
    wire.sent();
    let id = wire.announce();
    let sent = wire.connect(1);
    wire.answer(&sent);
    assert_eq!(wire.outcome().0, id);
}

#[test]
fn a_refused_connection_fails_all_who_wait_for_it() {
    let mut wire = Wire::new(8);
    wire.announce();
    wire.announce();
    let connect = wire.one_sent();
    wire.refuse(&connect);
    for _ in 0..2 {
        assert!(matches!(
            wire.outcome().1,
            Outcome::Failed(Error::Refused(_))
        ));
    }
    assert!(wire.is_idle());
}

#[test]
fn cancelled_requests_leave_nothing_behind() {
    let mut wire = Wire::new(8);
    let waiting = wire.announce();
    wire.exchange.cancel(waiting);
    assert!(wire.is_idle());
    wire.sent();
    let sent_id = wire.announce();
    let sent = wire.connect(1);
    wire.exchange.cancel(sent_id);
    wire.answer(&sent);
    assert!(wire.exchange.poll_outcome().is_none());
    assert!(wire.is_idle());
}

#[test]
fn the_outcome_of_a_cancelled_request_is_not_told() {
    let mut wire = Wire::new(8);
    let (first, second) = (wire.announce(), wire.announce());
    let connect = wire.one_sent();
    wire.refuse(&connect);
    wire.exchange.cancel(first);
    assert_eq!(wire.outcome().0, second);
    assert!(wire.exchange.poll_outcome().is_none());
}

#[test]
fn requests_under_way_are_bounded() {
    let mut wire = Wire::new(8);
    for _ in 0..MAX_REQUESTS {
        wire.announce();
    }
    let refused = wire
        .exchange
        .announce(wire.now, addr(TRACKER), announce(), UrlData::default());
    assert!(matches!(refused, Err(Error::Busy)));
}

#[test]
fn a_long_sleep_sends_each_request_once() {
    let mut wire = Wire::new(8);
    wire.announce();
    wire.connect(1);
    wire.now += secs(100_000);
    wire.exchange.handle_timeout(wire.now);
    assert_eq!(wire.sent().len(), 1);
}
