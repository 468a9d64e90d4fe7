//! `rarest verify`: the files of a torrent against its hashes.

use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::{Result, ensure};
use rarest_metainfo::{Bitfield, Info};
use rarest_piece_store::{Check, FileStorage, OpenFiles, PieceStore};
use serde::Serialize;

use crate::args::Verify;
use crate::byte_bar::ByteBar;
use crate::{Outcome, printable, say, source};

/// Files that are kept open while they are read.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

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
    let storage = FileStorage::new(&torrent, folder, OpenFiles::new(OPEN_FILES));
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
    let found = Verified::new(torrent.info(), &store.verified());
    if arguments.json {
        say(serde_json::to_string(&found)?)?;
    } else {
        found.print()?;
    }
    Ok(if found.complete {
        Outcome::Done
    } else {
        Outcome::Incomplete
    })
}

impl<'a> Verified<'a> {
    fn new(info: &'a Info, verified: &Bitfield) -> Self {
        let pieces = info.geometry().piece_count();
        let verified_pieces = verified.count();
        let files = info.files().filter(|file| !file.is_padding());
        let files = files.map(|file| FileVerified {
            path: file.path(),
            size: file.length(),
            complete: info
                .pieces_of(file.index())
                .all(|piece| verified.contains(piece)),
        });
        Self {
            name: info.name(),
            pieces,
            verified_pieces,
            complete: verified_pieces == pieces,
            files: files.collect(),
        }
    }

    fn print(&self) -> io::Result<()> {
        for file in self.files.iter().filter(|file| !file.complete) {
            say(format_args!("incomplete: {}", printable(file.path)))?;
        }
        let name = printable(self.name);
        say(format_args!(
            "{name}: {} of {} pieces are right",
            self.verified_pieces, self.pieces
        ))
    }
}
