//! What a session with ten thousand torrents spends on trackers: answers parsed, datagrams matched.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench needs an origin of time, and may end on what can not be"
)]

use std::time::Instant;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use rarest_metainfo::{InfoHash, PeerId};
use rarest_tracker::udp::{Config, ConnectionId, Request, Response, UdpExchange, UrlData};
use rarest_tracker::{Announce, AnnounceReply, Event, Family, http};

fn main() {
    divan::main();
}

fn announce() -> Announce {
    Announce {
        info_hash: InfoHash([0x9f; 20]),
        peer_id: PeerId(*b"-RA0100-bbbbbbbbbbbb"),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: Event::Regular,
        key: 1,
        num_want: Some(200),
        tracker_id: None,
    }
}

#[divan::bench]
fn announce_url(bencher: Bencher<'_, '_>) {
    let (tracker, announce) = ("http://t.example/announce?k=1".parse().unwrap(), announce());
    bencher.bench(|| http::announce_url(&tracker, &announce));
}

#[divan::bench]
fn parse_200_compact_peers(bencher: Bencher<'_, '_>) {
    let body = [&b"d8:intervali1800e5:peers1200:"[..], &[7; 1200], b"e"].concat();
    bencher
        .counter(BytesCount::of_slice(&body))
        .bench(|| http::parse_announce(&body));
}

/// Each request connects or uses the connection id, is sent, answered and forgotten.
#[divan::bench(args = [1_000, 10_000])]
fn udp_requests_to_one_tracker(bencher: Bencher<'_, '_>, requests: usize) {
    let tracker = ([203, 0, 113, 1], 6969).into();
    bencher.counter(ItemsCount::new(requests)).bench_local(|| {
        let now = Instant::now();
        let mut exchange = UdpExchange::new(Config::default(), [7; 32]);
        for _ in 0..requests {
            exchange
                .announce(now, tracker, announce(), UrlData::default())
                .unwrap();
        }
        while let Some(transmit) = exchange.poll_transmit() {
            let response = match Request::decode(&transmit.datagram).unwrap() {
                Request::Connect { transaction } => Response::Connect {
                    transaction,
                    connection: ConnectionId(1),
                },
                Request::Announce { transaction, .. } | Request::Scrape { transaction, .. } => {
                    Response::Announce {
                        transaction,
                        reply: AnnounceReply::default(),
                    }
                }
            };
            exchange.handle_datagram(now, tracker, &response.encode(Family::V4));
        }
        assert_eq!(exchange.requests_under_way(), 0);
    });
}
