//! One torrent: what happens when. The data is kept by the picker, the choker, the peer book and the peers.

mod connections;
mod consistency;
mod events;
mod exchange;
mod hashes;
mod leaves;
mod marks;
mod metadata;
mod news;
mod pieces;
mod requests;
mod serving_hashes;
mod web_seeds;

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rarest_metainfo::{Bitfield, Block, Geometry, InfoHashes, PeerId, PieceIndex};
use rarest_peer_wire::connection::{Command, Role};

use crate::choker::{Change, Choker, Mode};
use crate::limits::SNUB_CHECK_INTERVAL;
use crate::our_address::OurAddress;
use crate::output::{DisconnectReason, Output, TorrentEvent};
use crate::peer_book::PeerBook;
use crate::peer_exchange::PeerExchange;
use crate::peers::Peers;
use crate::picker::Picker;
use crate::piece::PeerSlot;
use crate::rate::Rate;
use crate::suspicion::Suspicion;
use crate::web_seeds::WebSeeds;
use crate::{Config, PeerSource, Priority, Start, UploadSlots};
use hashes::Hashes;
use leaves::Leaves;
use metadata::Metadata;
use news::News;
use serving_hashes::Serving;
pub(crate) use serving_hashes::Work;
pub use serving_hashes::WorkLimit;

/// One torrent as a state machine, without sockets, files or clocks.
///
/// Tell it what happened with the `handle_*` methods, then do what [`poll_output`](Self::poll_output) asks for until it
/// gives `None`, and call [`handle_timeout`](Self::handle_timeout) when [`next_timeout`](Self::next_timeout) has come.
#[derive(Debug)]
pub struct Torrent {
    pub(crate) config: Config,
    pub(crate) geometry: Arc<Geometry>,
    info_hashes: InfoHashes,
    peer_id: PeerId,
    pub(crate) picker: Picker,
    pub(crate) choker: Choker,
    pub(crate) book: PeerBook,
    pub(crate) peers: Peers,
    pub(crate) exchange: PeerExchange,
    pub(crate) web_seeds: WebSeeds,
    suspicion: Suspicion,
    rng: Xoshiro256PlusPlus,
    activity: Activity,
    store: Store,
    /// Peers that had room for requests when nothing was to be asked of them.
    hungry: BTreeSet<PeerSlot>,
    /// Peers that let us request.
    pub(crate) unchoking_peers: usize,
    /// Peers with commands to be handed out.
    with_commands: VecDeque<PeerSlot>,
    outputs: VecDeque<Output>,
    next_snub_check: Instant,
    pub(crate) download: Rate,
    /// Bytes of blocks that web seeds sent.
    pub(crate) from_web_seeds: u64,
    pub(crate) wasted: u64,
    /// Whether all blocks were asked for when hungry peers were last looked at.
    endgame: Endgame,
    fetchable: Fetchable,
    hashes: Hashes,
    leaves: Leaves,
    serving: Serving,
    disk: Disk,
    /// What peers were told of what we want.
    role: Role,
    news: News,
    metadata: Metadata,
    our_address: OurAddress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Running,
    Paused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    Working,
    /// Nothing is requested: what comes could not be kept.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endgame {
    NotYet,
    Begun,
}

/// Whether there is anything to fetch as far as hashes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetchable {
    Something,
    /// All that is missing lacks its hash.
    Nothing,
}

/// Whether it is known what is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Known,
    /// Nothing is requested: it may be there.
    LookedAt,
}

/// The address without the disguise that a socket for both families gives to IPv4: one peer, one address.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

impl Torrent {
    /// A torrent that runs, without peers. All pieces are wanted.
    #[must_use]
    pub fn new(config: Config, start: Start, now: Instant) -> Self {
        let Start {
            geometry,
            info_hashes,
            peer_id,
            verified,
            hash_unknown,
            on_disk,
            metadata,
        } = start;
        let mut torrent = Self {
            picker: Picker::new(Arc::clone(&geometry), verified, hash_unknown, &on_disk),
            choker: Choker::new(config.upload_slots, now),
            book: PeerBook::default(),
            peers: Peers::default(),
            exchange: PeerExchange::default(),
            web_seeds: WebSeeds::default(),
            suspicion: Suspicion::default(),
            rng: Xoshiro256PlusPlus::seed_from_u64(config.seed),
            activity: Activity::Running,
            store: Store::Working,
            hungry: BTreeSet::new(),
            unchoking_peers: 0,
            with_commands: VecDeque::new(),
            outputs: VecDeque::new(),
            next_snub_check: now + SNUB_CHECK_INTERVAL,
            download: Rate::new(now),
            from_web_seeds: 0,
            wasted: 0,
            endgame: Endgame::NotYet,
            fetchable: Fetchable::Something,
            hashes: Hashes::unknown(now),
            leaves: Leaves::default(),
            serving: Serving::none(now),
            disk: Disk::Known,
            role: Role::Downloader,
            news: News::new(now),
            metadata: Metadata::known(metadata, now),
            our_address: OurAddress::default(),
            config: config.bounded(),
            geometry,
            info_hashes,
            peer_id,
        };
        if torrent.is_finished() {
            torrent.role = Role::UploadOnly;
        }
        torrent.settle(now);
        torrent
    }

    /// Learns where peers may be found.
    pub fn add_peers(&mut self, now: Instant, source: PeerSource, addrs: &[SocketAddr]) {
        if source.is_trusted_by(self.config.privacy) {
            for &addr in addrs {
                self.book.add(canonical(addr), source, &mut self.rng);
            }
        }
        self.settle(now);
    }

    /// Bans an address by order of the user.
    pub fn ban(&mut self, now: Instant, ip: IpAddr) {
        self.drop_banned(now, ip.to_canonical());
        self.settle(now);
    }

