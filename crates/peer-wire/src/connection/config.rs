//! What a connection is told when it begins: about us, and about the torrent.

use std::sync::Arc;
use std::time::Duration;

use rarest_metainfo::{Bitfield, Geometry, InfoHash, PeerId};

use crate::extension::{Extension, Extensions};
use crate::limits::{MAX_INCOMING_REQUESTS, REQUEST_TIMEOUT};

/// What all connections of a client have in common. Share it behind an `Arc`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Our name for ourselves. A peer with the same is us.
    pub peer_id: PeerId,
    /// Name and version of the client, for the extension handshake (BEP 10, `v`).
    pub client: Option<String>,
    /// The port on which we listen for peers (BEP 10, `p`).
    pub listen_port: Option<u16>,
    /// The UDP port of our DHT node, told to peers that have one (BEP 5).
    pub dht_port: Option<u16>,
    /// The extensions that the owner answers (BEP 10, `m`). `lt_donthave` is answered by the connection itself.
    pub extensions: Extensions,
    /// Requests that a peer may leave unanswered (BEP 10, `reqq`). Not under 250, which peers take for granted.
    pub max_incoming_requests: u32,
    /// A request is returned when for so long no block came and it was not answered.
    pub request_timeout: Duration,
}

impl Config {
    /// A configuration for a client of that name, without ports and further extensions.
    #[must_use]
    pub fn new(peer_id: PeerId) -> Self {
        Self {
            peer_id,
            client: None,
            listen_port: None,
            dht_port: None,
            extensions: Extensions::only([Extension::DontHave]),
            max_incoming_requests: MAX_INCOMING_REQUESTS,
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// The swarm that a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SwarmId {
    /// What stands in the handshake.
    pub info_hash: InfoHash,
    /// The v2 swarm of a hybrid torrent whose v1 swarm is `info_hash`: a peer that knows both may answer with this
    /// one ([BEP 52](https://www.bittorrent.org/beps/bep_0052.html), "upgrade path").
    pub upgrade: Option<InfoHash>,
}

/// The swarm of that info-hash, for good.
impl From<InfoHash> for SwarmId {
    fn from(info_hash: InfoHash) -> Self {
        Self {
            info_hash,
            upgrade: None,
        }
    }
}

/// Our side of the torrent that a connection is about, at the moment it is accepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LocalTorrent {
    /// The swarm in which the peers meet.
    pub swarm: SwarmId,
    /// What there is, and what of it we have. `None` until the metadata of a magnet link is known.
    pub pieces: Option<LocalPieces>,
    /// Length of the info dictionary in bytes, when we can serve it (BEP 9).
    pub metadata_size: Option<u32>,
    /// Whether we want anything of peers (BEP 21).
    pub role: Role,
    /// Whether peers may be told of it.
    pub privacy: Privacy,
}

/// The pieces of a torrent, and those that we have.
#[derive(Clone, Debug)]
pub struct LocalPieces {
    /// The piece space.
    pub geometry: Arc<Geometry>,
    /// What we have verified, and so what the peer may request.
    pub have: Bitfield,
}

/// What we are in a swarm.
///
/// Source: [BEP 21](https://www.bittorrent.org/beps/bep_0021.html).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// We may still want pieces.
    #[default]
    Downloader,
    /// We want none, complete or not.
    UploadOnly,
}

/// Who may tell of the peers of a torrent.
///
/// Source: [BEP 27](https://www.bittorrent.org/beps/bep_0027.html).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privacy {
    /// Anybody.
    #[default]
    Public,
    /// Its trackers alone: a connection offers no `ut_pex`, hears none, and does not tell the port of our DHT node.
    Private,
}

impl Privacy {
    /// What may be spoken of `all` in such a swarm.
    pub(super) fn allowed(self, all: Extensions) -> Extensions {
        match self {
            Self::Public => all,
            Self::Private => all.without(Extensions::only([Extension::Pex])),
        }
    }
}

impl LocalTorrent {
    /// A torrent whose pieces are known.
    #[must_use]
    pub fn new(swarm: impl Into<SwarmId>, geometry: Arc<Geometry>, have: Bitfield) -> Self {
        Self {
            pieces: Some(LocalPieces { geometry, have }),
            ..Self::without_metadata(swarm)
        }
    }

    /// A torrent of which only the info-hash is known.
    #[must_use]
    pub fn without_metadata(swarm: impl Into<SwarmId>) -> Self {
        Self {
            swarm: swarm.into(),
            pieces: None,
            metadata_size: None,
            role: Role::Downloader,
            privacy: Privacy::Public,
        }
    }
}
