//! What can go wrong on our side.

use crate::node::MAX_LOOKUPS;

/// So many lookups are under way that no other is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_LOOKUPS} lookups are under way; wait for one to end")]
pub struct Busy;

/// Bytes are not the saved state of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// They are not bencoded.
    #[error("the saved state is not bencoded: {0}")]
    Bencode(#[from] rarest_bencode::DecodeError),
    /// They are longer than any state.
    #[error("the saved state has {length} bytes, more than any state")]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// They lack what every state has.
    #[error("the saved state has no proper `{0}`")]
    Field(&'static str),
}
