//! Ctrl-C: the first asks for an orderly end, the second ends at once.

use std::process;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What shells show for a program that Ctrl-C ended: 128 + SIGINT.
pub(crate) const EXIT_STATUS: u8 = 130;

/// Tells when the user asked to stop. SIGTERM counts as Ctrl-C.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    asked: watch::Receiver<bool>,
}

impl Interrupt {
    /// Listens from now on, in a task of the runtime.
    pub(crate) fn listen() -> Result<Self> {
        let open = |kind| signal(kind).context("cannot listen for Ctrl-C");
        let (mut int, mut term) = (
            open(SignalKind::interrupt())?,
            open(SignalKind::terminate())?,
        );
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            either(&mut int, &mut term).await;
            ask.send_replace(true);
            either(&mut int, &mut term).await;
            process::exit(EXIT_STATUS.into());
        });
        Ok(Self { asked })
    }

    /// Waits until the user asks to stop.
    pub(crate) async fn asked(&mut self) {
        // The sender lives as long as the runtime does.
        let _ = self.asked.wait_for(|asked| *asked).await;
    }
}

async fn either(int: &mut Signal, term: &mut Signal) {
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}
