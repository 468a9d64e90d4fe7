//! Announce and scrape over HTTP, without the HTTP: URLs to fetch, and what their bodies say.
//!
//! Source: [BEP 3](https://www.bittorrent.org/beps/bep_0003.html) "Trackers", BEPs [7](https://www.bittorrent.org/beps/bep_0007.html),
//! [23](https://www.bittorrent.org/beps/bep_0023.html), [24](https://www.bittorrent.org/beps/bep_0024.html),
//! [31](https://www.bittorrent.org/beps/bep_0031.html), [48](https://www.bittorrent.org/beps/bep_0048.html).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rarest_bencode::{Document, Options, Trailing, ValueRef};
use rarest_metainfo::{InfoHash, PeerId};
use url::Url;

use crate::announce::{Announce, AnnounceReply, Event, Failure, Family, Peer, Retry, readable};
use crate::compact::decode_peers;
use crate::error::{Error, ReplyError};
use crate::scrape::{MAX_HASHES_PER_SCRAPE, ScrapeReply, SwarmCounts, scrape_path};
use crate::url::TrackerUrl;

/// Peers of one answer that are kept, over HTTP as over UDP. Trackers send 50 to 200; a torrent has no use for more than this.
pub const MAX_PEERS_PER_REPLY: usize = 5_000;

/// The longest `tracker id` that is kept, in bytes; it goes back with every announce, up to three times as long.
pub const MAX_TRACKER_ID_LENGTH: usize = 256;

/// Values of one answer that are decoded: [`MAX_PEERS_PER_REPLY`] dictionaries with three keys, and as much again.
const MAX_BENCODE_ITEMS: u32 = 75_000;

/// Answers nest four deep.
const MAX_BENCODE_DEPTH: u16 = 16;

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The URL to fetch for an announce. The tracker's own query stays in front, and so do a user and password, which belong into the
/// `Authorization` header of the request ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)).
#[must_use]
pub fn announce_url(tracker: &TrackerUrl, announce: &Announce) -> String {
    announce_page(tracker, announce).into()
}

/// The URL to fetch for a scrape of the first [`MAX_HASHES_PER_SCRAPE`] swarms; of all that the tracker has, when there are none.
/// `None` when the tracker's URL does not say where. As for user and password, see [`announce_url`].
#[must_use]
pub fn scrape_url(tracker: &TrackerUrl, info_hashes: &[InfoHash]) -> Option<String> {
    scrape_page(tracker, info_hashes).map(String::from)
}

pub(crate) fn announce_page(tracker: &TrackerUrl, announce: &Announce) -> Url {
    let mut query = format!(
        "info_hash={}&peer_id={}&port={}&uploaded={}&downloaded={}&left={}&key={:08X}",
        percent_encode(announce.info_hash.as_bytes(), RESERVED),
        percent_encode(announce.peer_id.as_bytes(), RESERVED),
        announce.port,
        announce.uploaded,
        announce.downloaded,
        announce.left,
        announce.key,
    );
    query.push_str(match announce.event {
        Event::Regular => "",
        Event::Started => "&event=started",
        Event::Completed => "&event=completed",
        Event::Stopped => "&event=stopped",
    });
    if let Some(num_want) = announce.num_want {
        write!(query, "&numwant={num_want}").expect("a String takes all that is written");
    }
    query.push_str("&compact=1&no_peer_id=1");
    if let Some(tracker_id) = &announce.tracker_id {
        let tracker_id = percent_encode(tracker_id, RESERVED);
        write!(query, "&trackerid={tracker_id}").expect("a String takes all that is written");
    }
    with_query(tracker, tracker.http_url().path(), &query)
}

pub(crate) fn scrape_page(tracker: &TrackerUrl, info_hashes: &[InfoHash]) -> Option<Url> {
    let path = scrape_path(tracker.http_url().path())?;
    let hashes: Vec<String> = info_hashes
        .iter()
        .take(MAX_HASHES_PER_SCRAPE)
        .map(|hash| format!("info_hash={}", percent_encode(hash.as_bytes(), RESERVED)))
        .collect();
    Some(with_query(tracker, &path, &hashes.join("&")))
}

fn with_query(tracker: &TrackerUrl, path: &str, query: &str) -> Url {
    let mut url = tracker.http_url().clone();
    url.set_path(path);
    let own = url.query().unwrap_or_default().trim_end_matches('&');
    let query = match (own, query) {
        ("", query) => query.to_owned(),
        (own, "") => own.to_owned(),
        (own, query) => format!("{own}&{query}"),
    };
    url.set_query((!query.is_empty()).then_some(&query));
    url
}

/// Reads the body of an answer to an announce.
///
/// What can be understood counts: entries of peers that are broken, keys of a wrong type and bytes behind the dictionary are left out.
///
/// # Errors
/// [`Error::Refused`] when the tracker says no, [`Error::Reply`] when the body is no tracker's answer.
pub fn parse_announce(body: &[u8]) -> Result<AnnounceReply, Error> {
    let document = parse(body)?;
    let root = document.root();
    refuse_failure(root)?;
    let known = ["peers", "peers6", "interval", "warning message"];
    if !known.iter().any(|key| root.get(key).is_some()) {
        return Err(ReplyError::Missing("peers").into());
    }
    let mut peers = root.get("peers").map(peers_of).unwrap_or_default();
    if let Some(compact) = root.get("peers6").and_then(ValueRef::as_bytes) {
        peers.extend(decode_peers(compact, Family::V6));
    }
    peers.truncate(MAX_PEERS_PER_REPLY);
    Ok(AnnounceReply {
        peers,
        interval: seconds(root, "interval"),
        min_interval: seconds(root, "min interval"),
        seeders: count(root, "complete"),
        leechers: count(root, "incomplete"),
        downloads: count(root, "downloaded"),
        warning: text(root, "warning message"),
        tracker_id: tracker_id(root),
        external_ip: root
            .get("external ip")
            .and_then(ValueRef::as_bytes)
            .and_then(address),
    })
}

