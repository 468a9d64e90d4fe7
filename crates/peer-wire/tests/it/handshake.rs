//! From the first byte to the moment when both sides know what they are talking about.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rarest_metainfo::{InfoHash, PeerId};
use rarest_peer_wire::connection::{
    CloseReason, Command, Connection, Direction, Event, LocalTorrent, ProtocolViolation, SwarmId,
    direction_to_keep,
};
use rarest_peer_wire::{Handshake, HandshakeError, Message, Reserved};

use crate::pair::{
    INFO_HASH, LEFT_ID, Pair, RIGHT_ID, Scripted, addr, all, block, config, geometry, none, start,
};

const V2: InfoHash = InfoHash([8; 20]);

fn handshake() -> Handshake {
    Handshake {
        reserved: Reserved::EXTENSION_PROTOCOL.with(Reserved::FAST),
        info_hash: INFO_HASH,
        peer_id: RIGHT_ID,
    }
}

fn sent(connection: &mut Connection) -> BytesMut {
    let length = connection.output().remaining();
    BytesMut::from(&connection.output().copy_to_bytes(length)[..])
}

#[test]
fn an_incoming_handshake_is_not_answered_before_it_is_accepted() {
    let now = start();
    let mut connection = Connection::incoming(Arc::new(config(LEFT_ID)), addr(), now);
    let mut input = BytesMut::from(&handshake().to_bytes()[..]);
    connection.handle_input(now, &mut input).unwrap();
    assert_eq!(connection.awaiting_accept(), Some(&handshake()));
    assert!(!connection.has_output());
    connection.accept(now, LocalTorrent::new(INFO_HASH, geometry(), all()));
    let ours = Handshake::decode(&mut sent(&mut connection))
        .unwrap()
        .unwrap();
    assert_eq!((ours.info_hash, ours.peer_id), (INFO_HASH, LEFT_ID));
}

#[test]
fn a_handshake_for_an_unknown_torrent_is_closed_without_a_word() {
    let now = start();
    let mut connection = Connection::incoming(Arc::new(config(LEFT_ID)), addr(), now);
    let mut input = BytesMut::from(&handshake().to_bytes()[..]);
    connection.handle_input(now, &mut input).unwrap();
    connection.close(CloseReason::Local);
    assert!(!connection.has_output());
    assert_eq!(connection.close_reason(), Some(&CloseReason::Local));
}

#[test]
fn bytes_behind_the_handshake_are_not_lost() {
    let now = start();
    let mut connection = Connection::incoming(Arc::new(config(LEFT_ID)), addr(), now);
    let mut input = BytesMut::from(&handshake().to_bytes()[..]);
    Message::HaveAll.encode(&mut input);
    Message::Interested.encode(&mut input);
    connection.handle_input(now, &mut input).unwrap();
    connection.accept(now, LocalTorrent::new(INFO_HASH, geometry(), none()));
    connection.handle_input(now, &mut input).unwrap();
    assert!(matches!(connection.poll_event(), Some(Event::Has(pieces)) if pieces.is_full()));
    assert!(matches!(connection.poll_event(), Some(Event::Interested)));
}

#[test]
fn a_handshake_that_comes_byte_by_byte_is_read() {
    let now = start();
    let mut connection = Connection::incoming(Arc::new(config(LEFT_ID)), addr(), now);
    let mut input = BytesMut::new();
    for byte in handshake().to_bytes() {
        assert_eq!(connection.awaiting_accept(), None);
        input.extend_from_slice(&[byte]);
        connection.handle_input(now, &mut input).unwrap();
    }
    assert_eq!(connection.awaiting_accept(), Some(&handshake()));
}

#[test]
fn another_protocol_is_refused_at_its_first_byte() {
    let now = start();
    let mut connection = Connection::incoming(Arc::new(config(LEFT_ID)), addr(), now);
    let error = connection.handle_input(now, &mut BytesMut::from(&b"GET"[..]));
    let expected = ProtocolViolation::Handshake(HandshakeError::OtherProtocol);
    assert_eq!(error, Err(CloseReason::Violation(expected)));
}

#[test]
fn an_answer_for_another_torrent_closes() {
    let now = start();
    let mut connection = Connection::outgoing(Arc::new(config(LEFT_ID)), addr(), V2, now);
    let mut input = BytesMut::from(&handshake().to_bytes()[..]);
    let error = connection.handle_input(now, &mut input);
    let expected = ProtocolViolation::WrongInfoHash {
        expected: V2,
        actual: INFO_HASH,
    };
    assert_eq!(error, Err(CloseReason::Violation(expected)));
}

