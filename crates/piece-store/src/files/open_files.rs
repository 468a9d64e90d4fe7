//! A bounded set of open files, shared by all torrents of a process.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// How many files stay open when nothing else is said. Systems give a process 1,024 descriptors or fewer by
/// default, and sockets need most of them.
pub const DEFAULT_OPEN_FILES: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");

/// What an open file may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Keeps the files that were used last open, up to a limit.
///
/// One set serves any number of torrents, so that thousands of them need no more descriptors than one.
/// A file in use may stay open beyond the limit for as long as the call takes that uses it.
pub struct OpenFiles {
    limit: NonZeroUsize,
    owners: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    files: HashMap<Key, Entry>,
    /// Counts uses: the entry with the smallest number was used longest ago.
    uses: u64,
    /// What `uses` was at the last sweep.
    swept: u64,
}

/// Which storage a file belongs to, and which of its files it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) owner: u64,
    pub(crate) file: u32,
}

struct Entry {
    file: Arc<File>,
    access: Access,
    last_use: u64,
}

impl OpenFiles {
    /// Keeps at most `limit` files open.
    #[must_use]
    pub fn new(limit: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            owners: AtomicU64::new(0),
            open: Mutex::default(),
        })
    }

    /// Number of files that are kept open now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().files.len()
    }

    /// Closes every file that was not used since the last call. Called once a minute or so, it lets an idle
    /// torrent hold no file open.
    pub fn close_unused(&self) {
        let mut open = self.lock();
        let swept = open.swept;
        open.files.retain(|_, entry| entry.last_use > swept);
        open.swept = open.uses;
    }

    /// A number for a storage that shares the set.
    pub(crate) fn new_owner(&self) -> u64 {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }

    /// The open file of `key`, if it is open.
    pub(crate) fn opened(&self, key: Key) -> Option<Arc<File>> {
        self.lock().find(key, Access::Read)
    }

    /// The open file of `key`, opened by `open_file` when it is not open for that `access` yet.
    pub(crate) fn get(
        &self,
        key: Key,
        access: Access,
        open_file: impl Fn() -> io::Result<File>,
    ) -> io::Result<Arc<File>> {
        if let Some(file) = self.lock().find(key, access) {
            return Ok(file);
        }
        // Opened without the lock: a slow disk must not hold up other torrents.
        let file = match open_file() {
            Err(error) if is_out_of_descriptors(&error) => {
                self.lock().close_oldest_half();
                open_file()
            }
            result => result,
        };
        let file = Arc::new(file?);
        let mut open = self.lock();
        if let Some(other) = open.find(key, access) {
            return Ok(other);
        }
        while open.files.len() >= self.limit.get() && !open.files.contains_key(&key) {
            open.close_oldest();
        }
        open.uses += 1;
        let entry = Entry {
            file: Arc::clone(&file),
            access,
            last_use: open.uses,
        };
        open.files.insert(key, entry);
        Ok(file)
    }

    pub(crate) fn close(&self, key: Key) {
        self.lock().files.remove(&key);
    }

    pub(crate) fn close_all_of(&self, owner: u64) {
        self.lock().files.retain(|key, _| key.owner != owner);
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn find(&mut self, key: Key, access: Access) -> Option<Arc<File>> {
        let entry = self
            .files
            .get_mut(&key)
            .filter(|entry| entry.access >= access)?;
        self.uses += 1;
        entry.last_use = self.uses;
        Some(Arc::clone(&entry.file))
    }

    /// A scan, but only when a file was just opened, which takes far longer.
    fn close_oldest(&mut self) {
        let oldest = self.files.iter().min_by_key(|(_, entry)| entry.last_use);
        if let Some((&key, _)) = oldest {
            self.files.remove(&key);
        }
    }

    fn close_oldest_half(&mut self) {
        let mut last_uses: Vec<_> = self.files.values().map(|entry| entry.last_use).collect();
        last_uses.sort_unstable();
        if let Some(&median) = last_uses.get(last_uses.len() / 2) {
            self.files.retain(|_, entry| entry.last_use > median);
        }
    }
}

impl fmt::Debug for OpenFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenFiles({} of {})", self.count(), self.limit)
    }
}

#[cfg(unix)]
fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

#[cfg(not(unix))]
fn is_out_of_descriptors(_: &io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn key(file: u32) -> Key {
        Key { owner: 0, file }
    }

    #[test]
    fn no_more_files_are_open_than_the_limit() {
        let open = OpenFiles::new(NonZeroUsize::new(3).unwrap());
        for file in 0..10 {
            open.get(key(file), Access::Read, tempfile::tempfile)
                .unwrap();
            assert!(open.count() <= 3);
        }
        let opened = Cell::new(0);
        let count = || {
            opened.set(opened.get() + 1);
            tempfile::tempfile()
        };
        open.get(key(9), Access::Read, count).unwrap();
        assert_eq!(opened.get(), 0, "the file used last is still open");
        open.get(key(0), Access::Read, count).unwrap();
        assert_eq!(opened.get(), 1, "the file used first was closed");
    }

    #[test]
    fn a_file_open_for_reading_is_opened_again_for_writing() {
        let open = OpenFiles::new(DEFAULT_OPEN_FILES);
        let read = open.get(key(0), Access::Read, tempfile::tempfile).unwrap();
        let write = open.get(key(0), Access::Write, tempfile::tempfile).unwrap();
        assert!(!Arc::ptr_eq(&read, &write));
        let again = open.get(key(0), Access::Read, tempfile::tempfile).unwrap();
        assert!(Arc::ptr_eq(&write, &again));
        assert_eq!(open.count(), 1);
    }

    #[test]
    fn files_not_used_between_two_sweeps_are_closed() {
        let open = OpenFiles::new(DEFAULT_OPEN_FILES);
        open.get(key(0), Access::Read, tempfile::tempfile).unwrap();
        open.get(key(1), Access::Read, tempfile::tempfile).unwrap();
        open.close_unused();
        open.get(key(1), Access::Read, tempfile::tempfile).unwrap();
        open.close_unused();
        assert_eq!(open.count(), 1);
        open.close_unused();
        assert_eq!(open.count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn when_the_system_has_no_descriptor_left_half_of_them_are_given_back() {
        let open = OpenFiles::new(DEFAULT_OPEN_FILES);
        for file in 0..8 {
            open.get(key(file), Access::Read, tempfile::tempfile)
                .unwrap();
        }
        let full = || match open.count() {
            8 => Err(rustix::io::Errno::MFILE.into()),
            _ => tempfile::tempfile(),
        };
        open.get(key(8), Access::Read, full).unwrap();
        assert!(open.count() < 8);
    }
}
