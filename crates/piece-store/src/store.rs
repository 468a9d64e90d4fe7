//! The store of one torrent: verifies, writes and reads pieces, and knows which of them can be believed.

mod check;
mod claims;
mod complete;
mod hashes;
mod read;
mod restore;
mod runs;
mod selection;
mod spill;
mod sync;
mod verified;
mod whole;

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use rarest_metainfo::{Bitfield, FileIndex, Geometry, Metainfo, PieceIndex};

use crate::{Fault, ReadBuffers, Stamp, Storage, StoreError};
use claims::Claims;
use hashes::KeptTrees;
use spill::SpilledBlocks;
use sync::Unsynced;
use verified::VerifiedPieces;

pub use check::{Check, CheckEnd, Checked, Progress};
pub use complete::{BlockDigests, CompleteError, Part, Verified, WholePiece};
pub use hashes::{HashesError, MAX_HASHED_PIECE_LENGTH, MAX_KEPT_TREES};
pub use read::{MAX_READ_LENGTH, ReadError};
pub use restore::Restored;
pub use sync::SyncError;
pub use whole::WholeTorrent;

/// The bytes of one torrent, verified piece by piece.
///
/// All methods take `&self` and block until the disk has answered; they are meant for threads that do nothing else.
/// Any number may run at once: pieces being written, spilled or checked are claimed, so that no two calls work on the same piece.
///
/// A piece is *verified* when its bytes had the right hash and were written, or were read back from where they are.
/// Only verified pieces are ever read for peers.
pub struct PieceStore<S> {
    storage: S,
    metainfo: RwLock<Arc<Metainfo>>,
    geometry: Arc<Geometry>,
    verified: VerifiedPieces,
    claims: Claims,
    spilled: Mutex<BTreeMap<PieceIndex, SpilledBlocks>>,
    /// By file; true for files that are wanted.
    wanted: Mutex<Box<[bool]>>,
    /// How files were when they were last known to be as we left them; none for those written to since.
    stamps: Mutex<BTreeMap<FileIndex, Stamp>>,
    /// Pieces that lost their mark where nobody was told.
    lost: Mutex<Vec<PieceIndex>>,
    /// Held for reading from before a write, and before spilled blocks are read back, until what it completes is marked. Held for writing
    /// while stamps are taken, and while marks go because a sync failed: both then cover a write together with the marks that came of it.
    writing: RwLock<()>,
    /// What was written since the last sync. Locked before `spilled`, when both are.
    unsynced: Mutex<Unsynced>,
    /// Held while the storage syncs.
    syncing: Mutex<()>,
    read_buffers: Arc<ReadBuffers>,
    kept_trees: Mutex<KeptTrees>,
}

impl<S: Storage> PieceStore<S> {
    /// A store of `metainfo`'s torrent in which nothing is verified yet and every file is wanted.
    #[must_use]
    pub fn new(storage: S, metainfo: Arc<Metainfo>) -> Self {
        let info = metainfo.info();
        let geometry = Arc::clone(info.geometry());
        Self {
            storage,
            verified: VerifiedPieces::none(&geometry),
            geometry,
            claims: Claims::default(),
            spilled: Mutex::default(),
            wanted: Mutex::new(vec![true; info.file_count() as usize].into()),
            stamps: Mutex::default(),
            lost: Mutex::default(),
            writing: RwLock::default(),
            unsynced: Mutex::default(),
            syncing: Mutex::default(),
            read_buffers: ReadBuffers::new(0),
            kept_trees: Mutex::default(),
            metainfo: RwLock::new(metainfo),
        }
    }

    /// Reads into `buffers`, which other stores may share. Otherwise each read has a buffer of its own.
    #[must_use]
    pub fn with_read_buffers(mut self, buffers: Arc<ReadBuffers>) -> Self {
        self.read_buffers = buffers;
        self
    }

    /// Takes a metainfo of the same torrent that knows more: piece layers of a v2 torrent that peers have sent (BEP 52).
    ///
    /// # Panics
    /// When it is of another torrent.
    pub fn set_metainfo(&self, metainfo: Arc<Metainfo>) {
        let mut current = self
            .metainfo
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        assert_eq!(
            current.info_hashes(),
            metainfo.info_hashes(),
            "a store keeps one torrent"
        );
        *current = metainfo;
    }

