//! What is drawn at random for one handshake.

use rand::CryptoRng;

use super::{Pad, PrivateKey};

/// What one side brings along to a handshake. Never used twice.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The private half of the key exchange.
    pub private_key: PrivateKey,
    /// Sent in the clear behind the public key (`PadA`, `PadB`).
    pub open_pad: Pad,
    /// Sent encrypted, with what is offered or chosen (`PadC`, `PadD`).
    pub encrypted_pad: Pad,
}

impl Secrets {
    /// A fresh key and paddings of random lengths.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self {
            private_key: PrivateKey::random(rng),
            open_pad: Pad::random(rng),
            encrypted_pad: Pad::random(rng),
        }
    }
}
