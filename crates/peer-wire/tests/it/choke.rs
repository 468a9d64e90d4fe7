//! Choke and unchoke: what they say, and what becomes of the requests in flight.

use std::time::Duration;

use rarest_peer_wire::connection::Command;
use rarest_peer_wire::{Message, Reserved};

use crate::pair::{Pair, Scripted, all, block, none, piece};

#[test]
fn a_block_travels_from_request_to_event() {
    let mut pair = Pair::connected(none(), all());
    assert_eq!(pair.left.told(), ["has 10", "extension handshake"]);
    assert_eq!(pair.right.told(), ["has 0", "extension handshake"]);
    pair.left_does(Command::Interested);
    pair.right_does(Command::Unchoke);
    pair.run();
    assert_eq!(pair.right.told(), ["interested"]);
    assert_eq!(pair.left.told(), ["unchoked"]);
    pair.left_does(Command::Request(block(9, 1)));
    pair.run();
    pair.right.serve(pair.now);
    pair.run();
    assert_eq!(pair.left.told(), ["block 9+16384"]);
    assert_eq!(pair.right.told(), ["uploaded 3616"]);
    assert_eq!(pair.left.connection.stats().received_payload, 3616);
    assert_eq!(pair.right.connection.stats().sent_payload, 3616);
}

#[test]
fn redundant_choke_and_interest_are_not_sent() {
    let mut pair = Scripted::connected(Reserved::FAST, all());
    pair.heard();
    for command in [
        Command::Choke,
        Command::NotInterested,
        Command::Unchoke,
        Command::Unchoke,
        Command::Interested,
        Command::Interested,
    ] {
        pair.does(command);
    }
    assert_eq!(pair.heard(), [Message::Unchoke, Message::Interested]);
}

#[test]
fn late_blocks_are_taken_for_two_seconds_after_a_choke() {
    let mut pair = Scripted::connected(Reserved::NONE, none());
    let have_all = Message::Bitfield(vec![0xff, 0xc0].into());
    pair.say(&[have_all, Message::Unchoke]).unwrap();
    pair.does(Command::Request(block(0, 0)));
    pair.does(Command::Request(block(0, 1)));
    pair.end.told();
    pair.say(&[Message::Choke, piece(block(0, 0))]).unwrap();
    assert_eq!(pair.end.told(), ["choked", "block 0+0"]);
    pair.wait(Duration::from_secs(2));
    assert_eq!(pair.end.told(), ["returned 0+16384"]);
    // Still later it is of no use, but no fault.
    pair.say(&[piece(block(0, 1))]).unwrap();
    assert_eq!(pair.end.told(), [""; 0]);
    assert_eq!(pair.end.connection.stats().received_late, 16_384);
    assert!(pair.say(&[piece(block(0, 1))]).is_err());
}
