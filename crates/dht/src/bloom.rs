//! The bloom filter by which peers are counted without being named (BEP 33).

use std::fmt;
use std::net::IpAddr;

use rarest_hash::sha1;

/// Bits of a filter.
const BITS: u16 = 2048;

/// Bytes of a filter.
const LENGTH: usize = (BITS / 8) as usize;

/// A set of addresses: 2048 bits, two for each address.
///
/// Source: [BEP 33](https://www.bittorrent.org/beps/bep_0033.html).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BloomFilter(pub [u8; LENGTH]);

impl BloomFilter {
    /// The filter with no address.
    pub const EMPTY: Self = Self([0; LENGTH]);

    /// Adds an address.
    pub fn insert(&mut self, ip: IpAddr) {
        let hash = match ip.to_canonical() {
            IpAddr::V4(ip) => sha1(&ip.octets()),
            IpAddr::V6(ip) => sha1(&ip.octets()),
        };
        let [a, b, c, d, ..] = hash.0;
        for bit in [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])] {
            let bit = bit % BITS;
            self.0[usize::from(bit / 8)] |= 1 << (bit % 8);
        }
    }

    /// How many addresses were added, more or less.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        let bits = f64::from(BITS);
        let zeros: u32 = self.0.iter().map(|byte| byte.count_zeros()).sum();
        // A full filter would tell of infinitely many.
        let zeros = f64::from(zeros).clamp(1.0, bits - 1.0);
        if self == &Self::EMPTY {
            return 0.0;
        }
        (zeros / bits).ln() / (2.0 * (1.0 - 1.0 / bits).ln())
    }
}

impl fmt::Debug for BloomFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BloomFilter(about {:.1})", self.estimate())
    }
}
