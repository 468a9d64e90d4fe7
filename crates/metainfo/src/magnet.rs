//! Magnet links: what identifies a torrent, and where to begin to look for it.

use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::url_list::UrlList;
use crate::{HostAddr, InfoHashV1, InfoHashV2, InfoHashes};

/// Longest link that is read, in bytes. Links with hundreds of trackers have some ten KiB.
pub const MAX_MAGNET_LENGTH: usize = 1024 * 1024;

/// Most peers (`x.pe`) that are kept of one link; more come from trackers and the peers themselves.
pub const MAX_MAGNET_PEERS: usize = 200;

/// Most ranges of files (`so`) that are read of one link.
pub const MAX_MAGNET_RANGES: usize = 10_000;

/// A multihash of SHA-256 begins with the code of the function, 0x12, and the length of the digest, 32.
const SHA2_256_MULTIHASH: &str = "1220";

/// What need not be escaped in the value of a parameter.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A magnet link.
///
/// Source: [BEP 9](https://www.bittorrent.org/beps/bep_0009.html), "magnet URI format";
/// [BEP 52](https://www.bittorrent.org/beps/bep_0052.html) (`btmh`); [BEP 53](https://www.bittorrent.org/beps/bep_0053.html) (`so`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magnet {
    info_hashes: InfoHashes,
    /// A name to show until the metadata is there (`dn`). Its characters are whatever the link's author chose.
    pub name: Option<String>,
    /// Trackers (`tr`), each its own tier.
    pub trackers: Vec<String>,
    /// Web seeds (`ws`).
    pub web_seeds: Vec<String>,
    /// Peers to dial at once (`x.pe`). Not for private torrents.
    pub peers: Vec<HostAddr>,
    /// Files to download, by their position in the torrent (`so`): rising, disjoint. None means all.
    /// The numbers are the link's; the torrent may have fewer files.
    pub selected_files: Vec<RangeInclusive<u32>>,
}

/// Why a text is no magnet link to a torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MagnetError {
    /// It is longer than [`MAX_MAGNET_LENGTH`].
    #[error("the link has {length} bytes, above the limit of {MAX_MAGNET_LENGTH}")]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// It does not begin with `magnet:?`.
    #[error("a magnet link begins with magnet:?")]
    NotMagnet,
    /// No `xt` names a torrent.
    #[error("the link names no torrent: it has no xt=urn:btih: or xt=urn:btmh:")]
    NoInfoHash,
    /// A `btih` is neither 40 hex digits nor 32 of base32.
    #[error("an info-hash after urn:btih: has 40 hex digits or 32 of base32")]
    BadV1Hash,
    /// A `btmh` is no SHA-256 multihash.
    #[error("an info-hash after urn:btmh: has 1220 and 64 hex digits")]
    BadV2Hash,
    /// Two different hashes of one kind: two readers could see two torrents.
    #[error("the link names two different torrents")]
    ConflictingHashes,
}

impl Magnet {
    /// A link that has nothing but the identity of a torrent.
    #[must_use]
    pub fn new(info_hashes: InfoHashes) -> Self {
        Self {
            info_hashes,
            name: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            peers: Vec::new(),
            selected_files: Vec::new(),
        }
    }

    /// The hashes of the torrent: one, or both.
    #[must_use]
    pub fn info_hashes(&self) -> InfoHashes {
        self.info_hashes
    }

    /// Whether the file at that position is to be downloaded.
    #[must_use]
    pub fn selects(&self, file: u32) -> bool {
        self.selected_files.is_empty()
            || self
                .selected_files
                .iter()
                .any(|range| range.contains(&file))
    }
}

impl FromStr for Magnet {
    type Err = MagnetError;

    /// Reads a link. Unknown parameters are ignored, as are bad trackers, seeds, peers and ranges among good ones.
    ///
    /// # Errors
    /// [`MagnetError`] when it is no magnet link, or does not name exactly one torrent.
    fn from_str(uri: &str) -> Result<Self, MagnetError> {
        let uri = uri.trim();
        if uri.len() > MAX_MAGNET_LENGTH {
            return Err(MagnetError::TooLong { length: uri.len() });
        }
        let mut reader = MagnetReader::new();
        for (key, value) in parameters(query(uri)?) {
            reader.read(key, value)?;
        }
        reader.finish()
    }
}

/// What follows `magnet:?`; some write `magnet:///?`.
fn query(uri: &str) -> Result<&str, MagnetError> {
    let (scheme, rest) = uri.split_once(':').ok_or(MagnetError::NotMagnet)?;
    if !scheme.eq_ignore_ascii_case("magnet") {
        return Err(MagnetError::NotMagnet);
    }
    rest.trim_start_matches('/')
        .strip_prefix('?')
        .ok_or(MagnetError::NotMagnet)
}

/// The parameters; one without `=` is skipped.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        Some((without_number(key), value))
    })
}

/// Parameters that repeat may be numbered, as in `xt.1`.
fn without_number(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((name, number))
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => key,
    }
}

fn decoded(value: &str) -> Vec<u8> {
    percent_decode_str(value).collect()
}

struct MagnetReader {
    v1: Option<InfoHashV1>,
    v2: Option<InfoHashV2>,
    name: Option<String>,
    tracker_urls: UrlList,
    trackers: Vec<String>,
    web_seed_urls: UrlList,
    web_seeds: Vec<String>,
    peers: Vec<HostAddr>,
    seen_peers: HashSet<HostAddr>,
    ranges: Vec<RangeInclusive<u32>>,
}

