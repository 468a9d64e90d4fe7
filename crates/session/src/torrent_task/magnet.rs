//! A magnet link, until it is known what torrent it names: the loop of a torrent that has neither pieces nor files yet.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_metainfo::{HostAddr, Magnet, Metainfo, ParseOptions};
use rarest_peer_wire::connection::LocalTorrent;
use rarest_piece_store::replace_file;
use rarest_swarm::limits::MAX_WEB_SEEDS;
use rarest_swarm::{Ended, Output, PeerKey, PeerSource, Privacy, Torrent};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use super::command::Departure;
use super::peers::{PeerLink, Place, describe, dial, swarm_id};
use super::{Command, Driver, Leave, MAIL_PER_ROUND, Mail, PEER_MAILBOX, Wish, machine_config};
use crate::add::{AddOptions, InitialState};
use crate::handshaking::Arrival;
use crate::peer_task::PeerMail;
use crate::registry::{Entry, Mailbox, Phase};
use crate::session::{Shared, now, sleep_until};
use crate::{
    AddError, CommandError, Gone, Incomplete, StallCause, Stats, TorrentEvent, TorrentId,
    TorrentState,
};

/// What trackers are told to be missing while nobody knows: not nothing, which would make us a seed.
const UNKNOWN_LEFT: u64 = 16 * 1024;

/// Shortest time between two snapshots.
const STATS_INTERVAL: Duration = Duration::from_millis(500);

/// A magnet link that is being turned into a torrent. When that is done, a [`Driver`] goes on with its machine and its peers.
#[derive(Debug)]
pub(crate) struct Seeker {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    magnet: Arc<Magnet>,
    /// For the driver.
    options: AddOptions,
    wish: Wish,
    machine: Box<Torrent>,
    peers: HashMap<PeerKey, PeerLink>,
    prospect: Prospect,
    /// When the wait that may end in a stall began.
    last_progress: Instant,
    last_snapshot: Instant,
    snapshot: Snapshot,
}

