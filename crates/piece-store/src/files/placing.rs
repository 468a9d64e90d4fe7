//! Where the bytes of each file are: in the file itself, or, while nobody wants it, in the parts file.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    FileStorage,
    folder::{Entry, Folder},
    layout::{FileKind, Layout},
    parts::Parts,
    positioned,
};
use crate::{Fault, Operation, StoreError};

/// Where the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Own,
    Parts,
}

/// Where everything is.
#[derive(Debug)]
pub(super) struct Placing {
    pub(super) folder: Folder,
    places: Box<[Place]>,
    /// Loaded when it is first needed.
    parts: Mutex<Option<Parts>>,
}

impl Placing {
    pub(super) fn new(folder: Folder, layout: &Layout) -> Self {
        Self {
            folder,
            places: vec![Place::Own; layout.files.len()].into(),
            parts: Mutex::default(),
        }
    }

    pub(super) fn place(&self, file: u32) -> Place {
        self.places[file as usize]
    }

    pub(super) fn set_place(&mut self, file: u32, place: Place) {
        self.places[file as usize] = place;
    }

    pub(super) fn forget_parts(&mut self) {
        self.parts = Mutex::default();
    }
}

/// The table of the parts file while it is locked.
pub(super) struct LoadedParts<'a>(MutexGuard<'a, Option<Parts>>);

impl std::ops::Deref for LoadedParts<'_> {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        self.0.as_ref().expect("loaded by `FileStorage::parts`")
    }
}

impl std::ops::DerefMut for LoadedParts<'_> {
    fn deref_mut(&mut self) -> &mut Parts {
        self.0.as_mut().expect("loaded by `FileStorage::parts`")
    }
}

