//! Asking a tracker how many peers its swarms have.

use std::collections::BTreeMap;
use std::time::Duration;

use rarest_metainfo::InfoHash;

use crate::url::{Protocol, TrackerUrl};

/// The most swarms that one scrape asks about. BEP 15 allows 74, the number whose answer fits into a datagram; over HTTP the
/// same keeps the request line under 5 KiB.
pub const MAX_HASHES_PER_SCRAPE: usize = 74;

/// What a tracker knows of one swarm. A count that it does not say, or says as a negative number, is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmCounts {
    /// Peers that have everything (`complete`).
    pub seeders: Option<u32>,
    /// Peers that do not (`incomplete`).
    pub leechers: Option<u32>,
    /// Downloads that were ever completed (`downloaded`).
    pub downloads: Option<u32>,
    /// Peers that download now, as against those that are content with a part (BEP 21).
    pub downloaders: Option<u32>,
}

/// A tracker's answer to a scrape.
///
/// Source: [BEP 48](https://www.bittorrent.org/beps/bep_0048.html).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeReply {
    /// The swarms that the tracker knows.
    pub swarms: BTreeMap<InfoHash, SwarmCounts>,
    /// The tracker does not want to be scraped sooner than this.
    pub min_request_interval: Option<Duration>,
}

impl TrackerUrl {
    /// Whether the tracker can be scraped: always over UDP; over HTTP when the last component of the path begins with `announce`.
    ///
    /// Source: [BEP 48](https://www.bittorrent.org/beps/bep_0048.html).
    #[must_use]
    pub fn can_scrape(&self) -> bool {
        self.protocol() == Protocol::Udp || scrape_path(self.http_url().path()).is_some()
    }
}

/// The path with `announce` at the begin of its last component replaced by `scrape`.
pub(crate) fn scrape_path(path: &str) -> Option<String> {
    let (directory, page) = path.rsplit_once('/')?;
    let rest = page.strip_prefix("announce")?;
    Some(format!("{directory}/scrape{rest}"))
}
