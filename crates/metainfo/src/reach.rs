//! How near an address is to us, so that a stranger in the internet can not send us to our own doorstep.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// From where an address can be reached, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Only from this machine.
    Loopback,
    /// Only from the local network, or by nobody.
    Private,
    /// From everywhere.
    Public,
}

impl Reach {
    /// That of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => of_v4(ip),
            IpAddr::V6(ip) => of_v6(ip),
        }
    }
}

fn of_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, ..] = ip.octets();
    match (a, b) {
        // On most systems 0.0.0.0 leads to the machine itself.
        (0 | 127, _) => Reach::Loopback,
        // RFC 1918, link-local, the carriers' own 100.64.0.0/10 (RFC 6598), multicast and reserved.
        (10, _) | (172, 16..=31) | (192, 168) | (169, 254) | (100, 64..=127) | (224.., _) => {
            Reach::Private
        }
        _ => Reach::Public,
    }
}

fn of_v6(ip: Ipv6Addr) -> Reach {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Reach::Loopback,
        // IPv4 inside IPv6: compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            of_v4(embedded(high, low))
        }
        [0x2002, high, low, ..] => of_v4(embedded(high, low)),
        // Unique local, link-local, the old site-local, multicast.
        [0xfc00..=0xfdff | 0xfe80..=0xfeff | 0xff00.., ..] => Reach::Private,
        _ => Reach::Public,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_lead_inward_are_known() {
        for (reach, addresses) in [
            (
                Reach::Loopback,
                &[
                    "127.0.0.1",
                    "127.9.9.9",
                    "0.0.0.0",
                    "::1",
                    "::",
                    "::ffff:127.0.0.1",
                    "64:ff9b::7f00:1",
                    "2002:7f00:1::",
                    "::7f00:1",
                ][..],
            ),
            (
                Reach::Private,
                &[
                    "10.0.0.1",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "169.254.169.254",
                    "100.64.0.1",
                    "224.0.0.1",
                    "255.255.255.255",
                    "fc00::1",
                    "fdff::1",
                    "fe80::1",
                    "fec0::1",
                    "ff02::1",
                    "::ffff:10.0.0.1",
                    "2002:c0a8:101::",
                ],
            ),
            (
                Reach::Public,
                &[
                    "1.1.1.1",
                    "172.32.0.1",
                    "172.15.0.1",
                    "192.169.0.1",
                    "100.128.0.1",
                    "223.255.255.255",
                    "2001:db8::1",
                    "2600::1",
                    "64:ff9b::101:101",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(Reach::of(address.parse().unwrap()), reach, "{address}");
            }
        }
    }
}
