//! The extension handshake: which extensions a peer speaks, and what else it says of itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rarest_bencode::{DecodeError, Departure, Document, Options, Trailing, ValueRef, encode_dict};

use super::Extension;
use crate::limits::{MAX_CLIENT_LENGTH, MAX_EXTENSION_NAME_LENGTH, MAX_EXTENSIONS};

/// Values and keys in one extension handshake. Clients send some 30.
const MAX_ITEMS: u32 = 4096;

/// Containers inside each other in one extension handshake. Clients use two.
const MAX_DEPTH: u16 = 16;

/// The payload of extended message 0. All that a peer leaves out, or gives a wrong type, is `None`.
///
/// A peer may send several: each changes what it names and nothing else.
///
/// Source: [BEP 10](https://www.bittorrent.org/beps/bep_0010.html), "handshake message".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtensionHandshake {
    /// `m`: names of extensions, and the numbers under which the sender wants to receive them. 0 switches one off.
    pub ids: Vec<(String, u8)>,
    /// `v`: name and version of the client; what is no UTF-8 is replaced, and a long one is cut.
    pub client: Option<String>,
    /// `p`: the port on which the sender listens.
    pub listen_port: Option<u16>,
    /// `reqq`: requests that the sender holds without dropping any.
    pub request_queue: Option<u32>,
    /// `yourip`: the address of the receiver as the sender sees it.
    pub your_ip: Option<IpAddr>,
    /// `ipv4`: an address of the sender.
    pub ipv4: Option<Ipv4Addr>,
    /// `ipv6`: an address of the sender.
    pub ipv6: Option<Ipv6Addr>,
    /// `metadata_size`: length of the info dictionary in bytes (BEP 9).
    pub metadata_size: Option<u32>,
    /// `e`: whether the sender prefers encrypted connections.
    pub prefers_encryption: Option<bool>,
    /// `upload_only`: whether the sender wants no pieces, complete or not (BEP 21).
    pub upload_only: Option<bool>,
}

/// Why a payload is no extension handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionHandshakeError {
    /// The payload is not bencoded.
    #[error("the extension handshake is not bencoded: {0}")]
    Bencode(#[from] DecodeError),
    /// The payload is a value, but no dictionary.
    #[error("the extension handshake is not a dictionary")]
    NotADictionary,
    /// A key stands twice, so that two readers could see two handshakes.
    #[error("the extension handshake has a key twice")]
    DuplicateKey,
}

impl ExtensionHandshake {
    /// Reads a payload. Unknown keys are ignored.
    ///
    /// # Errors
    /// [`ExtensionHandshakeError`] when it is no dictionary without repeated keys.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtensionHandshakeError> {
        // Some clients do not sort their keys.
        let options = Options::lenient()
            .trailing(Trailing::Allow)
            .max_items(MAX_ITEMS)
            .max_depth(MAX_DEPTH);
        let document = Document::parse_with(payload, &options)?;
        let is_duplicate = |departure| matches!(departure, Departure::DuplicateKey);
        if (document.remarks().iter()).any(|remark| is_duplicate(remark.departure)) {
            return Err(ExtensionHandshakeError::DuplicateKey);
        }
        let root = document.root();
        if root.as_dict().is_none() {
            return Err(ExtensionHandshakeError::NotADictionary);
        }
        Ok(Self {
            ids: root.get("m").map(ids).unwrap_or_default(),
            client: root.get("v").and_then(ValueRef::as_bytes).map(client),
            listen_port: number(root, "p").filter(|&port| port != 0),
            request_queue: number(root, "reqq"),
            your_ip: root.get("yourip").and_then(ValueRef::as_bytes).and_then(ip),
            ipv4: octets::<4>(root, "ipv4").map(Ipv4Addr::from),
            ipv6: octets::<16>(root, "ipv6").map(Ipv6Addr::from),
            metadata_size: number(root, "metadata_size"),
            prefers_encryption: number::<u32>(root, "e").map(|value| value != 0),
            upload_only: number::<u32>(root, "upload_only").map(|value| value != 0),
        })
    }

    /// The payload.
    ///
    /// # Panics
    /// When `ids` holds a name twice.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode_dict(|handshake| {
            handshake.dict("m", |m| {
                for (name, id) in &self.ids {
                    m.int(name, *id);
                }
            });
            if let Some(prefers_encryption) = self.prefers_encryption {
                handshake.int("e", u8::from(prefers_encryption));
            }
            if let Some(client) = &self.client {
                handshake.bytes("v", client);
            }
            if let Some(port) = self.listen_port {
                handshake.int("p", port);
            }
            if let Some(requests) = self.request_queue {
                handshake.int("reqq", requests);
            }
            match self.your_ip {
                Some(IpAddr::V4(ip)) => _ = handshake.bytes("yourip", ip.octets()),
                Some(IpAddr::V6(ip)) => _ = handshake.bytes("yourip", ip.octets()),
                None => {}
            }
            if let Some(ip) = self.ipv4 {
                handshake.bytes("ipv4", ip.octets());
            }
            if let Some(ip) = self.ipv6 {
                handshake.bytes("ipv6", ip.octets());
            }
            if let Some(size) = self.metadata_size {
                handshake.int("metadata_size", size);
            }
            if let Some(upload_only) = self.upload_only {
                handshake.int("upload_only", u8::from(upload_only));
            }
        })
        .expect("the names of extensions differ")
    }

    /// The number under which the sender wants to receive an extension, if it names it; 0 switches it off.
    #[must_use]
    pub fn id(&self, extension: Extension) -> Option<u8> {
        self.ids
            .iter()
            .find(|(name, _)| name == extension.name())
            .map(|&(_, id)| id)
    }
}

/// The entries of `m` that are numbers of one byte. Names that are no UTF-8 belong to nothing that is known.
fn ids(m: ValueRef<'_, '_>) -> Vec<(String, u8)> {
    let entries = m.as_dict().into_iter().flatten();
    entries
        .filter_map(|(name, id)| {
            let name = std::str::from_utf8(name).ok()?;
            let id = id.as_u64()?.try_into().ok()?;
            (name.len() <= MAX_EXTENSION_NAME_LENGTH).then(|| (name.to_owned(), id))
        })
        .take(MAX_EXTENSIONS)
        .collect()
}

fn client(version: &[u8]) -> String {
    // A character has at most four bytes, so no more of a long text need be looked at.
    let head = &version[..version.len().min(4 * MAX_CLIENT_LENGTH)];
    let text = String::from_utf8_lossy(head);
    text.chars().take(MAX_CLIENT_LENGTH).collect()
}

fn number<T: TryFrom<u64>>(root: ValueRef<'_, '_>, key: &str) -> Option<T> {
    root.get(key)?.as_u64()?.try_into().ok()
}

fn octets<const N: usize>(root: ValueRef<'_, '_>, key: &str) -> Option<[u8; N]> {
    root.get(key)?.as_bytes()?.try_into().ok()
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}
