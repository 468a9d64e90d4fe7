//! What a peer says of its pieces, first and later.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rarest_metainfo::BitfieldError;
use rarest_peer_wire::connection::{
    CloseReason, Command, Connection, LocalTorrent, ProtocolViolation,
};
use rarest_peer_wire::{Handshake, Message, Reserved};

use crate::pair::{
    INFO_HASH, LEFT_ID, RIGHT_ID, Scripted, addr, all, block, config, geometry, none, only, start,
};

fn bitfield(bytes: &'static [u8]) -> Message {
    Message::Bitfield(Bytes::from_static(bytes))
}

fn violation(result: Result<(), CloseReason>) -> ProtocolViolation {
    match result {
        Err(CloseReason::Violation(violation)) => violation,
        other => panic!("no violation but {other:?}"),
    }
}

fn base() -> Scripted {
    Scripted::connected(Reserved::NONE, none())
}

fn fast() -> Scripted {
    Scripted::connected(Reserved::FAST, none())
}

#[test]
fn a_bitfield_of_wrong_length_closes() {
    for bytes in [&b"\xff"[..], b"\xff\xc0\x00"] {
        let violation = violation(base().say(&[bitfield(bytes)]));
        assert!(matches!(
            violation,
            ProtocolViolation::Bitfield(BitfieldError::WrongLength { .. })
                | ProtocolViolation::Decode(_)
        ));
    }
}

#[test]
fn a_bitfield_with_spare_bits_closes() {
    let violation = violation(base().say(&[bitfield(b"\xff\xe0")]));
    let expected = ProtocolViolation::Bitfield(BitfieldError::SpareBitSet);
    assert_eq!(violation, expected);
}

#[test]
fn a_missing_bitfield_means_no_pieces() {
    let mut peer = base();
    peer.say(&[Message::KeepAlive]).unwrap();
    assert_eq!(peer.end.told(), [""; 0]);
    peer.say(&[Message::Have { piece: 3 }, Message::Interested])
        .unwrap();
    assert_eq!(peer.end.told(), ["has 0", "have 3", "interested"]);
}

#[test]
fn a_late_bitfield_is_taken_for_many_haves() {
    let mut peer = base();
    peer.say(&[
        bitfield(b"\x80\x00"),
        bitfield(b"\xe0\x00"),
        bitfield(b"\xe0\x00"),
    ])
    .unwrap();
    assert_eq!(peer.end.told(), ["has 1", "have 1", "have 2"]);
    let spare = violation(peer.say(&[bitfield(b"\xff\xe0")]));
    assert_eq!(
        spare,
        ProtocolViolation::Bitfield(BitfieldError::SpareBitSet)
    );
}

#[test]
fn with_fast_exactly_one_word_on_pieces_comes_first() {
    for word in [bitfield(b"\xff\xc0"), Message::HaveAll, Message::HaveNone] {
        let mut peer = fast();
        peer.say(&[word, Message::Unchoke]).unwrap();
        assert_eq!(peer.end.told().len(), 2);
        let late = violation(peer.say(&[Message::HaveNone]));
        assert_eq!(late, ProtocolViolation::PiecesNotFirst);
    }
    let missing = violation(fast().say(&[Message::Unchoke]));
    assert_eq!(missing, ProtocolViolation::PiecesMissing);
}

#[test]
fn an_extension_handshake_may_come_before_the_pieces() {
    let mut peer = Scripted::connected(Reserved::FAST.with(Reserved::EXTENSION_PROTOCOL), none());
    let handshake = Message::Extended {
        id: 0,
        payload: Bytes::from_static(b"de"),
    };
    peer.say(&[handshake, Message::HaveAll]).unwrap();
    assert_eq!(peer.end.told(), ["extension handshake", "has 10"]);
}

#[test]
fn fast_messages_without_negotiation_close() {
    let block = block(0, 0).into();
    for message in [
        Message::HaveAll,
        Message::HaveNone,
        Message::SuggestPiece { piece: 0 },
        Message::AllowedFast { piece: 0 },
        Message::RejectRequest(block),
    ] {
        let violation = violation(base().say(&[message]));
        assert_eq!(violation, ProtocolViolation::FastNotNegotiated);
    }
}