impl FileStorage {
    pub(super) fn parts<'a>(&self, placing: &'a Placing) -> Result<LoadedParts<'a>, StoreError> {
        let mut parts = placing.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.is_none() {
            let Layout {
                piece_length,
                piece_count,
                ..
            } = self.layout;
            *parts = Some(match self.open_read(placing, Layout::PARTS) {
                Ok(file) => Parts::load(&file, piece_length, piece_count)
                    .map_err(|error| self.parts_error(placing, Operation::Read, error))?,
                Err(error) if matches!(error.fault, Fault::Missing) => {
                    Parts::empty(piece_length, piece_count)
                }
                Err(error) => return Err(error),
            });
        }
        Ok(LoadedParts(parts))
    }

    fn parts_error(
        &self,
        placing: &Placing,
        operation: Operation,
        fault: impl Into<Fault>,
    ) -> StoreError {
        self.error(placing, operation, Layout::PARTS, fault)
    }

    /// An open file to sync: systems want one that may be written to.
    pub(super) fn open_for_sync(
        &self,
        placing: &Placing,
        file: u32,
    ) -> Result<Arc<File>, StoreError> {
        if file == Layout::PARTS && self.parts(placing)?.is_empty() {
            return Err(self.parts_error(placing, Operation::Sync, Fault::Missing));
        }
        self.open_read(placing, file)
    }

    pub(super) fn read_parts(
        &self,
        placing: &Placing,
        file: u32,
        mut offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<(), StoreError> {
        let missing = || self.error(placing, Operation::Read, file, Fault::Missing);
        for buffer in buffers {
            let mut rest = &mut buffer[..];
            let range = offset..offset + rest.len() as u64;
            offset = range.end;
            for part in self.by_piece(file, range) {
                let position = self
                    .parts(placing)?
                    .position(part.piece)
                    .ok_or_else(missing)?;
                let (head, tail) = rest.split_at_mut(as_usize(part.length));
                rest = tail;
                let opened = self.open_read(placing, Layout::PARTS)?;
                let mut slices = [IoSliceMut::new(&mut *head)];
                let read = positioned::read_at(&opened, position + part.offset, &mut slices)
                    .map_err(|error| self.parts_error(placing, Operation::Read, error))?;
                // The last slot of the file may not be filled up to its end.
                head[as_usize(read)..].fill(0);
            }
        }
        Ok(())
    }

    pub(super) fn write_parts(
        &self,
        placing: &Placing,
        file: u32,
        mut offset: u64,
        buffers: &[IoSlice<'_>],
    ) -> Result<(), StoreError> {
        let fail = |error: io::Error| self.parts_error(placing, Operation::Write, error);
        let opened = self.open_write(placing, Layout::PARTS)?;
        self.changes().unsynced.insert(Layout::PARTS);
        for buffer in buffers {
            let mut rest = &buffer[..];
            let range = offset..offset + rest.len() as u64;
            offset = range.end;
            for part in self.by_piece(file, range) {
                let position = self
                    .parts(placing)?
                    .take_slot(&opened, part.piece)
                    .map_err(fail)?;
                let (head, tail) = rest.split_at(as_usize(part.length));
                rest = tail;
                positioned::write_at(&opened, position + part.offset, &mut [IoSlice::new(head)])
                    .map_err(fail)?;
            }
        }
        self.change_stamp(Layout::PARTS, &opened).map_err(fail)
    }

    /// Gives a file its place, with all that the parts file has of it.
    ///
    /// The file is made under another name and gets its own when it is complete and synced, so that a kill at any
    /// moment leaves the bytes in one of the two.
    pub(super) fn move_out_of_parts(
        &self,
        placing: &mut Placing,
        file: u32,
    ) -> Result<(), StoreError> {
        let held = match self.layout.pieces(file) {
            Some(pieces) => self.parts(placing)?.pieces(pieces),
            None => Vec::new(),
        };
        if !held.is_empty() && self.layout.file(file).kind == FileKind::Data {
            self.fill_from_parts(placing, file, &held)?;
        }
        placing.set_place(file, Place::Own);
        self.release_slots(placing, &held)
    }

    /// Gives a file that does not exist what the parts file has of it: an earlier run did not want it, and was
    /// killed before it could tell anybody.
    pub(super) fn adopt_parts(&self, placing: &mut Placing, file: u32) -> Result<(), StoreError> {
        let Some(pieces) = self.layout.pieces(file) else {
            return Ok(());
        };
        let held = self.parts(placing)?.pieces(pieces);
        if held.is_empty() || self.layout.file(file).kind != FileKind::Data {
            return Ok(());
        }
        if self.exists(placing, file)? {
            return self.release_slots(placing, &held);
        }
        self.open.close(self.key(file));
        placing.set_place(file, Place::Parts);
        self.move_out_of_parts(placing, file)
    }

    fn fill_from_parts(
        &self,
        placing: &Placing,
        file: u32,
        held: &[u32],
    ) -> Result<(), StoreError> {
        let layout = self.layout.file(file);
        let fail = |error: io::Error| self.error(placing, Operation::Move, file, error);
        let target = match placing.folder.entry(&layout.path).map_err(fail)? {
            // Somebody put one there meanwhile.
            Some(Entry::File(_)) => layout.path.clone(),
            Some(_) => return Err(self.error(placing, Operation::Create, file, Fault::Obstructed)),
            None => self.layout.temporary(file),
        };
        let opened = placing.folder.open_or_create(&target).map_err(fail)?;
        let actual = opened.metadata().map_err(fail)?.len();
        self.allocate(&opened, actual, layout.length)
            .map_err(fail)?;
        let mut buffer = Vec::new();
        for part in self.by_piece(file, 0..layout.length) {
            if held.binary_search(&part.piece).is_err() {
                continue;
            }
            let start = u64::from(part.piece) * u64::from(self.layout.piece_length) + part.offset;
            let offset = start - layout.offset;
            buffer.resize(as_usize(part.length), 0);
            let mut slices = [IoSliceMut::new(&mut buffer)];
            self.read_parts(placing, file, offset, &mut slices)?;
            positioned::write_at(&opened, offset, &mut [IoSlice::new(&buffer)]).map_err(fail)?;
        }
        opened.sync_all().map_err(fail)?;
        drop(opened);
        if target != layout.path {
            placing
                .folder
                .rename(&target, &placing.folder, &layout.path)
                .map_err(fail)?;
        }
        Ok(())
    }

    /// Gives up the slots of those pieces that no file needs any more, and the parts file with the last of them.
    fn release_slots(&self, placing: &Placing, pieces: &[u32]) -> Result<(), StoreError> {
        let mut unneeded = Vec::new();
        for &piece in pieces {
            if !self.is_piece_in_parts(placing, piece)? {
                unneeded.push(piece);
            }
        }
        if unneeded.is_empty() {
            return Ok(());
        }
        let fail = |error: io::Error| self.parts_error(placing, Operation::Write, error);
        let opened = self.open_write(placing, Layout::PARTS)?;
        let mut parts = self.parts(placing)?;
        for piece in unneeded {
            parts.release(&opened, piece).map_err(fail)?;
        }
        self.change_stamp(Layout::PARTS, &opened).map_err(fail)?;
        if parts.is_empty() {
            self.open.close(self.key(Layout::PARTS));
            let path = self.layout.path(Layout::PARTS);
            placing
                .folder
                .remove_file(path)
                .map_err(|error| self.parts_error(placing, Operation::Delete, error))?;
            *parts = Parts::empty(self.layout.piece_length, self.layout.piece_count);
        }
        Ok(())
    }

    /// Whether a file has bytes of a piece in the parts file, or may have: one that does not exist could have been
    /// unwanted in an earlier run.
    fn is_piece_in_parts(&self, placing: &Placing, piece: u32) -> Result<bool, StoreError> {
        for file in self.layout.files_of_piece(piece) {
            let is_data = self.layout.file(file).kind == FileKind::Data;
            if is_data && (placing.place(file) == Place::Parts || !self.exists(placing, file)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn exists(&self, placing: &Placing, file: u32) -> Result<bool, StoreError> {
        let entry = placing.folder.entry(self.layout.path(file));
        entry
            .map(|entry| entry.is_some())
            .map_err(|error| self.error(placing, Operation::Inspect, file, error))
    }
}

fn as_usize(length: u64) -> usize {
    usize::try_from(length).expect("no longer than a buffer or a piece")
}
