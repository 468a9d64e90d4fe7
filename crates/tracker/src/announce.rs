//! What is said to a tracker and what it answers, whatever the protocol.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use rarest_metainfo::{InfoHash, PeerId};

/// Why an announce is made.
///
/// Source: [BEP 3](https://www.bittorrent.org/beps/bep_0003.html), "event".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Event {
    /// One of those made at regular intervals; nothing is sent as `event`.
    #[default]
    Regular,
    /// The first announce.
    Started,
    /// The last missing piece arrived.
    Completed,
    /// The download or upload ends.
    Stopped,
}

/// The address family over which a tracker is spoken to; it sees, and gives to others, that address of ours.
///
/// Source: [BEP 7](https://www.bittorrent.org/beps/bep_0007.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address; an IPv4 address that is mapped into IPv6 is IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

#[cfg(any(feature = "http", feature = "udp"))]
impl From<Family> for rarest_http::Families {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4,
            Family::V6 => Self::V6,
        }
    }
}

/// One announce.
///
/// Source: [BEP 3](https://www.bittorrent.org/beps/bep_0003.html), "Trackers".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The swarm.
    pub info_hash: InfoHash,
    /// Who we are in this swarm.
    pub peer_id: PeerId,
    /// The TCP port on which we accept peers.
    pub port: u16,
    /// Bytes sent to peers since `started`.
    pub uploaded: u64,
    /// Bytes received from peers since `started`.
    pub downloaded: u64,
    /// Bytes that are missing. While the size is unknown (a magnet link without metadata), any number above zero, so that we
    /// do not count as a seeder.
    pub left: u64,
    /// Why this announce is made.
    pub event: Event,
    /// A number that stays the same for this torrent over both families, by which the tracker knows us again
    /// (BEP 7). Other peers never learn it.
    pub key: u32,
    /// How many peers we would like; `None` leaves it to the tracker.
    pub num_want: Option<u32>,
    /// What the tracker gave us as `tracker id`, to be sent back (HTTP only).
    pub tracker_id: Option<Bytes>,
}

/// A peer that a tracker told us of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Where it listens; the port is never 0.
    pub address: SocketAddr,
    /// Its id, in answers that are not compact.
    pub id: Option<PeerId>,
}

/// A tracker's answer to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceReply {
    /// Peers, in the tracker's order.
    pub peers: Vec<Peer>,
    /// When the tracker wants to hear from us again; `None` when it said nothing, zero or a negative number.
    pub interval: Option<Duration>,
    /// The tracker does not want to hear from us sooner than this.
    pub min_interval: Option<Duration>,
    /// Peers that have everything (`complete`).
    pub seeders: Option<u32>,
    /// Peers that do not (`incomplete`).
    pub leechers: Option<u32>,
    /// Downloads that were ever completed (`downloaded`).
    pub downloads: Option<u32>,
    /// Something that the user should read, although the announce worked.
    pub warning: Option<String>,
    /// To be sent back with the next announce.
    pub tracker_id: Option<Bytes>,
    /// Our address as the tracker sees it ([BEP 24](https://www.bittorrent.org/beps/bep_0024.html)).
    pub external_ip: Option<IpAddr>,
}

/// The tracker understood and refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tracker refuses: {reason}")]
pub struct Failure {
    /// Its words, cut to [`MAX_TEXT_LENGTH`] and without control characters.
    pub reason: String,
    /// When to try again ([BEP 31](https://www.bittorrent.org/beps/bep_0031.html)).
    pub retry: Option<Retry>,
}

/// When a tracker that refused may be asked again.
///
/// Source: [BEP 31](https://www.bittorrent.org/beps/bep_0031.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After this time.
    After(Duration),
    /// Not at all.
    Never,
}

/// Characters of a tracker's failure or warning that are kept: a screen's worth, whatever it sends.
pub const MAX_TEXT_LENGTH: usize = 500;

/// Makes a tracker's words fit to be shown: UTF-8, of bounded length, control characters replaced by spaces.
pub(crate) fn readable(text: &[u8]) -> String {
    // No character is encoded in more than 4 bytes, so that a cut here costs nothing that is shown.
    let head = &text[..text.len().min(4 * MAX_TEXT_LENGTH)];
    String::from_utf8_lossy(head)
        .chars()
        .take(MAX_TEXT_LENGTH)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trackers_words_are_cut_and_cleaned() {
        assert_eq!(readable(b"\xff\xfe bad"), "\u{fffd}\u{fffd} bad");
        assert_eq!(readable(b"a\x1b[2Jb\n"), "a [2Jb ");
        assert_eq!(readable(&[b'x'; 10_000]).len(), MAX_TEXT_LENGTH);
        assert_eq!(
            readable("ä".repeat(10_000).as_bytes()).chars().count(),
            MAX_TEXT_LENGTH
        );
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(Family::of("::ffff:1.2.3.4".parse().unwrap()), Family::V4);
        assert_eq!(Family::of("::1".parse().unwrap()), Family::V6);
    }
}
