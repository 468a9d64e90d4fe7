//! How a torrent is added.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use rarest_metainfo::{Magnet, Metainfo};
use rarest_piece_store::Storage;
use rarest_web_seed::Location;

use crate::session::Shared;
use crate::{AddError, FilePriority, Limits, TorrentHandle};

/// What a torrent is known by.
#[derive(Debug)]
#[non_exhaustive]
pub enum TorrentSource {
    /// A `.torrent` file: everything is known.
    Metainfo(Arc<Metainfo>),
    /// A magnet link: the info dictionary is to be fetched from peers.
    Magnet(Box<Magnet>),
}

impl From<Metainfo> for TorrentSource {
    fn from(metainfo: Metainfo) -> Self {
        Self::Metainfo(Arc::new(metainfo))
    }
}

impl From<Arc<Metainfo>> for TorrentSource {
    fn from(metainfo: Arc<Metainfo>) -> Self {
        Self::Metainfo(metainfo)
    }
}

impl From<Magnet> for TorrentSource {
    fn from(magnet: Magnet) -> Self {
        Self::Magnet(Box::new(magnet))
    }
}

/// What to believe of data that is on the disk when a torrent is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExistingData {
    /// Files whose size and time are as the resume data says are believed; all others are read and checked.
    #[default]
    TrustResume,
    /// Everything is read and checked.
    Check,
    /// Everything is there and right, as the caller knows: nothing is read. A file that is missing or has another length
    /// has all be checked after all.
    Complete,
    /// Nothing is there, or it may be overwritten: nothing is read.
    Ignore,
}

/// Whether a torrent runs once it is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum InitialState {
    #[default]
    Running,
    Paused,
    /// A magnet link is fetched, but nothing of the torrent.
    PausedAtMetadata,
}

/// What is said about a torrent beside what it is.
#[derive(Debug, Default)]
pub(crate) struct AddOptions {
    pub(crate) initial: InitialState,
    pub(crate) output_dir: Option<PathBuf>,
    /// These alone, if it is said which.
    pub(crate) files: Option<Vec<usize>>,
    /// Those of a magnet link, which count unless the caller says which (BEP 53).
    pub(crate) linked_files: Vec<RangeInclusive<u32>>,
    /// How much single files are wanted, whatever else was said.
    pub(crate) priorities: BTreeMap<usize, FilePriority>,
    pub(crate) peers: Vec<SocketAddr>,
    /// Beside those that the torrent names.
    pub(crate) web_seeds: Vec<Location>,
    pub(crate) existing: ExistingData,
    pub(crate) limits: Limits,
    pub(crate) storage: Option<Box<dyn Storage>>,
}

impl AddOptions {
    /// How much each file is wanted; `None` when all are alike. Files that the torrent does not have are left out.
    pub(crate) fn priorities_of(&self, file_count: usize) -> Option<Box<[FilePriority]>> {
        if self.files.is_none() && self.linked_files.is_empty() && self.priorities.is_empty() {
            return None;
        }
        let mut priorities: Box<[_]> = match &self.files {
            Some(files) => {
                let mut priorities = vec![FilePriority::Skip; file_count];
                for &file in files {
                    if let Some(priority) = priorities.get_mut(file) {
                        *priority = FilePriority::Normal;
                    }
                }
                priorities.into()
            }
            None if self.linked_files.is_empty() => vec![FilePriority::Normal; file_count].into(),
            None => {
                let is_linked = |file: &u32| self.linked_files.iter().any(|it| it.contains(file));
                let priority = |file| match is_linked(&file) {
                    true => FilePriority::Normal,
                    false => FilePriority::Skip,
                };
                (0..).map(priority).take(file_count).collect()
            }
        };
        for (&file, &priority) in &self.priorities {
            if let Some(place) = priorities.get_mut(file) {
                *place = priority;
            }
        }
        Some(priorities)
    }
}

/// A torrent that is about to be added: made by [`Session::add`](crate::Session::add), and does nothing until [`start`](Self::start).
#[derive(Debug)]
#[must_use = "a torrent is added by `start`"]
pub struct AddTorrent {
    pub(crate) shared: Arc<Shared>,
    pub(crate) source: TorrentSource,
    pub(crate) options: AddOptions,
}

impl AddTorrent {
    /// Looks at what is on the disk, but moves no data until it is resumed.
    pub fn paused(mut self) -> Self {
        self.options.initial = InitialState::Paused;
        self
    }

    /// Fetches the metadata of a magnet link, and then waits until it is resumed: so that files can be
    /// [chosen](TorrentHandle::set_file_priorities) by somebody who has seen what there is. A torrent whose metadata is known is
    /// [paused](Self::paused) at once.
    pub fn pause_at_metadata(mut self) -> Self {
        self.options.initial = InitialState::PausedAtMetadata;
        self
    }

    /// The folder that the torrent's file, or folder of files, lies in. Made when it is missing. The session's
    /// download folder by default.
    pub fn output_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.options.output_dir = Some(folder.into());
        self
    }

    /// Downloads these files alone, by their number in the torrent. By default those that a magnet link names (BEP 53), or else all.
    ///
    /// Numbers that the torrent of a magnet link turns out not to have are ignored.
    pub fn files(mut self, files: impl IntoIterator<Item = usize>) -> Self {
        self.options.files = Some(files.into_iter().collect());
        self
    }

    /// How much single files are wanted, by their number in the torrent, beside what [`files`](Self::files) says.
    pub fn file_priorities(
        mut self,
        priorities: impl IntoIterator<Item = (usize, FilePriority)>,
    ) -> Self {
        self.options.priorities.extend(priorities);
        self
    }

    /// Peers to dial, beside those that trackers tell.
    pub fn peers(mut self, peers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.options.peers.extend(peers);
        self
    }

    /// What to believe of data that is on the disk.
    pub fn existing_data(mut self, existing: ExistingData) -> Self {
        self.options.existing = existing;
        self
    }

    /// Serves data that is known to be complete and right, without reading it first.
    pub fn seed_mode(self) -> Self {
        self.existing_data(ExistingData::Complete)
    }

    /// The speeds this torrent keeps to. No bound by default.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Keeps the data here rather than in files: in memory, in an archive, in a database.
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.options.storage = Some(Box::new(storage));
        self
    }

    /// Adds the torrent. Returns at once: what is on the disk is looked at, peers are sought, and the metadata of a magnet link is fetched in
    /// the background.
    ///
    /// # Errors
    /// [`AddError`] says why the torrent cannot be added. Trouble with the disk or with trackers is no reason: that is
    /// told by [`events`](TorrentHandle::events) and [`completed`](TorrentHandle::completed).
    pub async fn start(self) -> Result<TorrentHandle, AddError> {
        Shared::add(self)
    }
}
