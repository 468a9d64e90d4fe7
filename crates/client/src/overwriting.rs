//! Files that are there before a download and are not its own: they are replaced, and that is said first.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rarest_metainfo::{FileIndex, Metainfo};
use rarest_piece_store::{Check, CheckEnd, FileStorage, PieceStore, Resume, SyncError, Totals};

use crate::byte_bar::ByteBar;
use crate::network::{STATE_FOLDER, open_files};
use crate::report::Report;

/// A file with bytes, where one of the torrent belongs.
struct Existing {
    index: FileIndex,
    length: u64,
}

/// What a download of `torrent` to `folder` will overwrite. What it finds right is saved, so that the session need not read it again.
///
/// Where there is resume data the files are the download's own, and whatever became of them is found by the session.
///
/// # Errors
/// What cannot be read or saved; the session will see the same, and deal with it.
pub(crate) fn find(
    torrent: &Arc<Metainfo>,
    folder: &Path,
    wanted: Option<&[usize]>,
    is_stopped: &AtomicBool,
) -> Result<Vec<Report>, SyncError> {
    let Some(id) = torrent.info_hashes().swarms().next() else {
        return Ok(Vec::new());
    };
    let state = folder.join(STATE_FOLDER);
    let resume_file = state.join(format!("{id}.resume"));
    let existing = existing(torrent, folder, wanted);
    let has_resume_data = matches!(Resume::load(&resume_file, torrent), Ok(Some(_)));
    if existing.is_empty() || has_resume_data {
        return Ok(Vec::new());
    }
    let storage = FileStorage::new(torrent, folder, open_files());
    let store = PieceStore::new(storage, Arc::clone(torrent));
    let bar = ByteBar::new("checking what is there");
    let piece_length = u64::from(torrent.info().geometry().nominal_piece_length());
    let checked = store.check(&Check::all(), |progress| {
        bar.set(
            u64::from(progress.checked) * piece_length,
            u64::from(progress.total) * piece_length,
        );
        match is_stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    bar.finish();
    if let Some(error) = checked.errors.into_iter().next() {
        return Err(error.into());
    }
    if checked.end == CheckEnd::Complete && fs::create_dir_all(&state).is_ok() {
        let resume = store.resume(Totals::default())?;
        resume.save(&resume_file, torrent)?;
    }
    let reports = existing
        .iter()
        .filter_map(|existing| report(torrent, &store, existing));
    Ok(reports.collect())
}

fn existing(torrent: &Metainfo, folder: &Path, wanted: Option<&[usize]>) -> Vec<Existing> {
    let is_wanted =
        |index: FileIndex| wanted.is_none_or(|wanted| wanted.contains(&index.as_usize()));
    let files = torrent.info().files();
    files
        .filter(|file| file.length() > 0 && !file.is_padding() && is_wanted(file.index()))
        .filter_map(|file| {
            let metadata = fs::symlink_metadata(folder.join(file.path())).ok()?;
            let has_bytes = metadata.is_file() && metadata.len() > 0;
            has_bytes.then_some(Existing {
                index: file.index(),
                length: metadata.len(),
            })
        })
        .collect()
}

fn report(
    torrent: &Metainfo,
    store: &PieceStore<FileStorage>,
    existing: &Existing,
) -> Option<Report> {
    let info = torrent.info();
    let file = info.file(existing.index);
    let pieces = || info.pieces_of(existing.index);
    let (file_number, path) = (existing.index.get(), file.path().to_owned());
    if !pieces().any(|piece| store.is_verified(piece)) {
        return Some(Report::FileReplaced {
            file: file_number,
            path,
            bytes: existing.length,
        });
    }
    let is_written_to = !pieces().all(|piece| store.is_verified(piece));
    (is_written_to && existing.length > file.length()).then_some(Report::FileCut {
        file: file_number,
        path,
        bytes: existing.length,
        size: file.length(),
    })
}
