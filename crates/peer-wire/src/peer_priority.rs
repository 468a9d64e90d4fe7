//! Which of two connections matters more: an order on which both ends agree.

use std::net::{IpAddr, SocketAddr};

/// The priority of a connection between two addresses; the higher one is to be kept. The order does not matter.
///
/// Both should be the addresses that the other side sees. Addresses near to each other are told apart by more of their
/// bits, so that one network cannot make up many priorities.
///
/// Source: [BEP 40](https://www.bittorrent.org/beps/bep_0040.html).
#[must_use]
pub fn peer_priority(a: SocketAddr, b: SocketAddr) -> u32 {
    match (a.ip().to_canonical(), b.ip().to_canonical()) {
        (a_ip, b_ip) if a_ip == b_ip => {
            crc32c_sorted(a.port().to_be_bytes(), b.port().to_be_bytes())
        }
        (IpAddr::V4(a), IpAddr::V4(b)) => masked::<4, 2>(a.octets(), b.octets()),
        (a, b) => masked::<16, 6>(octets_v6(a), octets_v6(b)),
    }
}

/// BEP 40 has no word for two families: the IPv4 address is mapped.
fn octets_v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The first `WHOLE` bytes count, and as many more as the two have in common from there, and one. Of the rest every
/// second bit does.
fn masked<const N: usize, const WHOLE: usize>(a: [u8; N], b: [u8; N]) -> u32 {
    let common = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let whole = WHOLE.max(common + 1);
    let mask = |mut ip: [u8; N]| {
        ip.iter_mut().skip(whole).for_each(|byte| *byte &= 0x55);
        ip
    };
    crc32c_sorted(mask(a), mask(b))
}

fn crc32c_sorted<const N: usize>(a: [u8; N], b: [u8; N]) -> u32 {
    !crc32c(crc32c(!0, &a.min(b)), &a.max(b))
}

/// CRC-32C (RFC 3720, appendix B.4), bit by bit: a peer is looked at once, and only some 30 bytes of it.
fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}