    /// Disconnects from all peers and dials nobody. What was gathered is spilled to disk.
    pub fn pause(&mut self, now: Instant) {
        if self.activity == Activity::Paused {
            return;
        }
        self.activity = Activity::Paused;
        self.disconnect_all(now, DisconnectReason::Paused);
        self.spill(0);
        self.settle(now);
    }

    /// Goes on after a pause.
    pub fn resume(&mut self, now: Instant) {
        self.activity = Activity::Running;
        self.settle(now);
    }

    /// Whether the torrent is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.activity == Activity::Paused
    }

    /// Changes how many peers are served at a time.
    pub fn set_upload_slots(&mut self, now: Instant, slots: UploadSlots) {
        self.choker.set_slots(now, slots);
        self.settle(now);
    }

    /// Changes how much pieces are wanted; those that are not named stay as they are.
    ///
    /// Requests for pieces that are wanted no longer are cancelled; what was gathered of them is spilled to disk.
    pub fn set_piece_priorities(&mut self, now: Instant, changes: &[(PieceIndex, Priority)]) {
        self.change_priorities(now, changes);
        self.settle(now);
    }

    /// How much a piece is wanted.
    #[must_use]
    pub fn piece_priority(&self, piece: PieceIndex) -> Priority {
        self.picker.priority(piece)
    }

    /// The pieces that are verified.
    #[must_use]
    pub fn verified(&self) -> &Bitfield {
        self.picker.have()
    }

    /// Blocks on disk of pieces that are not verified, for the resume data.
    pub fn blocks_on_disk(&self) -> impl Iterator<Item = Block> + '_ {
        self.picker.on_disk()
    }

    /// Bytes that are not verified: `left` of an announce.
    #[must_use]
    pub fn bytes_left(&self) -> u64 {
        self.picker.left()
    }

    /// Whether all wanted pieces are verified.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.knows_pieces() && self.picker.lacking().is_empty()
    }

    /// Whether all pieces are verified.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.knows_pieces() && self.picker.have().is_full()
    }

    /// Whether pieces are missing and the hash of none of them is known: nothing is requested until
    /// [`handle_hashes_known`](Self::handle_hashes_known).
    #[must_use]
    pub fn awaits_hashes(&self) -> bool {
        self.picker.awaits_hashes()
    }

    /// Number of pieces that are wanted and missing, and whose hash is not known.
    #[must_use]
    pub fn pieces_without_hash(&self) -> u32 {
        self.picker.without_hash()
    }

    /// Whether the store failed and nothing is requested.
    #[must_use]
    pub fn is_upload_only(&self) -> bool {
        self.store == Store::Failed
    }

    /// Whether another machine, [made anew](Self::new) of the same torrent with all its pieces, would do in place of this one:
    /// everything is there, nobody is connected, known or banned, and there is nothing left to poll. It need not be kept while nothing
    /// happens.
    #[must_use]
    pub fn is_replaceable(&self) -> bool {
        self.is_complete()
            && self.peers.len() == 0
            && self.book.is_blank()
            && self.outputs.is_empty()
            && self.store == Store::Working
    }

    /// Bytes of blocks that wait for their piece or for the store.
    #[must_use]
    pub fn buffered_bytes(&self) -> u64 {
        self.picker.buffered()
    }

    /// The next thing to do. Drain it after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        while let Some(slot) = self.with_commands.pop_front() {
            if let Some(peer) = self.peers.get_mut(slot)
                && !peer.outbox.is_empty()
            {
                let commands = std::mem::take(&mut peer.outbox);
                return Some(Output::Commands(peer.key, commands));
            }
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called, if nothing happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.activity == Activity::Paused {
            return None;
        }
        let rounds =
            (self.peers.len() > 0).then(|| self.choker.next_round().min(self.next_snub_check));
        let dial = self.may_dial().then(|| self.book.next_ready()).flatten();
        let web_seed = self.may_open_web_seed();
        let others = [
            dial,
            web_seed.then(|| self.web_seeds.next_ready()).flatten(),
            self.news.due(),
            self.hashes.due(),
            self.metadata.next_timeout(),
        ];
        rounds.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Does what is due: rounds of the choker, peers that do not answer, addresses that may be dialled again.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.choker.next_round() {
            let mode = if self.is_finished() {
                Mode::Seeding
            } else {
                Mode::Downloading
            };
            self.choker.handle_timeout(now, mode, &mut self.rng);
            self.replace_useless(now);
        }
        if now >= self.next_snub_check {
            self.next_snub_check = now + SNUB_CHECK_INTERVAL;
            self.check_snubs(now);
            self.exchange_peers(now);
            self.check_hash_requests(now);
            self.refill_hungry(now);
        }
        self.metadata.handle_timeout(now);
        self.settle(now);
    }

    /// Carries out what follows from any input.
    fn settle(&mut self, now: Instant) {
        self.open_web_seeds(now);
        self.complete_whole_pieces();
        self.wake_hungry(now);
        self.tell_news(now);
        self.tell_of_layers(now);
        for change in self.choker.take_changes() {
            match change {
                Change::Choke(slot) => self.command(slot, Command::Choke),
                Change::Unchoke(slot) => self.command(slot, Command::Unchoke),
            }
        }
        self.notice_missing_hashes();
        self.trade_metadata(now);
        self.dial(now);
    }

    fn command(&mut self, slot: PeerSlot, command: Command) {
        if let Some(peer) = self.peers.get_mut(slot) {
            if peer.outbox.is_empty() {
                self.with_commands.push_back(slot);
            }
            peer.outbox.push(command);
        }
    }

    fn event(&mut self, event: TorrentEvent) {
        self.outputs.push_back(Output::Event(event));
    }
}
