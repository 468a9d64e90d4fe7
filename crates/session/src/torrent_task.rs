//! One torrent: the loop that brings inputs to its state machine and carries out what that decides.

mod command;
mod disk_work;
mod hashes;
mod magnet;
mod peers;
mod progress;
mod resting;
mod web_seeds;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rarest_metainfo::{Bitfield, Metainfo, Version};
use rarest_piece_store::{FileStorage, PieceStore, Storage};
use rarest_swarm::{Output, PeerKey, PeerSource, Privacy, Start, Torrent};
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::add::{AddOptions, InitialState};
use crate::handshaking::Arrival;
use crate::peer_task::PeerMail;
use crate::registry::{Entry, Mailbox};
use crate::session::{Shared, now, sleep_until};
use crate::{Gone, TorrentEvent};

pub(crate) use command::Command;
use command::Departure;
pub(crate) use disk_work::DiskMail;
use disk_work::DiskWork;
use hashes::FoundLayers;
pub(crate) use magnet::Seeker;
use peers::{EarlyPeers, PeerLink};
use progress::Observed;
pub(crate) use resting::Resting;
use web_seeds::WebSeeds;

/// Where the bytes of a torrent live.
pub(crate) type Store = PieceStore<Box<dyn Storage>>;

/// Batches of peers' events that wait for the torrent. A peer that finds no room is not read for as long.
const PEER_MAILBOX: usize = 64;

/// Batches of peers' events that are taken in before what follows from them is carried out.
const MAIL_PER_ROUND: usize = 32;

/// How long a torrent that had peers has nothing to do until its task is folded up. Peers come and go.
const SLEEP_AFTER: Duration = Duration::from_secs(5);

/// What a torrent is told by everybody but its peers.
#[derive(Debug)]
pub(crate) enum Mail {
    /// The caller wants something.
    Command(Command),
    /// A peer shook hands.
    Arrived(Box<Arrival>),
    /// A peer could not be reached, for a reason in one sentence.
    DialFailed(SocketAddr, String),
    /// Somebody told us of peers.
    Peers(PeerSource, Vec<SocketAddr>),
    /// Another tracker than before is in use: in a private torrent, the peers of the old one are to be dropped (BEP 27).
    TrackerChanged,
    /// The disk has done something.
    Disk(DiskMail),
}

/// A torrent's state, its machine included. A task runs it while there is something to do; see [`Entry`].
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    metainfo: Arc<Metainfo>,
    home: Home,
    wish: Wish,
    stage: Stage,
    /// The machine of a magnet link whose metadata has come: it keeps the peers until it is known what is on the disk.
    precursor: Option<Box<Torrent>>,
    /// Known before the machine begins, which is told of them then.
    early_peers: EarlyPeers,
    peers: HashMap<PeerKey, PeerLink>,
    /// None while it sleeps.
    peer_mail: Option<mpsc::Sender<PeerMail>>,
    web_seeds: WebSeeds,
    disk: DiskWork,
    layers: FoundLayers,
    observed: Observed,
    /// Bytes that came for nothing before the machine began.
    wasted_before: u64,
    /// How long it stays awake when there is nothing to do.
    patience: Duration,
    /// Bytes that the memory budget counts for this torrent.
    counted: usize,
    /// Those of pieces that are begun.
    counted_partial: usize,
}

/// Where the bytes of a torrent are.
#[derive(Debug)]
enum Home {
    /// In files below a folder; that of the session, if none is named.
    Files { folder: Option<PathBuf> },
    /// Where only the caller knows.
    Custom,
}

impl Home {
    fn folder<'a>(&'a self, shared: &'a Shared) -> &'a Path {
        match self {
            Self::Files {
                folder: Some(folder),
            } => folder,
            Self::Files { folder: None } | Self::Custom => &shared.config.download_dir,
        }
    }
}

/// What the caller wants of the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Run,
    Pause,
}

#[derive(Debug)]
enum Stage {
    /// Nothing was done yet.
    New,
    /// What is on the disk is being looked at for the first time.
    Checking,
    /// It could not be looked at; the disk work knows when to try again.
    Unreadable,
    /// The machine runs, or is paused.
    Active(Box<Torrent>),
}

/// Pieces that cannot be verified: those of a v2 torrent whose piece layers are missing (BEP 52).
fn without_hash(metainfo: &Metainfo) -> Bitfield {
    let geometry = metainfo.info().geometry();
    let mut unknown = Bitfield::empty(geometry);
    if !metainfo.has_all_piece_layers() {
        for piece in geometry.pieces() {
            if metainfo.piece_hash(piece).is_none() {
                unknown.insert(piece);
            }
        }
    }
    unknown
}