/// Whether there is anything to hope for.
#[derive(Debug)]
enum Prospect {
    Open,
    /// The metadata came, and cannot be used.
    Hopeless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Snapshot {
    Current,
    Outdated,
}

/// How the search ends.
enum End {
    Found(Arc<Metainfo>),
    Left(Leave),
}

/// Where the metadata of a magnet link is kept once it is there, as a `.torrent`.
pub(super) fn metadata_file(shared: &Shared, torrent: TorrentId) -> Option<PathBuf> {
    let folder = shared.config.state_dir.as_ref()?;
    Some(folder.join(format!("{torrent}.torrent")))
}

impl Seeker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        entry: Arc<Entry>,
        magnet: Arc<Magnet>,
        mut options: AddOptions,
    ) -> Box<Self> {
        let now = now();
        options.linked_files.clone_from(&magnet.selected_files);
        let peer_id = shared.connection_config.peer_id;
        let config = machine_config(&shared, Privacy::Public);
        let mut machine = Torrent::without_metadata(config, magnet.info_hashes(), peer_id, now);
        machine.pause(now);
        Box::new(Self {
            wish: match options.initial {
                InitialState::Running | InitialState::PausedAtMetadata => Wish::Run,
                InitialState::Paused => Wish::Pause,
            },
            machine: Box::new(machine),
            peers: HashMap::new(),
            prospect: Prospect::Open,
            last_progress: now,
            last_snapshot: now,
            snapshot: Snapshot::Outdated,
            shared,
            entry,
            magnet,
            options,
        })
    }

    /// Runs until the torrent is removed or the session ends: as a magnet link first, then as the torrent that it names.
    pub(crate) async fn run(self: Box<Self>, mailbox: Mailbox) {
        let span = tracing::info_span!("torrent", id = %self.entry.id);
        self.run_in_span(mailbox).instrument(span).await;
    }

    async fn run_in_span(mut self: Box<Self>, mut mailbox: Mailbox) {
        let (peer_mail, mut peer_mailbox) = mpsc::channel(PEER_MAILBOX);
        self.resolve_linked_peers();
        let saved = match self.saved().await {
            Some(metainfo) => self.adopt(metainfo),
            None => None,
        };
        let end = match saved {
            Some(metainfo) => End::Found(metainfo),
            None => {
                self.begin();
                self.serve(&mut mailbox, &peer_mail, &mut peer_mailbox)
                    .await
            }
        };
        match end {
            End::Found(metainfo) => {
                let mut driver = self.into_driver(metainfo);
                driver.peer_mail = Some(peer_mail);
                driver.begin();
                driver.run_with(mailbox, peer_mailbox).await;
            }
            End::Left(leave) => self.leave(leave).await,
        }
    }

    /// Begins to look for peers.
    fn begin(&mut self) {
        let left = &self.entry.totals.left;
        left.store(UNKNOWN_LEFT, Ordering::Relaxed);
        let peers = std::mem::take(&mut self.options.peers);
        self.machine.add_peers(now(), PeerSource::User, &peers);
        self.run_if_wished();
        self.publish_stats(now());
    }

    fn run_if_wished(&mut self) {
        if self.wish == Wish::Run && matches!(self.prospect, Prospect::Open) {
            self.machine.resume(now());
            self.shared.announcer.start(&self.entry);
            let hashes = self.magnet.info_hashes();
            self.shared.local_discovery.start(hashes);
        }
    }

    async fn serve(
        &mut self,
        mailbox: &mut Mailbox,
        peer_mail: &mpsc::Sender<PeerMail>,
        peer_mailbox: &mut mpsc::Receiver<PeerMail>,
    ) -> End {
        let shared = Arc::clone(&self.shared);
        let mut batch = Vec::with_capacity(MAIL_PER_ROUND);
        loop {
            if let Some(metainfo) = self.carry_out() {
                return End::Found(metainfo);
            }
            let deadline = self.next_timeout();
            tokio::select! {
                mail = mailbox.recv() => {
                    // The mailbox is closed when the session ends.
                    let Some(mail) = mail else { return End::Left(Leave::ShutDown) };
                    if let Some(departure) = self.handle_mail(mail, peer_mail) {
                        return End::Left(Leave::Removed(departure));
                    }
                }
                _ = peer_mailbox.recv_many(&mut batch, MAIL_PER_ROUND) => {
                    batch.drain(..).for_each(|mail| self.handle_peer_mail(mail));
                }
                () = sleep_until(deadline) => self.handle_timeout(now()),
                () = shared.stop.cancelled() => return End::Left(Leave::ShutDown),
            }
        }
    }

    fn handle_mail(&mut self, mail: Mail, peer_mail: &mpsc::Sender<PeerMail>) -> Option<Departure> {
        match mail {
            Mail::Command(command) => return self.handle_command(command),
            Mail::Arrived(arrival) => self.handle_arrival(*arrival, peer_mail),
            Mail::DialFailed(address, reason) => {
                self.machine.handle_dial_failed(now(), address);
                let peer = address;
                self.tell(TorrentEvent::PeerUnreachable { peer, reason });
            }
            Mail::Peers(source, peers) => self.machine.add_peers(now(), source, &peers),
            // Whether it is private is not known yet; and nothing is asked of the disk.
            Mail::TrackerChanged | Mail::Disk(_) => {}
        }
        None
    }

    fn handle_command(&mut self, command: Command) -> Option<Departure> {
        let now = now();
        match command {
            Command::Pause(done) => {
                if std::mem::replace(&mut self.wish, Wish::Pause) == Wish::Run {
                    self.machine.pause(now);
                    self.shared.announcer.stop(self.entry.id);
                    let hashes = self.magnet.info_hashes();
                    self.shared.local_discovery.stop(hashes);
                    self.publish_stats(now);
                    self.tell(TorrentEvent::Paused);
                }
                let _ = done.send(());
            }
            Command::Resume(done) => {
                if std::mem::replace(&mut self.wish, Wish::Run) == Wish::Pause {
                    self.last_progress = now;
                    self.run_if_wished();
                    self.publish_stats(now);
                    self.tell(TorrentEvent::Resumed);
                }
                let _ = done.send(());
            }
            Command::AddPeers(peers, done) => {
                self.machine.add_peers(now, PeerSource::User, &peers);
                let _ = done.send(());
            }
            Command::AddWebSeeds(locations, done) => {
                let room = MAX_WEB_SEEDS.saturating_sub(self.options.web_seeds.len());
                self.options
                    .web_seeds
                    .extend(locations.into_iter().take(room));
                let _ = done.send(());
            }
            Command::Recheck(done) => {
                let _ = done.send(Err(CommandError::MetadataMissing));
            }
            Command::SetFilePriorities(priorities, done) => {
                self.options.priorities.extend(priorities);
                let _ = done.send(Ok(()));
            }
            Command::RemoveKeepingFiles(done) => return Some(Departure::KeepFiles(done)),
            Command::RemoveAndDeleteFiles(done) => return Some(Departure::DeleteFiles(done)),
        }
        None
    }

    fn handle_arrival(&mut self, arrival: Arrival, mail: &mpsc::Sender<PeerMail>) {
        let address = arrival.socket.address;
        let key = self.machine.handle_peer_connected(
            now(),
            address,
            arrival.direction,
            &arrival.handshake,
        );
        let key = match key {
            Ok(key) => key,
            Err(refused) => {
                tracing::debug!(%address, %refused, "a peer is not taken");
                return;
            }
        };
        let place = Place {
            shared: &self.shared,
            entry: &self.entry,
            mail,
        };
        let swarm = swarm_id(self.entry.id, self.magnet.info_hashes());
        let torrent = LocalTorrent::without_metadata(swarm);
        let link = PeerLink::start(&place, key, arrival, torrent, None);
        self.peers.insert(key, link);
        self.snapshot = Snapshot::Outdated;
        self.tell(TorrentEvent::PeerConnected(address));
    }

    fn handle_peer_mail(&mut self, mail: PeerMail) {
        let now = now();
        self.snapshot = Snapshot::Outdated;
        match mail {
            PeerMail::Events { peer, events, .. } => {
                self.machine.handle_peer_events(now, peer, events);
            }
            // Nothing is read for peers.
            PeerMail::ReadFailed { .. } => {}
            // None is asked before it is known what for.
            PeerMail::WebSeedEnded { .. } => {}
            PeerMail::Closed {
                peer,
                ended,
                reason,
            } => self.closed(peer, ended, reason),
        }
    }

    fn closed(&mut self, peer: PeerKey, ended: Ended, reason: String) {
        // A connection that the machine ended was forgotten then.
        if let Some(link) = self.peers.remove(&peer) {
            self.machine.handle_peer_disconnected(now(), peer, ended);
            let peer = link.address();
            self.tell(TorrentEvent::PeerDisconnected { peer, reason });
        }
    }

    /// Does what the machine decided. Returns the metadata when it is there and can be used.
    fn carry_out(&mut self) -> Option<Arc<Metainfo>> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Commands(peer, commands) => {
                    if let Some(link) = self.peers.get(&peer) {
                        link.command(commands);
                    }
                }
                Output::Dial(address) => {
                    let swarm = swarm_id(self.entry.id, self.magnet.info_hashes());
                    dial(&self.shared, &self.entry, swarm, address);
                }
                Output::Disconnect(peer, reason) => {
                    if let Some(link) = self.peers.remove(&peer) {
                        let (peer, reason) = (link.address(), describe(reason).to_owned());
                        self.snapshot = Snapshot::Outdated;
                        self.tell(TorrentEvent::PeerDisconnected { peer, reason });
                    }
                }
                Output::Ban(address, reason) => {
                    tracing::info!(%address, ?reason, "a peer is banned");
                    self.tell(TorrentEvent::PeerBanned { address, reason });
                }
                Output::Metadata(raw) => {
                    if let Some(metainfo) = self.received(raw) {
                        return Some(metainfo);
                    }
                }
                // There are no pieces, and nothing that is worth telling.
                _ => {}
            }
        }
        None
    }

    /// The info dictionary is what the link says.
    fn received(&mut self, raw: Bytes) -> Option<Arc<Metainfo>> {
        match Metainfo::from_info(raw, &self.magnet) {
            Ok(metainfo) => {
                let metainfo = self.adopt(Arc::new(metainfo))?;
                self.save(&metainfo);
                Some(metainfo)
            }
            Err(error) => {
                self.give_up(Incomplete::Metadata(error));
                None
            }
        }
    }

    /// From now on everybody knows what the torrent is, unless it is one of the session already.
    fn adopt(&mut self, metainfo: Arc<Metainfo>) -> Option<Arc<Metainfo>> {
        match self.shared.registry.describe(&self.entry, &metainfo) {
            Ok(()) => {}
            Err(AddError::AlreadyAdded(other)) => {
                self.give_up(Incomplete::AlreadyAdded(other));
                return None;
            }
            // The session ends, and so will the loop.
            Err(_) => return None,
        }
        self.shared.announcer.described(&self.entry);
        self.tell(TorrentEvent::MetadataReceived);
        // Whoever waits for it looks again.
        self.entry.set_phase(Phase::Incomplete);
        Some(metainfo)
    }

    fn give_up(&mut self, why: Incomplete) {
        tracing::warn!(error = %why, "the magnet link is of no use");
        self.prospect = Prospect::Hopeless;
        self.machine.pause(now());
        self.shared.announcer.stop(self.entry.id);
        let hashes = self.magnet.info_hashes();
        self.shared.local_discovery.stop(hashes);
        self.publish_stats(now());
        self.entry.set_phase(Phase::Failed(Box::new(why)));
    }

    fn into_driver(mut self, metainfo: Arc<Metainfo>) -> Box<Driver> {
        if self.options.initial == InitialState::PausedAtMetadata {
            self.wish = Wish::Pause;
            self.shared.announcer.stop(self.entry.id);
            let hashes = self.magnet.info_hashes();
            self.shared.local_discovery.stop(hashes);
        }
        self.options.initial = match self.wish {
            Wish::Run => InitialState::Running,
            Wish::Pause => InitialState::Paused,
        };
        if self.wish == Wish::Pause {
            self.machine.pause(now());
        }
        if metainfo.info().is_private() {
            // The link did not say so. To look at the disk may take hours, in which nobody is to be told.
            self.machine.handle_private(now());
            let hashes = self.magnet.info_hashes();
            self.shared.local_discovery.stop(hashes);
        }
        let mut driver = Driver::new(self.shared, self.entry, metainfo, self.options);
        driver.peers = self.peers;
        driver.precursor = Some(self.machine);
        driver
    }

    fn next_timeout(&self) -> Option<Instant> {
        let snapshot = match self.snapshot {
            Snapshot::Outdated => Some(self.last_snapshot + STATS_INTERVAL),
            Snapshot::Current => None,
        };
        [self.machine.next_timeout(), snapshot, self.stalls_at()]
            .into_iter()
            .flatten()
            .min()
    }

    fn stalls_at(&self) -> Option<Instant> {
        let waits = self.wish == Wish::Run && matches!(self.prospect, Prospect::Open);
        let timeout = self.shared.config.stall_timeout.filter(|_| waits)?;
        Some(self.last_progress + timeout)
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        if self.stalls_at().is_some_and(|at| at <= now) {
            let waited = now - self.last_progress;
            self.last_progress = now;
            let cause = match self.machine.stats(now).peers {
                0 => StallCause::NoPeers,
                _ => StallCause::MetadataUnavailable,
            };
            self.publish_stats(now);
            self.entry.stalled(Incomplete::Stalled { waited, cause });
            self.tell(TorrentEvent::Stalled);
        }
        if self.snapshot == Snapshot::Outdated && self.last_snapshot + STATS_INTERVAL <= now {
            self.publish_stats(now);
        }
    }

    fn publish_stats(&mut self, now: Instant) {
        let machine = self.machine.stats(now);
        let state = match (self.wish, &self.prospect) {
            (Wish::Run, Prospect::Open) => TorrentState::FetchingMetadata,
            (Wish::Pause, _) | (_, Prospect::Hopeless) => TorrentState::Paused,
        };
        let stats = Stats {
            state,
            connected_peers: machine.peers,
            encrypted_peers: PeerLink::count_encrypted(self.peers.values()),
            known_peers: machine.known,
            ..Stats::default()
        };
        self.snapshot = Snapshot::Current;
        self.last_snapshot = now;
        self.entry.stats.send_if_modified(|current| {
            let is_new = *current != stats;
            *current = stats;
            is_new
        });
    }

    fn tell(&self, event: TorrentEvent) {
        self.shared.events.publish(self.entry.id, event);
    }

    /// Looks up the peers of the link in the background; the addresses come as mail.
    fn resolve_linked_peers(&self) {
        let peers = self.magnet.peers.clone();
        if peers.is_empty() {
            return;
        }
        let (shared, entry) = (Arc::clone(&self.shared), Arc::clone(&self.entry));
        let stop = self.shared.stop.clone();
        let resolving = async move {
            for peer in peers {
                let addresses: Vec<SocketAddr> = match &peer {
                    HostAddr::Ip(address) => vec![*address],
                    HostAddr::Name { host, port } => {
                        match tokio::net::lookup_host((&**host, *port)).await {
                            Ok(found) => found.collect(),
                            Err(error) => {
                                tracing::debug!(%peer, %error, "a peer of the link is not found");
                                continue;
                            }
                        }
                    }
                };
                let mail = Mail::Peers(PeerSource::Magnet, addresses);
                if entry.send(&shared, mail).is_err() {
                    return;
                }
            }
        };
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = resolving => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// The metadata, if an earlier run has fetched it.
    async fn saved(&self) -> Option<Arc<Metainfo>> {
        let path = metadata_file(&self.shared, self.entry.id)?;
        let read = move || match std::fs::read(path) {
            // With the piece layers that peers gave it may be long.
            Ok(bytes) => ParseOptions::default()
                .max_length(bytes.len())
                .parse(bytes)
                .ok(),
            Err(_) => None,
        };
        let saved = self.shared.disk.call(read).await??;
        // Trackers and the like are those of the link, which may have changed.
        let metainfo = Metainfo::from_info(saved.info().raw().clone(), &self.magnet).ok()?;
        Some(Arc::new(metainfo))
    }

    /// Keeps the metadata for later runs.
    fn save(&self, metainfo: &Metainfo) {
        let Some(path) = metadata_file(&self.shared, self.entry.id) else {
            return;
        };
        let bytes = metainfo.to_bytes();
        self.shared.disk.run(move || {
            if let Err(error) = replace_file(&path, &bytes) {
                tracing::warn!(%error, "the metadata cannot be kept, and is fetched again after a restart");
            }
        });
    }

    async fn leave(mut self, leave: Leave) {
        let gone = match leave {
            Leave::Removed(_) => Gone::Removed,
            Leave::ShutDown => Gone::ShutDown,
        };
        self.peers.clear();
        self.entry.close(gone);
        let Leave::Removed(departure) = leave else {
            return;
        };
        self.shared.announcer.remove(self.entry.id);
        let hashes = self.magnet.info_hashes();
        self.shared.local_discovery.stop(hashes);
        if let Some(path) = metadata_file(&self.shared, self.entry.id) {
            // Of an earlier run, and of no use to this one. Most often there is none.
            let deleting = self.shared.disk.call(move || std::fs::remove_file(path));
            deleting.await;
        }
        self.shared.registry.remove(&self.entry);
        self.tell(TorrentEvent::Removed);
        self.shared.events.close_torrent(self.entry.id);
        match departure {
            Departure::KeepFiles(done) => answer(done, ()),
            Departure::DeleteFiles(done) => answer(done, Ok(())),
        }
    }
}

/// Whoever asked may have gone.
fn answer<T>(done: oneshot::Sender<T>, answer: T) {
    let _ = done.send(answer);
}
