//! Trackers: one task for all torrents, with one queue of times; each torrent's schedule decides, this carries out.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rarest_metainfo::InfoHash;
use rarest_swarm::PeerSource;
use rarest_tracker::client::{Client, HttpClient, HttpConfig, UdpClient, UdpConfig};
use rarest_tracker::schedule::{
    Completeness, Due, Output, Schedule, ScheduleConfig, Spread, Ticket, Totals, TrackerStatus,
};
use rarest_tracker::{AnnounceReply, Error, Event, Family, ScrapeReply, Tiers, TrackerUrl};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use crate::config::{Announcing, Config};
use crate::dht::Beacon;
use crate::registry::{Entry, Known, Totals as Counted, Trackers};
use crate::session::{Shared, now, sleep_until};
use crate::torrent_task::Mail;
use crate::{StartError, TorrentEvent, TorrentId};

/// What a tracker says about the swarms of a torrent: one, or two of a hybrid.
#[derive(Debug)]
pub struct Scrape {
    /// The tracker.
    pub tracker: TrackerUrl,
    /// Its answer, over the first family that gave one.
    pub reply: Result<ScrapeReply, Error>,
}

/// Where torrents say what trackers, and the nodes of the DHT, are to know.
#[derive(Debug)]
pub(crate) struct Announcer {
    wishes: mpsc::UnboundedSender<Wish>,
    client: Option<Client>,
    dht: Option<Beacon>,
}

/// What a torrent wants of its trackers.
#[derive(Debug)]
enum Wish {
    /// It runs.
    Start(Arc<Entry>),
    /// It is paused.
    Stop(TorrentId),
    /// The last missing piece has come.
    Completed(TorrentId),
    /// Pieces are missing again.
    Incomplete(TorrentId),
    /// The metadata of a magnet link is there.
    Described(Arc<Entry>),
    /// It is gone.
    Remove(TorrentId),
    AddTrackers(Arc<Entry>, Vec<TrackerUrl>),
    /// The caller wants to know how its trackers stand.
    List(Arc<Entry>, oneshot::Sender<Vec<TrackerStatus>>),
}

/// The task behind an [`Announcer`].
#[derive(Debug)]
pub(crate) struct AnnouncerTask {
    wishes: mpsc::UnboundedReceiver<Wish>,
    client: Option<Client>,
    torrents: HashMap<TorrentId, Announced>,
    /// Those that run and have no trackers.
    running_alone: HashSet<TorrentId>,
    /// When each torrent's schedule wants to be asked again.
    times: BTreeSet<(Instant, TorrentId)>,
    under_way: JoinSet<Outcome>,
}

#[derive(Debug)]
struct Announced {
    entry: Arc<Entry>,
    schedule: Schedule,
    wakes_at: Option<Instant>,
    under_way: HashMap<Ticket, AbortHandle>,
    stay: Stay,
}

/// Whether a schedule is kept once it is at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    Kept,
    UntilAtRest,
}

/// What came of an announce.
#[derive(Debug)]
struct Outcome {
    torrent: TorrentId,
    ticket: Ticket,
    url: TrackerUrl,
    event: Event,
    result: Result<AnnounceReply, Error>,
}

impl Announcer {
    /// To be called inside a tokio runtime.
    pub(crate) fn new(
        config: &Config,
        dht: Option<Beacon>,
    ) -> Result<(Self, AnnouncerTask), StartError> {
        let client = match config.announcing {
            Announcing::Off => None,
            Announcing::On => Some(new_client(config)?),
        };
        let (sender, wishes) = mpsc::unbounded_channel();
        let task = AnnouncerTask {
            wishes,
            client: client.clone(),
            torrents: HashMap::new(),
            running_alone: HashSet::new(),
            times: BTreeSet::new(),
            under_way: JoinSet::new(),
        };
        let announcer = Self {
            wishes: sender,
            client,
            dht,
        };
        Ok((announcer, task))
    }

    /// The way to the DHT; `None` without one.
    pub(crate) fn dht(&self) -> Option<&Beacon> {
        self.dht.as_ref()
    }

    pub(crate) fn start(&self, entry: &Arc<Entry>) {
        if let Some(dht) = &self.dht {
            dht.announce(entry);
        }
        self.send(Wish::Start(Arc::clone(entry)));
    }

