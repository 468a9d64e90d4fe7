//! `ut_holepunch`: a peer that both know introduces two that cannot be dialled.
//!
//! Source: [BEP 55](https://www.bittorrent.org/beps/bep_0055.html).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// One message of the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holepunch {
    /// What it says.
    pub kind: HolepunchKind,
    /// The peer it is about.
    pub addr: SocketAddr,
}

/// What a message of the extension says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolepunchKind {
    /// Introduce me to that peer.
    Rendezvous,
    /// Dial that peer now, it dials you.
    Connect,
    /// I cannot introduce you to that peer.
    Error(HolepunchErrorCode),
}

/// Why a peer cannot introduce two others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolepunchErrorCode {
    /// 1: the address is invalid.
    NoSuchPeer,
    /// 2: the relaying peer is not connected to it.
    NotConnected,
    /// 3: the peer does not speak the extension.
    NoSupport,
    /// 4: the address is that of the relaying peer.
    NoSelf,
    /// A number without a meaning.
    Other(u32),
}

/// Why a payload is no message of the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HolepunchDecodeError {
    /// The payload has not the length of its kind and address.
    #[error("a ut_holepunch payload of {length} bytes is cut or too long")]
    WrongLength {
        /// Its length in bytes.
        length: usize,
    },
    /// A type of message without a meaning.
    #[error("{msg_type} is no type of a ut_holepunch message")]
    UnknownType {
        /// The type.
        msg_type: u8,
    },
    /// A type of address without a meaning.
    #[error("{addr_type} is no type of an address in a ut_holepunch message")]
    UnknownAddressType {
        /// The type.
        addr_type: u8,
    },
}

impl Holepunch {
    /// Reads a payload. The error code may be missing where there is no error: libtorrent leaves it out.
    ///
    /// # Errors
    /// [`HolepunchDecodeError`] when the length or a type is wrong.
    pub fn decode(payload: &[u8]) -> Result<Self, HolepunchDecodeError> {
        let length = payload.len();
        let wrong_length = HolepunchDecodeError::WrongLength { length };
        let Some((&[msg_type, addr_type], rest)) = payload.split_first_chunk() else {
            return Err(wrong_length);
        };
        let (addr, rest) = match addr_type {
            0 => addr_v4(rest).ok_or(wrong_length)?,
            1 => addr_v6(rest).ok_or(wrong_length)?,
            addr_type => return Err(HolepunchDecodeError::UnknownAddressType { addr_type }),
        };
        let code = match (rest.is_empty(), <[u8; 4]>::try_from(rest)) {
            (true, _) => None,
            (false, Ok(code)) => Some(u32::from_be_bytes(code)),
            (false, Err(_)) => return Err(wrong_length),
        };
        let kind = match (msg_type, code) {
            (0, _) => HolepunchKind::Rendezvous,
            (1, _) => HolepunchKind::Connect,
            (2, Some(code)) => HolepunchKind::Error(HolepunchErrorCode::from_number(code)),
            (2, None) => return Err(wrong_length),
            (msg_type, _) => return Err(HolepunchDecodeError::UnknownType { msg_type }),
        };
        Ok(Self { kind, addr })
    }

    /// The payload, with an error code of 0 where there is no error.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (msg_type, code) = match self.kind {
            HolepunchKind::Rendezvous => (0, 0),
            HolepunchKind::Connect => (1, 0),
            HolepunchKind::Error(code) => (2, code.number()),
        };
        let mut payload = vec![msg_type];
        match self.addr {
            SocketAddr::V4(addr) => {
                payload.push(0);
                payload.extend_from_slice(&addr.ip().octets());
            }
            SocketAddr::V6(addr) => {
                payload.push(1);
                payload.extend_from_slice(&addr.ip().octets());
            }
        }
        payload.extend_from_slice(&self.addr.port().to_be_bytes());
        payload.extend_from_slice(&u32::to_be_bytes(code));
        payload
    }
}

impl HolepunchErrorCode {
    fn from_number(number: u32) -> Self {
        match number {
            1 => Self::NoSuchPeer,
            2 => Self::NotConnected,
            3 => Self::NoSupport,
            4 => Self::NoSelf,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::NoSuchPeer => 1,
            Self::NotConnected => 2,
            Self::NoSupport => 3,
            Self::NoSelf => 4,
            Self::Other(number) => number,
        }
    }
}

fn addr_v4(bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (ip, rest) = bytes.split_first_chunk::<4>()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    Some((SocketAddr::from((Ipv4Addr::from(*ip), port)), rest))
}

fn addr_v6(bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (ip, rest) = bytes.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    Some((SocketAddr::from((Ipv6Addr::from(*ip), port)), rest))
}
