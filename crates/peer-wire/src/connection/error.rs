//! Why connections end.

use rarest_metainfo::{BitfieldError, InfoHash};

use crate::extension::ExtensionHandshakeError;
use crate::extension::donthave::DontHaveError;
use crate::{DecodeError, HandshakeError};

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(#[from] ProtocolViolation),
    /// The remote peer is this client.
    #[error("the peer is ourselves")]
    Ourselves,
    /// The handshake did not come, or was not accepted, in time.
    #[error("there was no handshake in time")]
    HandshakeTimeout,
    /// Nothing came for [`IDLE_TIMEOUT`](crate::limits::IDLE_TIMEOUT).
    #[error("the peer was silent for too long")]
    Idle,
    /// The peer takes nothing off its end while it makes us say more and more.
    #[error("the peer does not read, {waiting} bytes wait for it")]
    NotReading {
        /// Bytes that waited, blocks not counted.
        waiting: usize,
    },
    /// The owner closed the connection.
    #[error("we closed the connection")]
    Local,
    /// The peer, or the network, closed the connection.
    #[error("the peer closed the connection")]
    Remote,
}

/// What a peer did that no peer that follows the protocol does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolViolation {
    /// No handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A handshake for another torrent.
    #[error("the peer came for {actual}, not for {expected}")]
    WrongInfoHash {
        /// What we came for.
        expected: InfoHash,
        /// What the peer answered.
        actual: InfoHash,
    },
    /// No message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A bitfield that is not for this torrent.
    #[error(transparent)]
    Bitfield(#[from] BitfieldError),
    /// A have-none behind other messages.
    #[error("the peer said late that it has nothing")]
    PiecesNotFirst,
    /// With the fast extension, something else came before bitfield, have-all and have-none (BEP 6).
    #[error("the peer did not begin with what it has")]
    PiecesMissing,
    /// A message of the fast extension, which was not negotiated (BEP 6).
    #[error("the peer uses the fast extension without having negotiated it")]
    FastNotNegotiated,
    /// A message of the extension protocol, which was not negotiated.
    #[error("the peer uses the extension protocol without having negotiated it")]
    ExtensionProtocolNotNegotiated,
    /// A piece that the torrent does not have.
    #[error("piece {piece} does not exist, there are {count}")]
    NoSuchPiece {
        /// The piece that was named.
        piece: u32,
        /// Number of pieces of the torrent.
        count: u32,
    },
    /// A block that was not asked for.
    #[error("{length} bytes at {offset} of piece {piece} were not asked for")]
    UnrequestedBlock {
        /// The piece that was named.
        piece: u32,
        /// The offset that was named.
        offset: u32,
        /// Length of the block in bytes.
        length: usize,
    },
    /// A request was rejected that was never made.
    #[error("the peer rejected a request for piece {piece} that it never got")]
    UnrequestedReject {
        /// The piece that was named.
        piece: u32,
    },
    /// Hashes, or a reject of hashes, that were not asked for.
    #[error("the peer answered a hash request that it never got")]
    UnrequestedHashes,
    /// The extension handshake cannot be read.
    #[error(transparent)]
    ExtensionHandshake(#[from] ExtensionHandshakeError),
    /// A `lt_donthave` message cannot be read.
    #[error(transparent)]
    DontHave(#[from] DontHaveError),
}
