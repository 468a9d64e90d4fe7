//! Our requests: how many are out, and that each ends exactly once.

use std::time::Duration;

use bytes::Bytes;
use rarest_metainfo::{BLOCK_LENGTH, Block, BlockRequest};
use rarest_peer_wire::connection::{CloseReason, Command, ProtocolViolation};
use rarest_peer_wire::limits::DEFAULT_REQUEST_QUEUE;
use rarest_peer_wire::{Message, Reserved};

use crate::pair::{Pair, Scripted, all, block, geometry, none, only, piece};

const BOTH: Reserved = Reserved([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

fn request(block: Block) -> Message {
    Message::Request(block.into())
}

/// A seeder that unchokes us.
fn seeder(reserved: Reserved) -> Scripted {
    let mut peer = Scripted::connected(reserved, none());
    let pieces = Message::Bitfield(Bytes::from_static(b"\xff\xc0"));
    peer.say(&[pieces, Message::Unchoke]).unwrap();
    peer.end.told();
    peer.heard();
    peer
}

fn all_blocks() -> Vec<Block> {
    let geometry = geometry();
    let pieces = geometry.pieces();
    pieces.flat_map(|piece| geometry.blocks(piece)).collect()
}

fn with_request_queue(requests: u32) -> Message {
    let payload = format!("d4:reqqi{requests}ee").into();
    Message::Extended { id: 0, payload }
}

#[test]
fn a_tiny_request_queue_of_the_peer_is_honoured() {
    let mut peer = seeder(BOTH);
    peer.say(&[with_request_queue(2)]).unwrap();
    for index in 0..4 {
        peer.does(Command::Request(block(0, index)));
    }
    assert_eq!(peer.heard(), [request(block(0, 0)), request(block(0, 1))]);
    peer.say(&[piece(block(0, 0))]).unwrap();
    assert_eq!(peer.heard(), [request(block(0, 2))]);
    peer.say(&[Message::RejectRequest(block(0, 1).into())])
        .unwrap();
    assert_eq!(peer.heard(), [request(block(0, 3))]);
}

#[test]
fn a_request_queue_of_zero_still_takes_one() {
    let mut peer = seeder(BOTH);
    peer.say(&[with_request_queue(0)]).unwrap();
    peer.does(Command::Request(block(0, 0)));
    peer.does(Command::Request(block(0, 1)));
    assert_eq!(peer.heard(), [request(block(0, 0))]);
}

#[test]
fn a_peer_that_does_not_say_holds_250_requests() {
    let mut peer = seeder(Reserved::FAST);
    // Single bytes, so that there are enough of them.
    for offset in 0..300 {
        let byte = BlockRequest {
            piece: 0,
            offset,
            length: 1,
        };
        let byte = geometry().block(byte).unwrap();
        peer.does(Command::Request(byte));
    }
    assert_eq!(peer.heard().len(), DEFAULT_REQUEST_QUEUE as usize);
}

#[test]
fn a_block_is_never_asked_for_twice_at_once() {
    let mut peer = seeder(Reserved::FAST);
    peer.does(Command::Request(block(0, 0)));
    peer.does(Command::Request(block(0, 0)));
    assert_eq!(peer.heard(), [request(block(0, 0))]);
    assert_eq!(peer.end.told(), ["returned 0+0"]);
    // Cancelled, but not answered yet.
    peer.does(Command::Cancel(block(0, 0)));
    peer.does(Command::Cancel(block(0, 0)));
    peer.does(Command::Request(block(0, 0)));
    assert_eq!(peer.heard(), [Message::Cancel(block(0, 0).into())]);
    assert_eq!(peer.end.told(), ["returned 0+0"]);
    let reject = Message::RejectRequest(block(0, 0).into());
    peer.say(&[reject]).unwrap();
    assert_eq!(peer.end.told(), ["returned 0+0"]);
    peer.does(Command::Request(block(0, 0)));
    assert_eq!(peer.heard(), [request(block(0, 0))]);
}

#[test]
fn requests_that_cannot_be_answered_are_returned_at_once() {
    let mut peer = Scripted::connected(Reserved::FAST, none());
    let some = Message::Bitfield(Bytes::from_static(b"\x80\x00"));
    peer.say(&[some]).unwrap();
    peer.end.told();
    peer.does(Command::Request(block(0, 0)));
    assert_eq!(peer.end.told(), ["returned 0+0"]);
    peer.say(&[Message::Unchoke]).unwrap();
    peer.does(Command::Request(block(1, 0)));
    peer.does(Command::Request(block(0, 0)));
    assert_eq!(peer.end.told(), ["unchoked", "returned 1+0"]);
}

#[test]
fn an_unrequested_block_closes() {
    let mut peer = seeder(Reserved::FAST);
    peer.does(Command::Request(block(0, 0)));
    let closed = peer.say(&[piece(block(0, 1))]);
    let violation = ProtocolViolation::UnrequestedBlock {
        piece: 0,
        offset: 16_384,
        length: 16_384,
    };
    assert_eq!(closed, Err(CloseReason::Violation(violation)));
    assert_eq!(peer.end.told(), ["returned 0+0"]);
}

#[test]
fn a_block_that_is_shorter_than_asked_for_closes() {
    let mut peer = seeder(Reserved::NONE);
    peer.does(Command::Request(block(0, 0)));
    let closed = peer.say(&[Message::Piece {
        piece: 0,
        offset: 0,
        data: Bytes::from_static(b"short"),
    }]);
    assert!(closed.is_err());
}

#[test]
fn a_cancelled_block_may_still_come() {
    let mut peer = seeder(Reserved::NONE);
    peer.does(Command::Request(block(0, 0)));
    peer.does(Command::Cancel(block(0, 0)));
    assert_eq!(peer.end.told(), ["returned 0+0"]);
    peer.say(&[piece(block(0, 0))]).unwrap();
    assert_eq!(peer.end.told(), [""; 0]);

    let mut peer = seeder(Reserved::FAST);
    peer.does(Command::Request(block(0, 0)));
    peer.does(Command::Cancel(block(0, 0)));
    assert_eq!(peer.end.told(), [""; 0]);
    peer.say(&[piece(block(0, 0))]).unwrap();
    assert_eq!(peer.end.told(), ["block 0+0"]);
}

#[test]
fn a_block_that_is_asked_for_again_may_come_twice() {
    let mut peer = seeder(Reserved::NONE);
    peer.does(Command::Request(block(0, 0)));
    peer.does(Command::Cancel(block(0, 0)));
    peer.does(Command::Request(block(0, 0)));
    peer.end.told();
    peer.say(&[piece(block(0, 0)), piece(block(0, 0))]).unwrap();
    assert_eq!(peer.end.told(), ["block 0+0"]);
    assert!(peer.say(&[piece(block(0, 0))]).is_err());
}

#[test]
fn a_cancel_before_the_request_was_sent_says_nothing() {
    let mut peer = seeder(BOTH);
    peer.say(&[with_request_queue(1)]).unwrap();
    peer.end.told();
    peer.does(Command::Request(block(0, 0)));
    peer.does(Command::Request(block(0, 1)));
    peer.does(Command::Cancel(block(0, 1)));
    assert_eq!(peer.heard(), [request(block(0, 0))]);
    assert_eq!(peer.end.told(), ["returned 0+16384"]);
    peer.say(&[piece(block(0, 0))]).unwrap();
    assert_eq!(peer.heard(), []);
}

#[test]
fn a_reject_of_nothing_closes() {
    let mut peer = seeder(Reserved::FAST);
    let closed = peer.say(&[Message::RejectRequest(block(0, 0).into())]);
    let violation = ProtocolViolation::UnrequestedReject { piece: 0 };
    assert_eq!(closed, Err(CloseReason::Violation(violation)));
}

#[test]
fn a_choke_without_fast_ends_what_was_not_sent_at_once() {
    let mut peer = seeder(Reserved::EXTENSION_PROTOCOL);
    peer.say(&[with_request_queue(1)]).unwrap();
    peer.end.told();
    peer.does(Command::Request(block(0, 0)));
    peer.does(Command::Request(block(0, 1)));
    peer.say(&[Message::Choke]).unwrap();
    assert_eq!(peer.end.told(), ["choked", "returned 0+16384"]);
    // The peer has forgotten the other one.
    peer.say(&[Message::Unchoke]).unwrap();
    assert_eq!(peer.end.told(), ["returned 0+0", "unchoked"]);
}

#[test]
fn a_choke_with_fast_ends_requests_by_reject() {
    let mut peer = seeder(Reserved::FAST);
    peer.does(Command::Request(block(0, 0)));
    peer.does(Command::Request(block(0, 1)));
    peer.say(&[Message::Choke]).unwrap();
    assert_eq!(peer.end.told(), ["choked"]);
    let reject = Message::RejectRequest(block(0, 0).into());
    peer.say(&[reject]).unwrap();
    assert_eq!(peer.end.told(), ["returned 0+0"]);
    // A peer that does not reject does not hold the block for ever.
    peer.wait(Duration::from_secs(15));
    assert_eq!(peer.end.told(), ["returned 0+16384"]);
}

#[test]
fn a_request_that_the_peer_forgot_is_returned_even_while_others_are_answered() {
    let mut peer = seeder(Reserved::NONE);
    peer.does(Command::Request(block(9, 0)));
    for round in 0..8 {
        peer.does(Command::Request(block(round, 0)));
        peer.wait(Duration::from_secs(30));
        peer.say(&[piece(block(round, 0))]).unwrap();
    }
    let told = peer.end.told();
    assert_eq!(told.last().unwrap(), "block 7+0");
    assert!(told.contains(&"returned 9+0".to_owned()));
    assert_eq!(told.len(), 9);
}

#[test]
fn all_requests_are_returned_when_the_connection_closes() {
    let mut peer = seeder(BOTH);
    peer.say(&[with_request_queue(1)]).unwrap();
    peer.end.told();
    for index in 0..3 {
        peer.does(Command::Request(block(0, index)));
    }
    peer.end.connection.close(CloseReason::Remote);
    let returned = ["returned 0+0", "returned 0+16384", "returned 0+32768"];
    assert_eq!(peer.end.told(), returned);
}

#[test]
fn a_whole_torrent_travels() {
    let mut pair = Pair::connected(none(), all());
    pair.right_does(Command::Unchoke);
    pair.run();
    pair.left.told();
    for block in all_blocks() {
        pair.left_does(Command::Request(block));
    }
    pair.run();
    pair.right.serve(pair.now);
    pair.run();
    assert_eq!(pair.left.told().len(), all_blocks().len());
    let stats = pair.left.connection.stats();
    assert_eq!(stats.received_payload, geometry().total_length());
    let sent = pair.right.connection.stats();
    assert_eq!(sent.sent_payload, stats.received_payload);
    assert_eq!(sent.sent_overhead, stats.received_overhead);
}

#[test]
fn a_peer_that_lost_a_piece_is_not_asked_for_it() {
    let mut pair = Pair::connected(none(), only(&[3]));
    pair.right_does(Command::Unchoke);
    pair.right_does(Command::DontHave(geometry().piece(3).unwrap()));
    pair.run();
    pair.left_does(Command::Request(block(3, 0)));
    let told = pair.left.told();
    assert_eq!(told[2..], ["unchoked", "donthave 3", "returned 3+0"]);
}

#[test]
fn no_request_is_longer_than_16_kib() {
    let mut peer = seeder(Reserved::NONE);
    let longer = BlockRequest {
        piece: 0,
        offset: 0,
        length: BLOCK_LENGTH + 1,
    };
    let longer = geometry().block(longer).unwrap();
    peer.does(Command::Request(longer));
    assert_eq!(peer.heard(), []);
    assert_eq!(peer.end.told(), ["returned 0+0"]);
}