    pub(crate) fn stop(&self, torrent: TorrentId) {
        if let Some(dht) = &self.dht {
            dht.stop(torrent);
        }
        self.send(Wish::Stop(torrent));
    }

    pub(crate) fn completed(&self, torrent: TorrentId) {
        self.send(Wish::Completed(torrent));
    }

    pub(crate) fn incomplete(&self, torrent: TorrentId) {
        self.send(Wish::Incomplete(torrent));
    }

    pub(crate) fn described(&self, entry: &Arc<Entry>) {
        if let Some(dht) = &self.dht {
            dht.described(entry);
        }
        self.send(Wish::Described(Arc::clone(entry)));
    }

    pub(crate) fn remove(&self, torrent: TorrentId) {
        if let Some(dht) = &self.dht {
            dht.stop(torrent);
        }
        self.send(Wish::Remove(torrent));
    }

    pub(crate) fn add_trackers(&self, entry: &Arc<Entry>, urls: Vec<TrackerUrl>) {
        self.send(Wish::AddTrackers(Arc::clone(entry), urls));
    }

    /// How the trackers of a torrent stand; nothing when the session announces nothing.
    pub(crate) async fn list(&self, entry: &Arc<Entry>) -> Vec<TrackerStatus> {
        if self.client.is_none() {
            return Vec::new();
        }
        let (reply, statuses) = oneshot::channel();
        self.send(Wish::List(Arc::clone(entry), reply));
        statuses.await.unwrap_or_default()
    }

    fn send(&self, wish: Wish) {
        if self.client.is_none() {
            return;
        }
        // At the end of the session the task takes leave of all trackers by itself.
        let _ = self.wishes.send(wish);
    }
}

fn new_client(config: &Config) -> Result<Client, StartError> {
    let http = HttpClient::new(HttpConfig {
        extra_roots_pem: config.tracker_roots_pem.clone(),
        ..HttpConfig::default()
    })
    .map_err(StartError::HttpClient)?;
    let udp = UdpClient::new(UdpConfig::default()).map_err(StartError::UdpClient)?;
    Ok(Client::new(http, udp))
}

