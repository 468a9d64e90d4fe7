//! The DHT: one node for all torrents, and one queue of times at which the public ones are announced and looked for.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::RngExt;
use rarest_dht::Announce;
use rarest_dht::driver::{Dht, DhtConfig, Found};
use rarest_dht::krpc::{AnnouncedPort, PeerKind};
use rarest_metainfo::{HostAddr, InfoHash};
use rarest_swarm::PeerSource;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::TorrentId;
use crate::config::Config;
use crate::registry::{Entry, Known};
use crate::session::{Shared, now, sleep_until};
use crate::torrent_task::Mail;

/// Where a node begins that knows no other, when nothing else is said: nodes that have been there for years.
pub const BOOTSTRAP: [(&str, u16); 4] = [
    ("router.bittorrent.com", 6881),
    ("dht.transmissionbt.com", 6881),
    ("dht.libtorrent.org", 25401),
    ("router.utorrent.com", 6881),
];

/// How often a torrent is announced: well within the half hour for which nodes remember it.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// How long after an announce that found few peers, or reached no node, the next one follows; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// Peers that are enough to trade with, and to hear of others.
const FEW_PEERS: usize = 8;

/// Torrents that are looked for at the same time. Each asks some forty nodes: if it takes five seconds, as many as 5,000 have their turn
/// within [`ANNOUNCE_INTERVAL`], at some 250 datagrams a second. Calculated, not measured.
const MAX_UNDER_WAY: usize = 32;

/// Most host names in `nodes` of torrents that are looked up: others than us wrote them.
const MAX_NAMED_NODES: usize = 32;

/// When it is looked for the first time whether a node has answered; the time doubles until one has.
const FIRST_REACH: Duration = Duration::from_millis(100);

/// The longest such time: a machine without a network is left in peace.
const MAX_REACH_INTERVAL: Duration = Duration::from_secs(1);

/// How often the known nodes are saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The file of the known nodes, in the folder for resume data.
const STATE_FILE: &str = "dht.state";

/// Where torrents say that they are to be found over the DHT.
#[derive(Clone, Debug)]
pub(crate) struct Beacon {
    wishes: mpsc::UnboundedSender<Wish>,
    port: u16,
}

#[derive(Debug)]
enum Wish {
    /// A torrent runs.
    Start(Arc<Entry>),
    /// The metadata of a magnet link is there.
    Described(Arc<Entry>),
    /// It is paused or gone.
    Stop(TorrentId),
    /// A peer says that it has a node there.
    Node(SocketAddr),
}

/// The task behind a [`Beacon`].
#[derive(Debug)]
pub(crate) struct BeaconTask {
    wishes: mpsc::UnboundedReceiver<Wish>,
    dht: Dht,
    torrents: HashMap<TorrentId, Sought>,
    times: BTreeSet<(Instant, TorrentId)>,
    under_way: JoinSet<Outcome>,
    named_nodes: usize,
    reach: Reach,
}

/// Whether there is anybody to announce to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// No node has answered yet: to look for a torrent would only make its next turn come later.
    Nobody,
    Nodes,
}

/// A torrent that is announced.
#[derive(Debug)]
struct Sought {
    entry: Arc<Entry>,
    swarms: Vec<InfoHash>,
    turn: Turn,
    retry: Duration,
}

#[derive(Debug)]
enum Turn {
    At(Instant),
    /// It is being announced.
    Now(AbortHandle),
}

/// What came of an announce.
#[derive(Debug)]
struct Outcome {
    torrent: TorrentId,
    peers: usize,
    stored: u32,
}

impl Beacon {
    /// Starts the node, at the port at which peers are listened for if it is free for UDP. `None` without a DHT, and where no socket can be opened.
    pub(crate) async fn start(
        config: &Config,
        addresses: &[SocketAddr],
    ) -> Option<(Self, BeaconTask)> {
        let hosts = config.dht.clone()?;
        let path = state_path(config);
        let state = match path {
            Some(path) => tokio::fs::read(path).await.ok(),
            None => None,
        };
        let dht = start_node(addresses, &hosts, state)?;
        let port = dht.local_addresses().first()?.port();
        let (sender, wishes) = mpsc::unbounded_channel();
        let task = BeaconTask {
            wishes,
            dht,
            torrents: HashMap::new(),
            times: BTreeSet::new(),
            under_way: JoinSet::new(),
            named_nodes: 0,
            reach: Reach::Nobody,
        };
        let wishes = sender;
        Some((Self { wishes, port }, task))
    }

