//! Rate limits: turns are given out in order, so that many connections share one speed evenly and smoothly.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Rate;

/// How far a limiter that was not used may fall behind, and so the longest burst above the rate. Long enough
/// to make up for late timers, too short to show in a second's average.
const MAX_BURST: Duration = Duration::from_millis(50);

/// How much of a second one turn takes of the rate: a fiftieth, so that traffic flows every 20 ms.
const TURNS_PER_SECOND: u64 = 50;

/// The smallest turn, in bytes. Smaller reads would cost more in system calls than they smooth.
const MIN_TURN: usize = 1024;

/// The largest turn, in bytes.
const MAX_TURN: usize = 256 * 1024;

/// Longest time to wait without looking whether the rate was changed.
const RECONSIDER_AFTER: Duration = Duration::from_millis(250);

/// One speed, shared by every connection it applies to.
///
/// Time is given out like places in a queue: whoever reserves bytes is told when they may flow, and the next
/// one comes after. Nobody is starved, and the sum keeps to the rate to the byte.
#[derive(Debug)]
pub(crate) struct Limiter {
    /// The rate in bytes a second, `u64::MAX` when there is none. A copy, to skip the lock when nothing is limited.
    bytes_per_s: AtomicU64,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    rate: Rate,
    /// When the turn after the last one given out begins.
    next: Option<Instant>,
    /// Grows with each change of the rate; turns of an earlier epoch are void.
    epoch: u64,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            bytes_per_s: AtomicU64::new(rate.to_bytes_per_s().unwrap_or(u64::MAX)),
            queue: Mutex::new(Queue {
                rate,
                next: None,
                epoch: 0,
            }),
        }
    }

    pub(crate) fn set_rate(&self, rate: Rate) {
        let mut queue = self.lock();
        if queue.rate != rate {
            queue.rate = rate;
            queue.next = None;
            queue.epoch += 1;
            self.bytes_per_s
                .store(rate.to_bytes_per_s().unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    pub(crate) fn rate(&self) -> Rate {
        Rate::bytes_per_s(self.bytes_per_s.load(Ordering::Relaxed))
    }

    fn reserve(&self, now: Instant, bytes: usize) -> Place {
        let mut queue = self.lock();
        let epoch = queue.epoch;
        let Some(length) = queue.rate.time_for(bytes) else {
            // The rate is zero: ask again later.
            return Place { at: None, epoch };
        };
        let earliest = now.checked_sub(MAX_BURST).unwrap_or(now);
        let at = queue.next.map_or(now, |next| next.max(earliest));
        queue.next = Some(at + length);
        Place {
            at: Some(at),
            epoch,
        }
    }

    /// Gives back a part of a turn that was not needed.
    fn refund(&self, place: Place, bytes: usize) {
        let mut queue = self.lock();
        if queue.epoch != place.epoch || place.at.is_none() {
            return;
        }
        if let (Some(next), Some(length)) = (queue.next, queue.rate.time_for(bytes)) {
            queue.next = next.checked_sub(length);
        }
    }

    fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in one limiter's queue.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// When it is reached; `None` while the rate is zero.
    at: Option<Instant>,
    epoch: u64,
}

/// What one connection may move in one direction: bound by its torrent's rate and by the session's.
#[derive(Debug)]
pub(crate) struct Pace {
    limiters: [Arc<Limiter>; 2],
    turn: Option<Turn>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    bytes: usize,
    places: [Place; 2],
}

impl Turn {
    fn at(&self) -> Option<Instant> {
        let [torrent, session] = self.places;
        Some(torrent.at?.max(session.at?))
    }
}

impl Pace {
    pub(crate) fn new(torrent: Arc<Limiter>, session: Arc<Limiter>) -> Self {
        Self {
            limiters: [torrent, session],
            turn: None,
        }
    }

    /// The bytes that may move now, at most `most`; or the time to ask again.
    ///
    /// Only to be asked when there is something to move: a turn that lies unused is taken from others.
    pub(crate) fn allowance(&mut self, now: Instant, most: usize) -> Result<usize, Instant> {
        let rate = self.limiters[0].rate().min(self.limiters[1].rate());
        let Some(bytes_per_s) = rate.to_bytes_per_s() else {
            self.turn = None;
            return Ok(most);
        };
        let fresh = self.turn.filter(|turn| self.is_valid(turn));
        let turn = match fresh {
            Some(turn) => turn,
            None => {
                let turn_bytes = usize::try_from(bytes_per_s / TURNS_PER_SECOND)
                    .unwrap_or(MAX_TURN)
                    .clamp(MIN_TURN, MAX_TURN)
                    .min(most.max(1));
                Turn {
                    bytes: turn_bytes,
                    places: [
                        self.limiters[0].reserve(now, turn_bytes),
                        self.limiters[1].reserve(now, turn_bytes),
                    ],
                }
            }
        };
        self.turn = Some(turn);
        match turn.at() {
            Some(at) if at <= now => Ok(turn.bytes.min(most)),
            Some(at) => Err(at.min(now + RECONSIDER_AFTER)),
            None => {
                // One of the rates is zero; the other must not be used up by asking.
                self.moved(now, 0);
                Err(now + RECONSIDER_AFTER)
            }
        }
    }

    /// Says how many bytes moved after an allowance, which ends the turn. More than was allowed is paid for by the next turns.
    pub(crate) fn moved(&mut self, now: Instant, bytes: usize) {
        let Some(turn) = self.turn.take() else {
            return;
        };
        for (limiter, place) in self.limiters.iter().zip(turn.places) {
            if bytes < turn.bytes {
                limiter.refund(place, turn.bytes - bytes);
            } else if bytes > turn.bytes {
                limiter.reserve(now, bytes - turn.bytes);
            }
        }
    }

    fn is_valid(&self, turn: &Turn) -> bool {
        self.limiters
            .iter()
            .zip(turn.places)
            .all(|(limiter, place)| place.at.is_some() && limiter.epoch() == place.epoch)
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            for (limiter, place) in self.limiters.iter().zip(turn.places) {
                limiter.refund(place, turn.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves as much as each connection may for `span`, in steps of a millisecond; bytes moved by each.
    fn run(paces: &mut [Pace], start: Instant, span: Duration) -> Vec<usize> {
        let mut moved = vec![0; paces.len()];
        for step in 0..u64::try_from(span.as_millis()).unwrap() {
            let now = start + Duration::from_millis(step);
            for (pace, moved) in paces.iter_mut().zip(&mut moved) {
                while let Ok(bytes) = pace.allowance(now, 256 * 1024) {
                    pace.moved(now, bytes);
                    *moved += bytes;
                }
            }
        }
        moved
    }

    fn paces(count: usize, torrent: Rate, session: Rate) -> (Vec<Pace>, Arc<Limiter>) {
        let torrent = Arc::new(Limiter::new(torrent));
        let session = Arc::new(Limiter::new(session));
        let paces = (0..count)
            .map(|_| Pace::new(Arc::clone(&torrent), Arc::clone(&session)))
            .collect();
        (paces, torrent)
    }

    fn assert_near(actual: usize, expected: usize) {
        assert!(
            actual.abs_diff(expected) * 100 <= expected * 3,
            "{actual} is not within 3 % of {expected}"
        );
    }

    #[test]
    fn the_sum_of_many_connections_keeps_to_the_rate() {
        let (mut paces, _) = paces(40, Rate::mib_per_s(1), Rate::UNLIMITED);
        let moved = run(&mut paces, Instant::now(), Duration::from_secs(4));
        assert_near(moved.iter().sum(), 4 * 1024 * 1024);
    }

    #[test]
    fn connections_share_evenly() {
        let (mut paces, _) = paces(10, Rate::kib_per_s(500), Rate::UNLIMITED);
        let moved = run(&mut paces, Instant::now(), Duration::from_secs(10));
        for share in moved {
            assert_near(share, 500 * 1024);
        }
    }

    #[test]
    fn the_lower_of_two_rates_holds() {
        let (mut paces, _) = paces(3, Rate::mib_per_s(100), Rate::kib_per_s(300));
        let moved = run(&mut paces, Instant::now(), Duration::from_secs(3));
        assert_near(moved.iter().sum(), 900 * 1024);
    }

    #[test]
    fn every_quarter_of_a_second_has_its_share() {
        let (mut paces, _) = paces(5, Rate::mib_per_s(2), Rate::UNLIMITED);
        let start = Instant::now();
        run(&mut paces, start, Duration::from_millis(250));
        for quarter in 1..8 {
            let from = start + Duration::from_millis(250 * quarter);
            let moved: usize = run(&mut paces, from, Duration::from_millis(250))
                .iter()
                .sum();
            let expected = 512 * 1024;
            assert!(moved.abs_diff(expected) * 10 <= expected, "{moved}");
        }
    }

    #[test]
    fn a_new_rate_holds_at_once_for_those_that_wait() {
        let (mut paces, torrent) = paces(50, Rate::kib_per_s(1), Rate::UNLIMITED);
        let start = Instant::now();
        run(&mut paces, start, Duration::from_millis(100));
        torrent.set_rate(Rate::mib_per_s(4));
        let moved = run(
            &mut paces,
            start + Duration::from_millis(100),
            Duration::from_secs(1),
        );
        assert_near(moved.iter().sum(), 4 * 1024 * 1024);
    }

    #[test]
    fn zero_lets_nothing_through_until_it_is_raised() {
        let (mut paces, torrent) = paces(2, Rate::bytes_per_s(0), Rate::UNLIMITED);
        let start = Instant::now();
        let moved = run(&mut paces, start, Duration::from_secs(1));
        assert_eq!(moved, [0, 0]);
        torrent.set_rate(Rate::UNLIMITED);
        assert_eq!(paces[0].allowance(start, 70_000), Ok(70_000));
    }

    #[test]
    fn a_torrent_that_may_not_move_takes_nothing_from_the_session() {
        let session = Arc::new(Limiter::new(Rate::mib_per_s(1)));
        let mut paces: Vec<_> = [Rate::bytes_per_s(0), Rate::UNLIMITED]
            .map(|rate| Pace::new(Arc::new(Limiter::new(rate)), Arc::clone(&session)))
            .into();
        let moved = run(&mut paces, Instant::now(), Duration::from_secs(2));
        assert_eq!(moved[0], 0);
        assert_near(moved[1], 2 * 1024 * 1024);
    }

    #[test]
    fn what_was_not_used_is_given_back() {
        let (mut paces, _) = paces(1, Rate::kib_per_s(512), Rate::UNLIMITED);
        let now = Instant::now();
        let allowed = paces[0].allowance(now, 1 << 20).unwrap();
        paces[0].moved(now, 0);
        assert_eq!(paces[0].allowance(now, 1 << 20), Ok(allowed));
    }

    #[test]
    fn a_connection_that_ends_gives_its_place_back() {
        let (mut paces, _) = paces(2, Rate::kib_per_s(512), Rate::UNLIMITED);
        let now = Instant::now();
        let mut left = paces.pop().unwrap();
        left.allowance(now, 1 << 20).unwrap();
        drop(left);
        assert!(paces[0].allowance(now, 1 << 20).is_ok());
    }

    #[test]
    fn more_than_was_allowed_is_paid_for_later() {
        let (mut paces, _) = paces(1, Rate::kib_per_s(100), Rate::UNLIMITED);
        let start = Instant::now();
        paces[0].allowance(start, 1 << 20).unwrap();
        paces[0].moved(start, 100 * 1024);
        let moved = run(&mut paces, start, Duration::from_secs(3));
        assert_near(moved[0], 200 * 1024);
    }
}
