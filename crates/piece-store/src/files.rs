//! A torrent that is kept in files, as its metainfo names them.

mod folder;
mod layout;
mod open_files;
mod parts;
mod placing;
mod positioned;
mod relocate;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, UNIX_EPOCH},
};

use rarest_metainfo::{FileIndex, Metainfo};

use crate::{Fault, Operation, Presence, Stamp, Storage, StoreError, TryRead};
use folder::{Entry, Folder};
use layout::{FileKind, Layout};
use open_files::{Access, Key};
use placing::{Place, Placing};

pub use open_files::{DEFAULT_OPEN_FILES, OpenFiles};

/// How the space of a file is taken when the file is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allocation {
    /// The file has its length at once, and takes space as pieces arrive.
    #[default]
    Sparse,
    /// All space is taken at once: less fragments, and a full disk is noticed before the download.
    /// Where the file system cannot do that, the file is sparse.
    Full,
}

/// Keeps a torrent in the files that its metainfo names, below a folder.
///
/// - Files and folders are created when the first byte is written to them. A file has its full length from then on;
///   one that is longer is cut when the torrent first writes to it.
/// - No symbolic link below the folder is ever followed.
/// - What belongs to files that are not wanted goes to one hidden file, `.<info-hash>.parts`.
/// - Descriptors are those of an [`OpenFiles`], which any number of torrents share.
pub struct FileStorage {
    layout: Layout,
    allocation: Allocation,
    open: Arc<OpenFiles>,
    owner: u64,
    /// Held for reading by everything that reads and writes, for writing by what moves files.
    placing: RwLock<Placing>,
    changes: Mutex<Changes>,
    /// Held while files are synced: who finds nothing left to sync has waited for those that another thread syncs.
    syncing: Mutex<()>,
    /// Held by whoever gives a file its length.
    lengthening: Mutex<()>,
    /// Held while bytes go to a file, by its number. The system lets one thread at a time write to it, and those that wait there burn a
    /// core while they do. What they do beside writing, which is hashing, they can do at the same time.
    writing: [Mutex<()>; WRITING_LOCKS],
}

/// Files that can be written to at the same time, at least where they are neighbours: more than there are threads that write.
const WRITING_LOCKS: usize = 16;

/// What was done to the files, by their number.
#[derive(Default)]
struct Changes {
    /// Written since the last sync.
    unsynced: BTreeSet<u32>,
    /// Brought to full length by us, so that a shorter one was cut by somebody else.
    full_length: BTreeSet<u32>,
    /// The stamp that was given out, until a write is known to have changed it.
    stamps: BTreeMap<u32, Stamp>,
}

impl FileStorage {
    /// The files of `metainfo` below `folder`, which need not exist yet. Nothing is touched until it is needed.
    #[must_use]
    pub fn new(metainfo: &Metainfo, folder: impl Into<PathBuf>, open: Arc<OpenFiles>) -> Self {
        let layout = Layout::new(metainfo);
        Self {
            allocation: Allocation::default(),
            owner: open.new_owner(),
            open,
            placing: RwLock::new(Placing::new(Folder::new(folder.into()), &layout)),
            layout,
            changes: Mutex::default(),
            syncing: Mutex::default(),
            lengthening: Mutex::default(),
            writing: Default::default(),
        }
    }

    /// The same, with another way to take space.
    #[must_use]
    pub fn with_allocation(mut self, allocation: Allocation) -> Self {
        self.allocation = allocation;
        self
    }

    /// Where a file lies, or would.
    ///
    /// # Panics
    /// When the file is of another torrent.
    #[must_use]
    pub fn path(&self, file: FileIndex) -> PathBuf {
        let path = &self.layout.file(file.get()).path;
        self.placing().folder.path(path)
    }

