//! What a torrent is doing, as a snapshot that is replaced whenever it changes.

use std::time::Duration;

/// What a torrent does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TorrentState {
    /// What is on the disk is being looked at.
    #[default]
    Checking,
    /// It is not known what the torrent is: the metadata of the magnet link is being fetched, or looked for.
    FetchingMetadata,
    /// Pieces are being downloaded, or looked for.
    Downloading,
    /// Every wanted piece is there; they are offered to others.
    Seeding,
    /// Nothing is moved, by the caller's wish.
    Paused,
    /// The storage failed; nothing is downloaded until it works again.
    StorageFailed,
    /// All that is missing cannot be verified, because the metainfo lacks its hashes: peers are asked for them. What is there is offered to
    /// others.
    HashesMissing,
}

/// A snapshot of one torrent. Bytes are counted without the protocol's overhead.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// What it does.
    pub state: TorrentState,
    /// Bytes of all pieces.
    pub total_bytes: u64,
    /// Bytes of wanted pieces that are missing.
    pub missing_bytes: u64,
    /// Bytes of the pieces that are there and right, wanted or not.
    pub verified_bytes: u64,
    /// Number of pieces.
    pub pieces: u32,
    /// Number of pieces that are there and right.
    pub verified_pieces: u32,
    /// Number of pieces looked at so far by the check that runs, or that ran last.
    pub checked_pieces: u32,
    /// Number of pieces that check looks at.
    pub pieces_to_check: u32,
    /// Bytes of blocks that came from peers, in this run and the ones before it.
    pub downloaded_bytes: u64,
    /// Bytes of blocks that went to peers, in this run and the ones before it.
    pub uploaded_bytes: u64,
    /// Bytes of blocks that came for nothing: twice, or in a corrupt piece.
    pub wasted_bytes: u64,
    /// Bytes of blocks that came a second, over the last seconds.
    pub download_rate: u64,
    /// Bytes of blocks that went a second, over the last seconds.
    pub upload_rate: u64,
    /// Time until it is complete at the present rate; `None` when it is complete or nothing comes.
    pub time_left: Option<Duration>,
    /// Number of peers that are connected.
    pub connected_peers: usize,
    /// Number of connected peers that have every piece.
    pub connected_seeds: usize,
    /// Number of connected peers whose connection is encrypted.
    pub encrypted_peers: usize,
    /// Number of web seeds that are being asked.
    pub web_seeds: usize,
    /// Bytes of blocks that came from web seeds since the torrent was last begun.
    pub web_seed_bytes: u64,
    /// Number of peers that are known, connected or not.
    pub known_peers: usize,
    /// How many copies the connected peers have between them: the whole part is the number of copies of the
    /// rarest piece, the rest is the share of the pieces that there are more of.
    pub availability: f32,
}

impl Stats {
    /// Whether every wanted piece is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state != TorrentState::Checking && self.missing_bytes == 0
    }

    /// The share of all bytes that is there and right, 0 to 1.
    #[must_use]
    pub fn progress(&self) -> f64 {
        if self.total_bytes == 0 {
            return 0.0;
        }
        self.verified_bytes as f64 / self.total_bytes as f64
    }
}
