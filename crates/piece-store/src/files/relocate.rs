//! Deleting and moving the files of a torrent: its own files, and nothing else.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{
    FileStorage,
    folder::{Entry, Folder},
    layout::{FileKind, Layout},
    placing::Placing,
};
use crate::{Fault, Operation, Storage as _, StoreError};

impl FileStorage {
    /// Deletes what [`Storage::delete`](crate::Storage::delete) says.
    pub(super) fn delete_files(&self, placing: &mut Placing) -> Result<(), StoreError> {
        let mut first_error = None;
        for (file, entry) in self.existing(placing) {
            let deleted = match entry {
                Ok(_) => placing.folder.remove_file(self.layout.path(file)),
                Err(error) => Err(error),
            };
            if let Err(error) = deleted {
                let error = self.error(placing, Operation::Delete, file, error);
                first_error.get_or_insert(error);
            }
        }
        for (file, layout) in (0u32..).zip(&self.layout.files) {
            if layout.kind == FileKind::Data {
                // There is one only where a kill ended a move out of the parts file.
                let _ = placing.folder.remove_file(&self.layout.temporary(file));
            }
        }
        placing.forget_parts();
        self.remove_empty_folders(&placing.folder);
        first_error.map_or(Ok(()), Err)
    }

    /// Moves all files of the torrent below another folder, which need not exist yet.
    ///
    /// Between file systems the files are copied, synced and then deleted here. When anything fails, all files stay
    /// where they were. Readers and writers wait meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]; with [`Fault::Obstructed`] when something already stands where a file would go.
    pub fn move_to(&self, folder: impl Into<PathBuf>) -> Result<(), StoreError> {
        let mut placing = self.placing_mut();
        let target = Folder::new(folder.into());
        let files = self.movable(&placing, &target)?;
        self.close();
        let mut moved = Moved::default();
        for &file in &files {
            if let Err(error) = self.move_file(&placing.folder, &target, file, &mut moved) {
                let error = self.error(&placing, Operation::Move, file, error);
                self.move_back(&placing.folder, &target, &moved);
                return Err(error);
            }
        }
        let source = std::mem::replace(&mut placing.folder, target);
        for &file in &moved.copied {
            let path = self.layout.path(file);
            source
                .remove_file(path)
                .map_err(|error| StoreError::new(Operation::Delete, source.path(path), error))?;
        }
        self.remove_empty_folders(&source);
        Ok(())
    }

    /// The files of the torrent that exist, with what they are.
    fn existing<'a>(
        &'a self,
        placing: &'a Placing,
    ) -> impl Iterator<Item = (u32, io::Result<Entry>)> + 'a {
        let own = (0u32..).zip(&self.layout.files);
        let own = own.filter(|(_, file)| file.kind != FileKind::Padding);
        own.map(|(file, _)| file)
            .chain([Layout::PARTS])
            .filter_map(|file| {
                let entry = placing.folder.entry(self.layout.path(file));
                let is_link = file != Layout::PARTS
                    && matches!(self.layout.file(file).kind, FileKind::Link { .. });
                match entry.transpose()? {
                    Ok(Entry::File(_)) if is_link => None,
                    // A link where the torrent has a file, and a folder, are somebody else's.
                    Ok(Entry::Link) if !is_link => None,
                    Ok(Entry::Other) => None,
                    entry => Some((file, entry)),
                }
            })
    }

    /// The files to move, if nothing stands in their way.
    fn movable(&self, placing: &Placing, target: &Folder) -> Result<Vec<u32>, StoreError> {
        let mut files = Vec::new();
        for (file, entry) in self.existing(placing) {
            let fail = |fault: Fault| self.error(placing, Operation::Move, file, fault);
            entry.map_err(|error| fail(error.into()))?;
            let path = self.layout.path(file);
            match target.entry(path) {
                Ok(None) => files.push(file),
                Ok(Some(_)) => {
                    let path = target.path(path);
                    return Err(StoreError::new(Operation::Move, path, Fault::Obstructed));
                }
                Err(error) => {
                    return Err(StoreError::new(Operation::Move, target.path(path), error));
                }
            }
        }
        Ok(files)
    }

    fn move_file(
        &self,
        source: &Folder,
        target: &Folder,
        file: u32,
        moved: &mut Moved,
    ) -> io::Result<()> {
        let path = self.layout.path(file);
        match source.rename(path, target, path) {
            Ok(()) => moved.renamed.push(file),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                // Noted first: what was copied in part is removed again on failure.
                moved.copied.push(file);
                self.copy(source, target, file, path)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn copy(&self, source: &Folder, target: &Folder, file: u32, path: &Path) -> io::Result<()> {
        if file != Layout::PARTS
            && let FileKind::Link { target: link } = &self.layout.file(file).kind
        {
            return target.create_link(path, link);
        }
        let mut from = source.open(path)?;
        let mut to = target.open_or_create(path)?;
        io::copy(&mut from, &mut to)?;
        keep_time(&from, &to)?;
        to.sync_all()
    }

    /// Undoes a move that failed. What cannot be undone is left where it is: there is nobody else to tell.
    fn move_back(&self, source: &Folder, target: &Folder, moved: &Moved) {
        for &file in &moved.renamed {
            let path = self.layout.path(file);
            let _ = target.rename(path, source, path);
        }
        for &file in &moved.copied {
            let _ = target.remove_file(self.layout.path(file));
        }
        self.remove_empty_folders(target);
    }

    /// Removes the torrent's folders as far as they are empty.
    fn remove_empty_folders(&self, folder: &Folder) {
        for path in self.layout.folders() {
            // That it is not empty, or never existed, is the usual case.
            let _ = folder.remove_folder(path);
        }
    }
}

/// The files that a move has dealt with so far.
#[derive(Default)]
struct Moved {
    renamed: Vec<u32>,
    copied: Vec<u32>,
}

/// Resume data knows a file by its time.
fn keep_time(from: &File, to: &File) -> io::Result<()> {
    to.set_modified(from.metadata()?.modified()?)
}
