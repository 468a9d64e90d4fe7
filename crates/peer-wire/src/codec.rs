//! Cuts a stream of bytes into messages.

use bytes::{Buf, BytesMut};
use rarest_metainfo::Geometry;

use crate::limits::{MAX_BITFIELD_LENGTH, MAX_UNKNOWN_LENGTH};
use crate::message::Message;
use crate::message::decode::{self, PayloadLength};

/// Decodes what follows the handshake.
///
/// The data of a [`Message::Piece`] is a slice of the input buffer, so nothing is copied. A message that is not
/// complete stays where it is; looking again costs the same however long it is. With the feature `codec` it is a
/// `tokio_util::codec` decoder and encoder.
#[derive(Clone, Debug)]
pub struct Codec {
    max_bitfield_length: u32,
    /// Bytes of a message of an unknown kind that have not arrived yet.
    to_skip: usize,
}

/// Why bytes are no messages. The stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A message is longer than its kind may be.
    #[error("message {id} declares a payload of {length} bytes, above the limit of {limit}")]
    TooLong {
        /// The kind of message.
        id: u8,
        /// Declared length in bytes, without the id.
        length: u32,
        /// The longest that is accepted.
        limit: u32,
    },
    /// A message is shorter than its kind must be.
    #[error("message {id} declares a payload of {length} bytes, but takes at least {least}")]
    TooShort {
        /// The kind of message.
        id: u8,
        /// Declared length in bytes, without the id.
        length: u32,
        /// The shortest that is accepted.
        least: u32,
    },
    /// A message of a kind with one length has another.
    #[error("message {id} declares a payload of {length} bytes, but always has {expected}")]
    WrongLength {
        /// The kind of message.
        id: u8,
        /// Declared length in bytes, without the id.
        length: u32,
        /// The only length of this kind.
        expected: u32,
    },
    /// The hashes of a `hashes` message are not 32 bytes each.
    #[error("a payload of {length} bytes does not end with a hash of 32 bytes")]
    CutHash {
        /// Declared length in bytes, without the id.
        length: u32,
    },
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec {
    /// A codec for a torrent whose number of pieces is not known yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_bitfield_length: MAX_BITFIELD_LENGTH,
            to_skip: 0,
        }
    }

    /// From now on a bitfield may be no longer than that of `geometry`.
    pub fn set_geometry(&mut self, geometry: &Geometry) {
        self.max_bitfield_length = geometry.piece_count().div_ceil(8);
    }

    /// Takes one message off the front of `input`.
    ///
    /// Returns `Ok(None)` until a whole message is buffered. Messages of unknown kinds are skipped.
    ///
    /// # Errors
    /// [`DecodeError`] as soon as the length and id of a message show that it cannot be one.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, DecodeError> {
        loop {
            if self.to_skip > 0 {
                let skipped = self.to_skip.min(input.len());
                input.advance(skipped);
                self.to_skip -= skipped;
            }
            let Some((prefix, rest)) = input.split_first_chunk::<4>() else {
                return Ok(None);
            };
            let Some(length) = u32::from_be_bytes(*prefix).checked_sub(1) else {
                input.advance(4);
                return Ok(Some(Message::KeepAlive));
            };
            let Some((&id, buffered)) = rest.split_first() else {
                return Ok(None);
            };
            if !self.is_known(id, length)? {
                self.to_skip = length as usize;
                input.advance(5);
                continue;
            }
            let payload_length = length as usize;
            if buffered.len() < payload_length {
                return Ok(None);
            }
            input.advance(5);
            return decode::payload(id, input, payload_length)
                .map(Some)
                .map_err(|decode::Malformed| DecodeError::CutHash { length });
        }
    }

    /// Bytes that are missing until the message at the front of `input` is whole, as far as can be told: 0 when it is,
    /// and when it cannot be a message. Never more than the longest message that is accepted.
    ///
    /// Who reads from a socket can make room for them at once.
    #[must_use]
    pub fn missing(&self, input: &[u8]) -> usize {
        let Some((prefix, rest)) = input.split_first_chunk::<4>() else {
            return self.to_skip + 4 - input.len();
        };
        let Some(length) = u32::from_be_bytes(*prefix).checked_sub(1) else {
            return 0;
        };
        // Before the id has come, nothing tells a length from a lie of 4 GiB.
        let Some((&id, buffered)) = rest.split_first() else {
            return 1;
        };
        match self.is_known(id, length) {
            Ok(_) => (length as usize).saturating_sub(buffered.len()),
            Err(_) => 0,
        }
    }

    /// Whether messages with that id have a meaning; the length is checked either way.
    fn is_known(&self, id: u8, length: u32) -> Result<bool, DecodeError> {
        let too_long = |limit| DecodeError::TooLong { id, length, limit };
        match decode::payload_length(id, self.max_bitfield_length) {
            Some(PayloadLength::Exactly(expected)) if length != expected => {
                Err(DecodeError::WrongLength {
                    id,
                    length,
                    expected,
                })
            }
            Some(PayloadLength::Between { least, .. }) if length < least => {
                Err(DecodeError::TooShort { id, length, least })
            }
            Some(PayloadLength::Between { most, .. }) if length > most => Err(too_long(most)),
            Some(_) => Ok(true),
            None if length > MAX_UNKNOWN_LENGTH => Err(too_long(MAX_UNKNOWN_LENGTH)),
            None => Ok(false),
        }
    }
}
