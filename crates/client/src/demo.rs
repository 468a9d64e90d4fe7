//! `rarest demo`: a tracker, a seed and a download on this machine, with real sockets and real files.

mod content;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rarest_metainfo::{Builder, Metainfo, Version};
use rarest_session::{Session, TorrentHandle};
use rarest_tracker::server::{Server, ServerConfig};

use crate::args::{Demo, Report as ReportFlags};
use crate::byte_bar::ByteBar;
use crate::interrupt::Interrupt;
use crate::quantity::{ByteCount, counted};
use crate::reporter::Reporter;
use crate::{Outcome, network};
use content::Content;

/// How long a torrent may take: far more than any machine needs, so that trouble is told and not waited for.
const TRADE_TIMEOUT: Duration = Duration::from_secs(120);

/// What was traded, for the last line.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    bytes: u64,
    pieces: u32,
    trading: Duration,
}

/// Trades a single file and a folder of files, compares every byte and removes everything.
pub(crate) fn run(arguments: &Demo) -> Result<Outcome> {
    let began = Instant::now();
    let scratch = tempfile::Builder::new().prefix("rarest-demo-").tempdir();
    let scratch = scratch.context("cannot make a folder for the files")?;
    let runtime = network::runtime()?;
    let traded = runtime.block_on(async {
        let mut interrupt = Interrupt::listen()?;
        tokio::select! {
            figures = trade_both(arguments.size.0, scratch.path()) => figures.map(Some),
            () = interrupt.asked() => Ok(None),
        }
    });
    runtime.shutdown_timeout(network::SHUTDOWN_GRACE);
    let Some(figures) = traded? else {
        return Ok(Outcome::Interrupted);
    };
    scratch.close().context("cannot remove the files again")?;
    crate::say(format_args!(
        "demo: 2 torrents, {}, {}, every byte compared, {}/s between real sockets, {:.1} s in all",
        ByteCount(figures.bytes),
        counted(u64::from(figures.pieces), "piece"),
        ByteCount(rate(figures)),
        began.elapsed().as_secs_f64(),
    ))?;
    Ok(Outcome::Done)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn rate(figures: Figures) -> u64 {
    (figures.bytes as f64 / figures.trading.as_secs_f64().max(1e-3)) as u64
}

async fn trade_both(size: u64, folder: &Path) -> Result<Figures> {
    let (seeding, downloading) = (folder.join("seed"), folder.join("download"));
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let tracker = Server::start(&ServerConfig {
        http: vec![here],
        ..ServerConfig::default()
    })
    .context("cannot start a tracker on this machine")?;
    let url = tracker
        .announce_urls()
        .next()
        .context("the tracker has no address")?
        .to_string();
    crate::say(format_args!("tracker at {url}"))?;
    let seed = session(&seeding).await?;
    let download = session(&downloading).await?;
    let mut figures = Figures::default();
    for content in [Content::SingleFile, Content::Folder] {
        content.write(&seeding, size / 2)?;
        let torrent = create(&seeding.join(content.name()), content, &url)?;
        let traded = trade(&seed, &download, torrent)
            .await
            .with_context(|| content.name())?;
        figures.bytes += traded.bytes;
        figures.pieces += traded.pieces;
        figures.trading += traded.trading;
        content.compare(&seeding, &downloading)?;
        crate::say(format_args!("{}: every byte is as it was", content.name()))?;
    }
    network::shut_down(&download).await;
    network::shut_down(&seed).await;
    Ok(figures)
}

/// A session that is reached on this machine alone.
async fn session(folder: &Path) -> Result<Session> {
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    Ok(Session::builder()
        .download_dir(folder)
        .listen_addresses([here])
        .without_local_discovery()
        .without_dht()
        .build()
        .await?)
}

fn create(path: &Path, content: Content, tracker: &str) -> Result<Metainfo> {
    let bar = ByteBar::new("hashing");
    let torrent = Builder::new(content.version())
        .tracker(tracker)
        .build(path, |progress| {
            bar.set(progress.hashed_bytes, progress.total_bytes);
            ControlFlow::Continue(())
        });
    bar.finish();
    Ok(torrent?)
}

async fn trade(seed: &Session, download: &Session, torrent: Metainfo) -> Result<Figures> {
    let info = torrent.info();
    let (bytes, pieces) = (info.total_length(), info.geometry().piece_count());
    let files = info.files().filter(|file| !file.is_padding()).count();
    crate::say(format_args!(
        "{}: {}, {} of {}, {}, {}",
        info.name(),
        ByteCount(bytes),
        counted(u64::from(pieces), "piece"),
        ByteCount(info.geometry().nominal_piece_length().into()),
        counted(files as u64, "file"),
        match info.version() {
            Version::V1 => "v1",
            Version::V2 => "v2",
            Version::Hybrid => "v1 and v2",
        },
    ))?;
    let seeding = seed.add(torrent.clone()).seed_mode().start().await?;
    seeding.completed().await?;
    let began = Instant::now();
    let handle = download.add(torrent).start().await?;
    tokio::time::timeout(TRADE_TIMEOUT, watch(&handle, bytes))
        .await
        .with_context(|| format!("not complete after {} s", TRADE_TIMEOUT.as_secs()))??;
    Ok(Figures {
        bytes,
        pieces,
        trading: began.elapsed(),
    })
}

async fn watch(handle: &TorrentHandle, bytes: u64) -> Result<()> {
    let mut reporter = Reporter::new(ReportFlags { json: false }, bytes);
    let mut stats = handle.stats();
    loop {
        tokio::select! {
            ended = handle.completed() => return Ok(ended?),
            Ok(()) = stats.changed() => {
                let now = *stats.borrow_and_update();
                reporter.tell_progress(&now);
            }
        }
    }
}
