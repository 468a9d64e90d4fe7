//! `rarest create`: a torrent of a file or a folder.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rarest_metainfo::{BuildError, Builder, MAX_BUILD_PIECE_LENGTH, Oddity, Version};
use rarest_tracker::TrackerUrl;

use crate::args::{Create, Format};
use crate::byte_bar::ByteBar;
use crate::quantity::{ByteCount, counted};
use crate::source::{WEB, has_scheme};
use crate::torrent_file::{Before, what_is_replaced, write_whole};
use crate::{Outcome, complain, say};

/// Makes the torrent and writes it.
pub(crate) fn run(arguments: &Create) -> Result<Outcome> {
    let out = out_path(arguments)?;
    let before = what_is_replaced(&out)?;
    let bar = ByteBar::new("hashing");
    let built = builder(arguments)?.build_leaving_out(&arguments.path, tell, |progress| {
        bar.set(progress.hashed_bytes, progress.total_bytes);
        ControlFlow::Continue(())
    });
    bar.finish();
    let torrent = match built {
        Err(BuildError::Empty) => bail!(
            "there are no bytes to share in {}",
            arguments.path.display()
        ),
        built => built?,
    };
    write_whole(&out, &torrent.to_bytes())?;
    let info = torrent.info();
    say(format_args!(
        "{}: {}, {} of {}{}",
        out.display(),
        ByteCount(info.total_length()),
        counted(u64::from(info.geometry().piece_count()), "piece"),
        ByteCount(info.geometry().nominal_piece_length().into()),
        match before {
            Before::Nothing => "",
            Before::Torrent => ", in the place of the torrent that was there",
        },
    ))?;
    say(torrent.magnet())?;
    Ok(Outcome::Done)
}

/// Says what is not shared as it stands in the folder.
fn tell(oddity: Oddity<'_>) {
    complain(&match oddity {
        Oddity::LinkElsewhere(path) => anyhow!(
            "{} is a link to a file elsewhere: its content is in the torrent, and to serve that a copy must take its place",
            path.display()
        ),
        Oddity::LeftOut(path) => anyhow!(
            "{} is left out: it is neither a file nor a folder nor a link to one that can be shared",
            path.display()
        ),
        _ => return,
    });
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
            .filter(|length| *length <= MAX_BUILD_PIECE_LENGTH)
            .with_context(|| {
                let most = ByteCount(MAX_BUILD_PIECE_LENGTH.into());
                format!("a piece of {length} is too long; --piece-length is at most {most}")
            })?;
        builder = builder.piece_length(length);
    }
    for url in &arguments.trackers {
        let parsed: Result<TrackerUrl, _> = url.parse();
        parsed.with_context(|| format!("`{url}` is no tracker"))?;
        builder = builder.tracker(url);
    }
    for url in &arguments.web_seeds {
        ensure!(
            has_scheme(url, WEB),
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
