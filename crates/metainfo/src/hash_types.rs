//! The hashes that identify a torrent.

use std::fmt;

use rarest_hash::{Sha1Digest, Sha256Digest};

/// SHA-1 of the raw bytes of a v1 or hybrid info dictionary.
///
/// Source: [BEP 3](https://www.bittorrent.org/beps/bep_0003.html).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV1(pub Sha1Digest);

/// SHA-256 of the raw bytes of a v2 or hybrid info dictionary.
///
/// Source: [BEP 52](https://www.bittorrent.org/beps/bep_0052.html).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV2(pub Sha256Digest);

/// The 20 bytes by which a swarm is known to trackers, the DHT and in handshakes:
/// a v1 hash, or the first 20 bytes of a v2 hash (BEP 52, "upgrade path").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

impl InfoHash {
    /// The bytes, as they stand in a handshake.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl From<InfoHashV1> for InfoHash {
    fn from(hash: InfoHashV1) -> Self {
        Self(hash.0.0)
    }
}

impl From<InfoHashV2> for InfoHash {
    fn from(hash: InfoHashV2) -> Self {
        let (head, _) = hash
            .0
            .0
            .split_first_chunk()
            .expect("32 bytes begin with 20");
        Self(*head)
    }
}

macro_rules! hex {
    ($($name:ident: $bytes:expr;)*) => {$(
        /// Lower-case hex.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let bytes: fn(&Self) -> &[u8] = $bytes;
                bytes(self).iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

hex! {
    InfoHash: |hash| &hash.0;
    InfoHashV1: |hash| &hash.0.0;
    InfoHashV2: |hash| &hash.0.0;
}

/// The identity of a torrent: one hash, or both for a hybrid.
///
/// At least one of the two is present in every value that this crate makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InfoHashes {
    /// The hash of the v1 part.
    pub v1: Option<InfoHashV1>,
    /// The hash of the v2 part.
    pub v2: Option<InfoHashV2>,
}

impl InfoHashes {
    /// The swarms in which this torrent is traded: one, or two for a hybrid, v1 first.
    pub fn swarms(&self) -> impl Iterator<Item = InfoHash> + use<> {
        self.v1
            .map(InfoHash::from)
            .into_iter()
            .chain(self.v2.map(InfoHash::from))
    }
}
