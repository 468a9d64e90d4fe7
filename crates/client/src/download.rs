//! `rarest download`: one torrent until it is complete.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rarest_metainfo::{Magnet, Metainfo};
use rarest_session::{FilePriority, Incomplete, Session, TorrentHandle};

use crate::args::{Download, PeerHost};
use crate::interrupt::Interrupt;
use crate::quantity::counted;
use crate::report::{PieceCount, Report};
use crate::reporter::Reporter;
use crate::source::{self, Authorities};
use crate::watch::Watch;
use crate::{Outcome, metadata, network, overwriting};

/// Downloads, and serves on if asked to.
pub(crate) fn run(arguments: &Download) -> Result<Outcome> {
    let authorities = Authorities::read(arguments.network.ca_file.as_deref())?;
    let authorities = authorities.as_ref();
    let source = match source::magnet(Path::new(&arguments.torrent))? {
        Some(magnet) => Source::Magnet(magnet),
        None => Source::Torrent(Arc::new(source::torrent(&arguments.torrent, authorities)?)),
    };
    if let (Source::Torrent(torrent), Some(files)) = (&source, &arguments.files) {
        // Before anything is opened or asked.
        files.numbers(torrent.info().files().len())?;
    }
    let runtime = network::runtime()?;
    let outcome = runtime.block_on(async {
        let mut interrupt = Interrupt::listen()?;
        match source {
            Source::Torrent(torrent) => {
                download_torrent(torrent, arguments, authorities, &mut interrupt).await
            }
            Source::Magnet(magnet) => {
                download_magnet(magnet, arguments, authorities, &mut interrupt).await
            }
        }
    });
    // A thread that hangs on a dead disk must not keep the program alive.
    runtime.shutdown_background();
    outcome
}

/// What is to be downloaded.
enum Source {
    Torrent(Arc<Metainfo>),
    Magnet(Magnet),
}

async fn download_torrent(
    torrent: Arc<Metainfo>,
    arguments: &Download,
    authorities: Option<&Authorities>,
    interrupt: &mut Interrupt,
) -> Result<Outcome> {
    let mut reporter = Reporter::new(arguments.report, torrent.info().total_length());
    reporter.tell(&Report::loaded(&torrent));
    let files = match &arguments.files {
        Some(selection) => Some(selection.numbers(torrent.info().files().len())?),
        None => None,
    };
    match replaced(&torrent, arguments, files.as_deref(), interrupt).await {
        Some(replaced) => replaced.iter().for_each(|report| reporter.tell(report)),
        None => {
            reporter.tell(&Report::Stopping);
            return Ok(Outcome::Interrupted);
        }
    }
    let peers = resolved(&arguments.peers).await?;
    let session = network::session(&arguments.network, authorities, &arguments.output).await?;
    let outcome = download(
        &session, torrent, arguments, peers, files, reporter, interrupt,
    )
    .await;
    network::shut_down(&session).await;
    outcome
}

async fn download(
    session: &Session,
    torrent: Arc<Metainfo>,
    arguments: &Download,
    peers: Vec<SocketAddr>,
    files: Option<Vec<usize>>,
    mut reporter: Reporter,
    interrupt: &mut Interrupt,
) -> Result<Outcome> {
    let began = Instant::now();
    reporter.name_peers(&peers);
    let pieces = PieceCount::of(&torrent);
    let wanted = wanted_bytes(&torrent, files.as_deref());
    let has_dht = session.dht_port().is_some() && !torrent.info().is_private();
    let has_nobody_to_ask = torrent.trackers().is_empty()
        && torrent.web_seeds().is_empty()
        && arguments.peers.is_empty()
        && !has_dht;
    let mut add = session.add(torrent).peers(peers);
    if let Some(files) = files {
        add = add.files(files);
    }
    // From before the look at what is there, which may end at once.
    let events = session.events();
    let handle = add.start().await?;
    tell_port(&mut reporter, session, has_nobody_to_ask);
    let mut watch = Watch::new(reporter, events);
    watch.pieces = Some(pieces);
    watch.stats = Some(handle.stats());
    complete(&handle, watch, wanted, began, arguments, interrupt).await
}

async fn download_magnet(
    magnet: Magnet,
    arguments: &Download,
    authorities: Option<&Authorities>,
    interrupt: &mut Interrupt,
) -> Result<Outcome> {
    let mut reporter = Reporter::new(arguments.report, 0);
    reporter.tell(&Report::linked(&magnet));
    let peers = resolved(&arguments.peers).await?;
    reporter.name_peers(&peers);
    let session = network::session(&arguments.network, authorities, &arguments.output).await?;
    let outcome = fetch_and_download(&session, magnet, arguments, peers, reporter, interrupt).await;
    network::shut_down(&session).await;
    outcome
}

