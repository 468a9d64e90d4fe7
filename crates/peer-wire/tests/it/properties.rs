//! What holds for all messages, payloads and streams.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use rarest_metainfo::BlockRequest;
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::extension::holepunch::{Holepunch, HolepunchErrorCode, HolepunchKind};
use rarest_peer_wire::extension::metadata::MetadataMessage;
use rarest_peer_wire::extension::pex::{Pex, PexFlags, PexPeer};
use rarest_peer_wire::{Codec, HashRange, Message, Reserved};

use crate::pair::{Scripted, all};
use crate::strangers;

fn bytes(lengths: std::ops::Range<usize>) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), lengths).prop_map(Bytes::from)
}

fn request() -> impl Strategy<Value = BlockRequest> {
    (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(piece, offset, length)| BlockRequest {
        piece,
        offset,
        length,
    })
}

fn hash_range() -> impl Strategy<Value = HashRange> {
    (any::<[u8; 32]>(), any::<[u32; 4]>()).prop_map(|(pieces_root, numbers)| HashRange {
        pieces_root,
        base_layer: numbers[0],
        index: numbers[1],
        length: numbers[2],
        proof_layers: numbers[3],
    })
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        Just(Message::HaveAll),
        Just(Message::HaveNone),
        any::<u32>().prop_map(|piece| Message::Have { piece }),
        any::<u32>().prop_map(|piece| Message::SuggestPiece { piece }),
        any::<u32>().prop_map(|piece| Message::AllowedFast { piece }),
        any::<u16>().prop_map(Message::Port),
        bytes(1..40).prop_map(Message::Bitfield),
        request().prop_map(Message::Request),
        request().prop_map(Message::Cancel),
        request().prop_map(Message::RejectRequest),
        (any::<u32>(), any::<u32>(), bytes(0..300)).prop_map(|(piece, offset, data)| {
            Message::Piece {
                piece,
                offset,
                data,
            }
        }),
        (any::<u8>(), bytes(0..60)).prop_map(|(id, payload)| Message::Extended { id, payload }),
        hash_range().prop_map(Message::HashRequest),
        hash_range().prop_map(Message::HashReject),
        (hash_range(), vec(any::<[u8; 32]>(), 1..4)).prop_map(|(range, hashes)| {
            let hashes = hashes.concat().into();
            Message::Hashes { range, hashes }
        }),
    ]
}

/// Messages that a peer may send in this order to a connection that has all pieces.
fn polite() -> impl Strategy<Value = Vec<Message>> {
    let message = prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        (0..10u32).prop_map(|piece| Message::Have { piece }),
        (0..10u32).prop_map(|piece| Message::SuggestPiece { piece }),
        (0..10u32).prop_map(|piece| Message::AllowedFast { piece }),
        any::<u16>().prop_map(Message::Port),
        request().prop_map(Message::Request),
        request().prop_map(Message::Cancel),
        hash_range().prop_map(Message::HashRequest),
        Just(Message::Extended {
            id: 0,
            payload: Bytes::from_static(b"d1:v1:xe"),
        }),
    ];
    vec(message, 0..40).prop_map(|mut messages| {
        messages.insert(0, Message::HaveNone);
        messages
    })
}

fn addr() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>())
            .prop_map(|(ip, port)| SocketAddr::from((Ipv4Addr::from(ip), port))),
        (any::<[u8; 16]>(), any::<u16>())
            .prop_map(|(ip, port)| SocketAddr::from((Ipv6Addr::from(ip), port))),
    ]
}

fn encoded(messages: &[Message]) -> Vec<u8> {
    let mut stream = Vec::new();
    messages.iter().for_each(|it| it.encode(&mut stream));
    stream
}

/// The stream in parts that begin at `cuts`.
fn parts<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|it| it.index(stream.len() + 1)).collect();
    ends.extend([0, stream.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|it| &stream[it[0]..it[1]]).collect()
}

