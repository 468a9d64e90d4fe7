//! `rarest seed`: serves torrents until it is stopped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use rarest_session::{Incomplete, Session, TorrentHandle, TorrentState};

use crate::args::Seed;
use crate::interrupt::Interrupt;
use crate::network::STATE_FOLDER;
use crate::place::Traces;
use crate::report::Report;
use crate::reporter::Reporter;
use crate::source::{self, Authorities};
use crate::watch::Watch;
use crate::{Outcome, network, place};

/// Loads everything, says READY, and stays.
pub(crate) fn run(arguments: &Seed) -> Result<Outcome> {
    let authorities = Authorities::read(arguments.network.ca_file.as_deref())?;
    let folder = &arguments.output;
    ensure!(
        folder.is_dir(),
        "there is no folder {}; --output names the one that holds the files",
        folder.display()
    );
    let torrents = torrent_files(&arguments.torrents)?;
    let state = folder.join(STATE_FOLDER);
    let had_state = !place::is_absent(&state);
    let runtime = network::runtime()?;
    let outcome = runtime.block_on(async {
        let mut interrupt = Interrupt::listen()?;
        let session = network::session(&arguments.network, authorities.as_ref(), folder).await?;
        let reporter = Reporter::new(arguments.report, 0);
        let outcome = serve(&session, &torrents, folder, reporter, &mut interrupt).await;
        network::shut_down(&session).await;
        outcome
    });
    // A thread that hangs on a dead disk must not keep the program alive.
    runtime.shutdown_background();
    if outcome.is_err() && !had_state {
        // Nothing is in it, or it stays.
        let _ = fs::remove_dir(state);
    }
    outcome
}

/// The files that were named, and those ending in `.torrent` of the folders that were.
fn torrent_files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut torrents = Vec::new();
    for path in named {
        if !path.is_dir() {
            torrents.push(path.clone());
            continue;
        }
        let before = torrents.len();
        let unreadable = || format!("cannot read {}", path.display());
        for entry in fs::read_dir(path).with_context(unreadable)? {
            let file = entry.with_context(unreadable)?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "torrent")
            {
                torrents.push(file);
            }
        }
        ensure!(
            torrents.len() > before,
            "there is no .torrent in {}",
            path.display()
        );
        torrents[before..].sort();
    }
    Ok(torrents)
}

async fn serve(
    session: &Session,
    torrents: &[PathBuf],
    folder: &Path,
    mut reporter: Reporter,
    interrupt: &mut Interrupt,
) -> Result<Outcome> {
    let events = session.events();
    let handles = tokio::select! {
        handles = load(session, torrents, folder, &mut reporter) => handles?,
        () = interrupt.asked() => {
            reporter.tell(&Report::Stopping);
            return Ok(Outcome::Interrupted);
        }
    };
    reporter.tell(&Report::Listening {
        port: session.port(),
    });
    reporter.tell(&Report::Ready {
        torrents: handles.len(),
    });
    let mut watch = Watch::new(reporter, events);
    if let [handle] = &handles[..] {
        let stats = handle.stats();
        let first = *stats.borrow();
        watch.reporter.tell_progress(&first);
        watch.stats = Some(stats);
    }
    drop(handles);
    tokio::select! {
        () = watch.tell() => Err(Incomplete::ShutDown.into()),
        () = interrupt.asked() => {
            watch.reporter.tell(&Report::Stopping);
            Ok(Outcome::Interrupted)
        }
    }
}

/// Begins to serve what can be served. Of several torrents, one that cannot be is told and left out.
async fn load(
    session: &Session,
    torrents: &[PathBuf],
    folder: &Path,
    reporter: &mut Reporter,
) -> Result<Vec<TorrentHandle>> {
    let is_alone = torrents.len() == 1;
    let left_out = |error| match is_alone {
        true => Err(error),
        false => {
            crate::complain(&error);
            Ok(())
        }
    };
    let mut added = Vec::with_capacity(torrents.len());
    for path in torrents {
        match add(session, path, folder, reporter).await {
            Ok(torrent) => added.push(torrent),
            Err(error) => left_out(error)?,
        }
    }
    let mut served = Vec::with_capacity(added.len());
    for Added { handle, traces } in added {
        match start(&handle, folder, reporter).await {
            Ok(()) => served.push(handle),
            Err(error) => {
                // Whether it is still there or not, it is not served.
                let _ = session.remove_keeping_files(&handle).await;
                traces.remove();
                left_out(error)?;
            }
        }
    }
    ensure!(
        !served.is_empty(),
        "none of the {} torrents can be served; the lines above say why",
        torrents.len()
    );
    Ok(served)
}

/// A torrent that was added, and what that may have made below the folder.
struct Added {
    handle: TorrentHandle,
    traces: Traces,
}

/// Adds a torrent that does not move data yet.
async fn add(
    session: &Session,
    path: &Path,
    folder: &Path,
    reporter: &mut Reporter,
) -> Result<Added> {
    let torrent = source::read_torrent(path)?;
    reporter.tell(&Report::loaded(&torrent));
    let traces = Traces::before_adding(torrent.info(), folder);
    let added = session.add(torrent).paused().start().await;
    let handle = added.with_context(|| path.display().to_string())?;
    Ok(Added { handle, traces })
}

/// Waits until it is known what is there, and begins to serve it.
async fn start(handle: &TorrentHandle, folder: &Path, reporter: &mut Reporter) -> Result<()> {
    let mut stats = handle.stats();
    let known = stats
        .wait_for(|now| now.state != TorrentState::Checking)
        .await;
    let known = *known.map_err(|_| Incomplete::ShutDown)?;
    drop(stats);
    let metainfo = handle.metadata().await?;
    let name = metainfo.info().name();
    if known.verified_pieces == 0 && known.pieces > 0 {
        if let Some(hint) = place::hint(metainfo.info(), folder) {
            bail!("nothing of `{name}` is there; {hint}");
        }
        bail!(
            "nothing of `{name}` is there; --output names the folder that holds it, and `rarest download` fetches it"
        );
    }
    handle.resume().await?;
    reporter.tell(&Report::Serving {
        name: name.to_owned(),
        verified_pieces: known.verified_pieces,
        pieces: known.pieces,
    });
    Ok(())
}
