//! How many requests are kept in flight to one peer, and which.
//!
//! A peer is kept busy when the requests in flight cover what it sends during a round trip. Both are measured: the rate
//! from what was delivered between a request and its block, as the fastest of the last seconds; the round trip as the
//! shortest time between the two, when nothing waits. Some slack comes on top, so that a peer that serves in bursts
//! does not run dry. Growth is bounded to three requests more a block that came, which makes the depth four times as large every round trip:
//! TCP doubles what it sends at the beginning, and we are to be ahead of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rarest_metainfo::{BLOCK_LENGTH, Block};

use crate::limits::{
    DEFAULT_REQUEST_QUEUE, INITIAL_REQUESTS, MAX_REFUSALS, MAX_WAIT, MIN_REQUESTS, REQUEST_SLACK,
    SNUB_AFTER,
};

/// Shortest time over which a rate is believed: what came with one read of the socket has none.
const MIN_SAMPLE_TIME: Duration = Duration::from_millis(1);

/// How long the fastest rate is remembered, at least.
const RATE_MEMORY: Duration = Duration::from_secs(1);

/// How long latencies are gathered before the shortest is compared with the round trip that was believed.
const ROUND_TRIP_MEMORY: Duration = Duration::from_secs(10);

/// By how many requests the depth grows at most with each block that came.
const GROWTH: usize = 3;

#[derive(Debug)]
pub(crate) struct Pipeline {
    outstanding: BTreeMap<Block, Sent>,
    /// How many of them were cancelled. They still end in a block or a rejection.
    cancelled: usize,
    depth: usize,
    /// What the torrent allows, and the peer.
    limit: usize,
    delivered: u64,
    delivered_at: Instant,
    /// Fastest rate, in bytes a second, of this period and the one before.
    fastest: [u64; 2],
    fastest_since: Instant,
    /// Requests from before say nothing of the rate: the peer has become much slower since.
    rate_since: Instant,
    /// What had been delivered at the last look whether the peer holds too much, and when that was.
    looked: (u64, Instant),
    round_trip: Option<Duration>,
    least_latency: Duration,
    least_latency_since: Instant,
    /// Since when the peer owes us something and has sent nothing.
    waiting_since: Instant,
    snubbed: bool,
    /// Requests in a row that came back without a block.
    refusals: usize,
    /// The peer refuses whatever it is asked: it is left alone until then.
    refuses_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    /// Bytes that had been delivered by then, and when the last of them.
    delivered: u64,
    delivered_at: Instant,
    cancelled: bool,
}

impl Pipeline {
    pub(crate) fn new(limit: usize, now: Instant) -> Self {
        Self {
            outstanding: BTreeMap::new(),
            cancelled: 0,
            depth: INITIAL_REQUESTS,
            limit: limit.clamp(1, DEFAULT_REQUEST_QUEUE),
            delivered: 0,
            delivered_at: now,
            fastest: [0; 2],
            fastest_since: now,
            rate_since: now,
            looked: (0, now),
            round_trip: None,
            least_latency: Duration::MAX,
            least_latency_since: now,
            waiting_since: now,
            snubbed: false,
            refusals: 0,
            refuses_until: None,
        }
    }

    /// Requests that the peer holds, as it said (BEP 10, `reqq`), below `most`.
    pub(crate) fn set_peer_limit(&mut self, limit: usize, most: usize) {
        self.limit = limit.clamp(1, most.max(1));
    }

    /// How many more requests may go out now.
    pub(crate) fn room(&self) -> usize {
        if self.refuses_until.is_some() {
            return 0;
        }
        let wanted = self.depth().saturating_sub(self.in_flight());
        // A peer counts what we cancelled until it has read the cancellation.
        wanted.min(self.limit.saturating_sub(self.outstanding.len()))
    }

    /// Requests that are kept in flight.
    pub(crate) fn depth(&self) -> usize {
        if self.snubbed {
            1
        } else {
            self.depth.min(self.limit)
        }
    }

    /// Requests in flight, without those that were cancelled.
    pub(crate) fn in_flight(&self) -> usize {
        self.outstanding.len() - self.cancelled
    }

    /// Whether the peer was asked for the block and has not answered, cancelled or not.
    pub(crate) fn is_outstanding(&self, block: Block) -> bool {
        self.outstanding.contains_key(&block)
    }

    pub(crate) fn is_snubbed(&self) -> bool {
        self.snubbed
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Blocks that were asked for and not cancelled.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = Block> + '_ {
        self.outstanding
            .iter()
            .filter(|(_, sent)| !sent.cancelled)
            .map(|(&block, _)| block)
    }

    pub(crate) fn sent(&mut self, now: Instant, block: Block) {
        if self.in_flight() == 0 {
            self.waiting_since = now;
            // Time without a request says nothing of the peer's rate.
            self.delivered_at = now;
        }
        let sent = Sent {
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            cancelled: false,
        };
        let before = self.outstanding.insert(block, sent);
        debug_assert!(before.is_none(), "a block was asked for twice of one peer");
    }

    /// Marks a request as no longer wanted; says whether it was wanted until now.
    pub(crate) fn cancel(&mut self, block: Block) -> bool {
        match self.outstanding.get_mut(&block) {
            Some(sent) if !sent.cancelled => {
                sent.cancelled = true;
                self.cancelled += 1;
                true
            }
            _ => false,
        }
    }

