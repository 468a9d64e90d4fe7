//! Time-outs and keep-alives.

use std::time::Duration;

use rarest_peer_wire::connection::{CloseReason, Command};
use rarest_peer_wire::{Message, Reserved};

use crate::pair::{Pair, Scripted, block, none, only};

#[test]
fn keep_alives_hold_a_silent_connection_open() {
    let mut pair = Pair::connected(only(&[1]), only(&[2, 3]));
    for _ in 0..60 {
        pair.wait(Duration::from_secs(10));
        pair.run();
    }
    assert_eq!(pair.left.connection.close_reason(), None);
    assert_eq!(pair.right.connection.close_reason(), None);
}

#[test]
fn a_keep_alive_goes_out_before_two_minutes_of_silence() {
    let mut pair = Scripted::connected(Reserved::NONE, none());
    pair.heard();
    pair.wait(Duration::from_secs(99));
    assert_eq!(pair.heard(), []);
    let next = pair.end.connection.next_timeout().unwrap();
    assert!(next <= pair.now + Duration::from_secs(20));
    pair.wait(next - pair.now);
    assert_eq!(pair.heard(), [Message::KeepAlive]);
}

#[test]
fn a_peer_that_is_silent_for_over_two_minutes_is_closed() {
    let mut pair = Scripted::connected(Reserved::NONE, none());
    pair.wait(Duration::from_secs(121));
    assert_eq!(pair.end.connection.close_reason(), None);
    pair.wait(Duration::from_secs(60));
    let closed = pair.end.connection.close_reason();
    assert_eq!(closed, Some(&CloseReason::Idle));
    assert_eq!(pair.end.connection.next_timeout(), None);
}

#[test]
fn a_request_without_an_answer_is_returned() {
    let mut pair = Scripted::connected(Reserved::FAST, none());
    pair.say(&[Message::HaveAll, Message::Unchoke]).unwrap();
    pair.does(Command::Request(block(0, 0)));
    pair.end.told();
    pair.wait(Duration::from_secs(59));
    assert_eq!(pair.end.told(), [""; 0]);
    pair.wait(Duration::from_secs(1));
    assert_eq!(pair.end.told(), ["returned 0+0"]);
}
