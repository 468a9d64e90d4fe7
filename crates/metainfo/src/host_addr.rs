//! Where a peer or a DHT node is: an address, or a name that must be looked up first.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Longest DNS name, in bytes (RFC 1035).
const MAX_HOST_LENGTH: usize = 253;

/// A host and a port, as `x.pe` of magnet links (BEP 9) and `nodes` of torrents (BEP 5) name them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostAddr {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A DNS name and a port.
    Name {
        /// The name: ASCII letters, digits, `-`, `_` and `.`.
        host: Box<str>,
        /// The port, not 0.
        port: u16,
    },
}

/// The text names no host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host and a port, such as 192.0.2.1:6881, [2001:db8::1]:6881 or peer.example:6881")]
pub struct InvalidHostAddr;

impl HostAddr {
    /// The address of a host, given as IP address (IPv6 with or without brackets) or name, and a port.
    ///
    /// # Errors
    /// [`InvalidHostAddr`] when the port is 0 or the host neither an address nor a possible name.
    pub fn new(host: &str, port: u16) -> Result<Self, InvalidHostAddr> {
        if port == 0 {
            return Err(InvalidHostAddr);
        }
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self::Ip(SocketAddr::new(ip, port)));
        }
        let possible = !host.is_empty()
            && host.len() <= MAX_HOST_LENGTH
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
            && host.bytes().any(|byte| byte.is_ascii_alphabetic());
        if possible {
            Ok(Self::Name {
                host: host.into(),
                port,
            })
        } else {
            Err(InvalidHostAddr)
        }
    }

    /// The address without brackets, or the name.
    #[must_use]
    pub fn host(&self) -> Cow<'_, str> {
        match self {
            Self::Ip(addr) => addr.ip().to_string().into(),
            Self::Name { host, .. } => (&**host).into(),
        }
    }

    /// The port, not 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(addr) => addr.port(),
            Self::Name { port, .. } => *port,
        }
    }
}

impl FromStr for HostAddr {
    type Err = InvalidHostAddr;

    fn from_str(text: &str) -> Result<Self, InvalidHostAddr> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidHostAddr)?;
        // An IPv6 address without brackets would lose its last group to the port.
        if host.contains(':') && !host.starts_with('[') {
            return Err(InvalidHostAddr);
        }
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number);
        Self::new(host, port.ok_or(InvalidHostAddr)?)
    }
}

impl fmt::Display for HostAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_read_and_printed() {
        for text in ["192.0.2.1:6881", "[2001:db8::1]:6881", "peer.example:6881"] {
            assert_eq!(text.parse::<HostAddr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_names_no_host_and_port_is_refused() {
        for text in [
            "",
            ":1",
            "a:0",
            "a:65536",
            "a",
            "<bad>:1",
            "2001:db8::1:6881",
            "1.2.3:5",
            "[a]:1",
            "a b:1",
            "a:+1",
        ] {
            assert_eq!(text.parse::<HostAddr>(), Err(InvalidHostAddr), "{text}");
        }
    }
}
