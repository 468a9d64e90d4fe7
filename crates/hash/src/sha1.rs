//! SHA-1 (FIPS 180-4), by the CPU's instructions or by the portable implementation.

use alloc::vec::Vec;

use crate::{Sha1Digest, Slices};

#[cfg(feature = "accelerated")]
use ::sha1::Digest as _;

/// SHA-1 of a message that arrives in parts.
#[derive(Clone, Default)]
pub struct Sha1(Inner);

#[cfg(feature = "accelerated")]
type Inner = ::sha1::Sha1;
#[cfg(not(feature = "accelerated"))]
type Inner = sha1_smol::Sha1;

impl Sha1 {
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
    pub fn finish(self) -> Sha1Digest {
        #[cfg(feature = "accelerated")]
        return Sha1Digest(self.0.finalize().into());
        #[cfg(not(feature = "accelerated"))]
        return Sha1Digest(self.0.digest().bytes());
    }
}

impl core::fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sha1").finish_non_exhaustive()
    }
}

/// SHA-1 of one message.
#[must_use]
pub fn sha1(message: &[u8]) -> Sha1Digest {
    let mut hasher = Sha1::new();
    hasher.update(message);
    hasher.finish()
}

/// How many messages [`sha1_many`] hashes side by side on this machine; 1 where it hashes one after the other.
///
/// Whoever can choose gathers as many messages of like length before it hashes them.
#[must_use]
pub fn sha1_lanes() -> usize {
    #[cfg(all(feature = "accelerated", target_arch = "x86_64"))]
    if let Some(lanes) = crate::lanes::Sha1Lanes::detect() {
        return crate::lanes::Compress::lanes(lanes);
    }
    1
}

/// SHA-1 of many independent messages, each in one or several slices.
///
/// Digest `i` is that of message `i`; the messages may have any lengths.
#[must_use]
pub fn sha1_many(messages: &[Slices<'_>]) -> Vec<Sha1Digest> {
    #[cfg(all(feature = "accelerated", target_arch = "x86_64"))]
    if messages.len() > 1
        && let Some(lanes) = crate::lanes::Sha1Lanes::detect()
    {
        let states = crate::lanes::hash_many(lanes, messages);
        return states.into_iter().map(Sha1Digest::from_words).collect();
    }
    messages
        .iter()
        .map(|slices| {
            let mut hasher = Sha1::new();
            slices.iter().for_each(|slice| hasher.update(slice));
            hasher.finish()
        })
        .collect()
}
