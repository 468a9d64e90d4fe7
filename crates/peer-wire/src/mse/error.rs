//! Why a handshake of MSE fails.

use super::DegenerateKey;
use crate::limits::MAX_MSE_PAD_LENGTH;

/// What a peer did in the handshake that no peer does that speaks MSE, or that shares a torrent with us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MseError {
    /// A public key that gives the shared secret away.
    #[error(transparent)]
    DegenerateKey(#[from] DegenerateKey),
    /// Behind the public key and the longest padding there is not what was to come.
    #[error("the peer did not go on within {MAX_MSE_PAD_LENGTH} bytes behind its key")]
    NotSynchronized,
    /// The peer came for a torrent that we do not have.
    #[error("the peer came for a torrent that we do not have")]
    UnknownTorrent,
    /// The eight bytes that prove that the peer has the same key are not zero.
    #[error("the peer has another key")]
    WrongVerification,
    /// A padding longer than the specification allows.
    #[error("the padding has {length} bytes, above the limit of {MAX_MSE_PAD_LENGTH}")]
    PadTooLong {
        /// The declared length in bytes.
        length: u16,
    },
    /// The peer offers no method that we accept.
    #[error("the peer offers no method that we accept ({offered:#x})")]
    NoCommonMethod {
        /// The bits of `crypto_provide`.
        offered: u32,
    },
    /// The peer chose something that we did not offer.
    #[error("the peer chose a method that was not offered ({selected:#x})")]
    MethodNotOffered {
        /// The bits of `crypto_select`.
        selected: u32,
    },
}
