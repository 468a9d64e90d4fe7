//! `rarest verify`: the files of a torrent against its hashes.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use rarest_metainfo::{Bitfield, File, Info};
use rarest_piece_store::{Check, FileStorage, PieceStore};
use serde::Serialize;

use crate::args::Verify;
use crate::byte_bar::ByteBar;
use crate::network::open_files;
use crate::quantity::counted;
use crate::{Outcome, complain, place, printable, say, source};

/// What was found.
#[derive(Debug, Serialize)]
struct Verified<'a> {
    name: &'a str,
    pieces: u32,
    verified_pieces: u32,
    complete: bool,
    files: Vec<FileVerified<'a>>,
}

#[derive(Debug, Serialize)]
struct FileVerified<'a> {
    path: &'a str,
    size: u64,
    complete: bool,
    state: FileState,
    pieces: u32,
    verified_pieces: u32,
}

/// What is there of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum FileState {
    /// All of it.
    Complete,
    /// Nothing: there is no such file.
    Missing,
    /// Something, but not all of it is right.
    Damaged,
    /// It is there, but its bytes stand in pieces with those of missing files, and so cannot be verified.
    Unknown,
}

/// Reads and hashes everything.
pub(crate) fn run(arguments: &Verify) -> Result<Outcome> {
    let torrent = Arc::new(source::read_torrent(&arguments.torrent)?);
    let folder = &arguments.output;
    ensure!(
        folder.is_dir(),
        "there is no folder {}; --output names the one that holds the files",
        folder.display()
    );
    let storage = FileStorage::new(&torrent, folder, open_files());
    let store = PieceStore::new(storage, Arc::clone(&torrent));
    let bar = ByteBar::new("verifying");
    let piece_length = u64::from(torrent.info().geometry().nominal_piece_length());
    let checked = store.check(&Check::all(), |progress| {
        bar.set(
            u64::from(progress.checked) * piece_length,
            u64::from(progress.total) * piece_length,
        );
        ControlFlow::Continue(())
    });
    bar.finish();
    if let Some(error) = checked.errors.into_iter().next() {
        return Err(error.into());
    }
    let found = Verified::new(torrent.info(), folder, &store.verified());
    if arguments.json {
        say(serde_json::to_string(&found)?)?;
    } else {
        found.print()?;
    }
    if found.verified_pieces == 0
        && let Some(hint) = place::hint(torrent.info(), folder)
    {
        complain(&anyhow!(hint));
    }
    Ok(if found.complete {
        Outcome::Done
    } else {
        Outcome::Incomplete
    })
}

impl<'a> Verified<'a> {
    fn new(info: &'a Info, folder: &Path, verified: &Bitfield) -> Self {
        let pieces = info.geometry().piece_count();
        let verified_pieces = verified.count();
        let is_missing = |file: File<'_>| place::is_absent(&folder.join(file.path()));
        let missing: Vec<bool> = info
            .files()
            .map(|file| !file.is_padding() && is_missing(file))
            .collect();
        let mut of_missing = Bitfield::empty(info.geometry());
        for file in info.files() {
            if missing[file.index().as_usize()] {
                for piece in info.pieces_of(file.index()) {
                    of_missing.insert(piece);
                }
            }
        }
        let files = info.files().filter(|file| !file.is_padding());
        let files: Vec<_> = files
            .map(|file| {
                let of_file = || info.pieces_of(file.index());
                let mut unverified = of_file()
                    .filter(|&piece| !verified.contains(piece))
                    .peekable();
                let state = if missing[file.index().as_usize()] {
                    FileState::Missing
                } else if unverified.peek().is_none() {
                    FileState::Complete
                } else if unverified.all(|piece| of_missing.contains(piece)) {
                    FileState::Unknown
                } else {
                    FileState::Damaged
                };
                let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                FileVerified {
                    path: file.path(),
                    size: file.length(),
                    complete: state == FileState::Complete,
                    state,
                    pieces: count(of_file().count()),
                    verified_pieces: count(
                        of_file().filter(|&piece| verified.contains(piece)).count(),
                    ),
                }
            })
            .collect();
        Self {
            name: info.name(),
            pieces,
            verified_pieces,
            complete: verified_pieces == pieces && files.iter().all(|file| file.complete),
            files,
        }
    }

    fn print(&self) -> io::Result<()> {
        for file in &self.files {
            let path = printable(file.path);
            match file.state {
                FileState::Complete => {}
                FileState::Missing => say(format_args!("missing: {path}"))?,
                FileState::Damaged => say(format_args!(
                    "damaged or incomplete: {path}, {} of {} right",
                    file.verified_pieces,
                    counted(file.pieces.into(), "piece")
                ))?,
                FileState::Unknown => say(format_args!(
                    "cannot be verified: {path}, as it shares pieces with missing files"
                ))?,
            }
        }
        let name = printable(self.name);
        say(format_args!(
            "{name}: {} of {} right",
            self.verified_pieces,
            counted(self.pieces.into(), "piece")
        ))
    }
}
