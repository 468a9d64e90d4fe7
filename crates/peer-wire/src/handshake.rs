//! The first 68 bytes of a connection.

use std::fmt;

use bytes::{Buf, BytesMut};
use rarest_metainfo::{InfoHash, PeerId};

/// What stands before the reserved bits: the length of the protocol's name, and the name.
pub(crate) const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// What each side says first: which protocol extensions it speaks, for which swarm it came, and who it is.
///
/// On the wire: byte 19, `BitTorrent protocol`, 8 reserved bytes, 20 bytes of info-hash, 20 bytes of peer id.
///
/// Source: [BEP 3](https://www.bittorrent.org/beps/bep_0003.html), "peer protocol".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The extensions that the sender speaks.
    pub reserved: Reserved,
    /// The swarm: a v1 info-hash, or the first 20 bytes of a v2 one.
    pub info_hash: InfoHash,
    /// The sender's name for itself.
    pub peer_id: PeerId,
}

/// Why bytes are no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Another protocol, or encryption.
    #[error("the peer does not begin with the name of the BitTorrent protocol")]
    OtherProtocol,
}

impl Handshake {
    /// Length in bytes.
    pub const LENGTH: usize = 68;

    /// The bytes of the wire.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&self.reserved.0);
        bytes[28..48].copy_from_slice(self.info_hash.as_bytes());
        bytes[48..].copy_from_slice(self.peer_id.as_bytes());
        bytes
    }

    /// Takes a handshake off the front of `input`, and nothing that follows it.
    ///
    /// Returns `Ok(None)` until all 68 bytes are there.
    ///
    /// # Errors
    /// [`HandshakeError`] as soon as a byte differs from the protocol's name, however few have come.
    pub fn decode(input: &mut BytesMut) -> Result<Option<Self>, HandshakeError> {
        let seen = input.len().min(PROTOCOL.len());
        if input[..seen] != PROTOCOL[..seen] {
            return Err(HandshakeError::OtherProtocol);
        }
        let Some(bytes) = input.first_chunk::<{ Self::LENGTH }>() else {
            return Ok(None);
        };
        let mut reserved = [0; 8];
        reserved.copy_from_slice(&bytes[20..28]);
        let mut info_hash = [0; 20];
        info_hash.copy_from_slice(&bytes[28..48]);
        let mut peer_id = [0; 20];
        peer_id.copy_from_slice(&bytes[48..]);
        input.advance(Self::LENGTH);
        Ok(Some(Self {
            reserved: Reserved(reserved),
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(peer_id),
        }))
    }
}

/// The eight reserved bytes of a handshake: one bit an extension. Bits that are not named here are ignored.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    /// No extension.
    pub const NONE: Self = Self([0; 8]);
    /// The extension protocol ([BEP 10](https://www.bittorrent.org/beps/bep_0010.html)).
    pub const EXTENSION_PROTOCOL: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0]);
    /// The DHT, and so the `port` message ([BEP 5](https://www.bittorrent.org/beps/bep_0005.html)).
    pub const DHT: Self = Self([0, 0, 0, 0, 0, 0, 0, 0x01]);
    /// The fast extension ([BEP 6](https://www.bittorrent.org/beps/bep_0006.html)).
    pub const FAST: Self = Self([0, 0, 0, 0, 0, 0, 0, 0x04]);
    /// The sender has a hybrid torrent and would go on as v2
    /// ([BEP 52](https://www.bittorrent.org/beps/bep_0052.html), "upgrade path").
    pub const V2_UPGRADE: Self = Self([0, 0, 0, 0, 0, 0, 0, 0x10]);

    /// Both sets of bits.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self((u64::from_be_bytes(self.0) | u64::from_be_bytes(other.0)).to_be_bytes())
    }

    /// Whether every bit of `other` is set.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        u64::from_be_bytes(self.0) & u64::from_be_bytes(other.0) == u64::from_be_bytes(other.0)
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reserved({:016x})", u64::from_be_bytes(self.0))
    }
}
