//! Tells what happens to torrents, while the commands wait for their end.

use rarest_session::{Event, EventStream, Stats};
use tokio::sync::watch;

use crate::report::{PieceCount, Report};
use crate::reporter::Reporter;

/// What happens, on its way to the user.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) reporter: Reporter,
    events: EventStream,
    /// Of one torrent that is downloaded.
    pub(crate) pieces: Option<PieceCount>,
    /// Of one torrent; of many, their peers and faults are enough.
    pub(crate) stats: Option<watch::Receiver<Stats>>,
}

impl Watch {
    pub(crate) fn new(reporter: Reporter, events: EventStream) -> Self {
        Self {
            reporter,
            events,
            pieces: None,
            stats: None,
        }
    }

    /// Tells what happens until the session ends. Dropping the future loses nothing.
    pub(crate) async fn tell(&mut self) {
        loop {
            let next_progress = self.reporter.next_progress();
            let changed = async {
                match &mut self.stats {
                    Some(stats) => {
                        // What changes until then is told then, and nothing is while nothing does.
                        if let Some(at) = next_progress {
                            tokio::time::sleep_until(at.into()).await;
                        }
                        stats.changed().await.map(|()| *stats.borrow_and_update())
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Pieces before the progress that counts them.
                biased;
                event = self.events.next() => match event {
                    Some(event) => self.tell_event(event),
                    None => return,
                },
                Ok(stats) = changed => self.reporter.tell_progress(&stats),
            }
        }
    }

    fn tell_event(&mut self, event: Event) {
        let report = match &mut self.pieces {
            Some(pieces) => pieces.report(event),
            None => Report::of(event),
        };
        if let Some(report) = report {
            self.reporter.tell(&report);
        }
    }
}
