//! `rarest metadata`: the `.torrent` of a magnet link, fetched from peers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rarest_metainfo::{Magnet, Metainfo};
use rarest_session::{ExistingData, Incomplete, Session, TorrentHandle};

use crate::args::Metadata;
use crate::download::resolved;
use crate::interrupt::Interrupt;
use crate::report::Report;
use crate::reporter::Reporter;
use crate::source::{self, Authorities};
use crate::torrent_file::{what_is_replaced, write_whole};
use crate::watch::Watch;
use crate::{Outcome, network};

/// Fetches the metadata, and writes it.
pub(crate) fn run(arguments: &Metadata) -> Result<Outcome> {
    let authorities = Authorities::read(arguments.network.ca_file.as_deref())?;
    let magnet = source::magnet(&arguments.magnet)?
        .context("that is no magnet link; it begins with magnet:?")?;
    if let Some(out) = &arguments.output {
        what_is_replaced(out)?;
    }
    let runtime = network::runtime()?;
    let outcome = runtime.block_on(async {
        let mut interrupt = Interrupt::listen()?;
        let patience = Duration::from_secs(arguments.timeout);
        let session = network::builder(&arguments.network, authorities.as_ref())
            .stall_timeout(patience)
            .build()
            .await?;
        let outcome = fetch_and_write(&session, magnet, arguments, &mut interrupt).await;
        network::shut_down(&session).await;
        outcome
    });
    runtime.shutdown_background();
    outcome
}

async fn fetch_and_write(
    session: &Session,
    magnet: Magnet,
    arguments: &Metadata,
    interrupt: &mut Interrupt,
) -> Result<Outcome> {
    let mut reporter = Reporter::new(arguments.report, 0);
    reporter.tell(&Report::linked(&magnet));
    let peers = resolved(&arguments.peers).await?;
    reporter.name_peers(&peers);
    let port = session.port();
    reporter.tell(&Report::Listening { port });
    if has_nobody_to_ask(session, &magnet, &peers) {
        reporter.tell(&Report::NobodyToAsk { port });
    }
    let mut watch = Watch::new(reporter, session.events());
    // None of its files is touched.
    let add = session.add(magnet).peers(peers).pause_at_metadata();
    let add = add.files([]).existing_data(ExistingData::Ignore);
    let handle = add.start().await?;
    watch.linked = Some(handle.clone());
    watch.stats = Some(handle.stats());
    let Some(torrent) = fetch(&handle, &mut watch, interrupt).await? else {
        watch.reporter.tell(&Report::Stopping);
        return Ok(Outcome::Interrupted);
    };
    let out = match &arguments.output {
        Some(out) => out.clone(),
        None => named_after(&torrent)?,
    };
    write_whole(&out, &torrent.to_bytes())?;
    let path = out.display().to_string();
    watch.reporter.tell(&Report::MetadataWritten { path });
    Ok(Outcome::Done)
}

/// Whether nobody can be asked for the metadata of a magnet link, but whoever dials us.
pub(crate) fn has_nobody_to_ask(session: &Session, magnet: &Magnet, peers: &[SocketAddr]) -> bool {
    let is_named = !magnet.trackers.is_empty() || !magnet.peers.is_empty();
    !is_named && peers.is_empty() && session.dht_port().is_none()
}

/// Waits for the metadata of a magnet link; `None` when the user stops it.
pub(crate) async fn fetch(
    torrent: &TorrentHandle,
    watch: &mut Watch,
    interrupt: &mut Interrupt,
) -> Result<Option<Arc<Metainfo>>, Incomplete> {
    tokio::select! {
        () = watch.tell() => Err(Incomplete::ShutDown),
        () = interrupt.asked() => Ok(None),
        known = torrent.metadata() => {
            watch.tell_rest();
            known.map(Some)
        }
    }
}

/// A file in the current folder that is named like the torrent, in whose name somebody else may have had a hand.
fn named_after(torrent: &Metainfo) -> Result<PathBuf> {
    let file = torrent.info().files().next();
    let name = file.and_then(|file| file.path().split('/').next());
    let name = name.context("the torrent has no file to be named after; name one with -o")?;
    let out = PathBuf::from(format!("{name}.torrent"));
    what_is_replaced(&out)?;
    Ok(out)
}
