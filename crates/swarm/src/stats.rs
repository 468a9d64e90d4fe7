//! What can be told of a torrent at a moment.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rarest_metainfo::PeerId;

use crate::peers::{OurInterest, Permission};
use crate::{Direction, PeerKey, Torrent, WebSeedId};

/// A torrent at a moment. Takes time in proportion to the number of peers, not of pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes of blocks received since the start, wasted ones included.
    pub downloaded: u64,
    /// Those of web seeds among them.
    pub downloaded_from_web_seeds: u64,
    /// Bytes of blocks sent since the start.
    pub uploaded: u64,
    /// Bytes of blocks that came although we had them.
    pub wasted: u64,
    /// Bytes of blocks received a second, over the last five seconds.
    pub download_rate: u64,
    /// Bytes of blocks sent a second, over the last five seconds.
    pub upload_rate: u64,
    /// Bytes of pieces that are not verified.
    pub left: u64,
    /// Bytes of wanted pieces that are not verified.
    pub wanted_left: u64,
    /// Bytes of blocks in memory.
    pub buffered: u64,
    /// Number of verified pieces.
    pub verified_pieces: u32,
    /// Number of pieces that were begun.
    pub begun_pieces: usize,
    /// Connected peers, without web seeds.
    pub peers: usize,
    /// Web seeds that are being asked.
    pub web_seeds: usize,
    /// Connected peers that have everything.
    pub seeds: usize,
    /// Peers that want something of us.
    pub interested: usize,
    /// Peers that we let request.
    pub unchoked: usize,
    /// Peers that let us request.
    pub unchoking: usize,
    /// Addresses that are being dialled.
    pub dialling: usize,
    /// Addresses that are known.
    pub known: usize,
    /// Copies of the rarest piece among the connected peers.
    pub least_copies: u32,
    /// The share of pieces of which there are more copies than that, in thousandths.
    pub more_copies_thousandths: u32,
}

/// A connected peer at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStats {
    /// The connection.
    pub key: PeerKey,
    /// The other end; that of a web seed leads nowhere.
    pub addr: SocketAddr,
    /// Which web seed it is, if it is none of the peers.
    pub web_seed: Option<WebSeedId>,
    /// Who dialled.
    pub direction: Direction,
    /// The peer's name for itself.
    pub peer_id: PeerId,
    /// How long it is connected.
    pub connected_for: Duration,
    /// Number of pieces it has.
    pub pieces: u32,
    /// Number of its pieces that we want and lack.
    pub pieces_of_use: u32,
    /// Bytes of blocks received of it.
    pub downloaded: u64,
    /// Bytes of blocks sent to it.
    pub uploaded: u64,
    /// Bytes received of it a second.
    pub download_rate: u64,
    /// Bytes sent to it a second.
    pub upload_rate: u64,
    /// Requests it has not answered.
    pub requests: usize,
    /// Requests that we would keep in flight to it.
    pub pipeline_depth: usize,
    /// The shortest time between a request and its block.
    pub round_trip: Option<Duration>,
    /// Whether it lets us request.
    pub is_unchoking: bool,
    /// Whether it owes us blocks for long.
    pub is_snubbing: bool,
    /// Whether we want something of it.
    pub is_interesting: bool,
    /// Whether we let it request.
    pub is_unchoked: bool,
    /// Whether it wants something of us.
    pub is_interested: bool,
}

impl Torrent {
    /// The torrent at this moment.
    #[must_use]
    pub fn stats(&self, now: Instant) -> Stats {
        let (least_copies, more_copies_thousandths) =
            self.picker.availability().distributed_copies();
        let mut stats = Stats {
            downloaded: self.download.total(),
            uploaded: self.choker.upload().total(),
            wasted: self.wasted,
            download_rate: self.download.per_second(now),
            upload_rate: self.choker.upload().per_second(now),
            left: self.picker.left(),
            wanted_left: self.picker.wanted_left(),
            buffered: self.picker.buffered(),
            verified_pieces: self.picker.have().count(),
            begun_pieces: self.picker.begun_count(),
            peers: self.peers.len() - self.web_seeds.open(),
            web_seeds: self.web_seeds.open(),
            downloaded_from_web_seeds: self.from_web_seeds,
            unchoking: self.unchoking_peers,
            dialling: self.book.dialling(),
            known: self.book.known(),
            least_copies,
            more_copies_thousandths,
            ..Stats::default()
        };
        for (slot, peer) in self.peers.iter() {
            let is_seed = peer.web_seed.is_none() && peer.pieces.has.is_complete();
            stats.seeds += usize::from(is_seed);
            stats.interested += usize::from(self.choker.is_interested(slot));
            stats.unchoked += usize::from(self.choker.is_unchoked(slot));
        }
        stats
    }

    /// The connected peers at this moment.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = PeerStats> + '_ {
        self.peers.iter().map(move |(slot, peer)| PeerStats {
            key: peer.key,
            addr: peer.addr,
            web_seed: peer.web_seed,
            direction: peer.direction,
            peer_id: peer.peer_id,
            connected_for: now.saturating_duration_since(peer.connected_at),
            pieces: peer.pieces.has.count(self.geometry.piece_count()),
            pieces_of_use: self.picker.count_of_use(&peer.pieces),
            downloaded: peer.download.total(),
            uploaded: peer.upload.total(),
            download_rate: peer.download.per_second(now),
            upload_rate: peer.upload.per_second(now),
            requests: peer.pipeline.in_flight(),
            pipeline_depth: peer.pipeline.depth(),
            round_trip: peer.pipeline.round_trip(),
            is_unchoking: peer.permission == Permission::Unchoked,
            is_snubbing: peer.pipeline.is_snubbed(),
            is_interesting: peer.our_interest == OurInterest::Interested,
            is_unchoked: self.choker.is_unchoked(slot),
            is_interested: self.choker.is_interested(slot),
        })
    }

    /// Number of connected peers that have the piece.
    #[must_use]
    pub fn copies(&self, piece: rarest_metainfo::PieceIndex) -> u32 {
        self.picker.availability().copies(piece)
    }
}
