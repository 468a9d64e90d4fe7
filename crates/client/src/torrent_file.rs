//! A `.torrent` that is written: in the place of another one, but of nothing else.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process;

use anyhow::{Context as _, Result, ensure};

use crate::source;

/// What lies where the torrent is to go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Before {
    Nothing,
    Torrent,
}

/// Looks where the torrent is to go, before hours are spent on hashing. One torrent replaces another; nothing else is overwritten, as
/// a slip of `-o` could cost somebody their files.
pub(crate) fn what_is_replaced(out: &Path) -> Result<Before> {
    let folder = out.parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder {
        ensure!(folder.is_dir(), "there is no folder {}", folder.display());
    }
    if !out.exists() {
        return Ok(Before::Nothing);
    }
    ensure!(
        source::is_torrent(out),
        "{} is there already and is no torrent; name another file with -o",
        out.display()
    );
    Ok(Before::Torrent)
}

/// Writes the file under another name first, so that a torrent that is there is replaced whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut partial = OsString::from(path);
    partial.push(format!(".{}.part", process::id()));
    let written = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // Half a torrent is of use to nobody; what matters is why.
        let _ = fs::remove_file(&partial);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}
