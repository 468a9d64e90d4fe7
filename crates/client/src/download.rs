//! `rarest download`: one torrent until it is complete.

use std::time::Instant;

use anyhow::Result;
use rarest_metainfo::Metainfo;
use rarest_session::{Incomplete, Session};

use crate::args::Download;
use crate::interrupt::Interrupt;
use crate::report::{PieceCount, Report};
use crate::reporter::Reporter;
use crate::source::{self, Authorities};
use crate::watch::Watch;
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
    reporter.name_peers(&arguments.peers);
    reporter.tell(&Report::loaded(&torrent));
    let pieces = PieceCount::of(&torrent);
    let wanted = wanted_bytes(&torrent, files.as_deref());
    let has_nobody_to_ask = torrent.trackers().is_empty() && arguments.peers.is_empty();
    let mut add = session.add(torrent).peers(arguments.peers.iter().copied());
    if let Some(files) = files {
        add = add.files(files);
    }
    let handle = add.start().await?;
    let port = session.port();
    reporter.tell(&Report::Listening { port });
    if has_nobody_to_ask {
        reporter.tell(&Report::NobodyToAsk { port });
    }
    let mut watch = Watch::new(reporter, handle.events());
    watch.pieces = Some(pieces);
    watch.stats = Some(handle.stats());
    loop {
        tokio::select! {
            // First, so that the last piece is told before the end.
            biased;
            () = watch.tell() => return Err(Incomplete::ShutDown.into()),
            () = interrupt.asked() => return Ok(stop(&mut watch)),
            ended = handle.completed() => match ended {
                Ok(()) => break,
                Err(reason @ Incomplete::Stalled { .. }) => {
                    watch.reporter.tell(&Report::Stalled { reason: reason.to_string() });
                }
                Err(reason) => return Err(reason.into()),
            },
        }
    }
    watch.reporter.tell(&Report::Completed {
        bytes: wanted,
        seconds: began.elapsed().as_secs_f64(),
    });
    if !arguments.seed {
        return Ok(Outcome::Done);
    }
    tokio::select! {
        () = watch.tell() => Err(Incomplete::ShutDown.into()),
        () = interrupt.asked() => Ok(stop(&mut watch)),
    }
}

fn stop(watch: &mut Watch) -> Outcome {
    watch.reporter.tell(&Report::Stopping);
    Outcome::Interrupted
}

/// Bytes of the files that are to be there in the end; `files` are numbers in order.
fn wanted_bytes(torrent: &Metainfo, files: Option<&[usize]>) -> u64 {
    let is_wanted = |index: &usize| files.is_none_or(|files| files.binary_search(index).is_ok());
    let files = torrent.info().files().enumerate();
    files
        .filter(|(index, file)| is_wanted(index) && !file.is_padding())
        .map(|(_, file)| file.length())
        .sum()
}
