//! When to announce what to which tracker of a torrent.

mod endpoint;
mod status;

pub use endpoint::{
    COMPLETED_PATIENCE, DEFAULT_INTERVAL, FIRST_BACKOFF, LONGEST_BACKOFF, LONGEST_INTERVAL,
    PATIENCE,
};
pub use status::{EndpointStatus, NextAnnounce, TrackerStatus};

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_metainfo::{InfoHash, PeerId};

use crate::announce::{Announce, AnnounceReply, Event, Family};
use crate::error::Error;
use crate::tiers::{Tiers, TrackerKey};
use crate::url::TrackerUrl;
use endpoint::{Endpoint, Health, KnownAs, State};

/// How many of a torrent's trackers are used at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// One tracker of each tier; the tiers know nothing of each other. Finds the most peers, and is what most clients do.
    #[default]
    EachTier,
    /// One tracker in all, the first that answers. For private torrents
    /// ([BEP 27](https://www.bittorrent.org/beps/bep_0027.html)), and the letter of BEP 12.
    OneTracker,
}

/// Whether a torrent has all its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Something is missing, or it is not known what there is.
    Incomplete,
    /// Nothing is missing.
    Complete,
}

/// What a schedule needs to know of its torrent.
#[derive(Clone, Debug)]
pub struct ScheduleConfig {
    /// How many trackers are used at once.
    pub spread: Spread,
    /// The families over which we can be reached; each is announced by itself (BEP 7).
    pub families: Vec<Family>,
    /// The swarms: one, or both of a hybrid ([`InfoHashes::swarms`](rarest_metainfo::InfoHashes::swarms)).
    pub swarms: Vec<InfoHash>,
    /// [`Announce::key`]: random, the same for the life of the torrent.
    pub key: u32,
    /// How many peers are asked for.
    pub num_want: Option<u32>,
    /// No tracker hears from us more often, whatever interval it names. By default a minute.
    pub shortest_interval: Duration,
}

impl ScheduleConfig {
    /// Usual values for a torrent with these swarms.
    #[must_use]
    pub fn new(swarms: impl IntoIterator<Item = InfoHash>, key: u32) -> Self {
        Self {
            spread: Spread::default(),
            families: vec![Family::V4, Family::V6],
            swarms: swarms.into_iter().collect(),
            key,
            num_want: Some(200),
            shortest_interval: Duration::from_secs(60),
        }
    }
}

/// Names one announce until its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What the schedule wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make this announce now, beside all others, and hand the outcome to [`Schedule::handle_reply`] or [`Schedule::handle_error`].
    Announce(Box<Due>),
    /// Give this announce up; nobody waits for its outcome.
    Cancel(Ticket),
    /// With [`Spread::OneTracker`]: another tracker than before is in use. In a private torrent, peers that are known from
    /// the old one are to be dropped (BEP 27).
    TrackerChanged {
        /// The one in use from now on.
        to: TrackerKey,
    },
}

/// An announce that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Goes back with the outcome.
    pub ticket: Ticket,
    /// Which tracker.
    pub tracker: TrackerKey,
    /// Where it is.
    pub url: TrackerUrl,
    /// Over which family.
    pub family: Family,
    /// To which swarm.
    pub info_hash: InfoHash,
    /// Why.
    pub event: Event,
    key: u32,
    num_want: Option<u32>,
    tracker_id: Option<Bytes>,
}

/// Bytes so far, as a tracker wants to know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// [`Announce::uploaded`].
    pub uploaded: u64,
    /// [`Announce::downloaded`].
    pub downloaded: u64,
    /// [`Announce::left`].
    pub left: u64,
}

impl Due {
    /// The announce to be made. `port` is where we accept peers.
    #[must_use]
    pub fn announce(&self, peer_id: PeerId, port: u16, totals: Totals) -> Announce {
        Announce {
            info_hash: self.info_hash,
            peer_id,
            port,
            uploaded: totals.uploaded,
            downloaded: totals.downloaded,
            left: totals.left,
            event: self.event,
            key: self.key,
            num_want: self.num_want,
            tracker_id: self.tracker_id.clone(),
        }
    }
}

/// Decides when to announce what to which tracker of one torrent. It makes no announce itself: drain [`poll_output`](Self::poll_output) after every call,
/// hand outcomes back, call [`handle_timeout`](Self::handle_timeout) at [`next_timeout`](Self::next_timeout).
///
/// Every pair of family and swarm is announced to a tracker by itself: `started` first, `completed` once to those who knew us as incomplete, `stopped` to
/// those who accepted `started`. A tracker counts as working when one of its pairs does. While one fails, or takes longer than [`PATIENCE`], the next of
/// its tier is tried; the tracker that answers moves to the front (BEP 12).
#[derive(Debug)]
pub struct Schedule {
    config: ScheduleConfig,
    tiers: Tiers,
    endpoints: BTreeMap<TrackerKey, Vec<Endpoint>>,
    phase: Phase,
    completeness: Completeness,
    in_use: Option<TrackerKey>,
    next_ticket: u64,
    tickets: HashMap<Ticket, TrackerKey>,
    outputs: VecDeque<Output>,
    wake_at: Option<Instant>,
    /// Until when a `completed` holds `stopped` back.
    leave_by: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Stopped,
    Running,
}

