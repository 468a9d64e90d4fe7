//! The runtime of the commands that use the network.

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;

/// The runtime of a command.
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads for the network")
}
