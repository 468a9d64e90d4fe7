//! The packet: a request of HTTP's shape.
//!
//! Source: [BEP 14](https://www.bittorrent.org/beps/bep_0014.html), "Protocol".

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rarest_metainfo::InfoHash;

use crate::limits::{MAX_COOKIE_LENGTH, MAX_INFO_HASHES, MAX_LINES, MAX_PACKET_LENGTH};

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// 239.192.152.143, in the organisation.
    V4,
    /// ff15::efc0:988f, in the site.
    V6,
}

impl Group {
    /// The port of both groups.
    pub const PORT: u16 = 6771;

    /// That of IPv4.
    pub const IPV4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);

    /// That of IPv6.
    pub const IPV6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f);

    /// Address and port.
    #[must_use]
    pub fn addr(self) -> SocketAddr {
        match self {
            Self::V4 => SocketAddr::from((Self::IPV4, Self::PORT)),
            Self::V6 => SocketAddr::from((Self::IPV6, Self::PORT)),
        }
    }
}

/// By what a client knows its own packets when they come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cookie(String);

impl Cookie {
    /// A cookie of that number; take a random one.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(format!("rarest-{number:016x}"))
    }
}

/// Somebody has torrents, and listens at a port of the address from which the packet comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The TCP port, not 0.
    pub port: u16,
    /// The swarms, one at least.
    pub info_hashes: Vec<InfoHash>,
    /// Whose packet it is, if that is said.
    pub cookie: Option<Cookie>,
}

/// Why bytes are no announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAnnounce {
    /// Longer than [`MAX_PACKET_LENGTH`].
    #[error("the packet has {length} bytes, above the limit of {MAX_PACKET_LENGTH}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It does not begin with `BT-SEARCH * HTTP/1.1`.
    #[error("the packet is no search for torrents")]
    OtherRequest,
    /// There is no port, or none that one can dial.
    #[error("the packet names no port")]
    NoPort,
    /// There is no info-hash.
    #[error("the packet names no torrent")]
    NoInfoHash,
}

impl Announce {
    /// The packet for a group.
    #[must_use]
    pub fn encode(&self, group: SocketAddr) -> Vec<u8> {
        let port = self.port;
        let mut text = format!("BT-SEARCH * HTTP/1.1\r\nHost: {group}\r\nPort: {port}\r\n");
        for info_hash in self.info_hashes.iter().take(MAX_INFO_HASHES) {
            text.push_str("Infohash: ");
            for byte in info_hash.0 {
                text.push_str(&format!("{byte:02x}"));
            }
            text.push_str("\r\n");
        }
        if let Some(Cookie(cookie)) = &self.cookie {
            text.push_str("cookie: ");
            text.push_str(cookie);
            text.push_str("\r\n");
        }
        text.push_str("\r\n\r\n");
        text.into_bytes()
    }

    /// Reads a packet. Names of headers may be in any case, what is not known is ignored, and so are info-hashes that are none and those above
    /// [`MAX_INFO_HASHES`].
    ///
    /// # Errors
    /// [`InvalidAnnounce`].
    pub fn decode(packet: &[u8]) -> Result<Self, InvalidAnnounce> {
        if packet.len() > MAX_PACKET_LENGTH {
            let length = packet.len();
            return Err(InvalidAnnounce::TooLong { length });
        }
        let mut lines = packet.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        if lines.next() != Some(b"BT-SEARCH * HTTP/1.1") {
            return Err(InvalidAnnounce::OtherRequest);
        }
        let (mut port, mut info_hashes, mut cookie) = (None, Vec::new(), None);
        for line in lines.take(MAX_LINES).take_while(|line| !line.is_empty()) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let name = line[..colon].trim_ascii();
            let Ok(value) = std::str::from_utf8(line[colon + 1..].trim_ascii()) else {
                continue;
            };
            if name.eq_ignore_ascii_case(b"port") {
                port = value.parse().ok().filter(|&port| port != 0);
            } else if name.eq_ignore_ascii_case(b"infohash") {
                let hash = info_hash(value).filter(|hash| !info_hashes.contains(hash));
                if info_hashes.len() < MAX_INFO_HASHES {
                    info_hashes.extend(hash);
                }
            } else if name.eq_ignore_ascii_case(b"cookie") && value.len() <= MAX_COOKIE_LENGTH {
                cookie = Some(Cookie(value.to_owned()));
            }
        }
        let port = port.ok_or(InvalidAnnounce::NoPort)?;
        if info_hashes.is_empty() {
            return Err(InvalidAnnounce::NoInfoHash);
        }
        Ok(Self {
            port,
            info_hashes,
            cookie,
        })
    }
}

/// 40 digits of base 16.
fn info_hash(text: &str) -> Option<InfoHash> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<_>>()?;
    let digits: [u8; 40] = digits.try_into().ok()?;
    let mut hash = [0; 20];
    for (byte, [high, low]) in hash.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = high << 4 | low;
    }
    Some(InfoHash(hash))
}
