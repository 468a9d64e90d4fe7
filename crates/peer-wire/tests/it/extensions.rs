//! The extension protocol: what is announced, whose numbers are used, what is passed on.

use bytes::Bytes;
use rarest_peer_wire::connection::{
    CloseReason, Command, Event, LocalTorrent, Privacy, ProtocolViolation, Role,
};
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::limits::MAX_INCOMING_REQUESTS;
use rarest_peer_wire::{Extension, Extensions, Message, Reserved};

use crate::pair::{INFO_HASH, LEFT_ID, Scripted, all, config, geometry, none};

fn extended(id: u8, payload: &'static [u8]) -> Message {
    let payload = Bytes::from_static(payload);
    Message::Extended { id, payload }
}

fn peer() -> Scripted {
    let mut config = config(LEFT_ID);
    config.extensions = Extensions::only(Extension::ALL);
    config.client = Some("rarest 1".to_owned());
    config.listen_port = Some(6881);
    Scripted::with_config(config, Reserved::EXTENSION_PROTOCOL, none())
}

/// The only message heard, as an extension handshake.
fn handshake(heard: &[Message]) -> ExtensionHandshake {
    let [Message::Extended { id: 0, payload }] = heard else {
        panic!("{heard:?}");
    };
    ExtensionHandshake::decode(payload).unwrap()
}

#[test]
fn our_extension_handshake_says_what_we_are() {
    let ours = handshake(&peer().heard());
    assert_eq!(ours.client.as_deref(), Some("rarest 1"));
    assert_eq!(ours.listen_port, Some(6881));
    assert_eq!(ours.request_queue, Some(MAX_INCOMING_REQUESTS));
    assert_eq!(ours.your_ip, Some([192, 0, 2, 1].into()));
    assert_eq!(ours.upload_only, None);
    for extension in Extension::ALL {
        assert_eq!(ours.id(extension), Some(extension.local_id()));
    }
}

#[test]
fn a_peer_without_the_extension_protocol_gets_none_of_it_and_must_not_send_it() {
    let mut peer = Scripted::connected(Reserved::NONE, none());
    peer.does(Command::Role(Role::UploadOnly));
    assert_eq!(peer.heard(), []);
    let violation = ProtocolViolation::ExtensionProtocolNotNegotiated;
    let closed = peer.say(&[extended(0, b"de")]);
    assert_eq!(closed, Err(CloseReason::Violation(violation)));
}

#[test]
fn the_numbers_of_the_peer_are_used_when_sending() {
    let mut peer = peer();
    peer.heard();
    let pex = || Command::Extended {
        extension: Extension::Pex,
        payload: Bytes::from_static(b"de"),
    };
    peer.does(pex());
    assert_eq!(peer.heard(), []);
    peer.say(&[extended(0, b"d1:md6:ut_pexi77eee")]).unwrap();
    peer.does(pex());
    assert_eq!(peer.heard(), [extended(77, b"de")]);
}

#[test]
fn repeated_handshakes_add_and_a_zero_disables() {
    let mut peer = peer();
    peer.heard();
    let handshakes = [
        extended(0, b"d1:md6:ut_pexi7eee"),
        extended(0, b"d1:md11:ut_metadatai8eee"),
    ];
    peer.say(&handshakes).unwrap();
    let send = |extension| Command::Extended {
        extension,
        payload: Bytes::from_static(b"x"),
    };
    peer.does(send(Extension::Pex));
    peer.does(send(Extension::Metadata));
    assert_eq!(peer.heard(), [extended(7, b"x"), extended(8, b"x")]);
    peer.say(&[extended(0, b"d1:md6:ut_pexi0eee")]).unwrap();
    peer.does(send(Extension::Pex));
    peer.does(send(Extension::Metadata));
    assert_eq!(peer.heard(), [extended(8, b"x")]);
}

#[test]
fn payloads_of_answered_extensions_are_passed_on_and_others_ignored() {
    let mut config = config(LEFT_ID);
    config.extensions = Extensions::only([Extension::Pex]);
    let mut peer = Scripted::with_config(config, Reserved::EXTENSION_PROTOCOL, none());
    let messages = [
        extended(Extension::Pex.local_id(), b"de"),
        extended(Extension::Metadata.local_id(), b"de"),
        extended(200, b"de"),
    ];
    peer.say(&messages).unwrap();
    assert_eq!(peer.end.told(), ["extended ut_pex"]);
}