    /// The peer will not send the block.
    pub(crate) fn returned(&mut self, now: Instant, block: Block) {
        let Some(sent) = self.outstanding.remove(&block) else {
            return;
        };
        self.cancelled -= usize::from(sent.cancelled);
        self.refusals += usize::from(!sent.cancelled);
        if self.refusals >= MAX_REFUSALS {
            self.refuses_until = Some(now + SNUB_AFTER);
        }
    }

    /// The peer lets us request anew.
    pub(crate) fn unchoked(&mut self) {
        self.refusals = 0;
        self.refuses_until = None;
    }

    /// The block came. Says whether it had been asked for.
    pub(crate) fn arrived(&mut self, now: Instant, block: Block) -> bool {
        let Some(sent) = self.outstanding.remove(&block) else {
            return false;
        };
        self.cancelled -= usize::from(sent.cancelled);
        self.snubbed = false;
        self.refusals = 0;
        self.refuses_until = None;
        self.waiting_since = now;
        self.delivered += u64::from(block.length());
        self.delivered_at = now;
        self.measure_rate(now, sent);
        self.measure_round_trip(now, now.saturating_duration_since(sent.at));
        let grown = self.depth + GROWTH;
        self.depth = self.target().min(grown).max(MIN_REQUESTS);
        true
    }

    /// Looks whether the peer owes us blocks for too long; then what it was asked for should be asked of others. Comes
    /// again for each time it is given another try.
    pub(crate) fn check_snub(&mut self, now: Instant) -> bool {
        if self.refuses_until.is_some_and(|until| until <= now) {
            self.unchoked();
        }
        let owing =
            self.in_flight() > 0 && now.saturating_duration_since(self.waiting_since) >= SNUB_AFTER;
        if owing {
            self.snubbed = true;
            self.waiting_since = now;
        }
        owing
    }

    /// Requests that the peer would take too long to answer at the rate it has now, the last ones first: they should be asked
    /// of others. To be called every few seconds, while there are others.
    ///
    /// Only who owed us something all the time since the last look is judged: a queue that has just been filled does not look slow.
    pub(crate) fn hoarded(&mut self, now: Instant) -> Vec<Block> {
        let (delivered_before, looked_at) =
            std::mem::replace(&mut self.looked, (self.delivered, now));
        let time = now.saturating_duration_since(looked_at);
        let delivered = self.delivered - delivered_before;
        let rate = per_second(delivered, time);
        // What came in a time in which the peer was not asked for more says nothing of how fast it is.
        let is_busy = |sent: &Sent| !sent.cancelled && sent.at <= looked_at;
        let was_busy_throughout = self.outstanding.values().any(is_busy);
        // Who sends nothing at all has a while before it counts as snubbing.
        if delivered == 0
            || !was_busy_throughout
            || self.in_flight() <= blocks_in(rate, MAX_WAIT).max(INITIAL_REQUESTS)
        {
            return Vec::new();
        }
        self.fastest = [rate, 0];
        self.fastest_since = now;
        self.rate_since = now;
        self.depth = self.target().max(MIN_REQUESTS);
        let mut wanted: Vec<_> = self
            .outstanding
            .iter()
            .filter(|(_, sent)| !sent.cancelled)
            .map(|(&block, sent)| (sent.at, block))
            .collect();
        wanted.sort_unstable();
        let kept = self.depth.min(wanted.len());
        wanted.drain(kept..).rev().map(|(_, block)| block).collect()
    }

    fn measure_rate(&mut self, now: Instant, sent: Sent) {
        if sent.at < self.rate_since {
            return;
        }
        let time = now
            .saturating_duration_since(sent.delivered_at)
            .max(MIN_SAMPLE_TIME);
        let bytes = self.delivered - sent.delivered;
        let sample = per_second(bytes, time);
        let memory = RATE_MEMORY.max(self.round_trip.unwrap_or_default() * 2);
        if now.saturating_duration_since(self.fastest_since) > memory {
            self.fastest = [0, self.fastest[0]];
            self.fastest_since = now;
        }
        self.fastest[0] = self.fastest[0].max(sample);
    }

    fn measure_round_trip(&mut self, now: Instant, latency: Duration) {
        let believed = self.round_trip.map_or(latency, |known| known.min(latency));
        self.round_trip = Some(believed);
        self.least_latency = self.least_latency.min(latency);
        if now.saturating_duration_since(self.least_latency_since) > ROUND_TRIP_MEMORY {
            // Waiting behind our own requests explains this much. More means that the way became longer.
            let explained = (believed * 2 + REQUEST_SLACK) * 5 / 4;
            if self.least_latency > explained {
                self.round_trip = Some(self.least_latency);
            }
            self.least_latency = Duration::MAX;
            self.least_latency_since = now;
        }
    }

    fn target(&self) -> usize {
        let round_trip = self.round_trip.unwrap_or_default();
        let time = round_trip * 2 + REQUEST_SLACK;
        let rate = self.fastest[0].max(self.fastest[1]);
        blocks_in(rate, time).min(self.limit)
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let per_second = u128::from(bytes) * 1_000_000 / time.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

/// Blocks that come in a time, the one that has begun among them.
fn blocks_in(bytes_per_s: u64, time: Duration) -> usize {
    let bytes = u128::from(bytes_per_s) * time.as_micros() / 1_000_000;
    usize::try_from(bytes.div_ceil(u128::from(BLOCK_LENGTH))).unwrap_or(usize::MAX)
}
