//! Past every limit of what a peer can queue.

use std::sync::Arc;

use bytes::Bytes;
use rarest_metainfo::{Bitfield, Geometry};
use rarest_peer_wire::connection::{CloseReason, Command, LocalTorrent};
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::limits::{
    MAX_ALLOWED_FAST, MAX_CLIENT_LENGTH, MAX_EXTENSION_NAME_LENGTH, MAX_EXTENSIONS,
    MAX_FORGIVEN_REQUESTS, MAX_LATE_HAVE_ALLS, MAX_OUTPUT_BACKLOG, MAX_SUGGESTIONS,
};
use rarest_peer_wire::{Extension, Message, Reserved, allowed_fast_set};

use crate::pair::{INFO_HASH, Scripted, all, block, none};

/// A torrent of many pieces of one byte, of which we have none.
fn many_pieces(reserved: Reserved, count: u32) -> Scripted {
    let geometry = Geometry::contiguous(count.into(), 1).unwrap();
    let have = Bitfield::empty(&geometry);
    let torrent = LocalTorrent::new(INFO_HASH, Arc::new(geometry), have);
    let mut peer = Scripted::with_torrent(reserved, torrent);
    peer.heard();
    peer
}

#[test]
fn a_hundred_thousand_haves_in_a_row_are_legal() {
    let mut peer = many_pieces(Reserved::NONE, 100_000);
    let haves: Vec<_> = (0..100_000).map(|piece| Message::Have { piece }).collect();
    peer.say(&haves).unwrap();
    assert_eq!(peer.end.events().len(), 100_001);
    peer.say(&haves).unwrap();
    assert_eq!(peer.end.events().len(), 0);
}

#[test]
fn allowed_fast_pieces_over_the_limit_are_ignored() {
    let mut peer = many_pieces(Reserved::FAST, 1000);
    peer.say(&[Message::HaveNone]).unwrap();
    peer.end.told();
    let all: Vec<_> = (0..1000)
        .map(|piece| Message::AllowedFast { piece })
        .collect();
    peer.say(&all).unwrap();
    assert_eq!(peer.end.events().len(), MAX_ALLOWED_FAST);
}

#[test]
fn allowed_fast_sets_are_no_larger_than_the_limit() {
    let geometry = Geometry::contiguous(1000, 1).unwrap();
    let set = allowed_fast_set([192, 0, 2, 1].into(), INFO_HASH, &geometry, 1000);
    assert_eq!(set.len(), MAX_ALLOWED_FAST);
}

#[test]
fn suggestions_over_the_limit_are_ignored() {
    let mut peer = many_pieces(Reserved::FAST, 10);
    peer.say(&[Message::HaveNone]).unwrap();
    peer.end.told();
    for _ in 0..=MAX_SUGGESTIONS {
        peer.say(&[Message::SuggestPiece { piece: 1 }]).unwrap();
    }
    assert_eq!(peer.end.events().len(), MAX_SUGGESTIONS as usize);
}

#[test]
fn a_peer_that_makes_us_talk_and_does_not_listen_is_closed() {
    let mut peer = Scripted::connected(Reserved::FAST, none());
    peer.say(&[Message::HaveNone]).unwrap();
    let requests = vec![Message::Request(block(0, 0).into()); 1000];
    let closed = loop {
        if let Err(reason) = peer.say(&requests) {
            break reason;
        }
        let waiting = peer.end.connection.output().waiting_overhead();
        assert!(waiting <= MAX_OUTPUT_BACKLOG);
    };
    assert!(matches!(closed, CloseReason::NotReading { waiting } if waiting > MAX_OUTPUT_BACKLOG));
    assert!(!peer.end.connection.has_output());
}

