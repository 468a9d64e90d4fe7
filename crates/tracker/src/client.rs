//! The async clients, one for all trackers of a process: shells around the pure protocol, on tokio.

#[cfg(feature = "http")]
mod http;
#[cfg(feature = "udp")]
mod udp;

#[cfg(feature = "http")]
pub use http::{HttpClient, HttpConfig, HttpConfigError, MAX_BODY_LENGTH, MAX_REDIRECTS};
pub use rarest_http::{BoxFuture, Network, SystemNetwork};
#[cfg(feature = "udp")]
pub use udp::{UdpClient, UdpConfig};

use std::time::Duration;

use rarest_metainfo::InfoHash;

use crate::announce::{Announce, AnnounceReply, Event, Family};
use crate::error::Error;
use crate::scrape::ScrapeReply;
use crate::url::{Protocol, TrackerUrl};

/// How long `stopped` may take, waiting included: whoever quits does not want to wait, and a tracker that misses it forgets us by itself.
pub const STOPPED_TIMEOUT: Duration = Duration::from_secs(5);

/// Speaks to trackers of any protocol. Cheap to clone; all clones share connections and sockets.
#[derive(Clone, Debug)]
pub struct Client {
    #[cfg(feature = "http")]
    http: HttpClient,
    #[cfg(feature = "udp")]
    udp: UdpClient,
}

impl Client {
    /// Joins the clients for the protocols.
    #[must_use]
    pub fn new(
        #[cfg(feature = "http")] http: HttpClient,
        #[cfg(feature = "udp")] udp: UdpClient,
    ) -> Self {
        Self {
            #[cfg(feature = "http")]
            http,
            #[cfg(feature = "udp")]
            udp,
        }
    }

    /// Announces over one family. Dropping the future gives the request up.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NoAddress`] says that the tracker is not to be had over this family.
    pub async fn announce(
        &self,
        tracker: &TrackerUrl,
        family: Family,
        announce: &Announce,
    ) -> Result<AnnounceReply, Error> {
        let answer = async {
            match tracker.protocol() {
                #[cfg(feature = "http")]
                Protocol::Http | Protocol::Https => {
                    self.http.announce(tracker, family, announce).await
                }
                #[cfg(feature = "udp")]
                Protocol::Udp => self.udp.announce(tracker, family, announce).await,
                #[cfg(not(all(feature = "http", feature = "udp")))]
                other => Err(Error::NoClient(other)),
            }
        };
        match announce.event {
            Event::Stopped => tokio::time::timeout(STOPPED_TIMEOUT, answer)
                .await
                .unwrap_or(Err(Error::TimedOut(STOPPED_TIMEOUT))),
            Event::Regular | Event::Started | Event::Completed => answer.await,
        }
    }

    /// Asks about swarms, at most [`MAX_HASHES_PER_SCRAPE`](crate::MAX_HASHES_PER_SCRAPE) of them.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotScrapable`] when the tracker's URL does not say where.
    pub async fn scrape(
        &self,
        tracker: &TrackerUrl,
        family: Family,
        info_hashes: &[InfoHash],
    ) -> Result<ScrapeReply, Error> {
        match tracker.protocol() {
            #[cfg(feature = "http")]
            Protocol::Http | Protocol::Https => {
                self.http.scrape(tracker, family, info_hashes).await
            }
            #[cfg(feature = "udp")]
            Protocol::Udp => self.udp.scrape(tracker, family, info_hashes).await,
            #[cfg(not(all(feature = "http", feature = "udp")))]
            other => Err(Error::NoClient(other)),
        }
    }
}
