//! Where a node stands: its id, the distance between ids, and which ids an address may have (BEP 42).

use std::fmt;
use std::net::IpAddr;

use rand::{Rng, RngExt};
use rarest_metainfo::InfoHash;

/// A place in the space of 160 bits that nodes, info-hashes and items share.
///
/// Source: [BEP 5](https://www.bittorrent.org/beps/bep_0005.html), "Overview".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 20]);

/// How far apart two ids are: their exclusive or, as a big-endian number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u8; 20]);

impl NodeId {
    /// Bits of an id.
    pub const BITS: usize = 160;

    /// Any id.
    pub fn random(rng: &mut impl Rng) -> Self {
        Self(rng.random())
    }

    /// An id that BEP 42 allows a node at `ip`; any id if `ip` is exempt.
    pub fn random_for(ip: IpAddr, rng: &mut impl Rng) -> Self {
        let mut id = Self::random(rng);
        if !is_exempt(ip) {
            let [a, b, c] = prefix_for(ip, id.0[19]);
            // 21 bits are bound; the rest of the third byte is free.
            let c = c | (id.0[2] & 0x07);
            id.0[..3].copy_from_slice(&[a, b, c]);
        }
        id
    }

    /// Any id whose first `shared` bits are those of this id and whose next bit differs.
    pub fn random_sharing(self, shared: usize, rng: &mut impl Rng) -> Self {
        let mut id = Self::random(rng);
        let shared = shared.min(Self::BITS - 1);
        let (byte, bit) = (shared / 8, shared % 8);
        id.0[..byte].copy_from_slice(&self.0[..byte]);
        // The bits in front of the one that differs.
        let kept = !(0xff_u8 >> bit);
        let flipped = 0x80_u8 >> bit;
        id.0[byte] =
            (self.0[byte] & kept) | (!self.0[byte] & flipped) | (id.0[byte] & !(kept | flipped));
        id
    }

    /// The distance to `other`.
    #[must_use]
    pub fn distance(self, other: Self) -> Distance {
        let mut distance = self.0;
        distance
            .iter_mut()
            .zip(other.0)
            .for_each(|(byte, other)| *byte ^= other);
        Distance(distance)
    }

    /// How many leading bits both ids have in common: 0 to 160.
    #[must_use]
    pub fn shared_bits(self, other: Self) -> usize {
        let differing = self.0.iter().zip(other.0).enumerate();
        for (at, (&byte, other)) in differing {
            if byte != other {
                return 8 * at + (byte ^ other).leading_zeros() as usize;
            }
        }
        Self::BITS
    }

    /// Whether BEP 42 allows a node at `ip` to have this id. Local addresses are exempt.
    ///
    /// A node that could choose its id freely could sit down beside any info-hash.
    ///
    /// Source: [BEP 42](https://www.bittorrent.org/beps/bep_0042.html).
    #[must_use]
    pub fn is_allowed_for(self, ip: IpAddr) -> bool {
        if is_exempt(ip) {
            return true;
        }
        let [a, b, c] = prefix_for(ip, self.0[19]);
        self.0[..2] == [a, b] && self.0[2] & 0xf8 == c
    }
}

impl From<InfoHash> for NodeId {
    fn from(info_hash: InfoHash) -> Self {
        Self(info_hash.0)
    }
}

impl From<NodeId> for InfoHash {
    fn from(id: NodeId) -> Self {
        Self(id.0)
    }
}

/// Lower-case hex.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `ip` is local, so that the node behind it may not know by which address others see it.
///
/// BEP 42 lists the ranges of IPv4; the local ranges of IPv6 are treated alike.
#[must_use]
pub fn is_exempt(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// The first 21 bits of an id that ends in `last_byte`, for a node at `ip`; the low three bits of the third byte are 0.
fn prefix_for(ip: IpAddr, last_byte: u8) -> [u8; 3] {
    const MASK_V4: [u8; 4] = [0x03, 0x0f, 0x3f, 0xff];
    const MASK_V6: [u8; 8] = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff];
    let salt = last_byte & 0x07;
    let crc = match ip.to_canonical() {
        IpAddr::V4(ip) => crc32c_salted(ip.octets(), MASK_V4, salt),
        IpAddr::V6(ip) => {
            let (network, _) = ip
                .octets()
                .split_first_chunk::<8>()
                .map(|(network, rest)| (*network, rest.len()))
                .expect("an IPv6 address has 16 bytes");
            crc32c_salted(network, MASK_V6, salt)
        }
    };
    let [a, b, c, _] = crc.to_be_bytes();
    [a, b, c & 0xf8]
}

fn crc32c_salted<const N: usize>(mut address: [u8; N], mask: [u8; N], salt: u8) -> u32 {
    address
        .iter_mut()
        .zip(mask)
        .for_each(|(byte, mask)| *byte &= mask);
    address[0] |= salt << 5;
    !crc32c(!0, &address)
}

/// CRC-32C (RFC 3720, appendix B.4), bit by bit: only eight bytes of a node are ever looked at.
fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn shared_bits_count_from_the_first() {
        let zero = NodeId([0; 20]);
        let mut other = zero;
        assert_eq!(zero.shared_bits(other), 160);
        other.0[19] = 1;
        assert_eq!(zero.shared_bits(other), 159);
        other.0[0] = 0x10;
        assert_eq!(zero.shared_bits(other), 3);
    }

    #[test]
    fn a_random_id_shares_exactly_as_many_bits_as_asked() {
        let mut rng = StdRng::seed_from_u64(1);
        let id = NodeId::random(&mut rng);
        for shared in 0..NodeId::BITS {
            let other = id.random_sharing(shared, &mut rng);
            assert_eq!(id.shared_bits(other), shared);
        }
    }

    #[test]
    fn a_made_id_is_allowed_for_its_address_and_not_for_another() {
        let mut rng = StdRng::seed_from_u64(2);
        for ip in ["8.8.8.8", "2a00:1450::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let id = NodeId::random_for(ip, &mut rng);
            assert!(id.is_allowed_for(ip));
            assert!(!id.is_allowed_for("9.9.1.2".parse().unwrap()));
        }
    }
}
