//! `rarest create`: a torrent of a file or a folder.

use std::ffi::OsString;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rarest_metainfo::{Builder, Version};

use crate::args::{Create, Format};
use crate::byte_bar::ByteBar;
use crate::quantity::ByteCount;
use crate::{Outcome, say};

/// Makes the torrent and writes it.
pub(crate) fn run(arguments: &Create) -> Result<Outcome> {
    let out = out_path(arguments)?;
    let bar = ByteBar::new("hashing");
    let torrent = builder(arguments)?.build(&arguments.path, |progress| {
        bar.set(progress.hashed_bytes, progress.total_bytes);
        ControlFlow::Continue(())
    })?;
    bar.finish();
    write_whole(&out, &torrent.to_bytes())?;
    let info = torrent.info();
    say(format_args!(
        "{}: {}, {} pieces of {}",
        out.display(),
        ByteCount(info.total_length()),
        info.geometry().piece_count(),
        ByteCount(info.geometry().nominal_piece_length().into()),
    ))?;
    say(torrent.magnet())?;
    Ok(Outcome::Done)
}

fn builder(arguments: &Create) -> Result<Builder> {
    let mut builder = Builder::new(match arguments.format {
        Format::V1 => Version::V1,
        Format::V2 => Version::V2,
        Format::Hybrid => Version::Hybrid,
    })
    .created_by(concat!("rarest ", env!("CARGO_PKG_VERSION")));
    if let Some(length) = arguments.piece_length {
        let length = u32::try_from(length.0)
            .ok()
            .context("a piece must be shorter than 4 GiB")?;
        builder = builder.piece_length(length);
    }
    for url in &arguments.trackers {
        let is_tracker = ["http://", "https://", "udp://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        ensure!(
            is_tracker,
            "`{url}` is no tracker; its URL begins with http://, https:// or udp://"
        );
        builder = builder.tracker(url);
    }
    for url in &arguments.web_seeds {
        let is_web = ["http://", "https://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        ensure!(
            is_web,
            "`{url}` is no web seed; its URL begins with http:// or https://"
        );
        builder = builder.web_seed(url);
    }
    if arguments.private {
        builder = builder.private();
    }
    if let Some(comment) = &arguments.comment {
        builder = builder.comment(comment);
    }
    Ok(builder)
}

/// Where the torrent goes: as asked, or named after what is shared, in the current folder.
fn out_path(arguments: &Create) -> Result<PathBuf> {
    if let Some(out) = &arguments.output {
        return Ok(out.clone());
    }
    let path = fs::canonicalize(&arguments.path)
        .with_context(|| format!("cannot read {}", arguments.path.display()))?;
    let mut name = path
        .file_name()
        .context("the root folder has no name; say with -o how the torrent is to be called")?
        .to_owned();
    name.push(".torrent");
    Ok(name.into())
}

/// Writes the file under another name first, so that a torrent that is there is replaced whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut partial = OsString::from(path);
    partial.push(".part");
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
