//! `ut_pex`: the peers that the sender has met and lost since its last message.
//!
//! Source: [BEP 11](https://www.bittorrent.org/beps/bep_0011.html).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rarest_bencode::{DecodeError, Document, Options, Trailing, ValueRef, encode_dict};

/// Entries of each list that are read; BEP 11 has at most 50, but first messages are often longer. The rest is ignored.
pub const MAX_PEX_ENTRIES: usize = 200;

/// Values and keys in one message. BEP 11 has 13.
const MAX_ITEMS: u32 = 256;

/// Containers inside each other in one message.
const MAX_DEPTH: u16 = 4;

/// One message of the extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pex {
    /// Peers that the sender has connected to, IPv4 first.
    pub added: Vec<PexPeer>,
    /// Peers that it has no connection to any more, IPv4 first.
    pub dropped: Vec<SocketAddr>,
}

/// A peer that somebody else knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PexPeer {
    /// Its address, as the sender says.
    pub addr: SocketAddr,
    /// What the sender knows of it; nothing when it does not say.
    pub flags: PexFlags,
}

/// What is known of a peer (BEP 11, `added.f`). Unknown bits are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PexFlags(pub u8);

impl PexFlags {
    /// It prefers encrypted connections.
    pub const PREFERS_ENCRYPTION: Self = Self(0x01);
    /// It wants no pieces.
    pub const UPLOAD_ONLY: Self = Self(0x02);
    /// It speaks uTP.
    pub const UTP: Self = Self(0x04);
    /// It speaks `ut_holepunch`.
    pub const HOLEPUNCH: Self = Self(0x08);
    /// The sender dialled it, so it can be reached.
    pub const REACHABLE: Self = Self(0x10);

    /// Whether every bit of `other` is set.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets or clears every bit of `other`.
    pub fn set(&mut self, other: Self, on: bool) {
        self.0 = (self.0 & !other.0) | if on { other.0 } else { 0 };
    }
}

/// Why a payload is no message of the extension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PexError {
    /// The payload is not bencoded.
    #[error("the ut_pex payload is not bencoded: {0}")]
    Bencode(#[from] DecodeError),
    /// The payload is a value, but no dictionary.
    #[error("the ut_pex payload is not a dictionary")]
    NotADictionary,
}

impl Pex {
    /// Reads a payload. Lists of a wrong type are taken as empty, and bytes behind the last whole entry are ignored.
    ///
    /// # Errors
    /// [`PexError`] when it is no dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, PexError> {
        let options = Options::lenient()
            .trailing(Trailing::Allow)
            .max_items(MAX_ITEMS)
            .max_depth(MAX_DEPTH);
        let document = Document::parse_with(payload, &options)?;
        let root = document.root();
        if root.as_dict().is_none() {
            return Err(PexError::NotADictionary);
        }
        let list = |key: &str| root.get(key).and_then(ValueRef::as_bytes).unwrap_or(&[]);
        let added_v4 = with_flags(entries_v4(list("added")), list("added.f"));
        let added_v6 = with_flags(entries_v6(list("added6")), list("added6.f"));
        Ok(Self {
            added: added_v4.chain(added_v6).collect(),
            dropped: entries_v4(list("dropped"))
                .chain(entries_v6(list("dropped6")))
                .collect(),
        })
    }

    /// The payload.
    ///
    /// # Panics
    /// Never: the keys differ.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (mut added_v4, mut flags_v4) = (Vec::new(), Vec::new());
        let (mut added_v6, mut flags_v6) = (Vec::new(), Vec::new());
        for peer in &self.added {
            push(peer.addr, &mut added_v4, &mut added_v6);
            if peer.addr.is_ipv4() {
                flags_v4.push(peer.flags.0);
            } else {
                flags_v6.push(peer.flags.0);
            }
        }
        let (mut dropped_v4, mut dropped_v6) = (Vec::new(), Vec::new());
        for &addr in &self.dropped {
            push(addr, &mut dropped_v4, &mut dropped_v6);
        }
        encode_dict(|message| {
            for (key, list) in [
                ("added", added_v4),
                ("added.f", flags_v4),
                ("added6", added_v6),
                ("added6.f", flags_v6),
                ("dropped", dropped_v4),
                ("dropped6", dropped_v6),
            ] {
                if !list.is_empty() {
                    message.bytes(key, list);
                }
            }
        })
        .expect("the keys differ")
    }
}

fn push(addr: SocketAddr, v4: &mut Vec<u8>, v6: &mut Vec<u8>) {
    match addr {
        SocketAddr::V4(addr) => {
            v4.extend_from_slice(&addr.ip().octets());
            v4.extend_from_slice(&addr.port().to_be_bytes());
        }
        SocketAddr::V6(addr) => {
            v6.extend_from_slice(&addr.ip().octets());
            v6.extend_from_slice(&addr.port().to_be_bytes());
        }
    }
}

fn with_flags(
    addrs: impl Iterator<Item = SocketAddr>,
    flags: &[u8],
) -> impl Iterator<Item = PexPeer> {
    let flags = flags.iter().copied().chain(std::iter::repeat(0));
    addrs.zip(flags).map(|(addr, flags)| PexPeer {
        addr,
        flags: PexFlags(flags),
    })
}

fn entries_v4(list: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let entries = list.as_chunks::<6>().0.iter().take(MAX_PEX_ENTRIES);
    entries.map(|&[a, b, c, d, port_high, port_low]| {
        let port = u16::from_be_bytes([port_high, port_low]);
        SocketAddr::from((Ipv4Addr::new(a, b, c, d), port))
    })
}

fn entries_v6(list: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let entries = list.as_chunks::<18>().0.iter().take(MAX_PEX_ENTRIES);
    entries.map(|&[ref ip @ .., port_high, port_low]| {
        let port = u16::from_be_bytes([port_high, port_low]);
        SocketAddr::from((Ipv6Addr::from(*ip), port))
    })
}
