//! SHA-256 (FIPS 180-4); the `sha2` crate finds the CPU's instructions by itself.

use alloc::vec::Vec;

use sha2::Digest as _;

use crate::{Sha256Digest, Slices};

/// SHA-256 of a message that arrives in parts.
#[derive(Clone, Debug, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// A hasher that has seen no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `bytes` to the message.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes seen.
    #[must_use]
    pub fn finish(self) -> Sha256Digest {
        Sha256Digest(self.0.finalize().into())
    }
}

/// SHA-256 of one message.
#[must_use]
pub fn sha256(message: &[u8]) -> Sha256Digest {
    Sha256Digest(sha2::Sha256::digest(message).into())
}

/// SHA-256 of many independent messages, each in one or several slices.
///
/// Digest `i` is that of message `i`; the messages may have any lengths.
#[must_use]
pub fn sha256_many(messages: &[Slices<'_>]) -> Vec<Sha256Digest> {
    #[cfg(all(feature = "accelerated", target_arch = "x86_64"))]
    if messages.len() > 1
        && let Some(lanes) = crate::lanes::Sha256Lanes::detect()
    {
        let states = crate::lanes::hash_many(lanes, messages);
        return states.into_iter().map(Sha256Digest::from_words).collect();
    }
    messages
        .iter()
        .map(|slices| {
            let mut hasher = Sha256::new();
            slices.iter().for_each(|slice| hasher.update(slice));
            hasher.finish()
        })
        .collect()
}