    fn placing(&self) -> RwLockReadGuard<'_, Placing> {
        self.placing.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn placing_mut(&self) -> RwLockWriteGuard<'_, Placing> {
        self.placing.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, file: u32) -> Key {
        let owner = self.owner;
        Key { owner, file }
    }

    fn error(
        &self,
        placing: &Placing,
        operation: Operation,
        file: u32,
        fault: impl Into<Fault>,
    ) -> StoreError {
        let path = placing.folder.path(self.layout.path(file));
        let error = StoreError::new(operation, path, fault);
        match self.layout.index(file) {
            Some(index) => error.in_file(index),
            None => error,
        }
    }

    fn open_read(&self, placing: &Placing, file: u32) -> Result<Arc<File>, StoreError> {
        let path = self.layout.path(file);
        self.open
            .get(self.key(file), Access::Read, || placing.folder.open(path))
            .map_err(|error| self.error(placing, Operation::Open, file, error))
    }

    fn open_write(&self, placing: &Placing, file: u32) -> Result<Arc<File>, StoreError> {
        let path = self.layout.path(file);
        let opened = self.open.get(self.key(file), Access::Write, || {
            placing.folder.open_or_create(path)
        });
        opened.map_err(|error| self.error(placing, Operation::Create, file, error))
    }

    /// Opens a file of the torrent for writing; it has its full length afterwards.
    fn open_full_length(&self, placing: &Placing, file: u32) -> Result<Arc<File>, StoreError> {
        let expected = self.layout.file(file).length;
        let opened = self.open_write(placing, file)?;
        let fail = |operation, error: io::Error| self.error(placing, operation, file, error);
        let length = || {
            let metadata = opened.metadata();
            metadata
                .map(|metadata| metadata.len())
                .map_err(|error| fail(Operation::Inspect, error))
        };
        if length()? >= expected && self.changes().full_length.contains(&file) {
            return Ok(opened);
        }
        // One at a time: a file that another thread is just giving its length would be taken for one that was cut.
        let _turn = self
            .lengthening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let actual = length()?;
        let is_new = self.changes().full_length.insert(file);
        if !is_new && actual < expected {
            // Somebody cut it or put another in its place: without this error, pieces that were verified would read
            // as zeros. The next attempt gives the file its length again.
            self.open.close(self.key(file));
            self.changes().full_length.remove(&file);
            let fault = Fault::Truncated { expected, actual };
            return Err(self.error(placing, Operation::Write, file, fault));
        }
        if is_new && actual != expected {
            let allocated = self.allocate(&opened, actual, expected);
            if let Err(error) = allocated {
                self.changes().full_length.remove(&file);
                return Err(fail(Operation::Allocate, error));
            }
        }
        Ok(opened)
    }

    fn allocate(&self, file: &File, actual: u64, expected: u64) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.allocation == Allocation::Full && actual < expected {
            use rustix::{fs::FallocateFlags, io::Errno};
            match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, expected) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(error) => {
                    // What was taken so far would stand in the way of those who free space.
                    file.set_len(actual)?;
                    return Err(error.into());
                }
                Ok(()) => return Ok(()),
            }
        }
        let _ = actual;
        file.set_len(expected)
    }

    /// Cuts a range of a file where pieces do, each with its number and its place in the piece.
    fn by_piece(&self, file: u32, range: Range<u64>) -> impl Iterator<Item = PieceRange> + '_ {
        let piece_length = u64::from(self.layout.piece_length);
        let begin = self.layout.file(file).offset;
        let mut at = begin + range.start;
        let end = begin + range.end;
        std::iter::from_fn(move || {
            (at < end).then(|| {
                let piece = u32::try_from(at / piece_length).expect("pieces are counted by a u32");
                let offset = at % piece_length;
                let length = (piece_length - offset).min(end - at);
                at += length;
                PieceRange {
                    piece,
                    offset,
                    length,
                }
            })
        })
    }

    /// After a write: makes the file's time differ from the one that was given out, even where the system's clock
    /// has not moved since. A restart after a kill would otherwise take the file for unchanged.
    fn change_stamp(&self, file: u32, opened: &File) -> io::Result<()> {
        let Some(given_out) = self.changes().stamps.get(&file).copied() else {
            return Ok(());
        };
        let now = folder::stamp(opened)?;
        let differing = given_out.modified_ns.saturating_add(1);
        if now.modified_ns > differing {
            self.changes().stamps.remove(&file);
        } else if let Ok(nanos) = u64::try_from(differing) {
            opened.set_modified(UNIX_EPOCH + Duration::from_nanos(nanos))?;
        }
        Ok(())
    }
}

