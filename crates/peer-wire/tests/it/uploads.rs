//! The peer's requests: which are served, and how the others end.

use std::sync::Arc;

use bytes::Bytes;
use rarest_metainfo::{BLOCK_LENGTH, Bitfield, Block, BlockRequest, Geometry};
use rarest_peer_wire::connection::{Command, LocalTorrent};
use rarest_peer_wire::limits::{MAX_BLOCK_LENGTH, MAX_INCOMING_REQUESTS};
use rarest_peer_wire::{Message, Reserved};

use crate::pair::{INFO_HASH, Pair, Scripted, all, block, content, geometry, none, only, piece};

fn request(block: Block) -> Message {
    Message::Request(block.into())
}

fn reject(block: Block) -> Message {
    Message::RejectRequest(block.into())
}

/// A leecher that we unchoke.
fn leecher(reserved: Reserved) -> Scripted {
    let mut peer = Scripted::connected(reserved, all());
    peer.does(Command::Unchoke);
    let nothing = Message::Bitfield(Bytes::from_static(b"\x00\x00"));
    peer.say(&[nothing]).unwrap();
    peer.heard();
    peer
}

#[test]
fn requests_are_served_in_order() {
    let mut peer = leecher(Reserved::NONE);
    peer.say(&[request(block(0, 1)), request(block(9, 1))])
        .unwrap();
    assert_eq!(peer.end.connection.waiting_upload_requests(), 2);
    peer.end.serve(peer.now);
    assert_eq!(peer.heard(), [piece(block(0, 1)), piece(block(9, 1))]);
    assert_eq!(peer.end.connection.waiting_upload_requests(), 0);
}

#[test]
fn requests_of_a_choked_peer_are_rejected_or_dropped() {
    let mut peer = Scripted::connected(Reserved::FAST, all());
    peer.heard();
    peer.say(&[Message::HaveNone, request(block(0, 0))])
        .unwrap();
    assert_eq!(peer.heard(), [reject(block(0, 0))]);

    let mut peer = Scripted::connected(Reserved::NONE, all());
    peer.heard();
    peer.say(&[request(block(0, 0))]).unwrap();
    assert_eq!(peer.heard(), []);
    assert_eq!(peer.end.connection.poll_upload_request(), None);
}

#[test]
fn requests_for_what_we_do_not_have_or_nobody_has_are_rejected() {
    let mut peer = Scripted::connected(Reserved::FAST, only(&[1]));
    peer.does(Command::Unchoke);
    peer.say(&[Message::HaveNone]).unwrap();
    peer.heard();
    let requests = [(0, 0, 16_384), (1, 65_535, 2), (1, 0, 0), (10, 0, 1)];
    for (piece, offset, length) in requests.into_iter().chain([(1, u32::MAX, u32::MAX)]) {
        let request = BlockRequest {
            piece,
            offset,
            length,
        };
        peer.say(&[Message::Request(request)]).unwrap();
        assert_eq!(peer.heard(), [Message::RejectRequest(request)]);
    }
    assert_eq!(peer.end.connection.poll_upload_request(), None);
}

#[test]
fn a_piece_can_be_requested_once_it_is_told() {
    let mut peer = Scripted::connected(Reserved::FAST, none());
    peer.does(Command::Unchoke);
    peer.say(&[Message::HaveNone]).unwrap();
    peer.does(Command::Have(geometry().piece(2).unwrap()));
    peer.heard();
    peer.say(&[request(block(2, 0))]).unwrap();
    peer.end.serve(peer.now);
    assert_eq!(peer.heard(), [piece(block(2, 0))]);
}

#[test]
fn requests_for_more_than_the_longest_block_are_rejected() {
    let large = Geometry::contiguous(1 << 20, 1 << 20).unwrap();
    let have = Bitfield::full(&large);
    let torrent = LocalTorrent::new(INFO_HASH, Arc::new(large), have);
    let mut peer = Scripted::with_torrent(Reserved::FAST, torrent);
    peer.does(Command::Unchoke);
    peer.say(&[Message::HaveNone]).unwrap();
    peer.heard();
    let request = |length| BlockRequest {
        piece: 0,
        offset: 0,
        length,
    };
    let longest = request(MAX_BLOCK_LENGTH);
    let longer = request(MAX_BLOCK_LENGTH + 1);
    peer.say(&[Message::Request(longest), Message::Request(longer)])
        .unwrap();
    assert_eq!(peer.heard(), [Message::RejectRequest(longer)]);
    let accepted = peer.end.connection.poll_upload_request().unwrap();
    assert_eq!(BlockRequest::from(accepted), longest);
}

