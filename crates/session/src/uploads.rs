//! Whose blocks are read and sent next: peers that are served have turns, so that all get the same share of the machine.
//!
//! Left to the scheduler of the runtime, who is served is a matter of luck: tasks that happen to share a thread with few others go
//! round faster. So only a few turns are under way at a time, and the next one is given to whoever was served least
//! ([start-time fair queueing](https://doi.org/10.1145/248157.248171)).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How far behind the others a peer may be, in bytes, and still be served before them until it has caught up. What it did
/// not ask for longer ago is lost: a peer that rests for an hour must not hold up the others afterwards.
const CREDIT: u64 = 2 * 1024 * 1024;

/// Most turns under way, on however many threads: each reads up to half a MiB of which [`BUFFER`] knows nothing until it is sent.
const MAX_TURNS: usize = 16;

/// Bytes of blocks that were read and wait for sockets to take them, over all peers: a peer with a slow line may not fill the memory
/// with what it asked for.
const BUFFER: usize = 32 * 1024 * 1024;

/// The most of the room that is left of [`BUFFER`] that one peer may take is a part in so many. Whoever comes last still finds some.
const BUFFER_PARTS: usize = 32;

/// Bytes of blocks that are read or wait to be written for one peer while there is room: enough to keep its socket busy while
/// the next ones are read.
const MAX_WINDOW: usize = 1024 * 1024;

/// Every peer may have this much, in bytes, however little room there is: one block.
const MIN_WINDOW: usize = 16 * 1024;

/// The turns of all peers of a session.
pub(crate) struct Uploads {
    queue: Mutex<FairQueue<oneshot::Sender<Turn>>>,
    /// Bytes that were read and not sent.
    buffered: AtomicUsize,
}

/// One peer's turn. It ends when this is dropped.
pub(crate) struct Turn {
    uploads: Arc<Uploads>,
}

