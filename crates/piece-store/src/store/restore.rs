//! What is kept for the next run, and what of it can be believed then.

use rarest_metainfo::{Bitfield, Block, File, FileIndex, PieceIndex};

use super::{PieceStore, SyncError};
use crate::{Presence, Resume, Stamp, Storage, StoreError, Totals};

/// What was made of resume data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Pieces with bytes in files that changed since: they may be verified or not, and have to be
    /// [checked](PieceStore::check).
    pub to_check: Vec<PieceIndex>,
}

impl<S: Storage> PieceStore<S> {
    /// Syncs what was written, and describes the torrent for the next run. To be [saved](Resume::save) at once.
    ///
    /// Whatever is written after this call changes the time of its files, so that a kill before the next call leads
    /// to a check of these files and not to wrong belief. What a [`check`](Self::check) finds changes no file: save after it.
    ///
    /// # Errors
    /// [`SyncError`]; keep the resume data of before.
    pub fn resume(&self, totals: Totals) -> Result<Resume, SyncError> {
        let before = self.verified();
        self.sync()?;

        let metainfo = self.metainfo();
        let nobody_writes = self.pause_writing();
        let mut stamps = Vec::with_capacity(metainfo.info().file_count() as usize);
        for file in metainfo.info().files() {
            let stamp = match file.is_padding() || file.length() == 0 {
                true => None,
                false => self.known_stamp(file.index())?,
            };
            if stamp.is_none() {
                self.lose_if_removed(file)?;
            }
            stamps.push(stamp);
        }
        let after = self.verified();
        let lost = self.lost().clone();
        let spilled = self.spilled_blocks();
        drop(nobody_writes);

        let mut verified = before.clone();
        for piece in before.iter().filter(|&piece| !after.contains(piece)) {
            verified.remove(piece);
        }
        // Pieces that came while the disk was syncing are not synced, and those that lost their mark where nobody was
        // told may be right. Their files are to be checked next time.
        let unsynced = after.iter().filter(|&piece| !before.contains(piece));
        for piece in unsynced.chain(lost) {
            for span in metainfo.info().spans(self.range(piece)) {
                stamps[span.file.as_usize()] = None;
            }
        }
        Ok(Resume {
            verified,
            stamps,
            wanted: self.wanted_files().to_vec(),
            spilled: spilled.into_iter().flat_map(|(_, blocks)| blocks).collect(),
            totals,
        })
    }

    /// Goes on where `resume` was made. Believes the pieces of files whose size and time are as they were.
    ///
    /// # Errors
    /// [`StoreError`] when a file exists but cannot be looked at.
    ///
    /// # Panics
    /// When `resume` is of another torrent.
    pub fn restore(&self, resume: &Resume) -> Result<Restored, StoreError> {
        let metainfo = self.metainfo();
        let info = metainfo.info();
        assert_eq!(
            resume.stamps.len(),
            info.file_count() as usize,
            "resume data is of one torrent"
        );
        let files = info.files().map(File::index);
        self.skip(files.filter(|file| !resume.wanted[file.as_usize()]))?;
        self.want_wanted_files()?;

        let mut is_changed = vec![false; resume.stamps.len()];
        let has_bytes = |file: &File<'_>| !file.is_padding() && file.length() > 0;
        for file in info.files().filter(has_bytes) {
            let index = file.index();
            let stamp = self.storage.stamp(index)?;
            is_changed[index.as_usize()] = stamp != resume.stamps[index.as_usize()];
            // Also when it has changed: whoever changes it once more, during the check or after, is noticed.
            self.remember(index, stamp);
        }
        let mut to_check = self.believe(&resume.verified, &resume.stamps, &is_changed);
        self.restore_spilled(&resume.spilled, &mut to_check);
        Ok(Restored { to_check })
    }