async fn fetch_and_download(
    session: &Session,
    magnet: Magnet,
    arguments: &Download,
    peers: Vec<SocketAddr>,
    mut reporter: Reporter,
    interrupt: &mut Interrupt,
) -> Result<Outcome> {
    let began = Instant::now();
    let has_nobody_to_ask = metadata::has_nobody_to_ask(session, &magnet, &peers);
    let link = magnet.clone();
    let events = session.events();
    // It goes on once it was told what will be replaced.
    let add = session.add(magnet).peers(peers).pause_at_metadata();
    let handle = add.start().await?;
    tell_port(&mut reporter, session, has_nobody_to_ask);
    let mut watch = Watch::new(reporter, events);
    watch.linked = Some(handle.clone());
    watch.stats = Some(handle.stats());
    let torrent = loop {
        match metadata::fetch(&handle, &mut watch, interrupt).await {
            Ok(Some(torrent)) => break torrent,
            Ok(None) => return Ok(stop(&mut watch)),
            Err(reason @ Incomplete::Stalled { .. }) => {
                let reason = reason.to_string();
                watch.reporter.tell(&Report::Stalled { reason });
            }
            Err(reason) => return Err(reason.into()),
        }
    };
    let count = torrent.info().files().len();
    let files = match &arguments.files {
        Some(selection) => Some(selection.numbers(count)?),
        None => linked_files(&link, count)?,
    };
    match replaced(&torrent, arguments, files.as_deref(), interrupt).await {
        Some(replaced) => replaced
            .iter()
            .for_each(|report| watch.reporter.tell(report)),
        None => return Ok(stop(&mut watch)),
    }
    if let Some(files) = &files {
        let priority = |file| match files.binary_search(&file) {
            Ok(_) => (file, FilePriority::Normal),
            Err(_) => (file, FilePriority::Skip),
        };
        let priorities = (0..count).map(priority);
        handle.set_file_priorities(priorities).await?;
    }
    handle.resume().await?;
    let wanted = wanted_bytes(&torrent, files.as_deref());
    complete(&handle, watch, wanted, began, arguments, interrupt).await
}

/// The files that a link is for (BEP 53), when it names some.
fn linked_files(link: &Magnet, count: usize) -> Result<Option<Vec<usize>>> {
    if link.selected_files.is_empty() {
        return Ok(None);
    }
    let is_linked = |&file: &usize| u32::try_from(file).is_ok_and(|file| link.selects(file));
    let files: Vec<usize> = (0..count).filter(is_linked).collect();
    ensure!(
        !files.is_empty(),
        "the link is for files that the torrent lacks: it has {}, counted from 0",
        counted(count as u64, "file")
    );
    Ok(Some(files))
}

fn tell_port(reporter: &mut Reporter, session: &Session, has_nobody_to_ask: bool) {
    let port = session.port();
    reporter.tell(&Report::Listening { port });
    if has_nobody_to_ask {
        reporter.tell(&Report::NobodyToAsk { port });
    }
}

/// What is there and will be overwritten; `None` when the user stops the look at it.
async fn replaced(
    torrent: &Arc<Metainfo>,
    arguments: &Download,
    files: Option<&[usize]>,
    interrupt: &mut Interrupt,
) -> Option<Vec<Report>> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    let looking = tokio::task::spawn_blocking({
        let (torrent, is_stopped) = (Arc::clone(torrent), Arc::clone(&is_stopped));
        let (folder, files) = (arguments.output.clone(), files.map(<[_]>::to_vec));
        move || overwriting::find(&torrent, &folder, files.as_deref(), &is_stopped)
    });
    tokio::select! {
        // What went wrong will go wrong for the session too, which knows what to do about it.
        found = looking => Some(found.ok().and_then(Result::ok).unwrap_or_default()),
        () = interrupt.asked() => {
            is_stopped.store(true, Ordering::Relaxed);
            None
        }
    }
}

/// Waits for the end of the download, and of serving on.
async fn complete(
    handle: &TorrentHandle,
    mut watch: Watch,
    wanted: u64,
    began: Instant,
    arguments: &Download,
    interrupt: &mut Interrupt,
) -> Result<Outcome> {
    loop {
        tokio::select! {
            () = watch.tell() => return Err(Incomplete::ShutDown.into()),
            () = interrupt.asked() => return Ok(stop(&mut watch)),
            ended = handle.completed() => match ended {
                Ok(()) => break,
                Err(reason @ Incomplete::Stalled { .. }) => {
                    watch.tell_rest();
                    watch.reporter.tell(&Report::Stalled { reason: reason.to_string() });
                }
                Err(reason) => {
                    watch.tell_rest();
                    return Err(reason.into());
                }
            },
        }
    }
    // The last piece before the end.
    watch.tell_rest();
    watch.reporter.tell(&Report::Completed {
        bytes: wanted,
        seconds: began.elapsed().as_secs_f64(),
        downloaded_pieces: watch.pieces.map_or(0, |pieces| pieces.downloaded),
    });
    if !arguments.seed {
        return Ok(Outcome::Done);
    }
    tokio::select! {
        () = watch.tell() => Err(Incomplete::ShutDown.into()),
        () = interrupt.asked() => Ok(stop(&mut watch)),
    }
}

/// The addresses of peers, of whose hosts some may be names.
pub(crate) async fn resolved(peers: &[PeerHost]) -> Result<Vec<SocketAddr>> {
    let mut addresses = Vec::with_capacity(peers.len());
    for peer in peers {
        let found = tokio::net::lookup_host((&*peer.host, peer.port)).await;
        addresses.extend(found.with_context(|| format!("cannot find the peer {peer}"))?);
    }
    Ok(addresses)
}

fn stop(watch: &mut Watch) -> Outcome {
    watch.tell_rest();
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
