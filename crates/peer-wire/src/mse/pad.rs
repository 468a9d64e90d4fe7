//! Padding, so that the handshake has no length by which it could be known.

use rand::{CryptoRng, RngExt as _};

use crate::limits::MAX_MSE_PAD_LENGTH;

/// At most 512 bytes that mean nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pad(Vec<u8>);

/// More bytes than a padding may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a padding of {length} bytes is above the limit of {MAX_MSE_PAD_LENGTH}")]
pub struct PadTooLong {
    /// Number of bytes.
    pub length: usize,
}

impl Pad {
    /// No padding.
    pub const EMPTY: Self = Self(Vec::new());

    /// These bytes.
    ///
    /// # Errors
    /// [`PadTooLong`] for more than [`MAX_MSE_PAD_LENGTH`].
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PadTooLong> {
        let bytes = bytes.into();
        let length = bytes.len();
        if length > MAX_MSE_PAD_LENGTH {
            return Err(PadTooLong { length });
        }
        Ok(Self(bytes))
    }

    /// Random bytes of a random number.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = vec![0; rng.random_range(0..=MAX_MSE_PAD_LENGTH)];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its length as it stands on the wire.
    pub(super) fn length(&self) -> u16 {
        u16::try_from(self.0.len()).expect("a padding has at most 512 bytes")
    }
}
