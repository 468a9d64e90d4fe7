//! `rarest download`: one torrent until it is complete.

use std::time::Instant;

use anyhow::Result;
use rarest_metainfo::Metainfo;
use rarest_session::{Event, Incomplete, Session, TorrentHandle};

use crate::args::Download;
use crate::interrupt::Interrupt;
use crate::report::{PieceCount, Report, Reporter};
use crate::source::{self, Authorities};
use crate::{Outcome, network};

/// Downloads, and serves on if asked to.
pub(crate) fn run(arguments: &Download) -> Result<Outcome> {
    let authorities = Authorities::read(arguments.network.ca_file.as_deref())?;
    let torrent = source::torrent(&arguments.torrent, authorities.as_ref())?;
    let files = match &arguments.files {
        Some(selection) => Some(selection.numbers(torrent.info().files().len())?),
        None => None,
    };
    let runtime = network::runtime()?;
    let outcome = runtime.block_on(async {
        let mut interrupt = Interrupt::listen()?;
        let session =
            network::session(&arguments.network, authorities.as_ref(), &arguments.output).await?;
        let reporter = Reporter::new(arguments.report, torrent.info().total_length());
        let outcome = download(
            &session,
            torrent,
            arguments,
            files,
            reporter,
            &mut interrupt,
        )
        .await;
        network::shut_down(&session).await;
        outcome
    });
    // A thread that hangs on a dead disk must not keep the program alive.
    runtime.shutdown_background();
    outcome
}

async fn download(
    session: &Session,
    torrent: Metainfo,
    arguments: &Download,
    files: Option<Vec<usize>>,
    mut reporter: Reporter,
    interrupt: &mut Interrupt,
) -> Result<Outcome> {
    let began = Instant::now();
    reporter.tell(&Report::loaded(&torrent));
    let mut pieces = PieceCount::of(&torrent);
    let wanted = wanted_bytes(&torrent, files.as_deref());
    let mut add = session.add(torrent).peers(arguments.peers.iter().copied());
    if let Some(files) = files {
        add = add.files(files);
    }
    let handle = add.start().await?;
    reporter.tell(&Report::Listening {
        port: session.port(),
    });
    let mut events = handle.events();
    let mut stats = handle.stats();
    let mut end = Box::pin(complete(&handle));
    loop {
        tokio::select! {
            // Events first, so that the last piece is told before the end.
            biased;
            Some(event) = events.next() => match event {
                Event::Torrent(_, event) => {
                    if let Some(report) = pieces.report(event) {
                        reporter.tell(&report);
                    }
                }
                Event::Missed(events) => reporter.tell(&Report::Missed { events }),
                _ => {}
            },
            () = interrupt.asked() => {
                reporter.tell(&Report::Stopping);
                return Ok(Outcome::Interrupted);
            }
            ended = &mut end => match ended {
                Ok(()) => break,
                Err(reason @ Incomplete::Stalled { .. }) => {
                    reporter.tell(&Report::Stalled { reason: reason.to_string() });
                    end = Box::pin(complete(&handle));
                }
                Err(reason) => return Err(reason.into()),
            },
            Ok(()) = stats.changed() => {
                let now = *stats.borrow_and_update();
                reporter.tell_progress(&now);
            }
        }
    }
    drop(end);
    reporter.tell(&Report::Completed {
        bytes: wanted,
        seconds: began.elapsed().as_secs_f64(),
    });
    if arguments.seed {
        serve(&handle, &mut reporter, interrupt).await;
        return Ok(Outcome::Interrupted);
    }
    Ok(Outcome::Done)
}

async fn complete(handle: &TorrentHandle) -> Result<(), Incomplete> {
    handle.completed().await
}

/// Bytes of the files that are to be there in the end.
fn wanted_bytes(torrent: &Metainfo, files: Option<&[usize]>) -> u64 {
    let is_wanted = |index: &usize| files.is_none_or(|files| files.contains(index));
    let files = torrent.info().files().enumerate();
    files
        .filter(|(index, file)| is_wanted(index) && !file.is_padding())
        .map(|(_, file)| file.length())
        .sum()
}

/// Serves until the user asks to stop.
async fn serve(handle: &TorrentHandle, reporter: &mut Reporter, interrupt: &mut Interrupt) {
    let mut stats = handle.stats();
    loop {
        tokio::select! {
            () = interrupt.asked() => return reporter.tell(&Report::Stopping),
            Ok(()) = stats.changed() => {
                let now = *stats.borrow_and_update();
                reporter.tell_progress(&now);
            }
        }
    }
}
