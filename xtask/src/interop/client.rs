//! What the matrix asks of a client, whoever wrote it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::payload::{Payload, Torrent};
use super::tracker::Scheme;

/// What a client is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Serve the complete files.
    Seed,
    /// Fetch what is missing.
    Download,
}

/// What a client is given of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The `.torrent`.
    File,
    /// The `.torrent` without piece layers, which peers must give.
    Bare,
    /// A magnet link with all info-hashes.
    Magnet,
    /// A magnet link with the v2 info-hash alone.
    V2Magnet,
    /// A magnet link with all info-hashes and no tracker.
    TrackerlessMagnet,
}

impl Form {
    /// How rows are called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Bare => "bare",
            Self::Magnet => "magnet",
            Self::V2Magnet => "v2-magnet",
            Self::TrackerlessMagnet => "trackerless-magnet",
        }
    }
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// As ours does it when nothing is said; other clients that have a choice do without.
    Default,
    /// All are, with RC4. Who speaks otherwise is not spoken to.
    Required,
}

/// How a client finds others, beside the trackers of its torrent. Not all clients know all ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It does not.
    Tracker,
    /// It tells the local network, and listens to it (BEP 14).
    LocalNetwork,
    /// It is told of one, by its port on this machine; who that is may tell of others (BEP 11).
    Acquaintance(u16),
}

/// Which part a client takes in the DHT, at the port of the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DhtPart {
    /// None.
    None,
    /// It begins at the node with this port.
    From(u16),
}

/// One start of a client.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) goal: Goal,
    pub(crate) torrent: Torrent,
    /// What it is given of the torrent.
    pub(crate) form: Form,
    /// Folder of the payload.
    pub(crate) data: PathBuf,
    /// Folder for settings and logs.
    pub(crate) scratch: PathBuf,
    /// The port that the client listens on.
    pub(crate) port: u16,
    /// Its part in the DHT.
    pub(crate) dht: DhtPart,
    /// Bytes a second that it may send; without a limit if absent.
    pub(crate) upload_limit: Option<u64>,
    /// Bytes a second that it may receive; without a limit if absent.
    pub(crate) download_limit: Option<u64>,
    pub(crate) finding: Finding,
    pub(crate) encryption: Encryption,
    /// The authority that signed the tracker's certificate.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Job {
    /// What the client is started with: a path, or a magnet link.
    pub(crate) fn what(&self) -> Result<OsString> {
        let beside = |ending: &str| {
            let mut path = self.torrent.path.clone().into_os_string();
            path.push(ending);
            path
        };
        let read = |ending: &str| -> Result<OsString> {
            let link = fs::read_to_string(beside(ending))?;
            Ok(link.trim().into())
        };
        match self.form {
            Form::File => Ok(self.torrent.path.clone().into_os_string()),
            Form::Bare => Ok(beside(".bare")),
            Form::Magnet => read(".magnet"),
            Form::V2Magnet => read(".v2-magnet"),
            Form::TrackerlessMagnet => {
                let link = fs::read_to_string(beside(".magnet"))?;
                let (hashes, _tracker) =
                    link.split_once("&tr=").context("a link with a tracker")?;
                Ok(hashes.into())
            }
        }
    }
}

/// A client that other clients trade with.
pub(crate) trait Client: Sync {
    fn name(&self) -> &'static str;

    /// The programs it needs, each with the Debian package that brings it.
    fn needs(&self) -> &'static [(&'static str, &'static str)];

    /// Whether it can trade such torrents.
    fn can(&self, payload: Payload) -> bool;

    /// Whether it has trackers over UDP without a DHT.
    fn announces_over_udp(&self) -> bool {
        true
    }

    /// The protocol to announce over, where `wanted` is what the row is about.
    fn scheme(&self, wanted: Scheme) -> Scheme {
        match wanted {
            Scheme::Udp if !self.announces_over_udp() => Scheme::Http,
            wanted => wanted,
        }
    }

    /// Whether it dials 127.0.0.1. One that does not must be dialled.
    fn dials_loopback(&self) -> bool {
        true
    }

    /// The command that creates a torrent at `out` of the payload at `path`; absent where nobody asks for it.
    fn create(&self, _payload: Payload, _path: &Path, _out: &Path) -> Option<Command> {
        None
    }

    /// The command that asks the DHT, beginning at `bootstrap`; absent where nobody asks for it.
    fn ask_dht(&self, _bootstrap: &str, _arguments: &[&str]) -> Option<Command> {
        None
    }

    /// Starts it.
    fn start(&self, job: &Job) -> Result<Box<dyn Running>>;
}

/// A client at work. Dropping it kills it.
pub(crate) trait Running {
    /// Whether everything is there: a download has finished, a seed has found its files complete.
    fn is_complete(&mut self) -> Result<bool>;

    /// Has it end properly, with all it fetched on disk.
    fn stop(&mut self) -> Result<()>;

    /// Bytes of payload sent, when the client tells (after [`Running::stop`]).
    fn uploaded(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// Text for a file of settings.
pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}