/// A part of a piece.
struct PieceRange {
    piece: u32,
    offset: u64,
    length: u64,
}

impl Storage for FileStorage {
    fn read_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<(), StoreError> {
        let placing = self.placing();
        let file = file.get();
        if placing.place(file) == Place::Parts {
            return self.read_parts(&placing, file, offset, buffers);
        }
        let expected = offset
            + buffers
                .iter()
                .map(|buffer| buffer.len() as u64)
                .sum::<u64>();
        let opened = self.open_read(&placing, file).inspect_err(|error| {
            if matches!(error.fault, Fault::Missing) {
                // Noticed and reported here: the next write begins it anew.
                self.changes().full_length.remove(&file);
            }
        })?;
        let length = positioned::read_at(&opened, offset, buffers)
            .map_err(|error| self.error(&placing, Operation::Read, file, error))?;
        if offset + length == expected {
            return Ok(());
        }
        // What was cut may have been replaced too: look at the path again next time.
        self.open.close(self.key(file));
        self.changes().full_length.remove(&file);
        let actual = folder::stamp(&opened).map_or(offset + length, |stamp| stamp.length);
        let fault = Fault::Truncated { expected, actual };
        Err(self.error(&placing, Operation::Read, file, fault))
    }

    fn try_read_at(&self, file: FileIndex, offset: u64, buffers: &mut [IoSliceMut<'_>]) -> TryRead {
        // Files that are just being moved, or are not open, are waited for elsewhere.
        let Ok(placing) = self.placing.try_read() else {
            return TryRead::WouldWait;
        };
        let file = file.get();
        if placing.place(file) == Place::Parts {
            return TryRead::WouldWait;
        }
        let Some(opened) = self.open.opened(self.key(file)) else {
            return TryRead::WouldWait;
        };
        let expected: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        match positioned::read_cached_at(&opened, offset, buffers) {
            Ok(length) if length == expected => TryRead::Done,
            _ => TryRead::WouldWait,
        }
    }

    fn write_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSlice<'_>],
    ) -> Result<(), StoreError> {
        let placing = self.placing();
        let file = file.get();
        if placing.place(file) == Place::Parts {
            return self.write_parts(&placing, file, offset, buffers);
        }
        let opened = self.open_full_length(&placing, file)?;
        self.changes().unsynced.insert(file);
        let turn = &self.writing[file as usize % WRITING_LOCKS];
        let turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let written = positioned::write_at(&opened, offset, buffers);
        drop(turn);
        written
            .and_then(|()| self.change_stamp(file, &opened))
            .map_err(|error| self.error(&placing, Operation::Write, file, error))
    }

