//! What is derived from the shared secret and the info-hash.

use rarest_hash::sha1;
use rarest_metainfo::InfoHash;

use super::{Rc4, SharedSecret};

/// The digest by which a torrent is asked for: `HASH('req2', SKEY)`.
///
/// An initiator tells it masked, so that only who has the torrent learns which one it is. Who serves many keeps it for each,
/// so that it need not be computed for all of them whenever somebody comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SkeyDigest(pub [u8; 20]);

impl SkeyDigest {
    /// That of a torrent. One SHA-1 of 24 bytes.
    #[must_use]
    pub fn of(info_hash: InfoHash) -> Self {
        Self(hash(b"req2", info_hash.as_bytes(), &[]))
    }

    /// As it stands on the wire: `HASH('req2', SKEY) xor HASH('req3', S)`. And back.
    pub(super) fn masked(mut self, secret: &SharedSecret) -> Self {
        let mask = hash(b"req3", secret.as_bytes(), &[]);
        for (byte, mask) in self.0.iter_mut().zip(mask) {
            *byte ^= mask;
        }
        self
    }
}

/// What an initiator goes on with behind its key, so that the responder sees where the padding ends: `HASH('req1', S)`.
pub(super) fn synchronization(secret: &SharedSecret) -> [u8; 20] {
    hash(b"req1", secret.as_bytes(), &[])
}

/// The cipher of what the initiator sends.
pub(super) fn initiator_cipher(secret: &SharedSecret, skey: InfoHash) -> Rc4 {
    Rc4::for_stream(&hash(b"keyA", secret.as_bytes(), skey.as_bytes()))
}

/// The cipher of what the responder sends.
pub(super) fn responder_cipher(secret: &SharedSecret, skey: InfoHash) -> Rc4 {
    Rc4::for_stream(&hash(b"keyB", secret.as_bytes(), skey.as_bytes()))
}

fn hash(name: &[u8; 4], first: &[u8], second: &[u8]) -> [u8; 20] {
    sha1(&[name, first, second].concat()).0
}
