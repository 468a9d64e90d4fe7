//! What happened, told to whoever listens: bounded queues that say how much they had to leave out.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rarest_metainfo::{FileIndex, PieceIndex};
use rarest_piece_store::StoreError;
use rarest_swarm::BanReason;

use crate::TorrentId;

/// Something that happened in a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Something happened to a torrent.
    Torrent(TorrentId, TorrentEvent),
    /// The listener read slower than events came: so many, counted since the last event it got, were left out here.
    Missed(u64),
}

/// Something that happened to one torrent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TorrentEvent {
    /// The torrent was added to the session.
    Added,
    /// The torrent was taken out of the session. Its last event.
    Removed,
    /// What is on the disk is being looked at.
    Checking,
    /// What is on the disk is known.
    Checked {
        /// Number of pieces that are there and right.
        verified_pieces: u32,
    },
    /// The torrent was paused.
    Paused,
    /// The torrent goes on.
    Resumed,
    /// A piece was downloaded, is what it should be and was written.
    PieceVerified(PieceIndex),
    /// A piece was downloaded and is not what it should be; it is fetched again.
    PieceCorrupt(PieceIndex),
    /// Every wanted piece is there. Not repeated for a torrent that was complete when it was added.
    Completed,
    /// A connection to a peer stands: both handshakes are done.
    PeerConnected(SocketAddr),
    /// A connection to a peer ended.
    PeerDisconnected {
        /// Its address.
        peer: SocketAddr,
        /// Why, in one sentence.
        reason: String,
    },
    /// No peer at this address is talked to any more.
    PeerBanned {
        /// The address.
        address: IpAddr,
        /// What it did.
        reason: BanReason,
    },
    /// A tracker answered.
    Announced {
        /// Its URL.
        tracker: String,
        /// Number of peers it told us.
        peers: usize,
        /// A message that is meant for the user.
        warning: Option<String>,
    },
    /// A tracker did not answer, or refused.
    AnnounceFailed {
        /// Its URL.
        tracker: String,
        /// What went wrong, in one sentence.
        reason: String,
    },
    /// The storage failed. Nothing is downloaded until it works; what is there is still uploaded.
    StorageFailed {
        /// What went wrong.
        error: StoreError,
        /// After how long it is tried again.
        retry_after: Duration,
    },
    /// The storage works again.
    StorageRecovered,
    /// A file was changed, cut short or removed by somebody else; its pieces are checked again.
    FileChanged(FileIndex),
    /// All that is missing cannot be verified, and so is not downloaded: the metainfo of the v2 torrent lacks piece layers (BEP 52).
    HashesMissing {
        /// Number of wanted pieces whose hash is not known.
        pieces: u32,
    },
    /// Nothing was downloaded for as long as the session was told to wait. It goes on trying.
    Stalled,
}

/// Most events that wait for one listener. A piece a millisecond leaves it a second.
pub(crate) const DEFAULT_CAPACITY: usize = 1024;

/// Where events are published.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    listeners: Mutex<Vec<Weak<Queue>>>,
    /// Number of listeners, so that publishing to none costs one load.
    count: AtomicUsize,
}