proptest! {
    #[test]
    fn messages_survive_the_wire(message in message()) {
        let mut input = BytesMut::from(&encoded(std::slice::from_ref(&message))[..]);
        prop_assert_eq!(Codec::new().decode(&mut input), Ok(Some(message)));
        prop_assert!(input.is_empty());
    }

    #[test]
    fn no_prefix_of_a_message_is_one(message in message(), cut in any::<prop::sample::Index>()) {
        let whole = encoded(&[message]);
        let mut input = BytesMut::from(&whole[..cut.index(whole.len())]);
        prop_assert_eq!(Codec::new().decode(&mut input), Ok(None));
    }

    #[test]
    fn a_stream_gives_the_same_messages_however_it_is_cut(
        messages in vec(message(), 0..20),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream = encoded(&messages);
        let mut codec = Codec::new();
        let mut input = BytesMut::new();
        let mut read = Vec::new();
        for part in parts(&stream, &cuts) {
            input.extend_from_slice(part);
            read.extend(std::iter::from_fn(|| codec.decode(&mut input).unwrap()));
        }
        prop_assert_eq!(read, messages);
    }

    #[test]
    fn a_stream_gives_the_same_events_and_answers_however_it_is_cut(
        messages in polite(),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream = encoded(&messages);
        let reserved = Reserved::FAST.with(Reserved::EXTENSION_PROTOCOL);
        let mut whole = Scripted::connected(reserved, all());
        let mut cut = Scripted::connected(reserved, all());
        whole.end.receive(whole.now, &stream).unwrap();
        for part in parts(&stream, &cuts) {
            cut.end.receive(cut.now, part).unwrap();
        }
        prop_assert_eq!(whole.end.told(), cut.end.told());
        prop_assert_eq!(whole.heard(), cut.heard());
        prop_assert_eq!(whole.end.connection.stats(), cut.end.connection.stats());
    }

    #[test]
    fn extension_handshakes_survive_the_wire(
        ids in proptest::collection::btree_map("[a-z_]{1,12}", any::<u8>(), 0..6),
        client in proptest::option::of(".{0,20}"),
        listen_port in proptest::option::of(1..=u16::MAX),
        request_queue in any::<Option<u32>>(),
        your_ip in proptest::option::of(addr().prop_map(|it| it.ip())),
        metadata_size in any::<Option<u32>>(),
        upload_only in any::<Option<bool>>(),
        prefers_encryption in any::<Option<bool>>(),
    ) {
        let mut handshake = ExtensionHandshake::default();
        handshake.ids = ids.into_iter().collect();
        handshake.client = client;
        handshake.listen_port = listen_port;
        handshake.request_queue = request_queue;
        handshake.your_ip = your_ip;
        handshake.metadata_size = metadata_size;
        handshake.upload_only = upload_only;
        handshake.prefers_encryption = prefers_encryption;
        let payload = handshake.encode();
        prop_assert_eq!(ExtensionHandshake::decode(&payload), Ok(handshake));
        for length in 0..payload.len() {
            prop_assert!(ExtensionHandshake::decode(&payload[..length]).is_err());
        }
    }

    #[test]
    fn pex_messages_survive_the_wire(
        added in vec((addr(), any::<u8>()), 0..9),
        dropped in vec(addr(), 0..9),
    ) {
        let peer = |(addr, flags)| PexPeer { addr, flags: PexFlags(flags) };
        let mut pex = Pex { added: added.into_iter().map(peer).collect(), dropped };
        pex.added.sort_by_key(|peer| peer.addr.is_ipv6());
        pex.dropped.sort_by_key(SocketAddr::is_ipv6);
        prop_assert_eq!(Pex::decode(&pex.encode()), Ok(pex));
    }

    #[test]
    fn metadata_messages_survive_the_wire(
        piece in any::<u32>(),
        total_size in any::<u32>(),
        data in bytes(0..50),
    ) {
        for message in [
            MetadataMessage::Request { piece },
            MetadataMessage::Reject { piece },
            MetadataMessage::Data { piece, total_size, data },
        ] {
            let payload = message.encode().into();
            prop_assert_eq!(MetadataMessage::decode(&payload), Ok(message));
        }
    }

    #[test]
    fn holepunch_messages_survive_the_wire(addr in addr(), code in 5..u32::MAX) {
        for kind in [
            HolepunchKind::Rendezvous,
            HolepunchKind::Connect,
            HolepunchKind::Error(HolepunchErrorCode::NoSelf),
            HolepunchKind::Error(HolepunchErrorCode::Other(code)),
        ] {
            let message = Holepunch { kind, addr };
            let payload = message.encode();
            prop_assert_eq!(Holepunch::decode(&payload), Ok(message));
            for length in 0..payload.len() - 4 {
                prop_assert!(Holepunch::decode(&payload[..length]).is_err());
            }
        }
    }

    #[test]
    fn strangers_do_no_harm(script in vec(any::<u8>(), 0..600)) {
        strangers::streams_do_no_harm(&script);
        strangers::payloads_do_no_harm(&script);
        strangers::connections_do_no_harm(&script);
    }
}
