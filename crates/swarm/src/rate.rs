//! How many bytes a second.

use std::time::{Duration, Instant};

const BUCKET: Duration = Duration::from_millis(500);
const BUCKETS: usize = 10;

/// The rate of the last five seconds, or since the first byte when that is later.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    buckets: [u64; BUCKETS],
    sum: u64,
    /// When the first byte after a silence came.
    begun: Instant,
    /// Where time was cut into buckets, and how many have passed.
    origin: Instant,
    current: u128,
    total: u64,
}

impl Rate {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            buckets: [0; BUCKETS],
            sum: 0,
            begun: now,
            origin: now,
            current: 0,
            total: 0,
        }
    }

    pub(crate) fn add(&mut self, now: Instant, bytes: u64) {
        self.advance(now);
        if self.sum == 0 {
            self.begun = now;
        }
        let at = index(self.current);
        self.buckets[at] += bytes;
        self.sum += bytes;
        self.total += bytes;
    }

    /// Bytes a second.
    pub(crate) fn per_second(&self, now: Instant) -> u64 {
        let passed = self.bucket_of(now).saturating_sub(self.current);
        let gone: u64 = (1..=passed.min(BUCKETS as u128))
            .map(|step| self.buckets[index(self.current + step)])
            .sum();
        // Less than a bucket says little: a burst of a millisecond is no rate.
        let window = BUCKET * u32::try_from(BUCKETS).expect("few");
        let time = now
            .saturating_duration_since(self.begun)
            .clamp(BUCKET, window);
        let micros = time.as_micros();
        let per_second = u128::from(self.sum - gone) * 1_000_000 / micros;
        u64::try_from(per_second).unwrap_or(u64::MAX)
    }

    /// All bytes ever.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    fn bucket_of(&self, now: Instant) -> u128 {
        now.saturating_duration_since(self.origin).as_nanos() / BUCKET.as_nanos()
    }

    fn advance(&mut self, now: Instant) {
        let target = self.bucket_of(now);
        let steps = target.saturating_sub(self.current).min(BUCKETS as u128);
        for step in 1..=steps {
            let at = index(self.current + step);
            self.sum -= std::mem::take(&mut self.buckets[at]);
        }
        self.current = self.current.max(target);
    }
}

fn index(bucket: u128) -> usize {
    usize::try_from(bucket % BUCKETS as u128).expect("a remainder of BUCKETS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_steady_stream_is_measured_within_a_second() {
        let start = start();
        let mut rate = Rate::new(start);
        for step in 0..10 {
            rate.add(start + Duration::from_millis(100 * step), 1000);
        }
        let measured = rate.per_second(start + Duration::from_secs(1));
        assert_eq!(measured, 10_000);
    }

    #[test]
    fn silence_brings_the_rate_to_zero_and_keeps_the_total() {
        let start = start();
        let mut rate = Rate::new(start);
        rate.add(start, 1_000_000);
        assert!(rate.per_second(start + Duration::from_secs(3)) > 0);
        assert_eq!(rate.per_second(start + Duration::from_secs(6)), 0);
        assert_eq!(rate.total(), 1_000_000);
    }

    #[test]
    fn a_burst_after_a_silence_is_not_spread_over_the_silence() {
        let start = start();
        let mut rate = Rate::new(start);
        rate.add(start, 1);
        let later = start + Duration::from_secs(100);
        rate.add(later, 500_000);
        assert_eq!(
            rate.per_second(later + Duration::from_millis(500)),
            1_000_000
        );
    }
}
