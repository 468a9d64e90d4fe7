//! How trackers are spoken to, as seen from outside.
#![expect(
    clippy::unwrap_used,
    reason = "what a test can not do without may end it"
)]

mod any;
mod any_input;
mod corpus;
mod http_client;
mod http_replies;
mod schedule;
mod server;
mod udp_client;
mod udp_exchange;
mod udp_packets;

use std::time::Instant;

use rarest_metainfo::{InfoHash, PeerId};
use rarest_tracker::{Announce, Event};

/// Some moment to count virtual time from.
#[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
fn origin() -> Instant {
    Instant::now()
}

/// An announce of some downloader's.
fn announce() -> Announce {
    Announce {
        info_hash: InfoHash(*b"aaaaaaaaaaaaaaaaaaaa"),
        peer_id: PeerId(*b"-RA0100-bbbbbbbbbbbb"),
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event: Event::Started,
        key: 0xdead_beef,
        num_want: None,
        tracker_id: None,
    }
}
