//! How a connection begins: with the name of the protocol, or with a public key.

use crate::handshake::PROTOCOL;

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opening {
    /// The handshake of BitTorrent.
    Plaintext,
    /// Perhaps the handshake of MSE: it looks like nothing else.
    Encrypted,
}

impl Opening {
    /// What `input` is the beginning of. `None` while it can be both.
    ///
    /// A public key begins like the handshake of BitTorrent once in 2^160.
    #[must_use]
    pub fn of(input: &[u8]) -> Option<Self> {
        let seen = input.len().min(PROTOCOL.len());
        if input[..seen] != PROTOCOL[..seen] {
            return Some(Self::Encrypted);
        }
        (seen == PROTOCOL.len()).then_some(Self::Plaintext)
    }
}