impl AnnouncerTask {
    /// Runs until the session ends, and then takes leave of the trackers.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        loop {
            let next = self.times.first().map(|&(at, _)| at);
            tokio::select! {
                wish = self.wishes.recv() => match wish {
                    Some(wish) => self.handle_wish(wish, &shared),
                    None => return,
                },
                Some(outcome) = self.under_way.join_next() => {
                    // One that was given up ends with an error, and nobody waits for it.
                    if let Ok(outcome) = outcome {
                        self.handle_outcome(outcome, &shared);
                    }
                }
                () = sleep_until(next) => self.handle_times(now(), &shared),
                () = shared.stop.cancelled() => break,
            }
        }
        self.take_leave(&shared).await;
    }

    fn handle_wish(&mut self, wish: Wish, shared: &Arc<Shared>) {
        let now = now();
        if let Wish::Start(entry) | Wish::AddTrackers(entry, _) | Wish::List(entry, _) = &wish
            && entry.check().is_err()
        {
            // It was removed in the meantime: its schedule is not to be made anew, and kept for good.
            return;
        }
        let torrent = match wish {
            Wish::Start(entry) if self.is_alone(&entry) => {
                // Most often none is ever added, and nothing needs to be kept.
                self.running_alone.insert(entry.id);
                return;
            }
            Wish::Start(entry) => {
                let completeness = completeness(&entry.totals);
                self.announced(&entry, shared)
                    .schedule
                    .start(now, completeness);
                entry.id
            }
            Wish::AddTrackers(entry, urls) => {
                let runs = self.running_alone.remove(&entry.id);
                let announced = self.announced(&entry, shared);
                if runs {
                    let completeness = completeness(&entry.totals);
                    announced.schedule.start(now, completeness);
                }
                for url in urls {
                    announced.schedule.add_tracker(now, url);
                }
                entry.id
            }
            Wish::List(entry, reply) if self.is_alone(&entry) => {
                let _ = reply.send(Vec::new());
                return;
            }
            Wish::List(entry, reply) => {
                let statuses = self.announced(&entry, shared).schedule.statuses().collect();
                // Whoever asked may have gone.
                let _ = reply.send(statuses);
                return;
            }
            Wish::Stop(torrent) => {
                self.running_alone.remove(&torrent);
                self.with(torrent, |announced| announced.schedule.stop(now))
            }
            Wish::Completed(torrent) => {
                self.with(torrent, |announced| announced.schedule.completed(now))
            }
            Wish::Incomplete(torrent) => {
                self.with(torrent, |announced| announced.schedule.incomplete())
            }
            Wish::Described(entry) => {
                let identity = Identity::of(&entry);
                self.with(entry.id, |announced| {
                    let schedule = &mut announced.schedule;
                    for swarm in identity.swarms {
                        schedule.add_swarm(now, swarm);
                    }
                    schedule.set_spread(now, identity.spread);
                })
            }
            Wish::Remove(torrent) => {
                self.running_alone.remove(&torrent);
                self.with(torrent, |announced| {
                    announced.schedule.stop(now);
                    announced.stay = Stay::UntilAtRest;
                })
            }
        };
        self.carry_out(torrent, shared);
    }

    /// Whether the torrent has no trackers.
    fn is_alone(&self, entry: &Entry) -> bool {
        entry.trackers == Trackers::None && !self.torrents.contains_key(&entry.id)
    }

    fn with(&mut self, torrent: TorrentId, change: impl FnOnce(&mut Announced)) -> TorrentId {
        if let Some(announced) = self.torrents.get_mut(&torrent) {
            change(announced);
        }
        torrent
    }

    /// The schedule of a torrent, made when it is first needed.
    fn announced(&mut self, entry: &Arc<Entry>, shared: &Shared) -> &mut Announced {
        let announced = self
            .torrents
            .entry(entry.id)
            .or_insert_with(|| Announced::new(entry, shared));
        // A torrent that is added again while its `stopped` is under way keeps its schedule, and its key.
        announced.entry = Arc::clone(entry);
        announced.stay = Stay::Kept;
        announced
    }

    fn handle_times(&mut self, now: Instant, shared: &Arc<Shared>) {
        while let Some(&(at, torrent)) = self.times.first()
            && at <= now
        {
            self.times.pop_first();
            if let Some(announced) = self.torrents.get_mut(&torrent) {
                announced.wakes_at = None;
                announced.schedule.handle_timeout(now);
            }
            self.carry_out(torrent, shared);
        }
    }

    fn handle_outcome(&mut self, outcome: Outcome, shared: &Arc<Shared>) {
        let Outcome {
            torrent,
            ticket,
            url,
            event,
            result,
        } = outcome;
        let Some(announced) = self.torrents.get_mut(&torrent) else {
            return;
        };
        announced.under_way.remove(&ticket);
        let told = match result {
            Ok(reply) => {
                announced.schedule.handle_reply(now(), ticket, &reply);
                let peers: Vec<SocketAddr> = reply.peers.iter().map(|peer| peer.address).collect();
                let told = TorrentEvent::Announced {
                    tracker: url.to_string(),
                    peers: peers.len(),
                    warning: reply.warning,
                };
                if !peers.is_empty() && event != Event::Stopped {
                    // A torrent that is gone looks for nobody.
                    let _ = announced
                        .entry
                        .send(shared, Mail::Peers(PeerSource::Tracker, peers));
                }
                Some(told)
            }
            Err(error) => {
                announced.schedule.handle_error(now(), ticket, &error);
                tracing::debug!(%torrent, host = url.host(), %error, "an announce failed");
                // That a tracker has no IPv6 address is no news.
                let is_news = !matches!(error, Error::NoAddress(_));
                is_news.then(|| TorrentEvent::AnnounceFailed {
                    tracker: url.to_string(),
                    reason: error.to_string(),
                })
            }
        };
        if let Some(told) = told {
            shared.events.publish(torrent, told);
        }
        self.carry_out(torrent, shared);
    }

    /// Does what a schedule decided.
    fn carry_out(&mut self, torrent: TorrentId, shared: &Arc<Shared>) {
        let Some(announced) = self.torrents.get_mut(&torrent) else {
            return;
        };
        while let Some(output) = announced.schedule.poll_output() {
            match output {
                Output::Announce(due) => {
                    if let Some(client) = &self.client {
                        let ticket = due.ticket;
                        let announce = announce(client.clone(), *due, &announced.entry, shared);
                        let handle = self.under_way.spawn(announce);
                        announced.under_way.insert(ticket, handle);
                    }
                }
                Output::Cancel(ticket) => {
                    if let Some(announce) = announced.under_way.remove(&ticket) {
                        announce.abort();
                    }
                }
                Output::TrackerChanged { .. } => {
                    let _ = announced.entry.send(shared, Mail::TrackerChanged);
                }
            }
        }
        let next = announced.schedule.next_timeout();
        if next != announced.wakes_at {
            let before = std::mem::replace(&mut announced.wakes_at, next);
            before.map(|at| self.times.remove(&(at, torrent)));
            next.map(|at| self.times.insert((at, torrent)));
        }
        if announced.stay == Stay::UntilAtRest && announced.schedule.is_at_rest() {
            let gone = self.torrents.remove(&torrent);
            gone.and_then(|gone| gone.wakes_at)
                .map(|at| self.times.remove(&(at, torrent)));
        }
    }

    /// Tells every tracker that knows us that we go, and waits for the answers. Each has a short time-out, and so has what is said before.
    async fn take_leave(&mut self, shared: &Arc<Shared>) {
        // Many programs end as soon as a download is complete; trackers are to count it all the same.
        while let Ok(wish) = self.wishes.try_recv() {
            if matches!(wish, Wish::Completed(_)) {
                self.handle_wish(wish, shared);
            }
        }
        let torrents: Vec<TorrentId> = self.torrents.keys().copied().collect();
        for torrent in torrents {
            self.with(torrent, |announced| announced.schedule.stop(now()));
            self.carry_out(torrent, shared);
        }
        loop {
            let next = self.times.first().map(|&(at, _)| at);
            tokio::select! {
                outcome = self.under_way.join_next() => match outcome {
                    Some(Ok(outcome)) => self.handle_outcome(outcome, shared),
                    Some(Err(_given_up)) => {}
                    None => return,
                },
                () = sleep_until(next) => self.handle_times(now(), shared),
            }
        }
    }
}

