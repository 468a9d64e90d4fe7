//! When to tell of which torrents, and how many packets to listen to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rarest_metainfo::InfoHash;

use crate::limits::{
    ANNOUNCE_INTERVAL, MAX_INFO_HASHES, MAX_PACKETS_PER_SECOND, MIN_ANNOUNCE_INTERVAL,
    PACKET_INTERVAL,
};

/// When each torrent is announced.
#[derive(Debug)]
pub struct Schedule {
    /// Those that run, by when they are next announced.
    due: BTreeSet<(Instant, InfoHash)>,
    torrents: BTreeMap<InfoHash, Torrent>,
    not_before: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Torrent {
    /// `None` while it is stopped.
    due: Option<Instant>,
    announced: Option<Instant>,
}

impl Schedule {
    /// A schedule without torrents.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            due: BTreeSet::new(),
            torrents: BTreeMap::new(),
            not_before: now,
        }
    }

    /// A torrent is to be announced from now on. It must not be a private one.
    pub fn start(&mut self, now: Instant, info_hash: InfoHash) {
        let torrent = self.torrents.entry(info_hash).or_insert(Torrent {
            due: None,
            announced: None,
        });
        if torrent.due.is_some() {
            return;
        }
        let again = torrent.announced.map(|at| at + MIN_ANNOUNCE_INTERVAL);
        let due = again.map_or(now, |again| again.max(now));
        torrent.due = Some(due);
        self.due.insert((due, info_hash));
    }

    /// A torrent is not to be announced for now. That it was is remembered for as long as it matters.
    pub fn stop(&mut self, now: Instant, info_hash: InfoHash) {
        if let Some(torrent) = self.torrents.get_mut(&info_hash)
            && let Some(due) = torrent.due.take()
        {
            self.due.remove(&(due, info_hash));
        }
        self.torrents.retain(|_, torrent| {
            let is_recent = |at: Instant| at + MIN_ANNOUNCE_INTERVAL > now;
            torrent.due.is_some() || torrent.announced.is_some_and(is_recent)
        });
    }

    /// When [`poll_announce`](Self::poll_announce) has something to say.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let &(due, _) = self.due.first()?;
        Some(due.max(self.not_before))
    }

    /// The torrents to tell of in one packet now; empty when there are none.
    pub fn poll_announce(&mut self, now: Instant) -> Vec<InfoHash> {
        let mut announced = Vec::new();
        if now < self.not_before {
            return announced;
        }
        while announced.len() < MAX_INFO_HASHES
            && let Some(&(due, info_hash)) = self.due.first()
            && due <= now
        {
            self.due.remove(&(due, info_hash));
            let next = now + ANNOUNCE_INTERVAL;
            self.due.insert((next, info_hash));
            self.torrents.insert(
                info_hash,
                Torrent {
                    due: Some(next),
                    announced: Some(now),
                },
            );
            announced.push(info_hash);
        }
        if !announced.is_empty() {
            self.not_before = now + PACKET_INTERVAL;
        }
        announced
    }
}

/// How many packets are looked at.
#[derive(Debug)]
pub struct Hearing {
    since: Instant,
    heard: u32,
}

impl Hearing {
    /// Nothing was heard yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            heard: 0,
        }
    }

    /// Whether a packet that has come now is looked at: not when there were [many](MAX_PACKETS_PER_SECOND) within this second.
    pub fn may_hear(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since).as_secs() >= 1 {
            *self = Self::new(now);
        }
        self.heard = self.heard.saturating_add(1);
        self.heard <= MAX_PACKETS_PER_SECOND
    }
}
