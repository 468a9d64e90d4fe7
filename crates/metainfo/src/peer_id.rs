//! The 20 bytes by which a client names itself to trackers and peers.

use std::fmt;

/// A peer's name for itself: 20 bytes, mostly `-XX1234-` and twelve random bytes.
///
/// Source: [BEP 20](https://www.bittorrent.org/beps/bep_0020.html).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

impl PeerId {
    /// Joins a client's prefix, such as `-RA0100-`, and bytes that are random for each session.
    #[must_use]
    pub fn from_parts(prefix: [u8; 8], random: [u8; 12]) -> Self {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&prefix);
        id[8..].copy_from_slice(&random);
        Self(id)
    }

    /// The bytes, as they stand in a handshake.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

/// The bytes with all that is not printable ASCII escaped.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_is_shown_with_its_random_bytes_escaped() {
        let id = PeerId::from_parts(*b"-RA0100-", *b"random\0\xff\n123");
        assert_eq!(id.to_string(), r"-RA0100-random\x00\xff\n123");
        assert_eq!(id.as_bytes().len(), 20);
    }
}
