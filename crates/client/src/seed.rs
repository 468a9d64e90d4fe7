//! `rarest seed`: serves torrents until it is stopped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use rarest_session::{Event, Incomplete, Session, TorrentEvent, TorrentHandle, TorrentState};

use crate::args::Seed;
use crate::interrupt::Interrupt;
use crate::report::{Report, Reporter};
use crate::source::Authorities;
use crate::{Outcome, inspect, network};

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
    let runtime = network::runtime()?;
    let outcome = runtime.block_on(async {
        let mut interrupt = Interrupt::listen()?;
        let session = network::session(&arguments.network, authorities.as_ref(), folder).await?;
        let reporter = Reporter::new(arguments.report, 0);
        let outcome = serve(&session, &torrents, reporter, &mut interrupt).await;
        network::shut_down(&session).await;
        outcome
    });
    // A thread that hangs on a dead disk must not keep the program alive.
    runtime.shutdown_background();
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
        let entries =
            fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        for entry in entries {
            let file = entry?.path();
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
    mut reporter: Reporter,
    interrupt: &mut Interrupt,
) -> Result<Outcome> {
    let mut events = session.events();
    let handles = tokio::select! {
        handles = load(session, torrents, &reporter) => handles?,
        () = interrupt.asked() => return Ok(Outcome::Interrupted),
    };
    reporter.tell(&Report::Listening {
        port: session.port(),
    });
    reporter.tell(&Report::Ready {
        torrents: handles.len(),
    });
    // One torrent shows its progress; of many, their peers and faults are enough.
    let mut stats = handles
        .first()
        .map(TorrentHandle::stats)
        .filter(|_| handles.len() == 1);
    drop(handles);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Torrent(_, event)) => tell(&reporter, event),
                Some(Event::Missed(events)) => reporter.tell(&Report::Missed { events }),
                Some(_) => {}
                None => return Ok(Outcome::Done),
            },
            Ok(now) = async {
                match &mut stats {
                    Some(stats) => stats.changed().await.map(|()| *stats.borrow_and_update()),
                    None => std::future::pending().await,
                }
            } => reporter.tell_progress(&now),
            () = interrupt.asked() => {
                reporter.tell(&Report::Stopping);
                return Ok(Outcome::Interrupted);
            }
        }
    }
}

/// Begins to serve what can be served. Of several torrents, one that cannot be is told and left out.
async fn load(
    session: &Session,
    torrents: &[PathBuf],
    reporter: &Reporter,
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
        match add(session, path, reporter).await {
            Ok(handle) => added.push(handle),
            Err(error) => left_out(error)?,
        }
    }
    let mut served = Vec::with_capacity(added.len());
    for handle in added {
        match start(&handle, reporter).await {
            Ok(()) => served.push(handle),
            Err(error) => left_out(error)?,
        }
    }
    ensure!(
        !served.is_empty(),
        "none of the {} torrents can be served; the lines above say why",
        torrents.len()
    );
    Ok(served)
}

fn tell(reporter: &Reporter, event: TorrentEvent) {
    let report = match event {
        TorrentEvent::PeerConnected(peer) => Report::PeerConnected { peer },
        TorrentEvent::PeerDisconnected { peer, reason } => {
            Report::PeerDisconnected { peer, reason }
        }
        TorrentEvent::AnnounceFailed { tracker, reason } => {
            Report::AnnounceFailed { tracker, reason }
        }
        TorrentEvent::StorageFailed { error, retry_after } => Report::StorageFailed {
            reason: error.to_string(),
            retry_seconds: retry_after.as_secs(),
        },
        TorrentEvent::WritesLost { error, pieces } => Report::WritesLost {
            reason: error.to_string(),
            pieces,
        },
        TorrentEvent::StorageGivenUp(error) => Report::StorageGivenUp {
            reason: error.to_string(),
        },
        _ => return,
    };
    reporter.tell(&report);
}

/// Adds a torrent that does not move data yet.
async fn add(session: &Session, path: &Path, reporter: &Reporter) -> Result<TorrentHandle> {
    let torrent = inspect::read_torrent(path)?;
    reporter.tell(&Report::loaded(&torrent));
    let added = session.add(torrent).paused().start().await;
    added.with_context(|| path.display().to_string())
}

/// Waits until it is known what is there, and begins to serve it.
async fn start(handle: &TorrentHandle, reporter: &Reporter) -> Result<()> {
    let mut stats = handle.stats();
    let known = stats
        .wait_for(|now| now.state != TorrentState::Checking)
        .await;
    let known = *known.map_err(|_| Incomplete::ShutDown)?;
    let name = handle.metainfo().info().name();
    if known.verified_pieces == 0 && known.pieces > 0 {
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