#[test]
fn unknown_keys_and_wrong_types_in_a_handshake_are_ignored() {
    let mut peer = peer();
    let odd = extended(0, b"d1:ml1:xe1:pi99999e4:reqq2:no1:ai1e6:yourip3:abce");
    peer.say(&[odd]).unwrap();
    let events = peer.end.events();
    let [Event::ExtensionHandshake(theirs)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(**theirs, ExtensionHandshake::default());
}

#[test]
fn a_handshake_that_cannot_be_read_closes() {
    for payload in [&b""[..], b"i1e", b"d1:md", b"d1:pi1e1:pi2ee"] {
        let mut peer = peer();
        let closed = peer.say(&[extended(0, payload)]);
        assert!(matches!(
            closed,
            Err(CloseReason::Violation(
                ProtocolViolation::ExtensionHandshake(_)
            ))
        ));
    }
}

#[test]
fn upload_only_is_said_at_the_beginning_or_later() {
    let mut torrent = LocalTorrent::new(INFO_HASH, geometry(), all());
    torrent.role = Role::UploadOnly;
    torrent.metadata_size = Some(1234);
    let mut peer = Scripted::with_torrent(Reserved::EXTENSION_PROTOCOL, torrent);
    let heard = peer.heard();
    let ours = handshake(&heard[1..]);
    assert_eq!(ours.upload_only, Some(true));
    assert_eq!(ours.metadata_size, Some(1234));

    let mut peer = Scripted::connected(Reserved::EXTENSION_PROTOCOL, none());
    peer.heard();
    for (role, upload_only) in [(Role::UploadOnly, true), (Role::Downloader, false)] {
        peer.does(Command::Role(role));
        let later = handshake(&peer.heard());
        let mut expected = ExtensionHandshake::default();
        expected.upload_only = Some(upload_only);
        assert_eq!(later, expected);
    }
}

#[test]
fn that_the_peer_only_uploads_is_passed_on() {
    let mut peer = peer();
    let handshake = extended(0, b"d11:upload_onlyi1ee");
    peer.say(&[handshake]).unwrap();
    let events = peer.end.events();
    assert!(matches!(
        &events[..],
        [Event::ExtensionHandshake(theirs)] if theirs.upload_only == Some(true)
    ));
}

#[test]
fn a_lost_piece_is_told_both_ways() {
    let mut peer = Scripted::connected(Reserved::EXTENSION_PROTOCOL, all());
    peer.heard();
    let pieces = Message::Bitfield(Bytes::from_static(b"\xff\xc0"));
    let handshake = extended(0, b"d1:md11:lt_donthavei9eee");
    peer.say(&[pieces, handshake]).unwrap();
    peer.does(Command::DontHave(geometry().piece(3).unwrap()));
    peer.does(Command::DontHave(geometry().piece(3).unwrap()));
    assert_eq!(peer.heard(), [extended(9, &[0, 0, 0, 3])]);

    peer.end.told();
    let id = Extension::DontHave.local_id();
    let lost = extended(id, &[0, 0, 0, 4]);
    peer.say(&[lost.clone(), lost]).unwrap();
    assert_eq!(peer.end.told(), ["donthave 4"]);
    // It may not have heard that we have the piece, while it had all itself.
    assert_eq!(peer.heard(), [Message::Have { piece: 4 }]);

    for payload in [&b"\0\0\0"[..], b"\0\0\0\x0a"] {
        let mut peer = Scripted::connected(Reserved::EXTENSION_PROTOCOL, all());
        let pieces = Message::Bitfield(Bytes::from_static(b"\xff\xc0"));
        assert!(peer.say(&[pieces, extended(id, payload)]).is_err());
    }
}

#[test]
fn in_a_private_swarm_peer_exchange_is_neither_offered_nor_heard() {
    let mut config = config(LEFT_ID);
    config.extensions = Extensions::only(Extension::ALL);
    config.dht_port = Some(6881);
    let mut torrent = LocalTorrent::new(INFO_HASH, geometry(), none());
    torrent.privacy = Privacy::Private;
    let reserved = Reserved::EXTENSION_PROTOCOL.with(Reserved::DHT);
    let mut peer = Scripted::with_all(config, reserved, torrent);
    // The port of the DHT node would be a second message.
    let ours = handshake(&peer.heard());
    assert_eq!(ours.id(Extension::Pex), None);
    assert_eq!(
        ours.id(Extension::Metadata),
        Some(Extension::Metadata.local_id())
    );
    peer.say(&[extended(Extension::Pex.local_id(), b"de")])
        .unwrap();
    assert_eq!(peer.end.told().join(", "), "");
}
