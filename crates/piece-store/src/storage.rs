//! The one interface to whatever keeps the bytes.

use std::{
    fmt,
    io::{IoSlice, IoSliceMut},
    ops::Range,
    sync::Arc,
};

use rarest_metainfo::FileIndex;

use crate::StoreError;

/// Where the bytes of one torrent are kept: blocking, positioned and vectored.
///
/// Every method may be called from several threads at once. Padding files are never asked for. The ranges
/// lie inside the files, and calls that write never overlap each other.
///
/// Only reading and writing must be implemented. The other methods have meanings that suit a place without
/// files; [`FileStorage`](crate::FileStorage) implements all of them.
pub trait Storage: Send + Sync + 'static {
    /// Fills all of `buffers` from `file`, beginning at `offset`.
    ///
    /// The order of `buffers` is that of the bytes; what they hold afterwards besides the bytes read is
    /// not specified, as the slices may be advanced.
    ///
    /// # Errors
    /// [`StoreError`]; [`Fault::Truncated`](crate::Fault::Truncated) when the file ends before the buffers are full.
    fn read_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<(), StoreError>;

    /// The same, if it can be done without waiting for a device: the bytes are in memory, as those are that were read or written lately.
    ///
    /// What stands in the way is not told; [`read_at`](Self::read_at) says it.
    fn try_read_at(&self, file: FileIndex, offset: u64, buffers: &mut [IoSliceMut<'_>]) -> TryRead {
        let _ = (file, offset, buffers);
        TryRead::WouldWait
    }

    /// Writes all of `buffers` to `file`, beginning at `offset`. The slices may be advanced.
    ///
    /// # Errors
    /// [`StoreError`]; the range then holds anything.
    fn write_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSlice<'_>],
    ) -> Result<(), StoreError>;

    /// Makes all that was written survive a power failure.
    ///
    /// # Errors
    /// [`StoreError`] when that failed: what was written since the last success, to the file that the error names or to any if it names
    /// none, may be gone. From then on reads answer with what is kept, as far as the system tells, and not with what was to be written.
    /// Of [`Operation::Open`](crate::Operation::Open) when nothing was tried, so that nothing is lost.
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What is in a range of a file, as far as that is known without reading it.
    ///
    /// # Errors
    /// [`StoreError`] when the file exists but cannot be looked at.
    fn presence(&self, file: FileIndex, range: Range<u64>) -> Result<Presence, StoreError> {
        let _ = (file, range);
        Ok(Presence::Data)
    }

    /// Size and time of the last change of a file, by which a change from outside is noticed. `None` when the
    /// file does not exist, or when the storage does not outlive the process.
    ///
    /// A write that follows this call changes the answer.
    ///
    /// # Errors
    /// [`StoreError`] when the file exists but cannot be looked at.
    fn stamp(&self, file: FileIndex) -> Result<Option<Stamp>, StoreError> {
        let _ = file;
        Ok(None)
    }

    /// Creates a file that no piece fills: an empty one or a symbolic link (BEP 47).
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be created.
    fn create(&self, file: FileIndex) -> Result<(), StoreError> {
        let _ = file;
        Ok(())
    }

    /// Says that a file is wanted: bytes of it that were kept elsewhere, in this run or an earlier one, go to their place.
    ///
    /// # Errors
    /// [`StoreError`] when bytes that were kept elsewhere cannot be moved; they stay where they were.
    fn want(&self, file: FileIndex) -> Result<(), StoreError> {
        let _ = file;
        Ok(())
    }

    /// Says that a file is not wanted: if it does not exist, bytes of it are kept elsewhere from now on.
    ///
    /// # Errors
    /// [`StoreError`] when the file exists but cannot be looked at.
    fn skip(&self, file: FileIndex) -> Result<(), StoreError> {
        let _ = file;
        Ok(())
    }

    /// Lets go of every descriptor. The next call that needs one opens it again.
    fn close(&self) {}

    /// Deletes the torrent's own files, and the folders that are empty then.
    ///
    /// # Errors
    /// The first [`StoreError`]; the other files are deleted all the same.
    fn delete(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What became of a read that may not wait for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRead {
    /// All was read.
    Done,
    /// It would have to wait, or may have to. What the buffers hold is not specified.
    WouldWait,
}

/// What is known about a range of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// At least a part of the range does not exist.
    Absent,
    /// All of the range reads as zeros, because nothing was ever written there.
    Hole,
    /// There is something to read.
    Data,
}

/// Size and time of a file: when both are as they were, its content is too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Length in bytes.
    pub length: u64,
    /// Last change, in nanoseconds since the beginning of 1970.
    pub modified_ns: i64,
}

macro_rules! forward {
    ($($pointer:ident),*) => {$(
        impl<S: Storage + ?Sized> Storage for $pointer<S> {
            fn read_at(
                &self,
                file: FileIndex,
                offset: u64,
                buffers: &mut [IoSliceMut<'_>],
            ) -> Result<(), StoreError> {
                (**self).read_at(file, offset, buffers)
            }

            fn try_read_at(
                &self,
                file: FileIndex,
                offset: u64,
                buffers: &mut [IoSliceMut<'_>],
            ) -> TryRead {
                (**self).try_read_at(file, offset, buffers)
            }

            fn write_at(
                &self,
                file: FileIndex,
                offset: u64,
                buffers: &mut [IoSlice<'_>],
            ) -> Result<(), StoreError> {
                (**self).write_at(file, offset, buffers)
            }

            fn sync(&self) -> Result<(), StoreError> {
                (**self).sync()
            }

            fn presence(&self, file: FileIndex, range: Range<u64>) -> Result<Presence, StoreError> {
                (**self).presence(file, range)
            }

            fn stamp(&self, file: FileIndex) -> Result<Option<Stamp>, StoreError> {
                (**self).stamp(file)
            }

            fn create(&self, file: FileIndex) -> Result<(), StoreError> {
                (**self).create(file)
            }

            fn want(&self, file: FileIndex) -> Result<(), StoreError> {
                (**self).want(file)
            }

            fn skip(&self, file: FileIndex) -> Result<(), StoreError> {
                (**self).skip(file)
            }

            fn close(&self) {
                (**self).close();
            }

            fn delete(&self) -> Result<(), StoreError> {
                (**self).delete()
            }
        }
    )*};
}

forward!(Box, Arc);

impl fmt::Debug for dyn Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dyn Storage")
    }
}
