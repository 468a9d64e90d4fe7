//! A torrent that has all its pieces and waits for peers: what is kept of it, and how it begins to work again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rarest_metainfo::Metainfo;
use rarest_piece_store::{FileStorage, Totals, WholeTorrent};

use super::disk_work::{DiskWork, resume_file};
use super::{Driver, Home, Stage, Store, Wish};
use crate::registry::Entry;
use crate::session::{Shared, now};

/// What a [`Driver`] is made again of.
///
/// Its store, its machine and what was read of its `.torrent` are as they would be after a restart with resume data, and nothing of them
/// is kept.
#[derive(Debug)]
pub(crate) struct Resting {
    files: WholeTorrent,
    /// None for the download folder of the session.
    folder: Option<Box<Path>>,
    wish: Wish,
    /// Of the runs before this one.
    earlier: Totals,
    /// Bytes that came for nothing in this run.
    wasted: u64,
    resume_data: ResumeData,
}

/// Whether what is on the disk says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResumeData {
    Saved,
    Unsaved,
}

impl Driver {
    /// Whether nothing is under way, but perhaps a check, and nobody is there who could want something soon.
    pub(super) fn only_waits(&self) -> bool {
        // A check may be one of thousands in the queue.
        self.peers.is_empty()
            && self.web_seeds.are_idle()
            && (self.disk.is_idle() || self.disk.is_looking())
    }

    /// Whether it could be made again of little, as far as that is quickly told. Resume data is saved by others then.
    pub(super) fn may_rest(&self) -> bool {
        matches!(&self.stage, Stage::Active(torrent) if torrent.is_replaceable())
            && matches!(self.home, Home::Files { .. })
            && self.peers.is_empty()
            && self.web_seeds.are_blank()
            && self.early_peers.is_empty()
            && self.disk.is_blank()
            && self.layers.are_blank()
            && self.counted == 0
            && self.counted_partial == 0
    }

    /// Folds up, if all there is to keep is what a torrent that rests keeps.
    pub(crate) fn rest(mut self: Box<Self>) -> Result<Box<Resting>, Box<Self>> {
        // Opened again when it wakes.
        self.peer_mail = None;
        if !self.may_rest() {
            return Err(self);
        }
        let Some(files) = self.disk.store.whole() else {
            return Err(self);
        };
        let resume_data = match self.disk.is_saved() {
            true => ResumeData::Saved,
            false => ResumeData::Unsaved,
        };
        if resume_data == ResumeData::Unsaved {
            let (shared, entry) = (Arc::clone(&self.shared), Arc::clone(&self.entry));
            self.shared
                .checks
                .run_when_idle(move || entry.save_resting(&shared));
        }
        // With the piece layers that peers gave.
        self.entry.keep_metainfo(&self.metainfo);
        let wasted = self.wasted();
        let Home::Files { folder } = self.home else {
            return Err(self);
        };
        Ok(Box::new(Resting {
            files,
            folder: folder.map(PathBuf::into_boxed_path),
            wish: self.wish,
            earlier: self.disk.earlier,
            wasted,
            resume_data,
        }))
    }
}

impl Resting {
    /// The driver as it was, with a machine that is made anew.
    pub(crate) fn wake(self, shared: &Arc<Shared>, entry: Arc<Entry>) -> Box<Driver> {
        let home = Home::Files {
            folder: self.folder.map(PathBuf::from),
        };
        let metainfo = metainfo_of(&entry);
        entry.share_metainfo(&metainfo);
        let open_files = Arc::clone(&shared.open_files);
        let storage = FileStorage::new(&metainfo, home.folder(shared), open_files);
        let store = Store::of_whole(Box::new(storage), Arc::clone(&metainfo), &self.files)
            .with_read_buffers(Arc::clone(&shared.read_buffers));
        let mut disk = DiskWork::new(
            store,
            crate::ExistingData::default(),
            None,
            shared.config.disk_threads,
        );
        disk.earlier = self.earlier;
        let mut driver = Driver::of(Arc::clone(shared), entry, metainfo, disk, home, self.wish);
        driver.wasted_before = self.wasted;
        driver.go_on(now());
        if self.resume_data == ResumeData::Unsaved {
            driver.outdate_resume_data(now());
        }
        driver
    }

    pub(crate) fn is_unsaved(&self) -> bool {
        self.resume_data == ResumeData::Unsaved
    }

    /// Saves the resume data. What fails is told in the log alone: the data is checked again after a restart.
    pub(crate) fn save(&mut self, shared: &Shared, entry: &Entry) {
        self.resume_data = ResumeData::Saved;
        let Some(path) = resume_file(shared, entry.id) else {
            return;
        };
        let metainfo = metainfo_of(entry);
        let totals = Totals {
            downloaded: self.earlier.downloaded + entry.totals.downloaded.load(Ordering::Relaxed),
            uploaded: self.earlier.uploaded + entry.totals.uploaded.load(Ordering::Relaxed),
        };
        if let Err(error) = self.files.resume(&metainfo, totals).save(&path, &metainfo) {
            tracing::warn!(%error, torrent = %entry.id, "resume data cannot be saved");
        }
    }
}

fn metainfo_of(entry: &Entry) -> Arc<Metainfo> {
    let metainfo = entry.metainfo();
    metainfo.expect("what rests has all its pieces, and had the metadata before")
}