#[test]
fn requests_over_the_limit_are_rejected() {
    let mut peer = leecher(Reserved::FAST);
    for _ in 0..MAX_INCOMING_REQUESTS {
        peer.say(&[request(block(0, 0))]).unwrap();
    }
    assert_eq!(peer.heard(), []);
    peer.say(&[request(block(1, 0))]).unwrap();
    assert_eq!(peer.heard(), [reject(block(1, 0))]);
    // What the driver has taken counts until it is answered.
    let taken = peer.end.connection.poll_upload_request().unwrap();
    peer.say(&[request(block(1, 0))]).unwrap();
    assert_eq!(peer.heard(), [reject(block(1, 0))]);
    let now = peer.now;
    (peer.end.connection).send_block(now, taken, content(taken));
    peer.say(&[request(block(1, 0))]).unwrap();
    assert_eq!(peer.heard(), [piece(taken)]);
}

#[test]
fn a_block_of_wrong_length_is_rejected() {
    let mut peer = leecher(Reserved::FAST);
    peer.say(&[request(block(0, 0))]).unwrap();
    let taken = peer.end.connection.poll_upload_request().unwrap();
    let cut = content(taken).slice(1..);
    (peer.end.connection).send_block(peer.now, taken, cut);
    assert_eq!(peer.heard(), [reject(taken)]);
}

#[test]
fn a_cancelled_request_is_rejected_once_and_not_served() {
    let mut peer = leecher(Reserved::FAST);
    let cancel = |block: Block| Message::Cancel(block.into());
    let requests = [request(block(0, 0)), request(block(0, 1))];
    peer.say(&requests).unwrap();
    // One is being read, one waits.
    let taken = peer.end.connection.poll_upload_request().unwrap();
    let cancels = [cancel(block(0, 0)), cancel(block(0, 1))];
    peer.say(&cancels).unwrap();
    assert_eq!(peer.heard(), [reject(block(0, 0)), reject(block(0, 1))]);
    (peer.end.connection).send_block(peer.now, taken, content(taken));
    assert_eq!(peer.end.connection.poll_upload_request(), None);
    peer.say(&cancels).unwrap();
    assert_eq!(peer.heard(), []);
}

/// The request of a whole block where the file ends within it, as libtorrent makes it of v2 torrents.
fn padded(block: Block) -> BlockRequest {
    BlockRequest {
        length: BLOCK_LENGTH,
        ..block.into()
    }
}

#[test]
fn a_request_that_reaches_into_the_zeros_behind_a_file_is_served_with_them() {
    let mut peer = leecher(Reserved::FAST);
    let last = block(9, 1);
    assert!(last.length() < BLOCK_LENGTH);
    peer.say(&[Message::Request(padded(last)), request(last)])
        .unwrap();
    peer.end.serve(peer.now);
    let mut data = content(last).to_vec();
    data.resize(BLOCK_LENGTH as usize, 0);
    let whole = Message::Piece {
        piece: 9,
        offset: last.offset(),
        data: data.into(),
    };
    assert_eq!(peer.heard(), [whole, piece(last)]);
}

#[test]
fn what_is_asked_beyond_the_block_of_the_files_end_is_rejected() {
    let mut peer = leecher(Reserved::FAST);
    let last = block(9, 1);
    let one_more = BlockRequest {
        length: BLOCK_LENGTH + 1,
        ..last.into()
    };
    let behind = BlockRequest {
        offset: 2 * BLOCK_LENGTH,
        ..padded(last)
    };
    let requests = [one_more, behind].map(Message::Request);
    peer.say(&requests).unwrap();
    assert_eq!(peer.heard(), [one_more, behind].map(Message::RejectRequest));
}

