//! What an address tells: whether it can be a node's at all, and which addresses one owner may have many of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rarest_metainfo::Reach;

use crate::node_id::is_exempt;

/// The family of an address, and of the routing table it stands in (BEP 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// That of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// IPv4 addresses in their IPv4 form, whatever the socket says.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Whether somebody at `teller` may tell us of `addr`.
///
/// A node of the internet could otherwise send us into our own network, or to nobody.
pub(crate) fn may_be_told(addr: SocketAddr, teller: IpAddr) -> bool {
    let ip = addr.ip();
    let nobody = match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.octets()[0] >= 224,
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    };
    addr.port() != 0 && !nobody && Reach::of(ip) >= Reach::of(teller)
}

/// What one host can be told apart by: public addresses without their port, local ones with it, because several nodes of a test or of a
/// machine share them.
pub(crate) fn host(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        ip if is_exempt(ip) => addr,
        IpAddr::V4(_) => SocketAddr::new(addr.ip(), 0),
        // A host has all of a /64 to choose from.
        IpAddr::V6(ip) => SocketAddr::new(IpAddr::V6(network::<8>(ip)), 0),
    }
}

/// A network that one owner may have the whole of: a /24 of IPv4, a /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Subnet(IpAddr);

impl Subnet {
    /// `None` for local addresses, which nobody gathers.
    pub(crate) fn of(ip: IpAddr) -> Option<Self> {
        if is_exempt(ip) {
            return None;
        }
        Some(Self(match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
            }
            IpAddr::V6(ip) => IpAddr::V6(network::<6>(ip)),
        }))
    }
}

/// The first `BYTES` bytes of an address.
fn network<const BYTES: usize>(ip: Ipv6Addr) -> Ipv6Addr {
    let mut octets = ip.octets();
    octets[BYTES..].fill(0);
    Ipv6Addr::from(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_internet_does_not_tell_of_local_addresses() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        for refused in [
            "127.0.0.1:1",
            "10.0.0.1:1",
            "[::1]:1",
            "0.1.2.3:1",
            "224.0.0.1:1",
            "9.9.9.9:0",
            "[ff02::1]:1",
            "100.64.0.1:1",
            "[64:ff9b::10.0.0.1]:1",
            "[2002:7f00:1::]:1",
        ] {
            assert!(!may_be_told(addr(refused), ip("8.8.8.8")), "{refused}");
        }
        assert!(!may_be_told(addr("127.0.0.1:1"), ip("10.0.0.1")));
        assert!(may_be_told(addr("127.0.0.1:1"), ip("127.0.0.1")));
        assert!(may_be_told(addr("9.9.9.9:1"), ip("8.8.8.8")));
    }

    #[test]
    fn addresses_of_one_owner_are_one_subnet() {
        assert_eq!(Subnet::of(ip("8.8.8.1")), Subnet::of(ip("8.8.8.200")));
        assert_ne!(Subnet::of(ip("8.8.8.1")), Subnet::of(ip("8.8.9.1")));
        assert_eq!(
            Subnet::of(ip("2a00:1:2:3::1")),
            Subnet::of(ip("2a00:1:2:4::1"))
        );
        assert_eq!(Subnet::of(ip("192.168.0.1")), None);
    }
}