    /// The UDP port of the node.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A torrent runs.
    pub(crate) fn announce(&self, entry: &Arc<Entry>) {
        self.send(Wish::Start(Arc::clone(entry)));
    }

    /// The metadata of a magnet link has come: it may be private, or have another swarm.
    pub(crate) fn described(&self, entry: &Arc<Entry>) {
        self.send(Wish::Described(Arc::clone(entry)));
    }

    /// A torrent is paused or gone.
    pub(crate) fn stop(&self, torrent: TorrentId) {
        self.send(Wish::Stop(torrent));
    }

    /// A peer has a node there.
    pub(crate) fn add_node(&self, addr: SocketAddr) {
        self.send(Wish::Node(addr));
    }

    fn send(&self, wish: Wish) {
        // The task ends with the session.
        let _ = self.wishes.send(wish);
    }
}

fn start_node(addresses: &[SocketAddr], hosts: &[HostAddr], state: Option<Vec<u8>>) -> Option<Dht> {
    let with = |addresses: Vec<SocketAddr>, state| DhtConfig {
        listen: addresses,
        bootstrap: hosts.to_vec(),
        state,
        ..DhtConfig::default()
    };
    let any_port = || {
        let mut addresses = addresses.to_vec();
        addresses.iter_mut().for_each(|address| address.set_port(0));
        addresses
    };
    // Without the state when it is damaged, at another port when another program has ours.
    Dht::start(with(addresses.to_vec(), state))
        .or_else(|_| Dht::start(with(addresses.to_vec(), None)))
        .or_else(|_| Dht::start(with(any_port(), None)))
        .inspect_err(|error| tracing::warn!(%error, "there is no DHT"))
        .ok()
}

fn state_path(config: &Config) -> Option<PathBuf> {
    Some(config.state_dir.as_ref()?.join(STATE_FILE))
}