#[test]
fn pieces_that_do_not_exist_close() {
    for message in [
        Message::Have { piece: 10 },
        Message::SuggestPiece { piece: u32::MAX },
        Message::AllowedFast { piece: 10 },
    ] {
        let mut peer = fast();
        peer.say(&[Message::HaveNone]).unwrap();
        let violation = violation(peer.say(&[message]));
        assert!(matches!(
            violation,
            ProtocolViolation::NoSuchPiece { count: 10, .. }
        ));
    }
}

#[test]
fn a_piece_is_told_once() {
    let mut peer = fast();
    let have = Message::Have { piece: 4 };
    peer.say(&[Message::HaveNone, have.clone(), have]).unwrap();
    assert_eq!(peer.end.told(), ["has 0", "have 4"]);
}

#[test]
fn what_we_have_comes_first_in_the_shortest_form() {
    let fast = |have| Scripted::connected(Reserved::FAST, have).heard();
    assert_eq!(fast(all()), [Message::HaveAll]);
    assert_eq!(fast(none()), [Message::HaveNone]);
    assert_eq!(fast(only(&[0, 9])), [bitfield(b"\x80\x40")]);
    let base = |have| Scripted::connected(Reserved::NONE, have).heard();
    assert_eq!(base(all()), [bitfield(b"\xff\xc0")]);
    assert_eq!(base(none()), []);
}

#[test]
fn verified_pieces_are_told_once_and_not_to_peers_that_have_all() {
    let piece = geometry().piece(2).unwrap();
    let mut leecher = fast();
    leecher.say(&[Message::HaveNone]).unwrap();
    leecher.heard();
    leecher.does(Command::Have(piece));
    leecher.does(Command::Have(piece));
    assert_eq!(leecher.heard(), [Message::Have { piece: 2 }]);

    let mut seeder = fast();
    seeder.say(&[Message::HaveAll]).unwrap();
    seeder.heard();
    seeder.does(Command::Have(piece));
    assert_eq!(seeder.heard(), []);
}

/// A connection for a magnet link, and the words of its peer before the metadata was there.
fn without_metadata(words: &[Message]) -> (Connection, Result<(), CloseReason>) {
    let now = start();
    let mut connection = Connection::outgoing(Arc::new(config(LEFT_ID)), addr(), INFO_HASH, now);
    let handshake = Handshake {
        reserved: Reserved::FAST,
        info_hash: INFO_HASH,
        peer_id: RIGHT_ID,
    };
    let mut input = BytesMut::from(&handshake.to_bytes()[..]);
    connection.handle_input(now, &mut input).unwrap();
    connection.accept(now, LocalTorrent::without_metadata(INFO_HASH));
    for word in words {
        word.encode(&mut input);
    }
    let heard = connection.handle_input(now, &mut input);
    assert!(connection.poll_event().is_none());
    let known = LocalTorrent::new(INFO_HASH, geometry(), none());
    let result = heard.and_then(|()| connection.handle_metadata(now, known));
    (connection, result)
}

#[test]
fn what_was_said_before_the_metadata_is_judged_with_it() {
    let (mut connection, result) = without_metadata(&[
        bitfield(b"\x80\x00"),
        Message::AllowedFast { piece: 5 },
        Message::Have { piece: 9 },
    ]);
    assert_eq!(result, Ok(()));
    let events: Vec<_> = std::iter::from_fn(|| connection.poll_event()).collect();
    let [
        rarest_peer_wire::connection::Event::Has(pieces),
        rarest_peer_wire::connection::Event::AllowedFast(piece),
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((pieces, piece.get()), (&only(&[0, 9]), 5));

    for words in [
        [bitfield(b"\x80\x00\x00"), Message::KeepAlive],
        [bitfield(b"\x80\x3f"), Message::KeepAlive],
        [Message::HaveAll, Message::Have { piece: 10 }],
        [Message::HaveNone, Message::Have { piece: u32::MAX }],
        [Message::HaveNone, Message::AllowedFast { piece: 10 }],
    ] {
        let (_, result) = without_metadata(&words);
        violation(result);
    }
}
