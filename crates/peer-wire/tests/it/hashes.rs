//! Hash requests of v2 torrents: each is answered, once.

use bytes::Bytes;
use rarest_peer_wire::connection::{CloseReason, Command, ProtocolViolation};
use rarest_peer_wire::limits::{
    HASH_ANSWER_TIMEOUT, MAX_HASH_REQUESTS, MAX_HASHES, MAX_PROOF_LAYERS,
};
use rarest_peer_wire::{HashRange, Message, Reserved};

use crate::pair::{Scripted, all};

fn range(index: u32, length: u32) -> HashRange {
    HashRange {
        pieces_root: [1; 32],
        base_layer: 2,
        index,
        length,
        proof_layers: 0,
    }
}

fn peer() -> Scripted {
    let mut peer = Scripted::connected(Reserved::NONE, all());
    let nothing = Message::Bitfield(Bytes::from_static(b"\x00\x00"));
    peer.say(&[nothing]).unwrap();
    peer.end.told();
    peer.heard();
    peer
}

fn hashes() -> Bytes {
    Bytes::from_static(&[2; 64])
}

#[test]
fn a_request_is_answered_by_the_owner() {
    let mut peer = peer();
    let asked = [range(0, 2), range(2, 2)];
    peer.say(&asked.map(Message::HashRequest)).unwrap();
    assert_eq!(peer.end.told(), ["hashes requested", "hashes requested"]);
    let answer = Command::SendHashes {
        range: Box::new(range(2, 2)),
        hashes: hashes(),
    };
    peer.does(answer.clone());
    peer.does(Command::RejectHashes(Box::new(range(0, 2))));
    let answers = [
        Message::Hashes {
            range: range(2, 2),
            hashes: hashes(),
        },
        Message::HashReject(range(0, 2)),
    ];
    assert_eq!(peer.heard(), answers);
    peer.does(answer);
    peer.wait(HASH_ANSWER_TIMEOUT);
    assert_eq!(peer.heard(), []);
}

#[test]
fn a_request_that_the_owner_does_not_answer_is_rejected() {
    let mut peer = peer();
    peer.say(&[Message::HashRequest(range(0, 2))]).unwrap();
    let deadline = peer.end.connection.next_timeout().unwrap();
    assert_eq!(deadline, peer.now + HASH_ANSWER_TIMEOUT);
    peer.wait(HASH_ANSWER_TIMEOUT);
    assert_eq!(peer.heard(), [Message::HashReject(range(0, 2))]);
}

#[test]
fn ranges_that_cannot_be_asked_for_are_rejected_at_once() {
    let odd_layer = HashRange {
        base_layer: u32::MAX,
        ..range(0, 2)
    };
    let odd_proof = HashRange {
        proof_layers: u32::MAX,
        ..range(0, 2)
    };
    let odd = [
        range(0, 0),
        range(0, 1),
        range(0, 3),
        range(3, 2),
        range(0, 1 << 31),
        range(u32::MAX - 1, 2),
        odd_layer,
        odd_proof,
    ];
    for range in odd {
        let mut peer = peer();
        peer.say(&[Message::HashRequest(range)]).unwrap();
        assert_eq!(peer.end.told(), [""; 0]);
        assert_eq!(peer.heard(), [Message::HashReject(range)]);
    }
}

#[test]
fn more_requests_than_are_held_are_rejected_at_once() {
    let mut peer = peer();
    for index in 0..=u32::try_from(MAX_HASH_REQUESTS).unwrap() {
        let range = range(index * 2, 2);
        peer.say(&[Message::HashRequest(range)]).unwrap();
    }
    assert_eq!(peer.end.told().len(), MAX_HASH_REQUESTS);
    assert_eq!(peer.heard(), [Message::HashReject(range(32, 2))]);
}

#[test]
fn our_requests_end_once() {
    let mut peer = peer();
    for index in [0, 2, 4, 0] {
        peer.does(Command::RequestHashes(Box::new(range(index, 2))));
    }
    let asked = [range(0, 2), range(2, 2), range(4, 2)];
    assert_eq!(peer.heard(), asked.map(Message::HashRequest));
    assert_eq!(peer.end.told(), ["hashes returned"]);
    let answers = [
        Message::Hashes {
            range: range(0, 2),
            hashes: hashes(),
        },
        Message::HashReject(range(2, 2)),
    ];
    peer.say(&answers).unwrap();
    assert_eq!(peer.end.told(), ["hashes", "hashes returned"]);
    peer.end.connection.close(CloseReason::Remote);
    assert_eq!(peer.end.told(), ["hashes returned"]);
}

#[test]
fn unrequested_hashes_close() {
    let answers = [
        Message::Hashes {
            range: range(0, 2),
            hashes: hashes(),
        },
        Message::HashReject(range(0, 2)),
    ];
    for answer in answers {
        let closed = peer().say(&[answer]);
        let violation = ProtocolViolation::UnrequestedHashes;
        assert_eq!(closed, Err(CloseReason::Violation(violation)));
    }
}

/// An answer of so many hashes, uncles included.
fn answer_of(hashes: u32) -> Message {
    Message::Hashes {
        range: range(0, 2),
        hashes: vec![2; 32 * hashes as usize].into(),
    }
}

#[test]
fn an_answer_longer_than_any_may_be_closes() {
    let mut peer = peer();
    peer.does(Command::RequestHashes(Box::new(range(0, 2))));
    peer.say(&[answer_of(MAX_HASHES + MAX_PROOF_LAYERS)])
        .unwrap();
    assert_eq!(peer.end.told(), ["hashes"]);
    peer.does(Command::RequestHashes(Box::new(range(0, 2))));
    let closed = peer.say(&[answer_of(MAX_HASHES + MAX_PROOF_LAYERS + 1)]);
    assert!(matches!(closed, Err(CloseReason::Violation(_))));
}

#[test]
fn more_hashes_than_are_ever_served_are_not_asked_of_the_owner() {
    for (length, told) in [(MAX_HASHES, 1), (MAX_HASHES * 2, 0)] {
        let mut peer = peer();
        peer.say(&[Message::HashRequest(range(0, length))]).unwrap();
        assert_eq!(peer.end.told().len(), told);
    }
}