#[test]
fn a_padded_request_that_is_cancelled_is_rejected_as_it_was_made() {
    let mut peer = leecher(Reserved::FAST);
    let request = padded(block(9, 1));
    peer.say(&[Message::Request(request), Message::Cancel(request)])
        .unwrap();
    assert_eq!(peer.heard(), [Message::RejectRequest(request)]);
    assert_eq!(peer.end.connection.poll_upload_request(), None);
}

#[test]
fn a_cancelled_request_without_fast_ends_silently() {
    let mut peer = leecher(Reserved::NONE);
    let cancel = Message::Cancel(block(0, 0).into());
    peer.say(&[request(block(0, 0)), cancel]).unwrap();
    peer.end.serve(peer.now);
    assert_eq!(peer.heard(), []);
}

#[test]
fn a_choke_goes_out_before_the_rejects() {
    let mut peer = leecher(Reserved::FAST);
    let requests = [request(block(0, 0)), request(block(0, 1))];
    peer.say(&requests).unwrap();
    let taken = peer.end.connection.poll_upload_request().unwrap();
    peer.does(Command::Choke);
    let rejects = [reject(block(0, 0)), reject(block(0, 1))];
    let heard = peer.heard();
    assert_eq!(heard[0], Message::Choke);
    assert_eq!(heard[1..], rejects);
    (peer.end.connection).send_block(peer.now, taken, content(taken));
    assert_eq!(peer.heard(), []);
}

#[test]
fn a_choke_without_fast_drops_requests() {
    let mut peer = leecher(Reserved::NONE);
    peer.say(&[request(block(0, 0))]).unwrap();
    peer.does(Command::Choke);
    peer.does(Command::Unchoke);
    peer.end.serve(peer.now);
    assert_eq!(peer.heard(), [Message::Choke, Message::Unchoke]);
}

#[test]
fn a_block_that_cannot_be_read_is_rejected() {
    let mut peer = leecher(Reserved::FAST);
    peer.say(&[request(block(0, 0))]).unwrap();
    let taken = peer.end.connection.poll_upload_request().unwrap();
    peer.end.connection.reject(peer.now, taken);
    peer.end.connection.reject(peer.now, taken);
    assert_eq!(peer.heard(), [reject(taken)]);
}

#[test]
fn requests_for_a_piece_that_is_gone_are_rejected() {
    let mut peer = leecher(Reserved::FAST);
    let requests = [request(block(0, 0)), request(block(1, 0))];
    peer.say(&requests).unwrap();
    peer.does(Command::DontHave(geometry().piece(0).unwrap()));
    peer.end.serve(peer.now);
    assert_eq!(peer.heard(), [reject(block(0, 0)), piece(block(1, 0))]);
}

#[test]
fn a_peer_without_fast_learns_by_a_choke_that_its_requests_are_void_when_a_piece_is_gone() {
    let mut peer = leecher(Reserved::NONE);
    let requests = [request(block(0, 0)), request(block(1, 0))];
    peer.say(&requests).unwrap();
    peer.does(Command::DontHave(geometry().piece(2).unwrap()));
    assert_eq!(peer.heard(), [], "it waits for nothing of that piece");
    peer.does(Command::DontHave(geometry().piece(0).unwrap()));
    peer.end.serve(peer.now);
    assert_eq!(peer.heard(), [Message::Choke, Message::Unchoke]);
    peer.say(&requests).unwrap();
    peer.end.serve(peer.now);
    assert_eq!(peer.heard(), [piece(block(1, 0))]);
}

#[test]
fn every_request_of_a_fast_peer_gets_one_answer() {
    let mut pair = Pair::connected(none(), all());
    pair.right_does(Command::Unchoke);
    pair.run();
    pair.left.told();
    for index in 0..4 {
        pair.left_does(Command::Request(block(0, index)));
    }
    pair.run();
    // Half are served, then the peer chokes.
    for _ in 0..2 {
        let taken = pair.right.connection.poll_upload_request().unwrap();
        (pair.right.connection).send_block(pair.now, taken, content(taken));
    }
    pair.right_does(Command::Choke);
    pair.run();
    let told = [
        "block 0+0",
        "block 0+16384",
        "choked",
        "returned 0+32768",
        "returned 0+49152",
    ];
    assert_eq!(pair.left.told(), told);
}