impl Publisher {
    pub(crate) fn publish(&self, torrent: TorrentId, event: TorrentEvent) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let event = Event::Torrent(torrent, event);
        let mut listeners = self.lock();
        listeners.retain(|listener| {
            let Some(queue) = listener.upgrade() else {
                return false;
            };
            if queue.only.is_none_or(|only| only == torrent) {
                queue.push(event.clone());
            }
            true
        });
        self.count.store(listeners.len(), Ordering::Release);
    }

    /// Listens to one torrent, or to all.
    pub(crate) fn listen(&self, only: Option<TorrentId>, capacity: usize) -> EventStream {
        let queue = Arc::new(Queue {
            only,
            capacity: capacity.max(1),
            state: Mutex::default(),
        });
        let mut listeners = self.lock();
        listeners.push(Arc::downgrade(&queue));
        self.count.store(listeners.len(), Ordering::Release);
        EventStream { queue }
    }

    /// Ends every stream, once what waits in it was read.
    pub(crate) fn close(&self) {
        for queue in self.lock().drain(..).filter_map(|queue| queue.upgrade()) {
            queue.close();
        }
        self.count.store(0, Ordering::Release);
    }

    /// Ends the streams that listen to one torrent alone.
    pub(crate) fn close_torrent(&self, torrent: TorrentId) {
        self.lock().retain(|listener| match listener.upgrade() {
            Some(queue) if queue.only == Some(torrent) => {
                queue.close();
                false
            }
            Some(_) => true,
            None => false,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Queue>>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Queue {
    only: Option<TorrentId>,
    capacity: usize,
    state: Mutex<QueueState>,
}

#[derive(Debug, Default)]
struct QueueState {
    events: VecDeque<Event>,
    /// Events left out since the last one in `events`.
    missed: u64,
    closed: bool,
    waker: Option<Waker>,
}

impl Queue {
    fn push(&self, event: Event) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        // A gap takes a place of its own, so that what came before and after stays in order.
        let needed = if state.missed > 0 { 2 } else { 1 };
        if state.events.len() + needed > self.capacity.max(needed) {
            state.missed += 1;
        } else {
            if state.missed > 0 {
                let missed = std::mem::take(&mut state.missed);
                state.events.push_back(Event::Missed(missed));
            }
            state.events.push_back(event);
        }
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn pop(&mut self) -> Option<Event> {
        self.events.pop_front().or_else(|| {
            let missed = std::mem::take(&mut self.missed);
            (missed > 0).then_some(Event::Missed(missed))
        })
    }
}

/// The events of a torrent or of a whole session, from the moment it was asked for.
///
/// A bounded number waits to be read; a reader that is slower gets [`Event::Missed`] in the place of those that were left
/// out. The stream ends when the torrent is removed or the session shut down. Also a [`Stream`](futures_core::Stream).
#[derive(Debug)]
pub struct EventStream {
    queue: Arc<Queue>,
}

impl EventStream {
    /// Waits for the next event; `None` when there will be no more.
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// The next event, if one waits.
    pub fn try_next(&mut self) -> Option<Event> {
        self.queue.lock().pop()
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.queue.lock();
        match state.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.closed => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl futures_core::Stream for EventStream {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use rarest_metainfo::InfoHash;

    use super::*;

    macro_rules! assert_matches {
        ($value:expr, $pattern:pat) => {{
            let value = $value;
            assert!(matches!(value, $pattern), "{value:?}");
        }};
    }

    const LEFT: TorrentId = TorrentId(InfoHash([1; 20]));
    const RIGHT: TorrentId = TorrentId(InfoHash([2; 20]));

    #[test]
    fn a_slow_listener_learns_how_many_events_it_missed() {
        let publisher = Publisher::default();
        let mut events = publisher.listen(None, 2);
        for _ in 0..7 {
            publisher.publish(LEFT, TorrentEvent::Paused);
        }
        assert_matches!(
            events.try_next(),
            Some(Event::Torrent(LEFT, TorrentEvent::Paused))
        );
        assert_matches!(
            events.try_next(),
            Some(Event::Torrent(LEFT, TorrentEvent::Paused))
        );
        publisher.publish(LEFT, TorrentEvent::Resumed);
        assert_matches!(events.try_next(), Some(Event::Missed(5)));
        assert_matches!(
            events.try_next(),
            Some(Event::Torrent(LEFT, TorrentEvent::Resumed))
        );
        assert!(events.try_next().is_none());
    }

    #[test]
    fn the_gap_is_told_even_when_nothing_follows() {
        let publisher = Publisher::default();
        let mut events = publisher.listen(None, 1);
        publisher.publish(LEFT, TorrentEvent::Added);
        publisher.publish(LEFT, TorrentEvent::Checking);
        publisher.publish(LEFT, TorrentEvent::Paused);
        assert_matches!(events.try_next(), Some(Event::Torrent(..)));
        assert_matches!(events.try_next(), Some(Event::Missed(2)));
        assert!(events.try_next().is_none());
    }

    #[test]
    fn a_torrents_stream_leaves_out_the_others() {
        let publisher = Publisher::default();
        let mut events = publisher.listen(Some(RIGHT), 8);
        publisher.publish(LEFT, TorrentEvent::Added);
        publisher.publish(RIGHT, TorrentEvent::Paused);
        assert_matches!(
            events.try_next(),
            Some(Event::Torrent(RIGHT, TorrentEvent::Paused))
        );
        assert!(events.try_next().is_none());
    }

    #[tokio::test]
    async fn a_closed_stream_ends_after_what_waits_in_it() {
        let publisher = Publisher::default();
        let mut all = publisher.listen(None, 8);
        let mut right = publisher.listen(Some(RIGHT), 8);
        publisher.publish(RIGHT, TorrentEvent::Removed);
        publisher.close_torrent(RIGHT);
        assert!(right.next().await.is_some());
        assert!(right.next().await.is_none());
        publisher.publish(LEFT, TorrentEvent::Added);
        publisher.close();
        assert!(all.next().await.is_some());
        assert!(all.next().await.is_some());
        assert!(all.next().await.is_none());
    }
}