/// Reads the body of an answer to a scrape. Entries whose key is no hash are left out.
///
/// # Errors
/// [`Error::Refused`] when the tracker says no, [`Error::Reply`] when the body is no tracker's answer.
pub fn parse_scrape(body: &[u8]) -> Result<ScrapeReply, Error> {
    let document = parse(body)?;
    let root = document.root();
    refuse_failure(root)?;
    let files = root
        .get("files")
        .and_then(ValueRef::as_dict)
        .ok_or(ReplyError::Missing("files"))?;
    let swarms = files.iter().filter_map(|(key, swarm)| {
        let info_hash = InfoHash(key.try_into().ok()?);
        swarm.as_dict()?;
        Some((
            info_hash,
            SwarmCounts {
                seeders: count(swarm, "complete"),
                leechers: count(swarm, "incomplete"),
                downloads: count(swarm, "downloaded"),
                downloaders: count(swarm, "downloaders"),
            },
        ))
    });
    let min_request_interval = root
        .get("flags")
        .and_then(|flags| seconds(flags, "min_request_interval"));
    Ok(ScrapeReply {
        swarms: swarms.collect(),
        min_request_interval,
    })
}

/// The tracker's refusal in a body, if it is one; for answers with a status other than 200.
#[cfg(feature = "http")]
pub(crate) fn failure_in(body: &[u8]) -> Option<Failure> {
    let document = parse(body).ok()?;
    refuse_failure(document.root()).err()
}

fn parse(body: &[u8]) -> Result<Document<'_>, ReplyError> {
    let options = Options::lenient()
        .trailing(Trailing::Allow)
        .max_depth(MAX_BENCODE_DEPTH)
        .max_items(MAX_BENCODE_ITEMS);
    let document = Document::parse_with(body, &options)?;
    if document.root().as_dict().is_none() {
        return Err(ReplyError::NotADictionary);
    }
    Ok(document)
}

fn refuse_failure(root: ValueRef<'_, '_>) -> Result<(), Failure> {
    let Some(reason) = root.get("failure reason") else {
        return Ok(());
    };
    Err(Failure {
        reason: readable(reason.as_bytes().unwrap_or_default()),
        retry: root.get("retry in").and_then(retry),
    })
}

/// Minutes as a number or as text, or `never` (BEP 31).
fn retry(value: ValueRef<'_, '_>) -> Option<Retry> {
    let minutes = match value.as_str() {
        Some(text) if text.trim().eq_ignore_ascii_case("never") => return Some(Retry::Never),
        Some(text) => text.trim().parse().ok()?,
        None => value.as_u64()?,
    };
    let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
    Some(Retry::After(Duration::from_secs(u64::from(minutes) * 60)))
}

/// The value of `peers`: compact, or a list of dictionaries.
fn peers_of(value: ValueRef<'_, '_>) -> Vec<Peer> {
    match (value.as_bytes(), value.as_list()) {
        (Some(compact), _) => decode_peers(compact, Family::V4),
        (None, Some(list)) => list.iter().filter_map(dictionary_peer).collect(),
        (None, None) => Vec::new(),
    }
}

fn dictionary_peer(value: ValueRef<'_, '_>) -> Option<Peer> {
    // A host name, which BEP 3 allows, would let a tracker make us look names up by the thousand.
    let ip: IpAddr = value.get("ip")?.as_str()?.parse().ok()?;
    let port = u16::try_from(value.get("port")?.as_u64()?).ok()?;
    let id = value.get("peer id").and_then(ValueRef::as_bytes);
    (port != 0).then(|| Peer {
        address: SocketAddr::new(ip.to_canonical(), port),
        id: id.and_then(|id| id.try_into().ok()).map(PeerId),
    })
}

/// Seconds above zero; more than fit into 32 bits (136 years) are cut.
fn seconds(dictionary: ValueRef<'_, '_>, key: &str) -> Option<Duration> {
    let secs = dictionary.get(key)?.as_u64()?;
    let secs = u32::try_from(secs).unwrap_or(u32::MAX);
    (secs > 0).then(|| Duration::from_secs(secs.into()))
}

fn count(dictionary: ValueRef<'_, '_>, key: &str) -> Option<u32> {
    let count = dictionary.get(key)?.as_u64()?;
    Some(u32::try_from(count).unwrap_or(u32::MAX))
}

fn text(dictionary: ValueRef<'_, '_>, key: &str) -> Option<String> {
    dictionary.get(key)?.as_bytes().map(readable)
}

fn tracker_id(root: ValueRef<'_, '_>) -> Option<Bytes> {
    let id = root.get("tracker id")?.as_bytes()?;
    (id.len() <= MAX_TRACKER_ID_LENGTH).then(|| Bytes::copy_from_slice(id))
}

/// 4 or 16 bytes, big-endian (BEP 24).
fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|v6| IpAddr::from(v6).to_canonical())
}
