//! The session as the flags ask for it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rarest_piece_store::OpenFiles;
use rarest_session::{Builder, Encryption, Limits, Rate, Session};
use tokio::runtime::Runtime;

use crate::args::{self, Network};
use crate::quantity::ByteRate;
use crate::source::Authorities;

/// Folder below the download folder that keeps how far downloads are.
pub(crate) const STATE_FOLDER: &str = ".rarest";

/// Files that are kept open while they are read outside of a session.
const OPEN_FILES: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

/// How long trackers and disks may take when the user stops: trackers have 5 s for their farewell.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(8);

/// Descriptors for work on files outside of a session.
pub(crate) fn open_files() -> Arc<OpenFiles> {
    OpenFiles::new(OPEN_FILES)
}

/// The runtime of a command.
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads for the network")
}

/// Starts a session that downloads to `folder`.
pub(crate) async fn session(
    network: &Network,
    authorities: Option<&Authorities>,
    folder: &Path,
) -> Result<Session> {
    let builder = builder(network, authorities).download_dir(folder);
    let built = builder.state_dir(folder.join(STATE_FOLDER)).build().await;
    Ok(built?)
}

/// A session that keeps nothing, as far as the flags say what it is like.
pub(crate) fn builder(network: &Network, authorities: Option<&Authorities>) -> Builder {
    let rate =
        |limit: Option<ByteRate>| limit.map_or(Rate::UNLIMITED, |limit| Rate::bytes_per_s(limit.0));
    let mut builder = Session::builder()
        .port(network.listen_port)
        .encryption(match network.encryption {
            args::Encryption::Disable => Encryption::DISABLE,
            args::Encryption::Tolerate => Encryption::TOLERATE,
            args::Encryption::Prefer => Encryption::PREFER,
            args::Encryption::Require => Encryption::REQUIRE,
        })
        .limits(Limits {
            download: rate(network.limit_down),
            upload: rate(network.limit_up),
        });
    if network.no_local_discovery {
        builder = builder.without_local_discovery();
    }
    if network.dht.no_dht {
        builder = builder.without_dht();
    } else if !network.dht.bootstrap.is_empty() {
        builder = builder.dht_bootstrap(network.dht.bootstrap.iter().cloned());
    }
    if let Some(Authorities { pem }) = authorities {
        builder = builder.tracker_root_certificates(pem.clone());
    }
    builder
}

/// Ends a session within the grace time. Who stops a program has waited long enough: what did not end is left behind.
pub(crate) async fn shut_down(session: &Session) {
    if let Err(error) = session.shutdown(SHUTDOWN_GRACE).await {
        crate::complain(&error.into());
    }
}
