//! Addresses in the compact form: 4 or 16 bytes of address and 2 of port, all big-endian.
//!
//! Source: [BEP 23](https://www.bittorrent.org/beps/bep_0023.html), [BEP 7](https://www.bittorrent.org/beps/bep_0007.html).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::announce::{Family, Peer};
use crate::http::MAX_PEERS_PER_REPLY;

/// Appends an address, unless it is of another family.
pub(crate) fn encode_peer(address: SocketAddr, family: Family, out: &mut Vec<u8>) {
    match (address.ip(), family) {
        (IpAddr::V4(ip), Family::V4) => out.extend(ip.octets()),
        (IpAddr::V6(ip), Family::V6) => out.extend(ip.octets()),
        _ => return,
    }
    out.extend(address.port().to_be_bytes());
}

/// Reads peers, at most [`MAX_PEERS_PER_REPLY`]. A part of an entry at the end and entries with port 0, which nobody can dial,
/// are left out.
pub(crate) fn decode_peers(compact: &[u8], family: Family) -> Vec<Peer> {
    let addresses: Vec<SocketAddr> = match family {
        Family::V4 => {
            let (entries, _) = compact.as_chunks::<6>();
            entries
                .iter()
                .map(|&[a, b, c, d, high, low]| {
                    (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into()
                })
                .collect()
        }
        Family::V6 => {
            let (entries, _) = compact.as_chunks::<18>();
            entries
                .iter()
                .map(|entry| {
                    let (&ip, port) = entry
                        .split_first_chunk::<16>()
                        .expect("18 bytes begin with 16");
                    (Ipv6Addr::from(ip), u16::from_be_bytes([port[0], port[1]])).into()
                })
                .collect()
        }
    };
    let dialable = addresses.into_iter().filter(|address| address.port() != 0);
    dialable
        .take(MAX_PEERS_PER_REPLY)
        .map(|address| Peer { address, id: None })
        .collect()
}
