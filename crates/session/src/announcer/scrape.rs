//! Scrapes: what trackers say about swarms, on demand.

use std::sync::Arc;

use rarest_metainfo::InfoHash;
use rarest_tracker::client::Client;
use rarest_tracker::{Error, Family, ScrapeReply, TrackerUrl};
use tokio::task::JoinSet;

use super::Identity;
use crate::registry::Entry;
use crate::session::Shared;

/// What a tracker says about the swarms of a torrent: one, or two of a hybrid.
#[derive(Debug)]
pub struct Scrape {
    /// The tracker.
    pub tracker: TrackerUrl,
    /// Its answer, over the first family that gave one.
    pub reply: Result<ScrapeReply, Error>,
}

impl Shared {
    /// Asks every tracker of a torrent that can be asked.
    pub(crate) async fn scrape(&self, entry: &Arc<Entry>) -> Vec<Scrape> {
        let Some(client) = &self.announcer.client else {
            return Vec::new();
        };
        let swarms = Identity::of(entry).swarms;
        let mut under_way = JoinSet::new();
        for status in self.announcer.list(entry).await {
            if status.url.can_scrape() {
                let scrape = scrape(client.clone(), status.url, self.families(), swarms.clone());
                under_way.spawn(scrape);
            }
        }
        under_way.join_all().await
    }
}

async fn scrape(
    client: Client,
    tracker: TrackerUrl,
    families: Vec<Family>,
    swarms: Vec<InfoHash>,
) -> Scrape {
    let mut reply = Err(Error::Closed);
    for family in families {
        reply = client.scrape(&tracker, family, &swarms).await;
        if reply.is_ok() {
            break;
        }
    }
    Scrape { tracker, reply }
}
