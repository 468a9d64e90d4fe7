//! Bytes to messages: the content of one frame whose length is already known to fit its kind.

use bytes::{Buf, BytesMut};
use rarest_metainfo::BlockRequest;

use super::{HashRange, Message, id};
use crate::limits::{MAX_BLOCK_LENGTH, MAX_EXTENDED_LENGTH, MAX_HASHES, MAX_PROOF_LAYERS};

const HASH_RANGE_LENGTH: u32 = 48;
const _: () = assert!(HASH_RANGE_LENGTH as usize == HashRange::ENCODED_LENGTH);

/// How long the payload of a kind of message may be, in bytes behind the id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PayloadLength {
    Exactly(u32),
    Between { least: u32, most: u32 },
}

/// The payload lengths that message `id` allows; `None` for an id that nobody has given a meaning.
pub(crate) fn payload_length(id: u8, max_bitfield_length: u32) -> Option<PayloadLength> {
    use PayloadLength::{Between, Exactly};
    Some(match id {
        id::CHOKE
        | id::UNCHOKE
        | id::INTERESTED
        | id::NOT_INTERESTED
        | id::HAVE_ALL
        | id::HAVE_NONE => Exactly(0),
        id::HAVE | id::SUGGEST_PIECE | id::ALLOWED_FAST => Exactly(4),
        id::REQUEST | id::CANCEL | id::REJECT_REQUEST => Exactly(12),
        id::PORT => Exactly(2),
        id::HASH_REQUEST | id::HASH_REJECT => Exactly(HASH_RANGE_LENGTH),
        id::BITFIELD => Between {
            least: 1,
            most: max_bitfield_length,
        },
        id::PIECE => Between {
            least: 8,
            most: 8 + MAX_BLOCK_LENGTH,
        },
        id::EXTENDED => Between {
            least: 1,
            most: 1 + MAX_EXTENDED_LENGTH,
        },
        id::HASHES => Between {
            least: HASH_RANGE_LENGTH + 32,
            most: HASH_RANGE_LENGTH + 32 * (MAX_HASHES + MAX_PROOF_LAYERS),
        },
        _ => return None,
    })
}

/// Why the content of a frame is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Takes `length` bytes off `input` and reads them as the payload of message `id`.
///
/// The caller has seen that `input` has so many, and that `length` fits [`payload_length`]. Small messages are
/// read in place; only blocks and other long payloads are split off, as slices of the same buffer.
pub(crate) fn payload(id: u8, input: &mut BytesMut, length: usize) -> Result<Message, Malformed> {
    Ok(match id {
        id::PIECE => {
            let (piece, offset) = (input.get_u32(), input.get_u32());
            let data = input.split_to(length - 8).freeze();
            Message::Piece {
                piece,
                offset,
                data,
            }
        }
        id::REQUEST => Message::Request(block(input)),
        id::CANCEL => Message::Cancel(block(input)),
        id::REJECT_REQUEST => Message::RejectRequest(block(input)),
        id::HAVE => Message::Have {
            piece: input.get_u32(),
        },
        id::SUGGEST_PIECE => Message::SuggestPiece {
            piece: input.get_u32(),
        },
        id::ALLOWED_FAST => Message::AllowedFast {
            piece: input.get_u32(),
        },
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::PORT => Message::Port(input.get_u16()),
        id::BITFIELD => Message::Bitfield(input.split_to(length).freeze()),
        id::EXTENDED => Message::Extended {
            id: input.get_u8(),
            payload: input.split_to(length - 1).freeze(),
        },
        id::HASH_REQUEST => Message::HashRequest(hash_range(input)),
        id::HASH_REJECT => Message::HashReject(hash_range(input)),
        id::HASHES => {
            let range = hash_range(input);
            let hashes = input.split_to(length - HashRange::ENCODED_LENGTH).freeze();
            if !hashes.len().is_multiple_of(32) {
                return Err(Malformed);
            }
            Message::Hashes { range, hashes }
        }
        _ => return Err(Malformed),
    })
}

fn block(input: &mut BytesMut) -> BlockRequest {
    BlockRequest {
        piece: input.get_u32(),
        offset: input.get_u32(),
        length: input.get_u32(),
    }
}

fn hash_range(input: &mut BytesMut) -> HashRange {
    let mut pieces_root = [0; 32];
    input.copy_to_slice(&mut pieces_root);
    HashRange {
        pieces_root,
        base_layer: input.get_u32(),
        index: input.get_u32(),
        length: input.get_u32(),
        proof_layers: input.get_u32(),
    }
}
