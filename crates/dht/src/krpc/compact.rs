//! Addresses and nodes as byte strings: 4 or 16 bytes of address and 2 of port, for a node behind 20 bytes of id.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::NodeInfo;
use crate::node_id::NodeId;

/// Bytes of a node with an IPv4 address.
pub(crate) const NODE_V4_LENGTH: usize = 26;

/// Bytes of a node with an IPv6 address.
pub(crate) const NODE_V6_LENGTH: usize = 38;

/// Reads 6 or 18 bytes.
pub(super) fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip = if let Ok(octets) = <[u8; 4]>::try_from(ip) {
        IpAddr::V4(Ipv4Addr::from(octets))
    } else {
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)).to_canonical()
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

pub(super) fn push_address(addr: SocketAddr, out: &mut Vec<u8>) {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
    out.extend(addr.port().to_be_bytes());
}

/// Reads nodes of `LENGTH` bytes each. What is left over at the end is ignored, as others do; so are nodes of IPv4 written as IPv6.
pub(crate) fn nodes<const LENGTH: usize>(bytes: &[u8]) -> Vec<NodeInfo> {
    let (entries, _) = bytes.as_chunks::<LENGTH>();
    let node = |entry: &[u8; LENGTH]| {
        let (id, addr) = entry.split_first_chunk::<20>()?;
        let (id, addr) = (NodeId(*id), address(addr)?);
        (addr.is_ipv6() == (LENGTH == NODE_V6_LENGTH)).then_some(NodeInfo { id, addr })
    };
    entries.iter().filter_map(node).collect()
}

pub(crate) fn encode_nodes(nodes: &[NodeInfo]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nodes.len() * NODE_V6_LENGTH);
    for node in nodes {
        out.extend(node.id.0);
        push_address(node.addr, &mut out);
    }
    out
}
