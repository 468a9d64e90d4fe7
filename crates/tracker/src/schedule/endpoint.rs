//! One swarm at one tracker over one family: what the tracker knows of us, and when it hears from us again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_metainfo::InfoHash;

use super::{Completeness, Ticket};
use crate::announce::{AnnounceReply, Event, Failure, Family, Retry};
use crate::error::Error;

/// Until the next announce when the tracker names no interval, or none that can be: the interval that most trackers use.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// The longest a tracker can make us wait after an answer; the longest in use is two hours. More would be a mistake, or meant to make the torrent die.
pub const LONGEST_INTERVAL: Duration = Duration::from_secs(12 * 60 * 60);

/// Until the first retry after a failure; doubled with each further failure.
pub const FIRST_BACKOFF: Duration = Duration::from_secs(30);

/// The longest until a retry.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(60 * 60);

/// How long a `completed` may hold `stopped` back: whoever quits does not want to wait, and a tracker that works answers in far less.
pub const COMPLETED_PATIENCE: Duration = Duration::from_secs(2);

/// How long an unanswered announce holds back the trackers behind.
pub const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) family: Family,
    pub(super) info_hash: InfoHash,
    pub(super) state: State,
    pub(super) known_as: KnownAs,
    pub(super) health: Health,
    /// Not to be asked before this, whoever wishes it.
    earliest: Instant,
    pub(super) tracker_id: Option<Bytes>,
    pub(super) last: LastReply,
}

/// What the tracker told us last.
#[derive(Clone, Debug, Default)]
pub(super) struct LastReply {
    pub(super) seeders: Option<u32>,
    pub(super) leechers: Option<u32>,
    pub(super) downloads: Option<u32>,
    pub(super) warning: Option<String>,
    pub(super) error: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    Waiting {
        until: Instant,
    },
    Announcing {
        ticket: Ticket,
        since: Instant,
        event: Event,
        as_: Completeness,
    },
    /// The tracker said never.
    Barred,
}

/// As what the tracker counts us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownAs {
    Nobody,
    /// It will hear of the completion.
    Downloader,
    /// It knew us as complete from the start, or has heard of the completion.
    Seeder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Untried,
    Working,
    Failing { failures: u32 },
}

impl Endpoint {
    pub(super) fn new(family: Family, info_hash: InfoHash, now: Instant) -> Self {
        Self {
            family,
            info_hash,
            state: State::Waiting { until: now },
            known_as: KnownAs::Nobody,
            health: Health::Untried,
            earliest: now,
            tracker_id: None,
            last: LastReply::default(),
        }
    }

    pub(super) fn next_event(&self, completeness: Completeness) -> Event {
        match (self.known_as, completeness) {
            (KnownAs::Nobody, _) => Event::Started,
            (KnownAs::Downloader, Completeness::Complete) => Event::Completed,
            (KnownAs::Downloader, Completeness::Incomplete) | (KnownAs::Seeder, _) => {
                Event::Regular
            }
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Waiting { until } if until <= now)
    }

    /// Makes the next announce due, as far as the tracker allows.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let State::Waiting { until } = &mut self.state {
            *until = (*until).min(now.max(self.earliest));
        }
    }

    /// Makes the next announce due, as there is something to tell.
    pub(super) fn hurry_with_event(&mut self, now: Instant) {
        if let State::Waiting { until } = &mut self.state {
            *until = now;
        }
    }

    pub(super) fn succeeded(
        &mut self,
        now: Instant,
        event: Event,
        as_: Completeness,
        reply: &AnnounceReply,
        shortest_interval: Duration,
    ) {
        self.known_as = match (event, as_) {
            (Event::Started, Completeness::Incomplete) => KnownAs::Downloader,
            (Event::Started, Completeness::Complete) | (Event::Completed, _) => KnownAs::Seeder,
            (Event::Stopped, _) => KnownAs::Nobody,
            (Event::Regular, _) => self.known_as,
        };
        self.health = Health::Working;
        let sane = |interval: Duration| {
            interval.clamp(shortest_interval, LONGEST_INTERVAL.max(shortest_interval))
        };
        let interval = sane(reply.interval.unwrap_or(DEFAULT_INTERVAL));
        let min_interval = sane(reply.min_interval.unwrap_or_default());
        // Whoever left may come back at once.
        self.earliest = if event == Event::Stopped {
            now
        } else {
            now + min_interval
        };
        self.state = State::Waiting {
            until: now + interval.max(min_interval),
        };
        if reply.tracker_id.is_some() {
            self.tracker_id.clone_from(&reply.tracker_id);
        }
        self.last = LastReply {
            seeders: reply.seeders,
            leechers: reply.leechers,
            downloads: reply.downloads,
            warning: reply.warning.clone(),
            error: None,
        };
    }

    pub(super) fn failed(&mut self, now: Instant, event: Event, error: &Error) {
        self.earliest = if event == Event::Stopped {
            // Not repeated: the tracker forgets us by itself.
            self.known_as = KnownAs::Nobody;
            now
        } else {
            // Impatience may shorten the back-off, but not to nothing: the tracker may fail because too many ask.
            now + FIRST_BACKOFF
        };
        let failures = match self.health {
            Health::Failing { failures } => failures.saturating_add(1),
            Health::Untried | Health::Working => 1,
        };
        self.health = Health::Failing { failures };
        self.last.error = Some(error.to_string());
        self.state = match error {
            Error::Refused(Failure {
                retry: Some(Retry::Never),
                ..
            }) => State::Barred,
            Error::Refused(Failure {
                retry: Some(Retry::After(wait)),
                ..
            }) => {
                self.earliest = now + (*wait).clamp(FIRST_BACKOFF, LONGEST_INTERVAL);
                State::Waiting {
                    until: self.earliest,
                }
            }
            // Addresses come and go with the hour, not with the second.
            Error::NoAddress(_) => State::Waiting {
                until: now + LONGEST_BACKOFF,
            },
            _ => State::Waiting {
                until: now + backoff(failures),
            },
        };
    }
}

fn backoff(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_BACKOFF.saturating_mul(doubled).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_an_hour() {
        let minutes: Vec<_> = (1..=9)
            .map(|failures| backoff(failures).as_secs_f32() / 60.0)
            .collect();
        assert_eq!(minutes, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(backoff(u32::MAX), LONGEST_BACKOFF);
    }
}
