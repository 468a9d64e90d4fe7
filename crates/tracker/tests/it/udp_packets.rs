//! UDP packets: round trips, and every way of cutting them short.

use bytes::Bytes;
use proptest::prelude::*;
use rarest_metainfo::{InfoHash, PeerId};
use rarest_tracker::http::MAX_PEERS_PER_REPLY;
use rarest_tracker::udp::{ConnectionId, PacketError, Request, Response, TransactionId, UrlData};
use rarest_tracker::{Announce, AnnounceReply, Event, Family, Peer};

fn any_announce() -> impl Strategy<Value = Announce> {
    let event = prop_oneof![
        Just(Event::Regular),
        Just(Event::Started),
        Just(Event::Completed),
        Just(Event::Stopped),
    ];
    let num_want = proptest::option::of(0..=i32::MAX.unsigned_abs());
    (
        any::<[u8; 20]>(),
        any::<[u8; 20]>(),
        any::<[u64; 3]>(),
        event,
        num_want,
        any::<(u32, u16)>(),
    )
        .prop_map(
            |(info_hash, peer_id, [uploaded, downloaded, left], event, num_want, (key, port))| {
                Announce {
                    info_hash: InfoHash(info_hash),
                    peer_id: PeerId(peer_id),
                    port,
                    uploaded,
                    downloaded,
                    left,
                    event,
                    key,
                    num_want,
                    tracker_id: None,
                }
            },
        )
}

proptest! {
    #[test]
    fn an_announce_survives_the_way(announce in any_announce(), path in "[a-z?=&/]{0,700}", ids in any::<(u64, u32)>()) {
        let tracker = format!("udp://t.example:1/{path}").parse().unwrap();
        let request = Request::Announce {
            connection: ConnectionId(ids.0),
            transaction: TransactionId(ids.1),
            announce,
            url_data: UrlData::of(&tracker),
        };
        prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn any_datagram_is_read_or_refused(datagram in proptest::collection::vec(any::<u8>(), 0..300), action in 0..4_u8) {
        let mut datagram = datagram;
        for family in [Family::V4, Family::V6] {
            let _either = Response::decode(&datagram, family);
        }
        let _either = Request::decode(&datagram);
        if datagram.len() >= 12 {
            datagram[..3].fill(0);
            datagram[3] = action;
            datagram[8..11].fill(0);
            datagram[11] = action;
            let _either = Request::decode(&datagram);
            if let Ok(response) = Response::decode(&datagram, Family::V4) {
                // What was understood is said in the same way again.
                let again = Response::decode(&response.encode(Family::V4), Family::V4);
                prop_assert_eq!(again, Ok(response));
            }
        }
    }
}

#[test]
fn every_prefix_of_an_announce_is_too_short() {
    let packet = Request::Announce {
        connection: ConnectionId(1),
        transaction: TransactionId(2),
        announce: crate::announce(),
        url_data: UrlData::default(),
    }
    .encode();
    assert_eq!(packet.len(), 98);
    for length in 0..packet.len() {
        let refused = Request::decode(&packet[..length]);
        assert!(matches!(refused, Err(PacketError::TooShort { length: l, .. }) if l == length));
    }
}

#[test]
fn a_request_for_more_peers_than_fit_is_cut() {
    let announce = Announce {
        num_want: Some(u32::MAX),
        tracker_id: Some(Bytes::from("x")),
        ..crate::announce()
    };
    let request = Request::Announce {
        connection: ConnectionId(1),
        transaction: TransactionId(2),
        announce,
        url_data: UrlData::default(),
    };
    let Ok(Request::Announce { announce, .. }) = Request::decode(&request.encode()) else {
        panic!("an announce is one");
    };
    assert_eq!(announce.num_want, Some(i32::MAX.unsigned_abs()));
    assert_eq!(announce.tracker_id, None);
}

#[test]
fn events_that_do_not_exist_are_refused() {
    let mut packet = Request::Announce {
        connection: ConnectionId(1),
        transaction: TransactionId(2),
        announce: crate::announce(),
        url_data: UrlData::default(),
    }
    .encode();
    packet[83] = 4;
    assert_eq!(Request::decode(&packet), Err(PacketError::UnknownEvent(4)));
}

#[test]
fn peers_of_one_answer_are_bounded() {
    let peer = Peer {
        address: ([203, 0, 113, 1], 6881).into(),
        id: None,
    };
    let response = Response::Announce {
        transaction: TransactionId(1),
        reply: AnnounceReply {
            peers: vec![peer; MAX_PEERS_PER_REPLY + 1],
            ..AnnounceReply::default()
        },
    };
    match Response::decode(&response.encode(Family::V4), Family::V4) {
        Ok(Response::Announce { reply, .. }) => assert_eq!(reply.peers.len(), MAX_PEERS_PER_REPLY),
        other => panic!("{other:?}"),
    }
}