impl BeaconTask {
    /// Runs until the session ends.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        let path = state_path(&shared.config);
        let mut save_at = now() + SAVE_INTERVAL;
        let mut reach_interval = FIRST_REACH;
        let mut reach_at = now() + reach_interval;
        loop {
            let has_room = self.reach == Reach::Nodes && self.under_way.len() < MAX_UNDER_WAY;
            let due = self.times.first().filter(|_| has_room).map(|&(at, _)| at);
            let waits = self.reach == Reach::Nobody && !self.times.is_empty();
            tokio::select! {
                wish = self.wishes.recv() => match wish {
                    Some(wish) => self.handle_wish(wish),
                    None => break,
                },
                Some(outcome) = self.under_way.join_next() => {
                    if let Ok(outcome) = outcome {
                        self.handle_outcome(&outcome);
                    }
                }
                () = sleep_until(due) => self.look(&shared),
                () = sleep_until(waits.then_some(reach_at)) => {
                    self.reach = self.reach().await;
                    reach_interval = (reach_interval * 2).min(MAX_REACH_INTERVAL);
                    reach_at = now() + reach_interval;
                }
                () = sleep_until(Some(save_at)) => {
                    save_at = now() + SAVE_INTERVAL;
                    self.save(path.as_deref()).await;
                }
                () = shared.stop.cancelled() => break,
            }
        }
        self.save(path.as_deref()).await;
    }

    async fn reach(&self) -> Reach {
        match self.dht.stats().await {
            Ok(stats) if stats.nodes_v4 + stats.nodes_v6 > 0 => Reach::Nodes,
            _ => Reach::Nobody,
        }
    }

    fn handle_wish(&mut self, wish: Wish) {
        match wish {
            Wish::Start(entry) => self.start(entry),
            Wish::Described(entry) => {
                if self.torrents.contains_key(&entry.id) {
                    self.start(entry);
                }
            }
            Wish::Stop(torrent) => self.stop(torrent),
            Wish::Node(addr) => self.dht.add_node(addr),
        }
    }

    fn start(&mut self, entry: Arc<Entry>) {
        if entry.check().is_err() {
            // It was removed in the meantime.
            return;
        }
        let swarms: Vec<_> = match entry.known() {
            Known::Magnet(magnet) => magnet.info_hashes().swarms().collect(),
            // Its peers are found through its tracker alone (BEP 27).
            Known::Metainfo(metainfo) if metainfo.info().is_private() => {
                self.stop(entry.id);
                return;
            }
            Known::Metainfo(metainfo) => {
                self.begin_at(metainfo.dht_nodes());
                metainfo.info_hashes().swarms().collect()
            }
        };
        let at = now();
        let sought = self.torrents.entry(entry.id).or_insert_with(|| {
            self.times.insert((at, entry.id));
            Sought {
                entry: Arc::clone(&entry),
                swarms: Vec::new(),
                turn: Turn::At(at),
                retry: FIRST_RETRY,
            }
        });
        sought.swarms = swarms;
        sought.entry = entry;
    }

    /// Nodes that a torrent names.
    fn begin_at(&mut self, nodes: &[HostAddr]) {
        let mut names = Vec::new();
        for node in nodes.iter().take(MAX_NAMED_NODES) {
            match node {
                HostAddr::Ip(addr) => self.dht.add_node(*addr),
                HostAddr::Name { .. } if self.named_nodes < MAX_NAMED_NODES => {
                    self.named_nodes += 1;
                    names.push(node.clone());
                }
                HostAddr::Name { .. } => {}
            }
        }
        self.dht.bootstrap(names);
    }

    fn stop(&mut self, torrent: TorrentId) {
        match self.torrents.remove(&torrent).map(|sought| sought.turn) {
            Some(Turn::At(at)) => {
                self.times.remove(&(at, torrent));
            }
            // The nodes that are found are not told any more: it may have turned out to be private.
            Some(Turn::Now(look)) => look.abort(),
            None => {}
        }
    }

    /// Begins with the torrent whose turn it is.
    fn look(&mut self, shared: &Arc<Shared>) {
        let Some((_, torrent)) = self.times.pop_first() else {
            return;
        };
        if let Some(sought) = self.torrents.get_mut(&torrent) {
            let look = look(
                self.dht.clone(),
                Arc::clone(shared),
                Arc::clone(&sought.entry),
                sought.swarms.clone(),
            );
            sought.turn = Turn::Now(self.under_way.spawn(look));
        }
    }

    fn handle_outcome(&mut self, outcome: &Outcome) {
        let Some(sought) = self.torrents.get_mut(&outcome.torrent) else {
            return;
        };
        let is_complete = sought.entry.totals.left.load(Ordering::Relaxed) == 0;
        let enough = is_complete || outcome.peers >= FEW_PEERS;
        let wait = if outcome.stored > 0 && enough {
            sought.retry = FIRST_RETRY;
            ANNOUNCE_INTERVAL
        } else {
            let wait = sought.retry;
            sought.retry = ANNOUNCE_INTERVAL.min(2 * wait);
            wait
        };
        // Those that were added together are spread.
        let at = now() + wait.mul_f64(rand::rng().random_range(0.9..1.1));
        if let Turn::At(before) = std::mem::replace(&mut sought.turn, Turn::At(at)) {
            // It was stopped and started in the meantime.
            self.times.remove(&(before, outcome.torrent));
        }
        self.times.insert((at, outcome.torrent));
    }

    async fn save(&self, path: Option<&Path>) {
        let Some(path) = path else { return };
        let Ok(state) = self.dht.state().await else {
            return;
        };
        if let Err(error) = write(path, &state).await {
            tracing::warn!(%error, "the nodes of the DHT cannot be saved");
        }
    }
}

/// Announces all swarms of a torrent, and passes on what peers are found meanwhile.
fn look(
    dht: Dht,
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    swarms: Vec<InfoHash>,
) -> impl Future<Output = Outcome> + Send + use<> {
    let announce = Announce {
        port: AnnouncedPort::Explicit(shared.port()),
        kind: match entry.totals.left.load(Ordering::Relaxed) {
            0 => PeerKind::Seed,
            _ => PeerKind::Downloader,
        },
    };
    async move {
        let mut outcome = Outcome {
            torrent: entry.id,
            peers: 0,
            stored: 0,
        };
        for swarm in swarms {
            let Ok(mut lookup) = dht.announce(swarm, announce).await else {
                continue;
            };
            while let Some(found) = lookup.next().await {
                match found {
                    Found::Peers(peers) => {
                        outcome.peers += peers.len();
                        // A torrent that is gone looks for nobody.
                        let _ = entry.send(&shared, Mail::Peers(PeerSource::Dht, peers));
                    }
                    Found::Done(summary) => outcome.stored += summary.stored,
                    _ => {}
                }
            }
        }
        tracing::debug!(torrent = %outcome.torrent, outcome.peers, outcome.stored, "announced to the DHT");
        outcome
    }
}

/// Replaces the file as a whole. A kill may lose it, which costs a slower start; it is not synced.
async fn write(path: &Path, state: &[u8]) -> io::Result<()> {
    let new = path.with_extension("state.new");
    tokio::fs::write(&new, state).await?;
    tokio::fs::rename(&new, path).await
}
