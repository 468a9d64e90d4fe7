//! A store that has all of its torrent, as little as can be remembered of it.

use std::{collections::BTreeMap, sync::Arc};

use rarest_metainfo::{Bitfield, File, Metainfo};

use super::{PieceStore, verified::VerifiedPieces};
use crate::{Resume, Stamp, Storage, Totals};

/// What is to be remembered of a [`PieceStore`] in which every piece is verified, while nobody uses it: how the files were.
///
/// Made by [`PieceStore::whole`]. It has 16 bytes a file, so that a program can hold many thousand torrents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeTorrent {
    /// Of the files with bytes, in their order.
    stamps: Box<[Stamp]>,
}

impl WholeTorrent {
    /// The resume data of `metainfo`'s torrent, which must be the one of the store.
    #[must_use]
    pub fn resume(&self, metainfo: &Metainfo, totals: Totals) -> Resume {
        let info = metainfo.info();
        let mut stamps = self.stamps.iter().copied();
        let stamp = |file: File<'_>| has_bytes(&file).then(|| stamps.next()).flatten();
        Resume {
            verified: Bitfield::full(info.geometry()),
            stamps: info.files().map(stamp).collect(),
            wanted: vec![true; info.file_count() as usize],
            spilled: Vec::new(),
            totals,
        }
    }
}

impl<S: Storage> PieceStore<S> {
    /// What is to be remembered of this store to [make it again](Self::of_whole). `None` when that is more than how its files are:
    /// pieces are missing or not synced, files are not wanted, or the storage has no [stamps](Storage::stamp).
    #[must_use]
    pub fn whole(&self) -> Option<WholeTorrent> {
        let is_simple = self.verified_count() == self.geometry.piece_count()
            && self.wanted_files().iter().all(|&is_wanted| is_wanted)
            && self.spilled().is_empty()
            && self.lost().is_empty()
            && self.unsynced().is_empty();
        if !is_simple {
            return None;
        }
        let known = self.stamps();
        let metainfo = self.metainfo();
        let files = metainfo.info().files().filter(has_bytes);
        let stamps = files.map(|file| known.get(&file.index()).copied());
        Some(WholeTorrent {
            stamps: stamps.collect::<Option<_>>()?,
        })
    }

    /// The store of which `whole` was made, of the same torrent in the same place. Nothing is looked at: files that were changed since
    /// are found as they would have been.
    #[must_use]
    pub fn of_whole(storage: S, metainfo: Arc<Metainfo>, whole: &WholeTorrent) -> Self {
        let files = metainfo.info().files().filter(has_bytes);
        let stamps: BTreeMap<_, _> = files
            .map(File::index)
            .zip(whole.stamps.iter().copied())
            .collect();
        let verified = VerifiedPieces::all(metainfo.info().geometry());
        let mut store = Self::new(storage, metainfo);
        store.verified = verified;
        store.stamps = stamps.into();
        store
    }
}

fn has_bytes(file: &File<'_>) -> bool {
    !file.is_padding() && file.length() > 0
}