    fn sync(&self) -> Result<(), StoreError> {
        let _turn = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let placing = self.placing();
        let unsynced = std::mem::take(&mut self.changes().unsynced);
        let mut failed: Option<StoreError> = None;
        for file in unsynced {
            let synced = match self.open_for_sync(&placing, file) {
                // What is gone cannot be kept; whoever reads it will notice.
                Err(error) if matches!(error.fault, Fault::Missing) => Ok(()),
                Err(error) => Err(error),
                Ok(opened) => opened.sync_all().map_err(|error| {
                    self.open.close(self.key(file));
                    forget_cached(&opened);
                    self.error(&placing, Operation::Sync, file, error)
                }),
            };
            // The others are synced all the same: the system tells of a failure once, and that had better be now.
            if let Err(error) = synced {
                self.changes().unsynced.insert(file);
                failed = Some(match failed {
                    Some(first) => first.beside(error),
                    None => error,
                });
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn presence(&self, file: FileIndex, range: Range<u64>) -> Result<Presence, StoreError> {
        let placing = self.placing();
        let file = file.get();
        if placing.place(file) == Place::Parts {
            let parts = self.parts(&placing)?;
            let mut pieces = self.by_piece(file, range);
            let has_all = pieces.all(|part| parts.position(part.piece).is_some());
            return Ok(if has_all {
                Presence::Data
            } else {
                Presence::Absent
            });
        }
        let opened = match self.open_read(&placing, file) {
            Err(error) if matches!(error.fault, Fault::Missing) => return Ok(Presence::Absent),
            result => result?,
        };
        let stamp = folder::stamp(&opened)
            .map_err(|error| self.error(&placing, Operation::Inspect, file, error))?;
        if stamp.length < range.end {
            return Ok(Presence::Absent);
        }
        Ok(match is_hole(&opened, &range) {
            true => Presence::Hole,
            false => Presence::Data,
        })
    }

    fn stamp(&self, file: FileIndex) -> Result<Option<Stamp>, StoreError> {
        let placing = self.placing();
        let file = match placing.place(file.get()) {
            Place::Own => file.get(),
            Place::Parts => Layout::PARTS,
        };
        let entry = placing
            .folder
            .entry(self.layout.path(file))
            .map_err(|error| self.error(&placing, Operation::Inspect, file, error))?;
        let Some(Entry::File(stamp)) = entry else {
            return Ok(None);
        };
        self.changes().stamps.insert(file, stamp);
        Ok(Some(stamp))
    }

    fn create(&self, file: FileIndex) -> Result<(), StoreError> {
        let placing = self.placing();
        let file = file.get();
        let layout = self.layout.file(file);
        let created = match &layout.kind {
            FileKind::Data if layout.length == 0 => {
                placing.folder.open_or_create(&layout.path).map(drop)
            }
            FileKind::Link { target } => placing.folder.create_link(&layout.path, target),
            FileKind::Data | FileKind::Padding | FileKind::Nothing => Ok(()),
        };
        created.map_err(|error| self.error(&placing, Operation::Create, file, error))
    }

    fn want(&self, file: FileIndex) -> Result<(), StoreError> {
        let mut placing = self.placing_mut();
        match placing.place(file.get()) {
            Place::Own => self.adopt_parts(&mut placing, file.get()),
            Place::Parts => self.move_out_of_parts(&mut placing, file.get()),
        }
    }

    fn skip(&self, file: FileIndex) -> Result<(), StoreError> {
        let mut placing = self.placing_mut();
        let file = file.get();
        let entry = placing
            .folder
            .entry(self.layout.path(file))
            .map_err(|error| self.error(&placing, Operation::Inspect, file, error))?;
        if entry.is_none() {
            self.open.close(self.key(file));
            placing.set_place(file, Place::Parts);
        }
        Ok(())
    }

    fn close(&self) {
        self.open.close_all_of(self.owner);
    }

    fn delete(&self) -> Result<(), StoreError> {
        let mut placing = self.placing_mut();
        self.close();
        *self.changes() = Changes::default();
        self.delete_files(&mut placing)
    }
}

/// After a failed sync: the system may keep what it could not write, and take it for written. What is read from now on is to come from
/// the disk.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn forget_cached(file: &File) {
    // Only advice: where it is not followed, a check may find what a restart of the system will not.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn forget_cached(_: &File) {}

/// Whether nothing was ever written to a range. `false` wherever the system cannot say.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn is_hole(file: &File, range: &Range<u64>) -> bool {
    use rustix::{fs::SeekFrom, io::Errno};
    match rustix::fs::seek(file, SeekFrom::Data(range.start)) {
        Ok(next_data) => next_data >= range.end,
        // There is no data up to the end of the file.
        Err(Errno::NXIO) => true,
        Err(_) => false,
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn is_hole(_: &File, _: &Range<u64>) -> bool {
    false
}

impl Drop for FileStorage {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for FileStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStorage")
            .field("folder", &self.placing().folder)
            .field("files", &self.layout.files.len())
            .finish_non_exhaustive()
    }
}
