//! What can go wrong, by whose fault it is.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rarest_metainfo::MetainfoError;
use rarest_piece_store::StoreError;
use rarest_tracker::TrackerUrlError;
use rarest_tracker::client::HttpConfigError;
use rarest_web_seed::InvalidWebSeed;

use crate::TorrentId;

/// Why a session could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another program listens there already.
    #[error("{address} is in use by another program; choose another port, or 0 for any")]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened at.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No address was given.
    #[error("no address to listen at was given")]
    NoListenAddress,
    /// A folder does not exist and cannot be made, or is none.
    #[error("the folder {} cannot be used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("no thread for the disk could be started")]
    Thread(#[source] io::Error),
    /// The root certificates for trackers cannot be used.
    #[error("the client for HTTP trackers cannot be set up")]
    HttpClient(#[source] HttpConfigError),
    /// No socket for UDP trackers can be opened.
    #[error("no socket for UDP trackers can be opened")]
    UdpClient(#[source] io::Error),
}

/// Why a torrent could not be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The session has it already, or another torrent of the same swarm.
    #[error("the torrent {0} was added before")]
    AlreadyAdded(TorrentId),
    /// A file was selected that the torrent does not have.
    #[error("there is no file {index}: the torrent has {count}")]
    NoSuchFile {
        /// The number that was asked for.
        index: usize,
        /// Number of files of the torrent.
        count: usize,
    },
    /// The session is shut down.
    #[error("the session is shut down")]
    ShutDown,
}

/// The torrent that a handle stands for is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Gone {
    /// It was removed from the session.
    #[error("the torrent was removed from the session")]
    Removed,
    /// The session was shut down.
    #[error("the session is shut down")]
    ShutDown,
}

/// Why a command to a torrent was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The torrent is no longer there.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The torrent has no such file.
    #[error("there is no file {index}: the torrent has {count}")]
    NoSuchFile {
        /// The number that was named.
        index: usize,
        /// Number of files of the torrent.
        count: usize,
    },
    /// It is not known what the torrent is: the metadata of the magnet link is not there yet.
    #[error("the metadata of the magnet link is not there yet")]
    MetadataMissing,
    /// The storage failed.
    #[error(transparent)]
    Storage(StoreError),
    /// A tracker's URL is none.
    #[error("{url:?} is no tracker's URL: {error}")]
    TrackerUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        error: TrackerUrlError,
    },
    /// A web seed's URL is none.
    #[error("{url:?} is no web seed's URL: {error}")]
    WebSeedUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        error: InvalidWebSeed,
    },
}

/// Why a download did not complete, so far.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Incomplete {
    /// Nothing was downloaded for as long as the session was told to wait. The torrent goes on trying.
    #[error("nothing was downloaded for {} s: {cause}", waited.as_secs())]
    Stalled {
        /// How long nothing was downloaded.
        waited: Duration,
        /// What it lacks.
        cause: StallCause,
    },
    /// The storage failed in a way that waiting does not mend. The torrent keeps trying, in growing intervals, unless it was told that the
    /// storage is [given up](crate::TorrentEvent::StorageGivenUp).
    #[error(transparent)]
    Storage(StoreError),
    /// The metainfo of the v2 torrent lacks piece layers (BEP 52), so that these pieces could not be told from garbage. All others that
    /// are wanted are there. For as long as the session was told to wait, no peer gave the hashes. The torrent goes on asking.
    #[error(
        "{pieces} pieces cannot be verified: the metainfo lacks their hashes, and no peer gives them; add the torrent from a file with all piece layers"
    )]
    HashesMissing {
        /// Number of wanted pieces whose hash is not known.
        pieces: u32,
    },
    /// What the magnet link names is no torrent that can be used: its metadata came, and is what the link says.
    #[error("the magnet link names no torrent that can be used")]
    Metadata(#[source] MetainfoError),
    /// The magnet link names a hybrid torrent, as its metadata says, which the session has already.
    #[error("the torrent {0} was added before")]
    AlreadyAdded(TorrentId),
    /// The torrent was removed from the session.
    #[error("the torrent was removed from the session")]
    Removed,
    /// The session was shut down.
    #[error("the session is shut down")]
    ShutDown,
}

/// What a torrent that makes no progress lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StallCause {
    /// No peer is connected.
    NoPeers,
    /// Peers are connected, but none has sent the metadata of the magnet link.
    MetadataUnavailable,
    /// Peers are connected, but between them they lack pieces that are wanted.
    PiecesUnavailable,
    /// Peers are connected that have what is wanted, but do not send it.
    PeersSilent,
    /// The disk is full.
    DiskFull,
    /// The storage fails for another reason.
    StorageFailed,
}

impl std::fmt::Display for StallCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoPeers => "no peer is connected",
            Self::MetadataUnavailable => "no connected peer sends the metadata",
            Self::PiecesUnavailable => "no connected peer has the pieces that are missing",
            Self::PeersSilent => "the connected peers send nothing",
            Self::DiskFull => "the disk is full",
            Self::StorageFailed => "the storage fails",
        })
    }
}

/// Why [`Session::shutdown`](crate::Session::shutdown) was not clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// Something did not end within the grace time: a tracker that does not answer, or a disk that hangs.
    /// Connections were closed all the same; resume data may be as old as its last save.
    #[error("not everything ended within {} ms", grace.as_millis())]
    GraceExceeded {
        /// The time that was given.
        grace: Duration,
    },
}