#[test]
fn a_connection_to_oneself_is_noticed_on_both_ends() {
    let pair = Pair::with_configs(config(LEFT_ID), all(), config(LEFT_ID), all());
    let closed = pair.right.connection.close_reason();
    assert_eq!(closed, Some(&CloseReason::Ourselves));

    let now = start();
    let mut connection = Connection::outgoing(Arc::new(config(RIGHT_ID)), addr(), INFO_HASH, now);
    let mut input = BytesMut::from(&handshake().to_bytes()[..]);
    let error = connection.handle_input(now, &mut input);
    assert_eq!(error, Err(CloseReason::Ourselves));
}

#[test]
fn both_ends_keep_the_same_one_of_two_connections() {
    let (low, high) = (PeerId([1; 20]), PeerId([2; 20]));
    assert_eq!(direction_to_keep(low, high), Direction::Incoming);
    assert_eq!(direction_to_keep(high, low), Direction::Outgoing);
}

#[test]
fn unknown_reserved_bits_are_ignored() {
    let all_bits = Reserved([0xff; 8]);
    let mut peer = Scripted::connected(all_bits, none());
    peer.say(&[Message::HaveNone]).unwrap();
    assert_eq!(peer.end.told(), ["has 0"]);
}

#[test]
fn the_dht_bit_is_set_and_the_port_told_when_there_is_a_node() {
    let mut with_node = config(LEFT_ID);
    with_node.dht_port = Some(6882);
    let mut peer = Scripted::with_config(with_node.clone(), Reserved::DHT, none());
    assert_eq!(peer.heard(), [Message::Port(6882)]);
    let mut peer = Scripted::with_config(with_node, Reserved::NONE, none());
    assert_eq!(peer.heard(), []);
}

#[test]
fn a_hybrid_torrent_goes_on_as_v2_when_both_know_it() {
    let now = start();
    let swarm = SwarmId {
        info_hash: INFO_HASH,
        upgrade: Some(V2),
    };
    let torrent = LocalTorrent::new(swarm, geometry(), all());
    let mut dialled = Connection::outgoing(Arc::new(config(LEFT_ID)), addr(), swarm, now);
    let mut answers = Connection::incoming(Arc::new(config(RIGHT_ID)), addr(), now);
    answers.handle_input(now, &mut sent(&mut dialled)).unwrap();
    assert_eq!(answers.awaiting_accept().unwrap().info_hash, INFO_HASH);
    answers.accept(now, torrent);
    dialled.handle_input(now, &mut sent(&mut answers)).unwrap();
    assert_eq!(dialled.awaiting_accept().unwrap().info_hash, V2);
}

#[test]
fn a_hybrid_torrent_stays_v1_with_a_peer_that_knows_no_other() {
    let now = start();
    let swarm = SwarmId {
        info_hash: INFO_HASH,
        upgrade: Some(V2),
    };
    let mut connection = Connection::incoming(Arc::new(config(LEFT_ID)), addr(), now);
    let mut input = BytesMut::from(&handshake().to_bytes()[..]);
    connection.handle_input(now, &mut input).unwrap();
    connection.accept(now, LocalTorrent::new(swarm, geometry(), all()));
    let ours = Handshake::decode(&mut sent(&mut connection))
        .unwrap()
        .unwrap();
    assert_eq!(ours.info_hash, INFO_HASH);
    assert!(ours.reserved.has(Reserved::V2_UPGRADE));
}

#[test]
fn a_handshake_has_ten_seconds() {
    let now = start();
    for mut connection in [
        Connection::outgoing(Arc::new(config(LEFT_ID)), addr(), INFO_HASH, now),
        Connection::incoming(Arc::new(config(LEFT_ID)), addr(), now),
    ] {
        let deadline = now + Duration::from_secs(10);
        assert_eq!(connection.next_timeout(), Some(deadline));
        connection.handle_timeout(deadline - Duration::from_millis(1));
        assert_eq!(connection.close_reason(), None);
        connection.handle_timeout(deadline);
        let closed = connection.close_reason();
        assert_eq!(closed, Some(&CloseReason::HandshakeTimeout));
    }
}

#[test]
fn requests_before_and_after_the_connection_are_returned() {
    let now = start();
    let mut connection = Connection::outgoing(Arc::new(config(LEFT_ID)), addr(), INFO_HASH, now);
    connection.handle_command(now, Command::Request(block(0, 0)));
    assert!(matches!(connection.poll_event(), Some(Event::Returned(it)) if it == block(0, 0)));
    connection.close(CloseReason::Remote);
    connection.handle_command(now, Command::Request(block(0, 1)));
    assert!(matches!(connection.poll_event(), Some(Event::Returned(it)) if it == block(0, 1)));
    assert!(connection.poll_event().is_none());
}