impl Announced {
    fn new(entry: &Arc<Entry>, shared: &Shared) -> Self {
        let identity = Identity::of(entry);
        let mut config = ScheduleConfig::new(identity.swarms, rand::random());
        config.spread = identity.spread;
        config.families = shared.families();
        Self {
            schedule: Schedule::new(config, Tiers::new(&identity.tiers, rand::random())),
            entry: Arc::clone(entry),
            wakes_at: None,
            under_way: HashMap::new(),
            stay: Stay::Kept,
        }
    }
}

/// What trackers are to be told of a torrent, and how.
struct Identity {
    swarms: Vec<InfoHash>,
    tiers: Vec<Vec<String>>,
    spread: Spread,
}

impl Identity {
    fn of(entry: &Entry) -> Self {
        match entry.known() {
            Known::Magnet(magnet) => Self {
                swarms: magnet.info_hashes().swarms().collect(),
                tiers: magnet
                    .trackers
                    .iter()
                    .map(|url| vec![url.clone()])
                    .collect(),
                spread: Spread::EachTier,
            },
            Known::Metainfo(metainfo) => Self {
                swarms: metainfo.info_hashes().swarms().collect(),
                tiers: metainfo.trackers().to_vec(),
                spread: match metainfo.info().is_private() {
                    true => Spread::OneTracker,
                    false => Spread::EachTier,
                },
            },
        }
    }
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

    /// The families over which peers can reach us.
    fn families(&self) -> Vec<Family> {
        let families: BTreeSet<Family> = self
            .addresses
            .iter()
            .map(|address| Family::of(address.ip()))
            .collect();
        families.into_iter().collect()
    }
}

/// Makes one announce. The totals are those of the moment.
fn announce(
    client: Client,
    due: Due,
    entry: &Entry,
    shared: &Shared,
) -> impl Future<Output = Outcome> + Send + use<> {
    let totals = Totals {
        uploaded: entry.totals.uploaded.load(Ordering::Relaxed),
        downloaded: entry.totals.downloaded.load(Ordering::Relaxed),
        left: entry.totals.left.load(Ordering::Relaxed),
    };
    let announce = due.announce(shared.connection_config.peer_id, shared.port(), totals);
    let torrent = entry.id;
    async move {
        let result = client.announce(&due.url, due.family, &announce).await;
        Outcome {
            torrent,
            ticket: due.ticket,
            url: due.url,
            event: due.event,
            result,
        }
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

fn completeness(totals: &Counted) -> Completeness {
    match totals.left.load(Ordering::Relaxed) {
        0 => Completeness::Complete,
        _ => Completeness::Incomplete,
    }
}
