//! Which files are wanted.

use std::sync::{MutexGuard, PoisonError};

use rarest_metainfo::{Bitfield, File, FileIndex};

use super::PieceStore;
use crate::{Storage, StoreError};

impl<S: Storage> PieceStore<S> {
    /// Wants files again. Bytes of them that came with pieces of other files move to their place.
    ///
    /// # Errors
    /// The first [`StoreError`]; that file, and those behind it, are as they were.
    pub fn want(&self, files: impl IntoIterator<Item = FileIndex>) -> Result<(), StoreError> {
        for file in files {
            // No stamp is taken while a file moves. One that is known stays: it is of a file that stands in its place
            // already, so that what moves changes it only if somebody else removed it.
            let _writing = self.begin_writing();
            self.storage.want(file)?;
            self.wanted_files()[file.as_usize()] = true;
        }
        Ok(())
    }

    /// Wants files no longer. Those that do not exist will not be created; those that do stay.
    ///
    /// # Errors
    /// The first [`StoreError`]; that file, and those behind it, are as they were.
    pub fn skip(&self, files: impl IntoIterator<Item = FileIndex>) -> Result<(), StoreError> {
        for file in files {
            self.stamps().remove(&file);
            self.storage.skip(file)?;
            self.wanted_files()[file.as_usize()] = false;
        }
        Ok(())
    }

    /// Brings together what an earlier run left in two places.
    ///
    /// A selection that changed after the last resume data was saved is unknown now, but what was verified must be found.
    pub(super) fn want_wanted_files(&self) -> Result<(), StoreError> {
        let metainfo = self.metainfo();
        let files = metainfo.info().files().map(File::index);
        self.want(files.filter(|&file| self.is_wanted(file)))
    }

    /// Whether a file is wanted.
    #[must_use]
    pub fn is_wanted(&self, file: FileIndex) -> bool {
        self.wanted_files()[file.as_usize()]
    }

    /// The pieces that hold bytes of wanted files. Pieces of nothing but padding are in nobody's way and are not among them.
    #[must_use]
    pub fn wanted_pieces(&self) -> Bitfield {
        let metainfo = self.metainfo();
        let mut pieces = Bitfield::empty(&self.geometry);
        for file in metainfo.info().files() {
            if file.is_padding() || !self.is_wanted(file.index()) {
                continue;
            }
            for piece in metainfo.info().pieces_of(file.index()) {
                pieces.insert(piece);
            }
        }
        pieces
    }

    /// Creates what no piece fills: empty files and symbolic links (BEP 47), of the files that are wanted.
    ///
    /// # Errors
    /// The first [`StoreError`]; the others are created all the same.
    pub fn create_empty_files(&self) -> Result<(), StoreError> {
        let metainfo = self.metainfo();
        let mut first_error = None;
        for file in metainfo.info().files() {
            if file.length() > 0 || file.is_padding() || !self.is_wanted(file.index()) {
                continue;
            }
            if let Err(error) = self.storage.create(file.index()) {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    pub(super) fn wanted_files(&self) -> MutexGuard<'_, Box<[bool]>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
