//! What may be set for a torrent.

use rarest_peer_wire::connection::Privacy;

/// The limits of one torrent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Most connections. At most [`Config::MAX_PEERS`].
    pub max_peers: usize,
    /// Most connections that are being made at a time.
    pub max_half_open: usize,
    /// How many peers are served at a time.
    pub upload_slots: UploadSlots,
    /// Most requests in flight to one peer, below what the peer itself allows.
    pub max_requests_per_peer: usize,
    /// Whether peers may tell each other of peers (BEP 11, BEP 27).
    pub privacy: Privacy,
    /// Where all randomness of the torrent comes from: the same seed and inputs give the same outputs.
    pub seed: u64,
}

/// How many peers are unchoked at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadSlots {
    /// As many as the upload rate feeds: at least
    /// [`AUTOMATIC_SLOTS_MIN`](crate::limits::AUTOMATIC_SLOTS_MIN), and one more for each
    /// [`RATE_PER_SLOT`](crate::limits::RATE_PER_SLOT). Grows within seconds where bandwidth is left.
    Automatic,
    /// So many, whatever the rate.
    Fixed(usize),
}

impl Config {
    /// Most connections a torrent can have: copies of a piece are counted in 16 bits.
    pub const MAX_PEERS: usize = 65_000;

    pub(crate) fn bounded(self) -> Self {
        Self {
            max_peers: self.max_peers.min(Self::MAX_PEERS),
            ..self
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_peers: 500,
            max_half_open: 30,
            upload_slots: UploadSlots::Automatic,
            max_requests_per_peer: crate::limits::MAX_REQUESTS_PER_PEER,
            privacy: Privacy::Public,
            seed: 0,
        }
    }
}