#[test]
fn all_that_we_had_when_the_metadata_came_may_be_said_at_once() {
    let haves = u32::try_from(MAX_OUTPUT_BACKLOG / 9).unwrap() + 1;
    let geometry = Arc::new(Geometry::contiguous(haves.into(), 1).unwrap());
    let torrent = LocalTorrent::without_metadata(INFO_HASH);
    let mut peer = Scripted::with_torrent(Reserved::FAST, torrent);
    peer.say(&[Message::HaveNone]).unwrap();
    peer.heard();
    let connection = &mut peer.end.connection;
    let full = Bitfield::full(&geometry);
    connection
        .handle_metadata(peer.now, LocalTorrent::new(INFO_HASH, geometry, full))
        .unwrap();
    connection.handle_timeout(peer.now);
    assert_eq!(connection.close_reason(), None);
    let waiting = connection.output().waiting_overhead();
    assert_eq!(waiting, 9 * haves as usize);
    assert!(waiting > MAX_OUTPUT_BACKLOG);
}

#[test]
fn late_words_for_every_piece_over_the_limit_are_ignored() {
    let mut peer = many_pieces(Reserved::FAST.with(Reserved::EXTENSION_PROTOCOL), 10);
    peer.say(&[Message::HaveAll]).unwrap();
    peer.end.told();
    let lost = Message::Extended {
        id: Extension::DontHave.local_id(),
        payload: Bytes::from_static(&[0, 0, 0, 1]),
    };
    for _ in 0..MAX_LATE_HAVE_ALLS {
        peer.say(&[lost.clone(), Message::HaveAll, Message::HaveAll])
            .unwrap();
        assert_eq!(peer.end.told(), ["donthave 1", "have 1"]);
    }
    peer.say(&[lost, Message::HaveAll]).unwrap();
    assert_eq!(peer.end.told(), ["donthave 1"]);
}

#[test]
fn given_up_requests_are_forgotten_in_the_end() {
    let count = u32::try_from(MAX_FORGIVEN_REQUESTS).unwrap() + 1;
    let mut peer = many_pieces(Reserved::EXTENSION_PROTOCOL, count);
    let geometry = Geometry::contiguous(count.into(), 1).unwrap();
    let bitfield = Bitfield::full(&geometry);
    let bitfield = Message::Bitfield(Bytes::copy_from_slice(bitfield.as_bytes()));
    let roomy = Message::Extended {
        id: 0,
        payload: Bytes::from_static(b"d4:reqqi10000ee"),
    };
    peer.say(&[bitfield, roomy, Message::Unchoke]).unwrap();
    for piece in geometry.pieces() {
        let block = geometry.block_at(piece, 0).unwrap();
        peer.does(Command::Request(block));
        peer.does(Command::Cancel(block));
    }
    let block = |piece| Message::Piece {
        piece,
        offset: 0,
        data: Bytes::from_static(b"x"),
    };
    peer.say(&[block(1)]).unwrap();
    assert!(peer.say(&[block(0)]).is_err());
}

#[test]
fn of_an_extension_handshake_little_is_kept() {
    let mut handshake = ExtensionHandshake::default();
    handshake.client = Some("\u{1f980}".repeat(MAX_CLIENT_LENGTH + 1));
    handshake.ids = (0..=MAX_EXTENSIONS)
        .map(|number| (format!("x{number:03}"), 1))
        .collect();
    let long = "a".repeat(MAX_EXTENSION_NAME_LENGTH + 1);
    handshake.ids.push((long, 1));
    let kept = ExtensionHandshake::decode(&handshake.encode()).unwrap();
    let client = kept.client.unwrap();
    assert_eq!(client, "\u{1f980}".repeat(MAX_CLIENT_LENGTH));
    assert_eq!(kept.ids, handshake.ids[..MAX_EXTENSIONS]);
}

#[test]
fn closing_frees_what_waited() {
    let mut peer = Scripted::connected(Reserved::FAST, all());
    peer.end.connection.close(CloseReason::Local);
    assert!(!peer.end.connection.has_output());
    assert_eq!(peer.end.connection.next_timeout(), None);
}