fn machine_config(shared: &Shared, privacy: Privacy) -> rarest_swarm::Config {
    rarest_swarm::Config {
        seed: rand::random(),
        privacy,
        max_half_open: shared.config.max_half_open,
        ..rarest_swarm::Config::default()
    }
}

/// Why the loop ends.
enum Leave {
    Removed(Departure),
    ShutDown,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        entry: Arc<Entry>,
        metainfo: Arc<Metainfo>,
        mut options: AddOptions,
    ) -> Box<Self> {
        let wish = match options.initial {
            InitialState::Running => Wish::Run,
            InitialState::Paused | InitialState::PausedAtMetadata => Wish::Pause,
        };
        let (home, storage) = match options.storage.take() {
            Some(storage) => (Home::Custom, storage),
            None => {
                let folder = options.output_dir.take();
                let home = Home::Files {
                    folder: folder.filter(|folder| *folder != shared.config.download_dir),
                };
                let open_files = Arc::clone(&shared.open_files);
                let storage = FileStorage::new(&metainfo, home.folder(&shared), open_files);
                (home, Box::new(storage) as Box<dyn Storage>)
            }
        };
        let store = Store::new(storage, Arc::clone(&metainfo))
            .with_read_buffers(Arc::clone(&shared.read_buffers));
        let file_count = metainfo.info().file_count() as usize;
        let disk = DiskWork::new(
            store,
            options.existing,
            options.priorities_of(file_count),
            shared.config.disk_threads,
        );
        let mut driver = Self::of(shared, entry, metainfo, disk, home, wish);
        driver.add_web_seeds(options.web_seeds);
        if !options.peers.is_empty() {
            driver.early_peers.add(PeerSource::User, options.peers);
        }
        driver
    }

    fn of(
        shared: Arc<Shared>,
        entry: Arc<Entry>,
        metainfo: Arc<Metainfo>,
        disk: DiskWork,
        home: Home,
        wish: Wish,
    ) -> Box<Self> {
        Box::new(Self {
            observed: Observed::new(now()),
            wish,
            stage: Stage::New,
            precursor: None,
            early_peers: EarlyPeers::default(),
            peers: HashMap::new(),
            peer_mail: None,
            web_seeds: WebSeeds::of(&metainfo),
            disk,
            layers: FoundLayers::default(),
            wasted_before: 0,
            patience: Duration::ZERO,
            counted: 0,
            counted_partial: 0,
            shared,
            entry,
            metainfo,
            home,
        })
    }

    /// Runs until the torrent is removed, the session ends, or there is nothing more to do.
    pub(crate) async fn run(mut self: Box<Self>, mailbox: Mailbox) {
        let span = tracing::info_span!("torrent", id = %self.entry.id);
        let (peer_mail, peer_mailbox) = mpsc::channel(PEER_MAILBOX);
        self.peer_mail = Some(peer_mail);
        self.run_with(mailbox, peer_mailbox).instrument(span).await;
    }

    /// Goes on where peers have a mailbox already.
    async fn run_with(
        mut self: Box<Self>,
        mut mailbox: Mailbox,
        mut peer_mailbox: mpsc::Receiver<PeerMail>,
    ) {
        loop {
            match self.serve(&mut mailbox, &mut peer_mailbox).await {
                Some(leave) => return self.leave(leave, mailbox, peer_mailbox).await,
                // What peers said in the meantime is heard first.
                None if !peer_mailbox.is_empty() => {}
                // Partial pieces, which others need the memory of, and which an end would take.
                None if self.spill_all() => {}
                None => {
                    // Torrents that have peers soon have others.
                    self.shared.read_buffers.clear();
                    self.disk.store.forget_hashes();
                    let entry = Arc::clone(&self.entry);
                    match entry.sleep(self, &mailbox) {
                        Ok(()) => return,
                        Err(awake) => self = awake,
                    }
                }
            }
        }
    }

    /// The loop. Returns `None` when nothing has been to do for a while.
    async fn serve(
        &mut self,
        mailbox: &mut Mailbox,
        peer_mailbox: &mut mpsc::Receiver<PeerMail>,
    ) -> Option<Leave> {
        let shared = Arc::clone(&self.shared);
        let mut batch = Vec::with_capacity(MAIL_PER_ROUND);
        loop {
            let deadline = self.carry_out();
            let idle_until = self.may_sleep(deadline).then(|| now() + self.patience);
            let wake = idle_until.or(deadline);
            tokio::select! {
                mail = mailbox.recv() => {
                    // The mailbox is closed when the session ends.
                    let Some(mail) = mail else { return Some(Leave::ShutDown) };
                    if let Some(departure) = self.handle_mail(mail) {
                        return Some(Leave::Removed(departure));
                    }
                },
                _ = peer_mailbox.recv_many(&mut batch, MAIL_PER_ROUND) => {
                    batch.drain(..).for_each(|mail| self.handle_peer_mail(mail));
                }
                () = sleep_until(wake) => {
                    if idle_until.is_some() {
                        return None;
                    }
                    self.handle_timeout(now());
                }
                () = shared.stop.cancelled() => return Some(Leave::ShutDown),
            }
        }
    }

    /// One turn outside of any task, with what the disk threads have done: most often the torrent sleeps on.
    pub(crate) fn take_turn(mut self: Box<Self>, mail: DiskMail, mailbox: Mailbox) {
        let shared = Arc::clone(&self.shared);
        // For the clock, and for those that are dialled.
        let _runtime = shared.runtime.enter();
        let _span = tracing::info_span!("torrent", id = %self.entry.id).entered();
        self.handle_disk_mail(mail);
        let mut deadline = self.carry_out();
        while deadline.is_some_and(|at| at <= now()) {
            self.handle_timeout(now());
            deadline = self.carry_out();
        }
        if self.may_sleep(deadline) {
            let entry = Arc::clone(&self.entry);
            match entry.sleep(self, &mailbox) {
                Ok(()) => return,
                Err(awake) => self = awake,
            }
        }
        shared.tasks.spawn(self.run(mailbox));
    }

    /// Whether the session ends, and all torrents with it.
    pub(crate) fn is_at_end(&self) -> bool {
        self.shared.stop.is_cancelled()
    }

    /// Whether nothing is to be done before mail comes.
    fn may_sleep(&self, deadline: Option<Instant>) -> bool {
        match deadline {
            None => self.only_waits(),
            Some(_) => self.next_timeout_but_saving().is_none() && self.may_rest(),
        }
    }

    fn handle_mail(&mut self, mail: Mail) -> Option<Departure> {
        match mail {
            Mail::Command(command) => return self.handle_command(command),
            Mail::Arrived(arrival) => self.handle_arrival(*arrival),
            Mail::DialFailed(address, reason) => {
                if let Some(torrent) = self.machine() {
                    torrent.handle_dial_failed(now(), address);
                }
                let peer = address;
                self.tell(TorrentEvent::PeerUnreachable { peer, reason });
            }
            Mail::Peers(source, peers) => self.add_peers(source, peers),
            Mail::TrackerChanged => self.drop_peers("the tracker changed"),
            Mail::Disk(mail) => self.handle_disk_mail(mail),
        }
        None
    }

    /// The machine that has the peers.
    fn machine(&mut self) -> Option<&mut Torrent> {
        match &mut self.stage {
            Stage::Active(torrent) => Some(torrent),
            Stage::New | Stage::Checking | Stage::Unreadable => self.precursor.as_deref_mut(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(torrent) = self.machine() {
            torrent.handle_timeout(now);
        }
        self.handle_disk_timeout(now);
        self.observe(now);
    }

    /// Does what the machine decided. Returns when something is to be done next, if nothing happens before.
    fn carry_out(&mut self) -> Option<Instant> {
        let now = now();
        self.carry_out_decisions(now);
        // Pieces that have just become whole are partial no longer.
        self.count_memory();
        if let Stage::Active(torrent) = &mut self.stage
            && let Some(target_bytes) = self.shared.budget.spill_target()
        {
            torrent.handle_memory_pressure(now, target_bytes as u64);
            self.carry_out_decisions(now);
        }
        self.start_web_seeds();
        self.start_writing(now);
        let but_saving = self.next_timeout_but_saving();
        but_saving.into_iter().chain(self.disk.saving_due()).min()
    }

    /// When something is to be done, but for saving resume data.
    fn next_timeout_but_saving(&self) -> Option<Instant> {
        let machine = match &self.stage {
            Stage::Active(torrent) => Some(torrent),
            Stage::New | Stage::Checking | Stage::Unreadable => self.precursor.as_ref(),
        };
        [
            machine.and_then(|torrent| torrent.next_timeout()),
            self.disk.next_retry(),
            self.disk.gathered(),
            self.next_observation(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn carry_out_decisions(&mut self, now: Instant) {
        while let Some(output) = self.machine().and_then(Torrent::poll_output) {
            match output {
                Output::Commands(peer, commands) => self.command_peer(peer, commands),
                Output::Dial(address) => self.dial(address),
                Output::OpenWebSeed { key, web_seed } => self.open_web_seed(key, web_seed),
                Output::CompletePiece(piece) => self.disk.add_piece(now, piece),
                Output::Spill(blocks) => self.disk.add_spill(blocks),
                Output::HashesFound { metainfo, pieces } => self.hashes_found(metainfo, pieces),
                Output::AnswerHashes { peer, range } => self.answer_hashes(peer, range),
                Output::Disconnect(peer, reason) => self.disconnect(peer, reason),
                Output::Ban(address, reason) => self.banned(address, reason),
                Output::Event(event) => self.handle_event(&event),
                _ => {}
            }
        }
    }

    /// The bytes of this torrent between sockets and disk.
    fn count_memory(&mut self) {
        let held = match &self.stage {
            Stage::Active(torrent) => {
                usize::try_from(torrent.buffered_bytes()).unwrap_or(usize::MAX)
            }
            Stage::New | Stage::Checking | Stage::Unreadable => 0,
        };
        let (budget, memory) = (&self.shared.budget, &self.entry.memory);
        budget.add(memory, held.saturating_sub(self.counted));
        budget.release(memory, self.counted.saturating_sub(held));
        self.counted = held;
        let partial = held.saturating_sub(self.disk.leaving_bytes());
        budget.recount_partial(self.counted_partial, partial);
        self.counted_partial = partial;
    }

    /// Begins the machine with what the disk holds.
    fn start_machine(&mut self, now: Instant) {
        self.make_machine(now);
        self.prioritise();
        for (source, address) in std::mem::take(&mut self.early_peers) {
            self.add_peers(source, vec![address]);
        }
        self.began(now);
        self.run_if_wished();
    }

    /// Goes on with a torrent that rested, of which nothing is to be told anew.
    fn go_on(&mut self, now: Instant) {
        self.make_machine(now);
        if let (Wish::Run, Stage::Active(torrent)) = (self.wish, &mut self.stage) {
            torrent.resume(now);
        }
        self.observed.went_on();
    }

    /// Makes a machine, paused; or goes on with that of a magnet link.
    fn make_machine(&mut self, now: Instant) {
        let metainfo = &self.metainfo;
        let store = &self.disk.store;
        let config = machine_config(&self.shared, self.privacy());
        let spilled = store.spilled_blocks();
        let start = Start {
            geometry: Arc::clone(metainfo.info().geometry()),
            info_hashes: metainfo.info_hashes(),
            peer_id: self.shared.connection_config.peer_id,
            verified: store.verified(),
            hash_unknown: without_hash(metainfo),
            on_disk: spilled.into_iter().flat_map(|(_, blocks)| blocks).collect(),
            metadata: Some(metainfo.info().raw().clone()),
        };
        if let Some(mut torrent) = self.precursor.take() {
            torrent.handle_metadata(now, start, self.privacy());
            self.stage = Stage::Active(torrent);
            self.tell_peers_metadata();
        } else {
            let mut torrent = Torrent::new(config, start, now);
            torrent.pause(now);
            self.stage = Stage::Active(Box::new(torrent));
        }
        if self.metainfo.info().version() != Version::V1
            && let Stage::Active(torrent) = &mut self.stage
        {
            torrent.set_metainfo(now, Arc::clone(&self.metainfo));
        }
        self.introduce_web_seeds();
    }

    fn tell(&self, event: TorrentEvent) {
        self.shared.events.publish(self.entry.id, event);
    }

    /// The end: connections are closed, resume data is saved or deleted, and whoever waits is told.
    async fn leave(
        mut self: Box<Self>,
        leave: Leave,
        mut mailbox: Mailbox,
        peer_mailbox: mpsc::Receiver<PeerMail>,
    ) {
        let gone = match leave {
            Leave::Removed(_) => Gone::Removed,
            Leave::ShutDown => Gone::ShutDown,
        };
        if let Stage::Active(torrent) = &mut self.stage {
            // What was gathered of partial pieces goes to the disk.
            let now = now();
            torrent.pause(now);
            self.carry_out_decisions(now);
        }
        // Connections end when they find nobody to talk to. What they said last goes, with the memory that others need.
        self.peers.clear();
        self.web_seeds.close();
        drop(peer_mailbox);
        let unanswered = self.finish_disk_work(&mut mailbox).await;
        self.shared.budget.release(&self.entry.memory, self.counted);
        self.shared.budget.recount_partial(self.counted_partial, 0);
        self.publish_stats(now());
        // From here on commands are refused, rather than left without an answer.
        self.entry.close(gone);
        // Whoever waits for an answer learns why there is none.
        drop(unanswered);
        match leave {
            Leave::ShutDown => self.save_resume_data().await,
            Leave::Removed(departure) => {
                self.shared.announcer.remove(self.entry.id);
                let hashes = self.metainfo.info_hashes();
                self.shared.local_discovery.stop(hashes);
                self.shared.registry.remove(&self.entry);
                self.tell(TorrentEvent::Removed);
                self.shared.events.close_torrent(self.entry.id);
                self.depart(departure).await;
            }
        }
    }
}
