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
    /// The metadata of a magnet link is there: it is known what the torrent is.
    MetadataReceived,
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
    /// A peer that was dialled could not be reached, or hung up before the handshakes were done. It is dialled again, less and less often.
    PeerUnreachable {
        /// Its address.
        peer: SocketAddr,
        /// Why, in one sentence.
        reason: String,
    },
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
    /// A web seed is not asked any more, for now or for ever.
    WebSeedFailed {
        /// Its URL.
        url: String,
        /// Why, in one sentence.
        reason: String,
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
    /// The storage could not keep what was written: of so many pieces it may be gone. They are looked at, and fetched again where it is.
    WritesLost {
        /// What went wrong.
        error: StoreError,
        /// Number of pieces that were written since the storage last kept what it was given.
        pieces: usize,
    },
    /// The storage cannot be relied on: it failed to keep what was written for a second time, or its code panicked. The torrent is
    /// stopped as by a pause. To resume it, or to recheck it, is to rely on the storage again, after a look at every byte.
    StorageGivenUp(StoreError),
    /// A file was changed, cut short or removed by somebody else; its pieces are checked again.
    FileChanged(FileIndex),
    /// All that is missing cannot be verified, and so is not downloaded yet: the metainfo of the v2 torrent lacks piece layers (BEP 52).
    /// Peers are asked for them.
    HashesMissing {
        /// Number of wanted pieces whose hash is not known.
        pieces: u32,
    },
    /// Peers gave piece layers of the v2 torrent that its metainfo lacked (BEP 52), and they are right.
    HashesFound {
        /// Number of pieces whose hash is known now.
        pieces: usize,
    },
    /// Nothing was downloaded for as long as the session was told to wait. It goes on trying.
    Stalled,
}

/// Where events are published. When it is dropped, every stream ends.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    listeners: Mutex<Listeners>,
    /// Number of listeners, so that publishing to none costs one load.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Listeners {
    queues: Vec<Weak<Queue>>,
    /// Whether there will be no more events.
    closed: bool,
}

impl Publisher {
    pub(crate) fn publish(&self, torrent: TorrentId, event: TorrentEvent) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let event = Event::Torrent(torrent, event);
        // Woken outside of the locks: what a waker runs is not ours, and may listen or stop to.
        let mut wakers = Vec::new();
        self.retain(|queue| {
            if queue.only.is_none_or(|only| only == torrent) {
                wakers.extend(queue.push(event.clone()));
            }
            true
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Listens to one torrent, or to all.
    pub(crate) fn listen(&self, only: Option<TorrentId>, capacity: usize) -> EventStream {
        let queue = Arc::new(Queue {
            only,
            capacity,
            state: Mutex::default(),
        });
        let mut listeners = self.lock();
        if listeners.closed {
            queue.lock().closed = true;
            return EventStream { queue };
        }
        // Those who left are forgotten here too, as there may be nothing to publish.
        listeners.queues.retain(|queue| queue.strong_count() > 0);
        listeners.queues.push(Arc::downgrade(&queue));
        self.count.store(listeners.queues.len(), Ordering::Release);
        drop(listeners);
        EventStream { queue }
    }

    /// Ends every stream, once what waits in it was read, and those that are asked for later at once.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.end_streams(|_| true);
    }

    /// Ends the streams that listen to one torrent alone.
    pub(crate) fn close_torrent(&self, torrent: TorrentId) {
        self.end_streams(|queue| queue.only == Some(torrent));
    }

    fn end_streams(&self, ends: impl Fn(&Queue) -> bool) {
        let mut wakers = Vec::new();
        self.retain(|queue| {
            let ends = ends(queue);
            if ends {
                wakers.extend(queue.close());
            }
            !ends
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Visits every queue that is still listened to, and forgets those for which `visit` says so.
    fn retain(&self, mut visit: impl FnMut(&Queue) -> bool) {
        let mut listeners = self.lock();
        listeners
            .queues
            .retain(|queue| queue.upgrade().is_some_and(|queue| visit(&queue)));
        self.count.store(listeners.queues.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.close();
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
    /// Adds an event, or counts it where there is no room; whom to wake.
    fn push(&self, event: Event) -> Option<Waker> {
        let mut state = self.lock();
        // A gap takes a place of its own, so that what came before and after stays in order. A queue for one event holds the two,
        // or it would tell of nothing but gaps.
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
        state.waker.take()
    }

    /// Ends the stream after what waits in it; whom to wake.
    fn close(&self) -> Option<Waker> {
        let mut state = self.lock();
        state.closed = true;
        state.waker.take()
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
/// out. The stream ends when the torrent is removed or the session shut down or dropped; one that is asked for later has ended. Also a
/// [`Stream`](futures_core::Stream).
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

    /// A stream that has ended, of a torrent that is gone.
    pub(crate) fn ended() -> Self {
        Publisher::default().listen(None, 0)
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

    #[tokio::test]
    async fn whoever_listens_to_what_has_ended_does_not_wait() {
        let publisher = Publisher::default();
        publisher.close();
        assert!(publisher.listen(None, 8).next().await.is_none());
        assert!(EventStream::ended().next().await.is_none());
        let mut left_over = Publisher::default().listen(None, 8);
        assert!(left_over.next().await.is_none());
    }

    #[test]
    fn those_who_left_are_forgotten_though_nothing_is_published() {
        let publisher = Publisher::default();
        for _ in 0..1000 {
            drop(publisher.listen(Some(LEFT), 8));
        }
        assert_eq!(publisher.lock().queues.len(), 1);
    }

    #[tokio::test]
    async fn a_waker_may_listen_while_it_is_woken() {
        /// Another listener is made as soon as somebody is woken.
        struct Curious(Publisher);
        impl std::task::Wake for Curious {
            fn wake(self: Arc<Self>) {
                drop(self.0.listen(None, 8));
            }
        }
        let curious = Arc::new(Curious(Publisher::default()));
        let events = curious.0.listen(None, 8);
        let waker = Waker::from(Arc::clone(&curious));
        assert!(events.poll(&mut Context::from_waker(&waker)).is_pending());
        curious.0.publish(LEFT, TorrentEvent::Added);
        // The one that waits, and the one that came with the waking.
        assert_eq!(curious.0.lock().queues.len(), 2);
    }
}