impl Uploads {
    /// Has as many turns under way as there are threads that run connections, at most [`MAX_TURNS`]. A turn more would wait
    /// for a thread, whose scheduler knows nothing of shares: with three turns on two threads the least served of 200 peers had 0.88 of what
    /// the most served one had, with two 0.95.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            queue: Mutex::new(FairQueue::new(threads.min(MAX_TURNS))),
            buffered: AtomicUsize::new(0),
        }
    }

    /// Asks for a turn to read and send so many bytes.
    pub(crate) fn ask(
        self: &Arc<Self>,
        share: &mut Share,
        bytes: usize,
    ) -> oneshot::Receiver<Turn> {
        let (begin, turn) = oneshot::channel();
        self.lock().push(share, bytes, begin);
        self.begin_turns();
        turn
    }

    /// Bytes that may be read or wait to be written for one peer.
    pub(crate) fn window(&self) -> usize {
        let room = BUFFER.saturating_sub(self.buffered.load(Ordering::Relaxed));
        (room / BUFFER_PARTS).clamp(MIN_WINDOW, MAX_WINDOW)
    }

    /// Replaces the number of bytes that wait for the socket of a peer.
    pub(crate) fn recount(&self, before: usize, after: usize) {
        if before != after {
            self.buffered
                .fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    fn begin_turns(self: &Arc<Self>) {
        loop {
            let Some(begin) = self.lock().begin() else {
                return;
            };
            if begin.is_closed() {
                // The connection is gone.
                self.lock().end();
                continue;
            }
            let uploads = Arc::clone(self);
            // A connection that went this very moment drops its turn, which begins the next.
            let _ = begin.send(Turn { uploads });
        }
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<oneshot::Sender<Turn>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.uploads.lock().end();
        self.uploads.begin_turns();
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads").finish_non_exhaustive()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

/// What one peer has had until now, on the clock of the queue.
#[derive(Debug, Default)]
pub(crate) struct Share {
    served: u64,
}

/// Those who wait for a turn, the least served first.
#[derive(Debug)]
struct FairQueue<T> {
    /// By what the peer had before the turn, and then in the order they came.
    waiting: BTreeMap<(u64, u64), T>,
    /// What whoever was served most had before its last turn.
    clock: u64,
    pushed: u64,
    under_way: usize,
    most: usize,
}

impl<T> FairQueue<T> {
    /// A queue that has at most so many turns under way.
    fn new(most: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            clock: 0,
            pushed: 0,
            under_way: 0,
            most: most.max(1),
        }
    }

    /// Somebody has `bytes` to send.
    fn push(&mut self, share: &mut Share, bytes: usize, turn: T) {
        let start = share.served.max(self.clock.saturating_sub(CREDIT));
        share.served = start + bytes as u64;
        self.waiting.insert((start, self.pushed), turn);
        self.pushed += 1;
    }

    /// Begins the next turn, when there is one and it may.
    fn begin(&mut self) -> Option<T> {
        if self.under_way == self.most {
            return None;
        }
        let ((start, _), turn) = self.waiting.pop_first()?;
        self.clock = self.clock.max(start);
        self.under_way += 1;
        Some(turn)
    }

    /// A turn has ended.
    fn end(&mut self) {
        self.under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const KIB: usize = 1024;

    /// Peers that ask again some time after they were served, and a machine that ends turns in any order.
    struct Serving {
        queue: FairQueue<usize>,
        shares: Vec<Share>,
        /// Bytes that each asks for in one turn.
        asks: Vec<usize>,
        served: Vec<usize>,
        /// Those who wait for their next wish, and until which round.
        resting: Vec<(usize, usize)>,
        under_way: Vec<usize>,
        rng: Xoshiro256PlusPlus,
    }

    impl Serving {
        fn new(asks: Vec<usize>) -> Self {
            Self {
                queue: FairQueue::new(8),
                shares: asks.iter().map(|_| Share::default()).collect(),
                served: vec![0; asks.len()],
                resting: (0..asks.len()).map(|peer| (peer, 0)).collect(),
                asks,
                under_way: Vec::new(),
                rng: Xoshiro256PlusPlus::seed_from_u64(7),
            }
        }

        /// Ends one turn a round. Who was served asks again after up to `longest_rest` rounds.
        fn run(&mut self, rounds: std::ops::Range<usize>, longest_rest: impl Fn(usize) -> usize) {
            for round in rounds {
                let due = |&mut (_, until): &mut (usize, usize)| until <= round;
                for (peer, _) in self.resting.extract_if(.., due) {
                    self.queue
                        .push(&mut self.shares[peer], self.asks[peer], peer);
                }
                self.under_way
                    .extend(std::iter::from_fn(|| self.queue.begin()));
                assert!(self.under_way.len() <= 8);
                if self.under_way.is_empty() {
                    continue;
                }
                let lucky = self.rng.random_range(0..self.under_way.len());
                let peer = self.under_way.swap_remove(lucky);
                self.queue.end();
                self.served[peer] += self.asks[peer];
                let rest = self.rng.random_range(0..=longest_rest(peer));
                self.resting.push((peer, round + rest));
            }
        }

        /// What the least served peer had of what the most served one had.
        fn fairness(&self) -> f64 {
            let least = self.served.iter().min().unwrap();
            let most = self.served.iter().max().unwrap();
            *least as f64 / *most as f64
        }
    }

    #[test]
    fn equal_peers_are_served_equally_whatever_the_luck() {
        let mut serving = Serving::new(vec![128 * KIB; 200]);
        // Half of the peers sit on the luckier side: they get their next wish through at once.
        serving.run(0..200 * 80, |peer| if peer % 2 == 0 { 0 } else { 150 });
        assert!(serving.fairness() >= 0.97, "{}", serving.fairness());
    }

    #[test]
    fn bytes_count_and_not_turns() {
        let asks = (0..40).map(|peer| (16 * KIB) << (peer % 5)).collect();
        let mut serving = Serving::new(asks);
        serving.run(0..20_000, |_| 0);
        assert!(serving.fairness() >= 0.97, "{}", serving.fairness());
    }

    #[test]
    fn whoever_comes_a_little_later_catches_up() {
        let mut serving = Serving::new(vec![128 * KIB; 100]);
        for (peer, until) in &mut serving.resting {
            *until = *peer;
        }
        serving.run(0..100 * 40, |_| 0);
        assert!(serving.fairness() >= 0.95, "{}", serving.fairness());
    }

    #[test]
    fn a_long_rest_gives_no_more_than_the_credit() {
        let mut queue = FairQueue::new(1);
        let (mut busy, mut idle) = (Share::default(), Share::default());
        for _ in 0..1000 {
            queue.push(&mut busy, 256 * KIB, "busy");
            queue.begin().unwrap();
            queue.end();
        }
        let mut ahead = 0;
        queue.push(&mut busy, 256 * KIB, "busy");
        loop {
            queue.push(&mut idle, 64 * KIB, "idle");
            let next = queue.begin().unwrap();
            queue.end();
            if next == "busy" {
                break;
            }
            ahead += 64 * KIB as u64;
        }
        assert!(ahead.abs_diff(CREDIT) <= 256 * KIB as u64, "{ahead}");
    }

    #[test]
    fn one_that_asks_for_much_does_not_delay_one_that_asks_for_little() {
        let mut queue = FairQueue::new(1);
        let (mut greedy, mut modest) = (Share::default(), Share::default());
        for _ in 0..100 {
            queue.push(&mut greedy, 256 * KIB, "greedy");
        }
        for _ in 0..10 {
            assert_eq!(queue.begin(), Some("greedy"));
            queue.end();
        }
        queue.push(&mut modest, 16 * KIB, "modest");
        assert_eq!(queue.begin(), Some("modest"));
        assert_eq!(queue.begin(), None, "one turn at a time");
    }

    #[test]
    fn peers_that_do_not_read_share_the_buffer_and_never_spend_it() {
        let uploads = Arc::new(Uploads::new(1));
        assert_eq!(uploads.window(), MAX_WINDOW);
        let mut held = Vec::new();
        for _ in 0..500 {
            let window = uploads.window();
            uploads.recount(0, window);
            held.push(window);
        }
        let sum: usize = held.iter().sum();
        assert!(sum <= BUFFER + 500 * MIN_WINDOW, "{sum}");
        assert_eq!(uploads.window(), MIN_WINDOW);
        for window in held {
            uploads.recount(window, 0);
        }
        assert_eq!(uploads.window(), MAX_WINDOW);
    }

    #[test]
    fn a_turn_that_ends_lets_the_next_one_begin() {
        const TURNS: usize = 3;
        let uploads = Arc::new(Uploads::new(TURNS));
        let mut shares: Vec<_> = (0..TURNS + 3).map(|_| Share::default()).collect();
        let mut turns: Vec<_> = shares
            .iter_mut()
            .map(|share| uploads.ask(share, KIB))
            .collect();
        let mut begun: Vec<_> = turns
            .drain(..TURNS)
            .map(|mut turn| turn.try_recv().unwrap())
            .collect();
        assert!(turns[0].try_recv().is_err(), "more turns than there may be");
        // One that left is passed over.
        turns.remove(0);
        begun.pop();
        assert!(turns[0].try_recv().is_ok());
        assert!(turns[1].try_recv().is_ok(), "the turn before has ended");
    }

    #[test]
    fn a_machine_of_many_threads_has_no_more_turns_than_memory_allows() {
        let uploads = Arc::new(Uploads::new(1000));
        let mut shares: Vec<_> = (0..2 * MAX_TURNS).map(|_| Share::default()).collect();
        let mut turns: Vec<_> = shares
            .iter_mut()
            .map(|share| uploads.ask(share, KIB))
            .collect();
        let begun: Vec<_> = turns
            .iter_mut()
            .filter_map(|turn| turn.try_recv().ok())
            .collect();
        assert_eq!(begun.len(), MAX_TURNS);
    }
}
