//! Blocks out of what a socket gave.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use rarest_peer_wire::{Codec, Message};

use crate::MOST_TIMES;

/// Blocks in one read of the socket.
const BLOCKS: u32 = 16;

/// Bytes of a block.
const BLOCK_LENGTH: u32 = 16 * 1024;

/// Decodes a read of 256 KiB so often.
pub(crate) fn sixteen_blocks_decoded(times: usize) {
    let mut read = Vec::new();
    for block in 0..BLOCKS {
        let message = Message::Piece {
            piece: 0,
            offset: block * BLOCK_LENGTH,
            data: Bytes::from(vec![0x5a; BLOCK_LENGTH as usize]),
        };
        message.encode(&mut read);
    }
    let mut reads = vec![BytesMut::from(&read[..]); MOST_TIMES];
    let mut codec = Codec::new();
    for read in &mut reads[..times] {
        while let Some(message) = codec.decode(read).expect("we encoded it") {
            black_box(message);
        }
    }
}
