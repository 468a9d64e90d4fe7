//! How the trackers of a torrent stand, for the user to see.

use std::time::Instant;

use rarest_metainfo::InfoHash;

use super::endpoint::{Endpoint, State};
use crate::announce::{Event, Family};
use crate::tiers::TrackerKey;
use crate::url::TrackerUrl;

/// A tracker and how it stands.
#[derive(Clone, Debug)]
pub struct TrackerStatus {
    /// Which one.
    pub key: TrackerKey,
    /// Its tier, counted from 0.
    pub tier: usize,
    /// Where it is.
    pub url: TrackerUrl,
    /// One entry for each pair of swarm and family; none before the torrent was started.
    pub endpoints: Vec<EndpointStatus>,
}

/// One swarm at a tracker over one family.
#[derive(Clone, Debug)]
pub struct EndpointStatus {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The family.
    pub family: Family,
    /// What comes next.
    pub next: NextAnnounce,
    /// Seeders, as the tracker said last.
    pub seeders: Option<u32>,
    /// Leechers, as the tracker said last.
    pub leechers: Option<u32>,
    /// Completed downloads, as the tracker said last.
    pub downloads: Option<u32>,
    /// What the tracker wanted the user to read, with its last answer.
    pub warning: Option<String>,
    /// Why the last announce failed; `None` when it did not.
    pub error: Option<String>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAnnounce {
    /// An announce not before this time, if the tracker is in use then.
    At(Instant),
    /// An announce is under way.
    UnderWay(Event),
    /// None: the tracker does not want us.
    Never,
}

impl EndpointStatus {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        Self {
            info_hash: endpoint.info_hash,
            family: endpoint.family,
            next: match endpoint.state {
                State::Waiting { until } => NextAnnounce::At(until),
                State::Announcing { event, .. } => NextAnnounce::UnderWay(event),
                State::Barred => NextAnnounce::Never,
            },
            seeders: endpoint.last.seeders,
            leechers: endpoint.last.leechers,
            downloads: endpoint.last.downloads,
            warning: endpoint.last.warning.clone(),
            error: endpoint.last.error.clone(),
        }
    }
}