/// What comes before `stopped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    /// `completed`, where that has yet to be heard.
    Whole,
    /// Nothing.
    Short,
}

/// How a tracker stands, for the choice among those of its tier.
enum Standing {
    /// It works, or is to be tried now.
    Usable,
    /// It was asked a moment ago.
    Asked,
    /// It failed, or takes long to answer: the next one is tried meanwhile.
    Passed,
}

impl Schedule {
    /// A schedule that is stopped.
    #[must_use]
    pub fn new(config: ScheduleConfig, tiers: Tiers) -> Self {
        Self {
            config,
            tiers,
            endpoints: BTreeMap::new(),
            phase: Phase::Stopped,
            completeness: Completeness::Incomplete,
            in_use: None,
            next_ticket: 0,
            tickets: HashMap::new(),
            outputs: VecDeque::new(),
            wake_at: None,
            leave_by: None,
        }
    }

    /// The torrent begins, or goes on after a pause.
    pub fn start(&mut self, now: Instant, completeness: Completeness) {
        self.phase = Phase::Running;
        self.completeness = completeness;
        self.make_endpoints(now);
        for endpoint in self.endpoints.values_mut().flatten() {
            endpoint.hurry(now);
        }
        self.plan(now);
    }

    /// The last missing piece arrived. Trackers that know us as incomplete are told at once, each of them once.
    pub fn completed(&mut self, now: Instant) {
        self.completeness = Completeness::Complete;
        for endpoint in self.endpoints.values_mut().flatten() {
            if endpoint.known_as == KnownAs::Downloader {
                endpoint.hurry_with_event(now);
            }
        }
        self.plan(now);
    }

    /// Pieces are missing again: files were damaged, or more of them are wanted.
    pub fn incomplete(&mut self) {
        self.completeness = Completeness::Incomplete;
    }

    /// The torrent is paused or removed: every tracker that accepted `started` gets one `stopped`, all other announces are given up.
    ///
    /// Only `completed` is not: it is counted by trackers, and said once. `stopped` follows its answer, or comes after [`COMPLETED_PATIENCE`]
    /// at the latest.
    pub fn stop(&mut self, now: Instant) {
        if self.phase == Phase::Running {
            self.leave_by = Some(now + COMPLETED_PATIENCE);
        }
        self.phase = Phase::Stopped;
        self.in_use = None;
        self.take_leave_of_all(now, Farewell::Whole);
        self.plan(now);
    }