    /// Takes over the blocks that were spilled. A piece all of whose blocks were could have been completed since without
    /// a write that changed its files: it is to be checked.
    fn restore_spilled(&self, blocks: &[Block], to_check: &mut Vec<PieceIndex>) {
        let mut spilled = self.spilled();
        for block in blocks {
            if !self.verified.contains(block.piece()) {
                let of_piece = spilled.entry(block.piece()).or_default();
                of_piece.insert(block.index_in_piece());
            }
        }
        let block_count = |piece| self.geometry.block_count(piece) as usize;
        let whole = spilled
            .iter()
            .filter(|(piece, blocks)| blocks.len() == block_count(**piece));
        to_check.extend(whole.map(|(&piece, _)| piece));
        to_check.sort_unstable();
        to_check.dedup();
    }

    /// Believes without reading that all data is there and right, as the caller knows. Returns the pieces of files that are missing or
    /// have another length: they have to be [checked](PieceStore::check) after all. A storage without [stamps](Storage::stamp)
    /// has all of them checked.
    ///
    /// # Errors
    /// [`StoreError`] when a file exists but cannot be looked at.
    pub fn assume_complete(&self) -> Result<Vec<PieceIndex>, StoreError> {
        let metainfo = self.metainfo();
        let count = metainfo.info().file_count() as usize;
        let (mut stamps, mut is_changed) = (vec![None; count], vec![false; count]);
        for file in metainfo.info().files() {
            let index = file.index();
            if file.is_padding() || file.length() == 0 {
                continue;
            }
            let stamp = self.storage.stamp(index)?;
            if stamp.is_some_and(|stamp| stamp.length == file.length()) {
                self.remember(index, stamp);
            } else {
                is_changed[index.as_usize()] = true;
            }
            stamps[index.as_usize()] = stamp;
        }
        let all = Bitfield::full(&self.geometry);
        Ok(self.believe(&all, &stamps, &is_changed))
    }

    /// Marks the pieces whose files all exist and are as they were; returns those of which that is not known.
    fn believe(
        &self,
        verified: &Bitfield,
        stamps: &[Option<Stamp>],
        is_changed: &[bool],
    ) -> Vec<PieceIndex> {
        let metainfo = self.metainfo();
        let mut to_check = Vec::new();
        for piece in self.geometry.pieces() {
            let mut exists = true;
            let mut changed = false;
            for span in metainfo.info().spans(self.range(piece)) {
                if !span.is_padding {
                    exists &= stamps[span.file.as_usize()].is_some();
                    changed |= is_changed[span.file.as_usize()];
                }
            }
            match (changed, verified.contains(piece)) {
                (false, true) if exists => {
                    self.verified.insert(piece);
                }
                (false, false) => {}
                _ => to_check.push(piece),
            }
        }
        to_check
    }

    /// The stamp of a file that nobody writes to now.
    fn known_stamp(&self, file: FileIndex) -> Result<Option<Stamp>, StoreError> {
        if let Some(&stamp) = self.stamps().get(&file) {
            return Ok(Some(stamp));
        }
        let stamp = self.storage.stamp(file)?;
        self.remember(file, stamp);
        Ok(stamp)
    }

    /// A file that was removed while it was open can still be written to, but nobody will ever find what was written.
    fn lose_if_removed(&self, file: File<'_>) -> Result<(), StoreError> {
        let (index, length) = (file.index(), file.length());
        let mut pieces = self.metainfo().info().pieces_of(index);
        if file.is_padding()
            || !self.is_wanted(index)
            || !pieces.any(|piece| self.is_verified(piece))
        {
            return Ok(());
        }
        self.storage.close();
        if self.storage.presence(index, 0..length)? == Presence::Absent {
            let mut lost = self.lose(index, 0);
            self.lost().append(&mut lost);
        }
        Ok(())
    }

    /// Files that are not wanted may share a place whose stamp changes with each write to another.
    pub(super) fn remember(&self, file: FileIndex, stamp: Option<Stamp>) {
        if let Some(stamp) = stamp.filter(|_| self.is_wanted(file)) {
            self.stamps().insert(file, stamp);
        }
    }
}
