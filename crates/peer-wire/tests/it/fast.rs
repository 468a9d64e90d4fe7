//! The fast extension: allowed-fast pieces and suggestions, both ways.

use rarest_peer_wire::connection::Command;
use rarest_peer_wire::limits::ALLOWED_FAST_SERVINGS;
use rarest_peer_wire::{Message, Reserved};

use crate::pair::{Scripted, all, block, geometry, none, piece};

fn fast(have: rarest_metainfo::Bitfield) -> Scripted {
    let mut peer = Scripted::connected(Reserved::FAST, have);
    peer.heard();
    peer
}

#[test]
fn allowed_fast_pieces_are_asked_for_while_choked() {
    let mut peer = fast(none());
    let allowed = Message::AllowedFast { piece: 3 };
    peer.say(&[Message::HaveAll, allowed.clone(), allowed])
        .unwrap();
    assert_eq!(peer.end.told(), ["has 10", "allowed fast 3"]);
    peer.does(Command::Request(block(3, 0)));
    peer.does(Command::Request(block(4, 0)));
    assert_eq!(peer.heard(), [Message::Request(block(3, 0).into())]);
    peer.say(&[piece(block(3, 0))]).unwrap();
    assert_eq!(peer.end.told(), ["returned 4+0", "block 3+0"]);
}

#[test]
fn allowed_fast_does_not_mean_that_the_peer_has_the_piece() {
    let mut peer = fast(none());
    peer.say(&[Message::HaveNone, Message::AllowedFast { piece: 3 }])
        .unwrap();
    peer.does(Command::Request(block(3, 0)));
    assert_eq!(peer.heard(), []);
    assert_eq!(peer.end.told(), ["has 0", "allowed fast 3", "returned 3+0"]);
}

#[test]
fn requests_for_allowed_fast_pieces_outlive_a_choke() {
    let mut peer = fast(none());
    let allowed = Message::AllowedFast { piece: 3 };
    peer.say(&[Message::HaveAll, allowed, Message::Unchoke])
        .unwrap();
    peer.does(Command::Request(block(3, 0)));
    peer.does(Command::Request(block(4, 0)));
    peer.say(&[Message::Choke]).unwrap();
    peer.end.told();
    peer.wait(std::time::Duration::from_secs(15));
    assert_eq!(peer.end.told(), ["returned 4+0"]);
    peer.say(&[piece(block(3, 0))]).unwrap();
    assert_eq!(peer.end.told(), ["block 3+0"]);
}

#[test]
fn a_choked_peer_is_served_its_allowed_fast_pieces_and_no_others() {
    let mut peer = fast(all());
    peer.does(Command::AllowFast(geometry().piece(3).unwrap()));
    peer.does(Command::AllowFast(geometry().piece(3).unwrap()));
    assert_eq!(peer.heard(), [Message::AllowedFast { piece: 3 }]);
    let request = |block: rarest_metainfo::Block| Message::Request(block.into());
    let requests = [request(block(3, 1)), request(block(4, 0))];
    peer.say(&[Message::HaveNone]).unwrap();
    peer.say(&requests).unwrap();
    peer.end.serve(peer.now);
    let reject = Message::RejectRequest(block(4, 0).into());
    assert_eq!(peer.heard(), [reject, piece(block(3, 1))]);
}

#[test]
fn allowed_fast_requests_outlive_a_choke_of_ours() {
    let mut peer = fast(all());
    peer.does(Command::AllowFast(geometry().piece(3).unwrap()));
    peer.does(Command::Unchoke);
    let request = |block: rarest_metainfo::Block| Message::Request(block.into());
    let requests = [request(block(3, 0)), request(block(4, 0))];
    peer.say(&[Message::HaveNone]).unwrap();
    peer.say(&requests).unwrap();
    peer.heard();
    peer.does(Command::Choke);
    peer.end.serve(peer.now);
    let reject = Message::RejectRequest(block(4, 0).into());
    assert_eq!(peer.heard(), [Message::Choke, reject, piece(block(3, 0))]);
}

#[test]
fn a_choked_peer_cannot_download_an_allowed_fast_piece_for_ever() {
    let mut peer = fast(all());
    peer.does(Command::AllowFast(geometry().piece(9).unwrap()));
    peer.say(&[Message::HaveNone]).unwrap();
    let request = Message::Request(block(9, 0).into());
    for _ in 0..10 {
        peer.say(std::slice::from_ref(&request)).unwrap();
    }
    peer.end.serve(peer.now);
    let heard = peer.heard();
    let blocks = heard.iter().filter(|&it| *it == piece(block(9, 0))).count();
    // Piece 9 has two blocks.
    assert_eq!(blocks, 2 * ALLOWED_FAST_SERVINGS as usize);
}

#[test]
fn suggestions_are_passed_on_and_made() {
    let mut peer = fast(all());
    peer.say(&[Message::HaveNone, Message::SuggestPiece { piece: 7 }])
        .unwrap();
    assert_eq!(peer.end.told(), ["has 0", "suggested 7"]);
    peer.does(Command::Suggest(geometry().piece(1).unwrap()));
    assert_eq!(peer.heard(), [Message::SuggestPiece { piece: 1 }]);
}

#[test]
fn nothing_of_it_is_said_to_a_peer_without_it() {
    let mut peer = Scripted::connected(Reserved::NONE, none());
    peer.does(Command::AllowFast(geometry().piece(3).unwrap()));
    peer.does(Command::Suggest(geometry().piece(3).unwrap()));
    assert_eq!(peer.heard(), []);
}