    /// Whether the schedule is stopped and no announce waits for its outcome.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.phase == Phase::Stopped && self.tickets.is_empty()
    }

    /// Asks again as soon as the trackers allow: the user wants it, or peers are short. Trackers that failed are asked again no
    /// sooner than [`FIRST_BACKOFF`] after it.
    pub fn announce_now(&mut self, now: Instant) {
        for endpoint in self.endpoints.values_mut().flatten() {
            endpoint.hurry(now);
        }
        self.plan(now);
    }

    /// Adds a tracker as a tier of its own. `None` when it is there already, or there are too many.
    pub fn add_tracker(&mut self, now: Instant, url: TrackerUrl) -> Option<TrackerKey> {
        let key = self.tiers.add(url)?;
        self.make_endpoints(now);
        self.plan(now);
        Some(key)
    }

    /// Takes leave of a tracker and forgets it.
    pub fn remove_tracker(&mut self, now: Instant, key: TrackerKey) {
        self.take_leave(now, key, Farewell::Short);
        self.tiers.remove(key);
        self.endpoints.remove(&key);
        self.tickets.retain(|_, of| *of != key);
        self.in_use = self.in_use.filter(|used| *used != key);
        self.plan(now);
    }

    /// Adds a swarm: the metadata of a magnet link turned out to be hybrid.
    pub fn add_swarm(&mut self, now: Instant, info_hash: InfoHash) {
        if self.config.swarms.contains(&info_hash) {
            return;
        }
        self.config.swarms.push(info_hash);
        self.make_endpoints(now);
        self.plan(now);
    }

    /// Changes how many trackers are used: the metadata of a magnet link turned out to be private.
    pub fn set_spread(&mut self, now: Instant, spread: Spread) {
        self.config.spread = spread;
        self.plan(now);
    }

    /// The trackers, and their order.
    #[must_use]
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// How every tracker stands, in the present order.
    pub fn statuses(&self) -> impl Iterator<Item = TrackerStatus> {
        let tiers = self.tiers.iter().enumerate();
        let places = tiers.flat_map(|(tier, keys)| keys.iter().map(move |key| (tier, *key)));
        places.filter_map(|(tier, key)| {
            let url = self.tiers.url(key)?.clone();
            let endpoints = self.endpoints.get(&key).into_iter().flatten();
            Some(TrackerStatus {
                key,
                tier,
                url,
                endpoints: endpoints.map(EndpointStatus::of).collect(),
            })
        })
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.wake_at
    }

    /// Makes the announces that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.plan(now);
    }

    /// A tracker answered.
    pub fn handle_reply(&mut self, now: Instant, ticket: Ticket, reply: &AnnounceReply) {
        let completeness = self.completeness;
        let shortest_interval = self.config.shortest_interval;
        let Some((key, endpoint, event, as_)) = self.redeem(ticket) else {
            return;
        };
        endpoint.succeeded(now, event, as_, reply, shortest_interval);
        match event {
            Event::Stopped => endpoint.hurry_with_event(now),
            _ if endpoint.next_event(completeness) == Event::Completed => {
                endpoint.hurry_with_event(now);
            }
            _ => {}
        }
        if event != Event::Stopped && self.phase == Phase::Running {
            self.tiers.promote(key);
            self.use_tracker(key);
        }
        self.plan(now);
    }

    /// An announce failed.
    pub fn handle_error(&mut self, now: Instant, ticket: Ticket, error: &Error) {
        let Some((_, endpoint, event, _)) = self.redeem(ticket) else {
            return;
        };
        endpoint.failed(now, event, error);
        if event == Event::Stopped {
            endpoint.hurry_with_event(now);
        }
        self.plan(now);
    }

    fn redeem(
        &mut self,
        ticket: Ticket,
    ) -> Option<(TrackerKey, &mut Endpoint, Event, Completeness)> {
        let key = self.tickets.remove(&ticket)?;
        self.endpoints
            .get_mut(&key)?
            .iter_mut()
            .find_map(|endpoint| match endpoint.state {
                State::Announcing {
                    ticket: held,
                    event,
                    as_,
                    ..
                } if held == ticket => Some((key, endpoint, event, as_)),
                _ => None,
            })
    }

    fn use_tracker(&mut self, key: TrackerKey) {
        if self.config.spread == Spread::OneTracker
            && self.in_use.is_some_and(|before| before != key)
        {
            self.outputs.push_back(Output::TrackerChanged { to: key });
        }
        self.in_use = Some(key);
    }

    fn make_endpoints(&mut self, now: Instant) {
        for key in self.tiers.iter().flatten() {
            let endpoints = self.endpoints.entry(*key).or_default();
            let count = self.config.swarms.len() * self.config.families.len();
            endpoints.reserve_exact(count.saturating_sub(endpoints.len()));
            for info_hash in &self.config.swarms {
                for family in &self.config.families {
                    let known = endpoints
                        .iter()
                        .any(|known| (known.info_hash, known.family) == (*info_hash, *family));
                    if !known {
                        endpoints.push(Endpoint::new(*family, *info_hash, now));
                    }
                }
            }
        }
    }

    /// Makes the announces that are due, and finds out when the next one will be.
    fn plan(&mut self, now: Instant) {
        self.wake_at = None;
        if self.phase == Phase::Stopped {
            return self.plan_leave(now);
        }
        let groups: Vec<Vec<TrackerKey>> = match self.config.spread {
            Spread::EachTier => self.tiers.iter().map(<[_]>::to_vec).collect(),
            Spread::OneTracker => vec![self.tiers.iter().flatten().copied().collect()],
        };
        for group in groups {
            if let Some(key) = self.choose(now, &group) {
                self.announce_due(now, key);
            }
        }
    }

    /// Says `stopped` where `completed` was answered, or takes too long.
    fn plan_leave(&mut self, now: Instant) {
        let farewell = match self.leave_by {
            Some(leave_by) if now < leave_by => Farewell::Whole,
            _ => Farewell::Short,
        };
        self.take_leave_of_all(now, farewell);
        let tells = |endpoint: &Endpoint| {
            let State::Announcing { event, .. } = endpoint.state else {
                return false;
            };
            event == Event::Completed
        };
        let holds_back = self.endpoints.values().flatten().any(tells);
        self.wake_at = self.leave_by.filter(|_| holds_back);
    }

    fn take_leave_of_all(&mut self, now: Instant, farewell: Farewell) {
        let keys: Vec<_> = self.endpoints.keys().copied().collect();
        for key in keys {
            self.take_leave(now, key, farewell);
        }
    }

    /// The tracker of a group that is to be used, if one is. Notes when the choice has to be made again.
    fn choose(&mut self, now: Instant, group: &[TrackerKey]) -> Option<TrackerKey> {
        for key in group {
            let endpoints = self
                .endpoints
                .get(key)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let changes = endpoints
                .iter()
                .filter_map(next_change)
                .filter(|at| *at > now);
            self.wake_at = changes.chain(self.wake_at).min();
            match standing(now, endpoints) {
                Standing::Usable => return Some(*key),
                Standing::Asked => return None,
                Standing::Passed => {}
            }
        }
        None
    }

    fn announce_due(&mut self, now: Instant, key: TrackerKey) {
        let completeness = self.completeness;
        let due: Vec<_> = self
            .endpoints
            .get(&key)
            .into_iter()
            .flatten()
            .enumerate()
            .filter(|(_, endpoint)| endpoint.is_due(now))
            .map(|(index, endpoint)| (index, endpoint.next_event(completeness)))
            .collect();
        for (index, event) in due {
            self.announce(now, key, index, event);
            let overdue = now + PATIENCE;
            self.wake_at = Some(self.wake_at.map_or(overdue, |at| at.min(overdue)));
        }
    }

    fn announce(&mut self, now: Instant, key: TrackerKey, index: usize, event: Event) {
        let ticket = Ticket(self.next_ticket);
        let (Some(url), Some(endpoints)) = (self.tiers.url(key), self.endpoints.get_mut(&key))
        else {
            return;
        };
        let endpoint = &mut endpoints[index];
        endpoint.state = State::Announcing {
            ticket,
            since: now,
            event,
            as_: self.completeness,
        };
        self.next_ticket += 1;
        self.tickets.insert(ticket, key);
        self.outputs.push_back(Output::Announce(Box::new(Due {
            ticket,
            tracker: key,
            url: url.clone(),
            family: endpoint.family,
            info_hash: endpoint.info_hash,
            event,
            key: self.config.key,
            // Whoever leaves has no use for peers.
            num_want: if event == Event::Stopped {
                Some(0)
            } else {
                self.config.num_want
            },
            tracker_id: endpoint.tracker_id.clone(),
        })));
    }

    /// Gives up what is under way to a tracker, and says `stopped` where it knows us.
    fn take_leave(&mut self, now: Instant, key: TrackerKey, farewell: Farewell) {
        let count = self.endpoints.get(&key).map_or(0, Vec::len);
        for index in 0..count {
            let Some(endpoint) = self
                .endpoints
                .get_mut(&key)
                .and_then(|all| all.get_mut(index))
            else {
                return;
            };
            match endpoint.state {
                State::Announcing {
                    event: Event::Stopped,
                    ..
                } => continue,
                State::Announcing {
                    event: Event::Completed,
                    ..
                } if farewell == Farewell::Whole => continue,
                State::Announcing { ticket, .. } => {
                    endpoint.state = State::Waiting { until: now };
                    self.tickets.remove(&ticket);
                    self.outputs.push_back(Output::Cancel(ticket));
                }
                State::Waiting { .. } => {}
                State::Barred => continue,
            }
            let has_to_tell = endpoint.next_event(self.completeness) == Event::Completed
                && endpoint.health == Health::Working;
            if farewell == Farewell::Whole && has_to_tell {
                self.announce(now, key, index, Event::Completed);
            } else if endpoint.known_as != KnownAs::Nobody {
                self.announce(now, key, index, Event::Stopped);
            }
        }
    }
}

fn standing(now: Instant, endpoints: &[Endpoint]) -> Standing {
    let overdue = |endpoint: &Endpoint| matches!(endpoint.state, State::Announcing { since, .. } if since + PATIENCE <= now);
    let works = |endpoint: &Endpoint| endpoint.health == Health::Working && !overdue(endpoint);
    let asked = |endpoint: &Endpoint| {
        matches!(endpoint.state, State::Announcing { .. }) && !overdue(endpoint)
    };
    if endpoints
        .iter()
        .any(|endpoint| works(endpoint) || endpoint.is_due(now))
    {
        Standing::Usable
    } else if endpoints.iter().any(asked) {
        Standing::Asked
    } else {
        Standing::Passed
    }
}

/// When an endpoint's part in the choice changes by itself.
fn next_change(endpoint: &Endpoint) -> Option<Instant> {
    match endpoint.state {
        State::Waiting { until } => Some(until),
        State::Announcing { since, .. } => Some(since + PATIENCE),
        State::Barred => None,
    }
}
