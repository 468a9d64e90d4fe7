//! Messages to bytes.

use bytes::BufMut;
use rarest_metainfo::BlockRequest;

use super::{HashRange, Message, id};

/// Bytes of a `piece` message before its block: length, id, piece and offset.
pub(crate) const PIECE_HEADER_LENGTH: usize = 13;

impl Message {
    /// Appends the message as it stands on the wire, its length first.
    ///
    /// Blocks are copied here; a [`Connection`](crate::connection::Connection) sends them without.
    ///
    /// # Panics
    /// When the payload has more than 4 GiB, or `out` is full and cannot grow.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::KeepAlive => out.put_u32(0),
            Self::Choke => bare(out, id::CHOKE),
            Self::Unchoke => bare(out, id::UNCHOKE),
            Self::Interested => bare(out, id::INTERESTED),
            Self::NotInterested => bare(out, id::NOT_INTERESTED),
            Self::HaveAll => bare(out, id::HAVE_ALL),
            Self::HaveNone => bare(out, id::HAVE_NONE),
            Self::Have { piece } => one_piece(out, id::HAVE, *piece),
            Self::SuggestPiece { piece } => one_piece(out, id::SUGGEST_PIECE, *piece),
            Self::AllowedFast { piece } => one_piece(out, id::ALLOWED_FAST, *piece),
            Self::Request(request) => block(out, id::REQUEST, *request),
            Self::Cancel(request) => block(out, id::CANCEL, *request),
            Self::RejectRequest(request) => block(out, id::REJECT_REQUEST, *request),
            Self::HashRequest(range) => hash_range(out, id::HASH_REQUEST, range, 0),
            Self::HashReject(range) => hash_range(out, id::HASH_REJECT, range, 0),
            Self::Port(port) => {
                head(out, id::PORT, 2);
                out.put_u16(*port);
            }
            Self::Bitfield(bytes) => {
                head(out, id::BITFIELD, bytes.len());
                out.put_slice(bytes);
            }
            Self::Piece {
                piece,
                offset,
                data,
            } => {
                out.put_slice(&piece_header(*piece, *offset, data.len()));
                out.put_slice(data);
            }
            Self::Extended { id, payload } => {
                head(out, id::EXTENDED, 1 + payload.len());
                out.put_u8(*id);
                out.put_slice(payload);
            }
            Self::Hashes { range, hashes } => {
                hash_range(out, id::HASHES, range, hashes.len());
                out.put_slice(hashes);
            }
        }
    }
}

/// What stands before a block of `length` bytes.
pub(crate) fn piece_header(piece: u32, offset: u32, length: usize) -> [u8; PIECE_HEADER_LENGTH] {
    let mut header = [0; PIECE_HEADER_LENGTH];
    let mut out = &mut header[..];
    head(&mut out, id::PIECE, 8 + length);
    out.put_u32(piece);
    out.put_u32(offset);
    header
}

/// Length and id of a message with `payload_length` bytes behind the id.
fn head(out: &mut impl BufMut, id: u8, payload_length: usize) {
    let length = u32::try_from(1 + payload_length).expect("a payload has less than 4 GiB");
    out.put_u32(length);
    out.put_u8(id);
}

fn bare(out: &mut impl BufMut, id: u8) {
    head(out, id, 0);
}

fn one_piece(out: &mut impl BufMut, id: u8, piece: u32) {
    head(out, id, 4);
    out.put_u32(piece);
}

fn block(out: &mut impl BufMut, id: u8, request: BlockRequest) {
    head(out, id, 12);
    out.put_u32(request.piece);
    out.put_u32(request.offset);
    out.put_u32(request.length);
}

fn hash_range(out: &mut impl BufMut, id: u8, range: &HashRange, more: usize) {
    head(out, id, HashRange::ENCODED_LENGTH + more);
    out.put_slice(&range.pieces_root);
    out.put_u32(range.base_layer);
    out.put_u32(range.index);
    out.put_u32(range.length);
    out.put_u32(range.proof_layers);
}
