//! What goes to the socket: vectored, without copies, and counted when it is gone.

use std::io::IoSlice;

use bytes::{Buf, Bytes};
use rarest_peer_wire::connection::Command;
use rarest_peer_wire::{Message, Reserved};

use crate::pair::{Scripted, all, block, content};

fn requested(count: u32) -> Scripted {
    let mut peer = Scripted::connected(Reserved::FAST, all());
    peer.heard();
    peer.does(Command::Unchoke);
    peer.say(&[Message::HaveNone]).unwrap();
    peer.end.told();
    for index in 0..count {
        let request = block(0, index).into();
        peer.say(&[Message::Request(request)]).unwrap();
    }
    peer
}

#[test]
fn blocks_are_handed_out_without_a_copy() {
    let mut peer = requested(1);
    let taken = peer.end.connection.poll_upload_request().unwrap();
    let data = content(taken);
    (peer.end.connection).send_block(peer.now, taken, Bytes::clone(&data));
    let mut slices = [IoSlice::new(&[]); 8];
    let output = peer.end.connection.output();
    let filled = output.chunks_vectored(&mut slices);
    // Unchoke and the header of the block share the first.
    assert_eq!(filled, 2);
    assert_eq!(slices[0].len(), 5 + 13);
    assert_eq!(slices[1].as_ptr(), data.as_ptr());
}

#[test]
fn small_messages_share_a_slice() {
    let mut peer = requested(0);
    for command in [Command::Choke, Command::Interested, Command::NotInterested] {
        peer.does(command);
    }
    let mut slices = [IoSlice::new(&[]); 8];
    let output = peer.end.connection.output();
    assert_eq!(output.chunks_vectored(&mut slices), 1);
    assert_eq!(slices[0].len(), 20);
    assert_eq!(output.waiting_overhead(), 20);
}

#[test]
fn uploaded_bytes_are_reported_as_the_socket_takes_them() {
    let mut peer = requested(1);
    peer.end.serve(peer.now);
    assert_eq!(peer.end.connection.output().waiting_payload(), 16_384);
    assert_eq!(peer.end.told(), [""; 0]);
    // The unchoke, the header and a part of the block.
    peer.end.connection.output().advance(5 + 13 + 1000);
    assert_eq!(peer.end.told(), ["uploaded 1000"]);
    peer.end.connection.output().advance(15_384);
    assert_eq!(peer.end.told(), ["uploaded 15384"]);
    assert!(!peer.end.connection.has_output());
    assert_eq!(peer.end.told(), [""; 0]);
}

#[test]
fn any_partial_write_leaves_the_rest() {
    let mut whole = requested(3);
    whole.end.serve(whole.now);
    let expected = whole.end.output();
    for step in [1, 7, 13, 16_384, 16_397, 40_000] {
        let mut peer = requested(3);
        peer.end.serve(peer.now);
        let output = peer.end.connection.output();
        let mut written = Vec::new();
        while output.has_remaining() {
            let length = step.min(output.chunk().len());
            written.extend_from_slice(&output.chunk()[..length]);
            output.advance(length);
        }
        assert_eq!(written, expected);
    }
}