    /// The torrent whose bytes these are.
    #[must_use]
    pub fn metainfo(&self) -> Arc<Metainfo> {
        let metainfo = self.metainfo.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&metainfo)
    }

    /// Where the bytes are kept.
    #[must_use]
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The pieces that are verified now.
    #[must_use]
    pub fn verified(&self) -> Bitfield {
        self.verified.to_bitfield(&self.geometry)
    }

    /// Whether a piece is verified.
    #[must_use]
    pub fn is_verified(&self, piece: PieceIndex) -> bool {
        self.verified.contains(piece)
    }

    /// Number of pieces that are verified.
    #[must_use]
    pub fn verified_count(&self) -> u32 {
        self.verified.count()
    }

    /// Lets go of every descriptor, for a torrent that is paused. The next call that needs one opens it again.
    pub fn close(&self) {
        self.storage.close();
    }

    /// Deletes the torrent's own files, and the folders that are empty then. Nothing is verified afterwards.
    ///
    /// # Errors
    /// The first [`StoreError`]; the other files are deleted all the same.
    pub fn delete_files(&self) -> Result<(), StoreError> {
        let _claim = self.claims.claim(self.geometry.pieces());
        self.verified.clear();
        self.spilled().clear();
        self.unsynced().clear();
        self.stamps().clear();
        self.storage.delete()
    }

    /// Looks whether files were removed or changed by somebody else since they were last known. Their pieces are no
    /// longer verified, and are returned to be checked again, together with those for which a write found that.
    ///
    /// Size and time of a file are compared with those at the last [`resume`](Self::resume) or [`restore`](Self::restore); files
    /// that were written to since are left out, as their time must differ.
    ///
    /// # Errors
    /// [`StoreError`] when a file exists but cannot be looked at.
    pub fn find_changed(&self) -> Result<Vec<PieceIndex>, StoreError> {
        let known: Vec<_> = self
            .stamps()
            .iter()
            .map(|(&file, &stamp)| (file, stamp))
            .collect();
        for (file, stamp) in known {
            let nobody_writes = self.pause_writing();
            // A writer forgets the stamp before it writes: what is still known was changed by somebody else.
            let is_known = self.stamps().get(&file) == Some(&stamp);
            if is_known && self.storage.stamp(file)? != Some(stamp) {
                self.stamps().remove(&file);
                drop(nobody_writes);
                self.storage.close();
                let mut lost = self.lose(file, 0);
                self.lost().append(&mut lost);
            }
        }
        Ok(std::mem::take(&mut *self.lost()))
    }

    /// Before a write to a file: forgets how it was, and notices if it is no longer so.
    fn forget_stamp(&self, file: FileIndex) {
        let mut stamps = self.stamps();
        // Looked at under the lock, so that no other writer can have changed it meanwhile.
        let is_changed = stamps.remove(&file).is_some_and(
            |known| !matches!(self.storage.stamp(file), Ok(Some(stamp)) if stamp == known),
        );
        drop(stamps);
        if is_changed {
            // What is open may be another file than the one that has the name now.
            self.storage.close();
            let mut lost = self.lose(file, 0);
            self.lost().append(&mut lost);
        }
    }

    fn begin_writing(&self) -> RwLockReadGuard<'_, ()> {
        self.writing.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause_writing(&self) -> RwLockWriteGuard<'_, ()> {
        self.writing.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the verified mark off all pieces of a file with bytes at `from` or behind; returns those that had it.
    fn lose(&self, file: FileIndex, from: u64) -> Vec<PieceIndex> {
        let metainfo = self.metainfo();
        let first = metainfo.info().file(file).offset() + from;
        let pieces = metainfo.info().pieces_of(file);
        pieces
            .filter(|&piece| {
                let end = self.geometry.piece_offset(piece)
                    + u64::from(self.geometry.piece_length(piece));
                end > first && self.verified.remove(piece)
            })
            .collect()
    }

    /// What an error says about pieces that were verified: those whose bytes are gone lose their mark.
    fn lose_by(&self, error: &StoreError) -> Vec<PieceIndex> {
        match (error.file, &error.fault) {
            (Some(file), Fault::Missing | Fault::Changed) => self.lose(file, 0),
            (Some(file), &Fault::Truncated { actual, .. }) => self.lose(file, actual),
            _ => Vec::new(),
        }
    }

    /// The same where the caller has no way to tell.
    fn lose_unnoticed(&self, error: &StoreError) {
        let mut lost = self.lose_by(error);
        self.lost().append(&mut lost);
    }

    /// Where a piece lies in the piece space.
    fn range(&self, piece: PieceIndex) -> Range<u64> {
        let start = self.geometry.piece_offset(piece);
        start..start + u64::from(self.geometry.piece_length(piece))
    }

    fn spilled(&self) -> MutexGuard<'_, BTreeMap<PieceIndex, SpilledBlocks>> {
        self.spilled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> MutexGuard<'_, Vec<PieceIndex>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stamps(&self) -> MutexGuard<'_, BTreeMap<FileIndex, Stamp>> {
        self.stamps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: fmt::Debug> fmt::Debug for PieceStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceStore")
            .field("storage", &self.storage)
            .field("verified", &self.verified)
            .finish_non_exhaustive()
    }
}
