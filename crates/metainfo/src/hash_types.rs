//! The hashes that identify a torrent.

use std::fmt;
use std::str::FromStr;

use rarest_hash::{Sha1Digest, Sha256Digest};

/// SHA-1 of the raw bytes of a v1 or hybrid info dictionary.
///
/// Source: [BEP 3](https://www.bittorrent.org/beps/bep_0003.html).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV1(pub Sha1Digest);

/// SHA-256 of the raw bytes of a v2 or hybrid info dictionary.
///
/// Source: [BEP 52](https://www.bittorrent.org/beps/bep_0052.html).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV2(pub Sha256Digest);

/// The 20 bytes by which a swarm is known to trackers, the DHT and in handshakes:
/// a v1 hash, or the first 20 bytes of a v2 hash (BEP 52, "upgrade path").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

impl InfoHash {
    /// The bytes, as they stand in a handshake.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl From<InfoHashV1> for InfoHash {
    fn from(hash: InfoHashV1) -> Self {
        Self(hash.0.0)
    }
}

impl From<InfoHashV2> for InfoHash {
    fn from(hash: InfoHashV2) -> Self {
        let (head, _) = hash
            .0
            .0
            .split_first_chunk()
            .expect("32 bytes begin with 20");
        Self(*head)
    }
}

macro_rules! hex {
    ($($name:ident: $bytes:expr;)*) => {$(
        /// Lower-case hex.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let bytes: fn(&Self) -> &[u8] = $bytes;
                bytes(self).iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

hex! {
    InfoHash: |hash| &hash.0;
    InfoHashV1: |hash| &hash.0.0;
    InfoHashV2: |hash| &hash.0.0;
}

/// The text is no info-hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an info-hash has 40 hex digits or 32 of base32 (v1), or 64 hex digits (v2)")]
pub struct InvalidInfoHash;

/// From 40 hex digits or 32 of base32, in either case (BEP 9).
impl FromStr for InfoHashV1 {
    type Err = InvalidInfoHash;

    fn from_str(text: &str) -> Result<Self, InvalidInfoHash> {
        let bytes = match text.len() {
            32 => from_base32(text.as_bytes()),
            _ => from_hex(text.as_bytes()),
        };
        Ok(Self(Sha1Digest(bytes.ok_or(InvalidInfoHash)?)))
    }
}

/// From 64 hex digits, in either case.
impl FromStr for InfoHashV2 {
    type Err = InvalidInfoHash;

    fn from_str(text: &str) -> Result<Self, InvalidInfoHash> {
        let bytes = from_hex(text.as_bytes()).ok_or(InvalidInfoHash)?;
        Ok(Self(Sha256Digest(bytes)))
    }
}

fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// 32 digits of five bits each are exactly 20 bytes (RFC 4648, section 6).
fn from_base32(text: &[u8]) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    if text.len() != 32 {
        return None;
    }
    for (bytes, digits) in bytes.chunks_exact_mut(5).zip(text.chunks_exact(8)) {
        let mut bits = 0u64;
        for digit in digits {
            let value = match digit.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter - b'A',
                number @ b'2'..=b'7' => number - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        bytes.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(bytes)
}

/// The identity of a torrent: one hash, or both for a hybrid.
///
/// At least one of the two is present in every value that this crate makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InfoHashes {
    /// The hash of the v1 part.
    pub v1: Option<InfoHashV1>,
    /// The hash of the v2 part.
    pub v2: Option<InfoHashV2>,
}

impl InfoHashes {
    /// The swarms in which this torrent is traded: one, or two for a hybrid, v1 first.
    pub fn swarms(&self) -> impl Iterator<Item = InfoHash> + use<> {
        self.v1
            .map(InfoHash::from)
            .into_iter()
            .chain(self.v2.map(InfoHash::from))
    }

    /// Whether both can mean the same torrent: no hash that both have differs, and they share one.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let shared = [
            self.v1.zip(other.v1).map(|(a, b)| a == b),
            self.v2.zip(other.v2).map(|(a, b)| a == b),
        ];
        let mut shared = shared.into_iter().flatten().peekable();
        shared.peek().is_some() && shared.all(|same| same)
    }

    /// Whether these are the hashes of an info dictionary with these raw bytes: every one that is known fits.
    #[must_use]
    pub fn are_of(&self, raw_info: &[u8]) -> bool {
        let of_v1 = self.v1.map(|v1| v1.0 == rarest_hash::sha1(raw_info));
        let of_v2 = self.v2.map(|v2| v2.0 == rarest_hash::sha256(raw_info));
        of_v1.or(of_v2).is_some() && of_v1 != Some(false) && of_v2 != Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "6162616261626162616261626162616261626162";

    #[test]
    fn a_v1_hash_is_read_from_hex_and_base32_in_either_case() {
        let hash: InfoHashV1 = V1.parse().unwrap();
        assert_eq!(hash.0.0, *b"abababababababababab");
        assert_eq!(hash.to_string(), V1);
        for base32 in [
            "MFRGCYTBMJQWEYLCMFRGCYTBMJQWEYLC",
            "mfrgcytbmjqweylcmfrgcytbmjqweylc",
        ] {
            assert_eq!(base32.parse(), Ok(hash));
        }
    }

    #[test]
    fn a_text_of_another_length_or_with_other_digits_is_refused() {
        let long = format!("{V1}0");
        for text in [
            "",
            "61",
            &V1[1..],
            &long,
            &V1.replace('6', "g"),
            &V1.replace("61", "é"),
            "1FRGCYTBMJQWEYLCMFRGCYTBMJQWEYLC",
        ] {
            assert_eq!(text.parse::<InfoHashV1>(), Err(InvalidInfoHash), "{text}");
        }
        assert_eq!(V1.parse::<InfoHashV2>(), Err(InvalidInfoHash));
    }

    #[test]
    fn a_v2_hash_is_cut_to_20_bytes_on_the_wire() {
        let hash: InfoHashV2 = format!("{V1}{}", "f".repeat(24)).parse().unwrap();
        assert_eq!(InfoHash::from(hash).as_bytes(), b"abababababababababab");
    }

    #[test]
    fn a_hybrid_has_two_swarms_v1_first() {
        let v1 = InfoHashV1(Sha1Digest([1; 20]));
        let v2 = InfoHashV2(Sha256Digest([2; 32]));
        let hybrid = InfoHashes {
            v1: Some(v1),
            v2: Some(v2),
        };
        assert!(hybrid.swarms().eq([v1.into(), v2.into()]));
    }

    #[test]
    fn identities_agree_if_they_share_a_hash_and_none_differs() {
        let (v1, v2) = (
            Some(InfoHashV1(Sha1Digest([1; 20]))),
            Some(InfoHashV2(Sha256Digest([2; 32]))),
        );
        let other = Some(InfoHashV1(Sha1Digest([9; 20])));
        let hybrid = InfoHashes { v1, v2 };
        assert!(hybrid.agrees_with(&hybrid));
        assert!(hybrid.agrees_with(&InfoHashes { v1, v2: None }));
        assert!(!hybrid.agrees_with(&InfoHashes { v1: other, v2 }));
        assert!(!InfoHashes { v1, v2: None }.agrees_with(&InfoHashes { v1: None, v2 }));
    }
}