impl MagnetReader {
    fn new() -> Self {
        Self {
            v1: None,
            v2: None,
            name: None,
            tracker_urls: UrlList::of_trackers(),
            trackers: Vec::new(),
            web_seed_urls: UrlList::of_web_seeds(),
            web_seeds: Vec::new(),
            peers: Vec::new(),
            seen_peers: HashSet::new(),
            ranges: Vec::new(),
        }
    }

    fn read(&mut self, key: &str, value: &str) -> Result<(), MagnetError> {
        match key.to_ascii_lowercase().as_str() {
            "xt" => self.read_topic(&String::from_utf8_lossy(&decoded(value)))?,
            "dn" => {
                // Only here do forms write a space as `+`; in URLs it is a plus.
                let name = decoded(&value.replace('+', " "));
                if self.name.is_none() && !name.is_empty() {
                    self.name = Some(String::from_utf8_lossy(&name).into_owned());
                }
            }
            "tr" => self
                .trackers
                .extend(self.tracker_urls.accept(&decoded(value))),
            "ws" => self
                .web_seeds
                .extend(self.web_seed_urls.accept(&decoded(value))),
            "x.pe" => self.read_peer(&String::from_utf8_lossy(&decoded(value))),
            "so" => self.read_selection(&String::from_utf8_lossy(&decoded(value))),
            _ => {}
        }
        Ok(())
    }

    fn read_topic(&mut self, topic: &str) -> Result<(), MagnetError> {
        if let Some(text) = strip_prefix_ignoring_case(topic, "urn:btih:") {
            let hash = InfoHashV1::from_str(text).map_err(|_| MagnetError::BadV1Hash)?;
            keep_one(&mut self.v1, hash)
        } else if let Some(text) = strip_prefix_ignoring_case(topic, "urn:btmh:") {
            let digits = text
                .strip_prefix(SHA2_256_MULTIHASH)
                .ok_or(MagnetError::BadV2Hash)?;
            let hash = InfoHashV2::from_str(digits).map_err(|_| MagnetError::BadV2Hash)?;
            keep_one(&mut self.v2, hash)
        } else {
            Ok(()) // a topic of another network, beside ours
        }
    }

    fn read_peer(&mut self, text: &str) {
        if let Ok(peer) = text.trim().parse::<HostAddr>()
            && self.peers.len() < MAX_MAGNET_PEERS
            && self.seen_peers.insert(peer.clone())
        {
            self.peers.push(peer);
        }
    }

    fn read_selection(&mut self, text: &str) {
        for part in text.split(',') {
            if self.ranges.len() == MAX_MAGNET_RANGES {
                return;
            }
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Some(first), Some(last)) = (file_number(first), file_number(last))
                && first <= last
            {
                self.ranges.push(first..=last);
            }
        }
    }

    fn finish(self) -> Result<Magnet, MagnetError> {
        if self.v1.is_none() && self.v2.is_none() {
            return Err(MagnetError::NoInfoHash);
        }
        Ok(Magnet {
            info_hashes: InfoHashes {
                v1: self.v1,
                v2: self.v2,
            },
            name: self.name,
            trackers: self.trackers,
            web_seeds: self.web_seeds,
            peers: self.peers,
            selected_files: joined(self.ranges),
        })
    }
}

/// Digits and nothing else; `parse` would take a sign.
fn file_number(text: &str) -> Option<u32> {
    let text = text.trim();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn keep_one<T: PartialEq>(slot: &mut Option<T>, hash: T) -> Result<(), MagnetError> {
    if slot.as_ref().is_some_and(|known| *known != hash) {
        return Err(MagnetError::ConflictingHashes);
    }
    *slot = Some(hash);
    Ok(())
}

/// The same numbers as rising, disjoint ranges.
fn joined(mut ranges: Vec<RangeInclusive<u32>>) -> Vec<RangeInclusive<u32>> {
    ranges.sort_by_key(|range| *range.start());
    let mut joined: Vec<RangeInclusive<u32>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => joined.push(range),
        }
    }
    joined
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "magnet:?";
        let mut parameter = |f: &mut fmt::Formatter<'_>, key: &str, value: &dyn fmt::Display| {
            write!(f, "{separator}{key}={value}")?;
            separator = "&";
            Ok(())
        };
        let escaped = |value| utf8_percent_encode(value, UNRESERVED);
        if let Some(v1) = self.info_hashes.v1 {
            parameter(f, "xt", &format_args!("urn:btih:{v1}"))?;
        }
        if let Some(v2) = self.info_hashes.v2 {
            parameter(f, "xt", &format_args!("urn:btmh:{SHA2_256_MULTIHASH}{v2}"))?;
        }
        if let Some(name) = &self.name {
            parameter(f, "dn", &escaped(name))?;
        }
        for tracker in &self.trackers {
            parameter(f, "tr", &escaped(tracker))?;
        }
        for web_seed in &self.web_seeds {
            parameter(f, "ws", &escaped(web_seed))?;
        }
        for peer in &self.peers {
            parameter(f, "x.pe", peer)?;
        }
        let ranges: Vec<String> = self
            .selected_files
            .iter()
            .map(|range| match (range.start(), range.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            })
            .collect();
        if !ranges.is_empty() {
            parameter(f, "so", &ranges.join(","))?;
        }
        Ok(())
    }
}
