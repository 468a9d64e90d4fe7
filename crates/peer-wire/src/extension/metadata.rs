//! `ut_metadata`: the info dictionary in parts of 16 KiB, for who has only a magnet link.
//!
//! Source: [BEP 9](https://www.bittorrent.org/beps/bep_0009.html).

use bytes::Bytes;
use rarest_bencode::{DecodeError, Document, Options, Trailing, ValueRef, encode_dict};

/// Length of every part but the last, in bytes.
pub const METADATA_PIECE_LENGTH: u32 = 16 * 1024;

/// Values and keys in the dictionary of one message. BEP 9 has seven.
const MAX_ITEMS: u32 = 64;

/// Containers inside each other in the dictionary of one message.
const MAX_DEPTH: u16 = 4;

/// One message of the extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// The sender asks for a part.
    Request {
        /// Number of the part, not checked against any length.
        piece: u32,
    },
    /// A part.
    Data {
        /// Number of the part, not checked against any length.
        piece: u32,
        /// Length of the whole info dictionary in bytes, as the sender says.
        total_size: u32,
        /// The bytes; a slice of the payload.
        data: Bytes,
    },
    /// The sender will not send a part.
    Reject {
        /// Number of the part, not checked against any length.
        piece: u32,
    },
    /// Of a type that has no meaning yet, to be ignored.
    Unknown {
        /// The type.
        msg_type: u64,
    },
}

/// Why a payload is no message of the extension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataMessageError {
    /// The payload does not begin with a bencoded value.
    #[error("the ut_metadata payload is not bencoded: {0}")]
    Bencode(#[from] DecodeError),
    /// A key is missing, or its value is no number in the range of the field.
    #[error("the ut_metadata payload has no usable {key:?}")]
    Missing {
        /// The key.
        key: &'static str,
    },
}

impl MetadataMessage {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`MetadataMessageError`] when it is no dictionary with the keys of its type.
    pub fn decode(payload: &Bytes) -> Result<Self, MetadataMessageError> {
        let options = Options::lenient()
            .trailing(Trailing::Allow)
            .max_items(MAX_ITEMS)
            .max_depth(MAX_DEPTH);
        let document = Document::parse_with(payload, &options)?;
        let root = document.root();
        match number::<u64>(root, "msg_type")? {
            0 => Ok(Self::Request {
                piece: number(root, "piece")?,
            }),
            1 => Ok(Self::Data {
                piece: number(root, "piece")?,
                total_size: number(root, "total_size")?,
                data: payload.slice(document.end()..),
            }),
            2 => Ok(Self::Reject {
                piece: number(root, "piece")?,
            }),
            msg_type => Ok(Self::Unknown { msg_type }),
        }
    }

    /// The payload.
    ///
    /// # Panics
    /// Never: the keys differ.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (msg_type, piece, total_size, data) = match self {
            Self::Request { piece } => (0, Some(*piece), None, None),
            Self::Data {
                piece,
                total_size,
                data,
            } => (1, Some(*piece), Some(*total_size), Some(data)),
            Self::Reject { piece } => (2, Some(*piece), None, None),
            Self::Unknown { msg_type } => (*msg_type, None, None, None),
        };
        let mut payload = encode_dict(|message| {
            message.int("msg_type", msg_type);
            if let Some(piece) = piece {
                message.int("piece", piece);
            }
            if let Some(total_size) = total_size {
                message.int("total_size", total_size);
            }
        })
        .expect("the keys differ");
        if let Some(data) = data {
            payload.extend_from_slice(data);
        }
        payload
    }
}

fn number<T: TryFrom<u64>>(
    root: ValueRef<'_, '_>,
    key: &'static str,
) -> Result<T, MetadataMessageError> {
    root.get(key)
        .and_then(ValueRef::as_u64)
        .and_then(|value| value.try_into().ok())
        .ok_or(MetadataMessageError::Missing { key })
}
