//! What must hold for any input; also run by the fuzzer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rarest_metainfo::{InfoHash, PeerId};
use rarest_tracker::udp::{
    Config, ConnectionId, Request, Response, TransactionId, UdpExchange, UrlData,
};
use rarest_tracker::{Announce, AnnounceReply, Event, Family, http};

/// Bodies of announces are read or refused, and what is kept is bounded.
pub(crate) fn announce_bodies(body: &[u8]) {
    if let Ok(reply) = http::parse_announce(body) {
        assert!(reply.peers.len() <= http::MAX_PEERS_PER_REPLY);
        assert!(reply.peers.iter().all(|peer| peer.address.port() != 0));
        assert!(reply.interval.is_none_or(|interval| !interval.is_zero()));
    }
}

/// Bodies of scrapes are read or refused.
pub(crate) fn scrape_bodies(body: &[u8]) {
    if let Ok(reply) = http::parse_scrape(body) {
        assert!(reply.swarms.len() * 20 <= body.len());
    }
}

/// Datagrams are read or refused; what was read is written and read again as the same.
pub(crate) fn datagrams(datagram: &[u8]) {
    if let Ok(request) = Request::decode(datagram) {
        assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(&request));
    }
    for family in [Family::V4, Family::V6] {
        if let Ok(response) = Response::decode(datagram, family) {
            let again = Response::decode(&response.encode(family), family);
            assert_eq!(again.as_ref(), Ok(&response));
        }
    }
}

/// An exchange lives through any order of requests, datagrams and times: `script` is read as a list of steps.
pub(crate) fn exchanges(script: &[u8]) {
    let trackers: [SocketAddr; 2] = [
        ([203, 0, 113, 1], 1).into(),
        ([0x2001, 0, 0, 0, 0, 0, 0, 1], 2).into(),
    ];
    let mut exchange = UdpExchange::new(
        Config {
            max_retransmissions: 3,
        },
        [7; 32],
    );
    let mut now = origin();
    let mut ids = Vec::new();
    let mut last_sent = TransactionId(0);
    let mut rest = script.iter().copied();
    while let (Some(step), Some(value)) = (rest.next(), rest.next()) {
        let tracker = trackers[usize::from(value % 2)];
        match step % 8 {
            0 => ids.extend(exchange.announce(now, tracker, announce(), UrlData::default())),
            1 => ids.extend(exchange.scrape(now, tracker, &[InfoHash([1; 20])])),
            2 => now += Duration::from_secs(value.into()),
            3 => ids.pop().into_iter().for_each(|id| exchange.cancel(id)),
            4 => {
                let datagram: Vec<u8> = rest.by_ref().take(value.into()).collect();
                exchange.handle_datagram(now, tracker, &datagram);
            }
            step => {
                let transaction = last_sent;
                let response = match step {
                    5 => Response::Connect {
                        transaction,
                        connection: ConnectionId(value.into()),
                    },
                    6 => Response::Announce {
                        transaction,
                        reply: AnnounceReply::default(),
                    },
                    _ => Response::Error {
                        transaction,
                        message: String::new(),
                    },
                };
                exchange.handle_datagram(now, tracker, &response.encode(Family::of(tracker.ip())));
            }
        }
        exchange.handle_timeout(now);
        assert!(exchange.next_timeout().is_none_or(|at| at > now));
        while let Some(transmit) = exchange.poll_transmit() {
            assert!(trackers.contains(&transmit.to));
            last_sent = match Request::decode(&transmit.datagram) {
                Ok(
                    Request::Connect { transaction }
                    | Request::Announce { transaction, .. }
                    | Request::Scrape { transaction, .. },
                ) => transaction,
                Err(error) => panic!("{error}"),
            };
        }
        while exchange.poll_outcome().is_some() {}
        let waits = exchange.next_timeout().is_some();
        assert_eq!(
            waits,
            exchange.requests_under_way() > 0,
            "every request ends some time"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
fn origin() -> Instant {
    Instant::now()
}

fn announce() -> Announce {
    Announce {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
        port: 3,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: Event::Started,
        key: 4,
        num_want: None,
        tracker_id: None,
    }
}
