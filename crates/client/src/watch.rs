//! Tells what happens to torrents, while the commands wait for their end.

use std::sync::Arc;
use std::time::Duration;

use rarest_metainfo::Metainfo;
use rarest_session::{Event, EventStream, Stats, TorrentEvent, TorrentHandle};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::report::{PieceCount, Report};
use crate::reporter::Reporter;

/// What happens within so long is told at once. Nobody reads faster, and a thousand pieces a second that are told one by one cost more than the
/// protocol does.
const TOGETHER: Duration = Duration::from_millis(20);

/// What happens, on its way to the user.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) reporter: Reporter,
    events: EventStream,
    /// When events were told last.
    told_at: Option<Instant>,
    /// Of one torrent that is downloaded.
    pub(crate) pieces: Option<PieceCount>,
    /// The torrent of a magnet link, of which it is told what it is as soon as that is known.
    pub(crate) linked: Option<TorrentHandle>,
    /// Of one torrent; of many, their peers and faults are enough.
    pub(crate) stats: Option<watch::Receiver<Stats>>,
}

impl Watch {
    pub(crate) fn new(reporter: Reporter, events: EventStream) -> Self {
        Self {
            reporter,
            events,
            told_at: None,
            pieces: None,
            linked: None,
            stats: None,
        }
    }

    /// Tells what happens until the session ends. Dropping the future loses nothing; what happened just before is
    /// [left to tell](Self::tell_rest).
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
            let told_at = self.told_at;
            let happened = async {
                if let Some(at) = told_at {
                    tokio::time::sleep_until(at + TOGETHER).await;
                }
                self.events.next().await
            };
            tokio::select! {
                // Pieces before the progress that counts them.
                biased;
                event = happened => match event {
                    Some(event) => self.tell_events(event),
                    None => return,
                },
                Ok(stats) = changed => {
                    self.tell_rest();
                    self.reporter.tell_progress(&stats);
                }
            }
        }
    }

    /// Tells what has happened and was not told yet.
    pub(crate) fn tell_rest(&mut self) {
        if let Some(event) = self.events.try_next() {
            self.tell_events(event);
        }
    }

    /// What the magnet link names, when this event says that it is known.
    fn described_by(&self, event: &Event) -> Option<Arc<Metainfo>> {
        match event {
            Event::Torrent(_, TorrentEvent::MetadataReceived) => self.linked.as_ref()?.metainfo(),
            _ => None,
        }
    }

    /// Tells this and all that happened since.
    fn tell_events(&mut self, first: Event) {
        let mut reports = Vec::new();
        let mut next = Some(first);
        while let Some(event) = next {
            if let Some(torrent) = self.described_by(&event) {
                reports.push(Report::loaded(&torrent));
                self.pieces = Some(PieceCount::of(&torrent));
            }
            reports.extend(match &mut self.pieces {
                Some(pieces) => pieces.report(event),
                None => Report::of(event),
            });
            next = self.events.try_next();
        }
        self.reporter.tell_all(&reports);
        self.told_at = Some(Instant::now());
    }
}
