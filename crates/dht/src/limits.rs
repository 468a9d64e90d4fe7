//! What goes out in a second, and what one host may send us.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::address::host;

/// Bytes a second that a node sends unless told otherwise: some hundred queries.
pub const DEFAULT_OUTGOING_RATE: u32 = 32 * 1024;

/// How much may go out at once after a rest, in seconds of the rate.
const BURST_SECS: u32 = 4;

/// Datagrams of one host that are looked at in [`INCOMING_WINDOW`]. A lookup sends one or two to a node.
pub const MAX_DATAGRAMS_PER_HOST: u32 = 50;

/// See [`MAX_DATAGRAMS_PER_HOST`].
pub const INCOMING_WINDOW: Duration = Duration::from_secs(10);

/// Most hosts that are counted at once. Forged senders are free; when there are more, counting begins anew.
pub const MAX_COUNTED_HOSTS: usize = 4_096;

/// The outgoing bytes of a node: a bucket that fills steadily.
#[derive(Debug)]
pub(crate) struct Outgoing {
    rate: u64,
    available: u64,
    filled_at: Instant,
}

impl Outgoing {
    pub(crate) fn new(bytes_per_second: u32, now: Instant) -> Self {
        let rate = u64::from(bytes_per_second.max(1));
        Self {
            rate,
            available: rate * u64::from(BURST_SECS),
            filled_at: now,
        }
    }

    /// Takes `bytes` for somebody else, if they may go out now and leave a second's worth: however many ask us, what we ask
    /// ourselves has room.
    pub(crate) fn take_spare(&mut self, now: Instant, bytes: usize) -> bool {
        self.fill(now);
        let wanted = (bytes as u64).saturating_add(self.rate);
        self.available >= wanted && self.take(now, bytes)
    }

    /// Takes `bytes` if they may go out now.
    pub(crate) fn take(&mut self, now: Instant, bytes: usize) -> bool {
        self.fill(now);
        let Some(rest) = self.available.checked_sub(bytes as u64) else {
            return false;
        };
        self.available = rest;
        true
    }

    /// Whether `bytes` may go out now; if not, when.
    pub(crate) fn has_room(&mut self, now: Instant, bytes: usize) -> Result<(), Instant> {
        self.fill(now);
        // What is more than a burst would never fit.
        let bytes = (bytes as u64).min(self.rate);
        let missing = bytes.saturating_sub(self.available);
        if missing == 0 {
            return Ok(());
        }
        // One millisecond more, so that rounding never wakes us too early.
        Err(self.filled_at + Duration::from_millis(missing * 1000 / self.rate + 1))
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_micros();
        let gained = u128::from(self.rate) * passed / 1_000_000;
        // Small gains wait until they are whole bytes.
        if gained > 0 {
            let most = self.rate * u64::from(BURST_SECS);
            let gained = u64::try_from(gained).unwrap_or(most);
            self.available = self.available.saturating_add(gained).min(most);
            self.filled_at = now;
        }
    }
}

/// Counts what hosts send.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    hosts: HashMap<SocketAddr, Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    datagrams: u32,
}

impl Incoming {
    /// Whether one more datagram of `from` is looked at.
    pub(crate) fn admit(&mut self, now: Instant, from: SocketAddr) -> bool {
        let host = host(from);
        if !self.hosts.contains_key(&host) && self.hosts.len() >= MAX_COUNTED_HOSTS {
            self.hosts.clear();
        }
        let window = self.hosts.entry(host).or_insert(Window {
            since: now,
            datagrams: 0,
        });
        if now.saturating_duration_since(window.since) >= INCOMING_WINDOW {
            *window = Window {
                since: now,
                datagrams: 0,
            };
        }
        window.datagrams = window.datagrams.saturating_add(1);
        window.datagrams <= MAX_DATAGRAMS_PER_HOST
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.hosts
            .retain(|_, window| now.saturating_duration_since(window.since) < INCOMING_WINDOW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin;

    #[test]
    fn no_more_goes_out_than_the_rate_and_one_burst() {
        let start = origin();
        let mut outgoing = Outgoing::new(1_000, start);
        let mut sent = 0;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            sent += if outgoing.take(now, 100) { 100 } else { 0 };
        }
        assert!((13_000..=14_000).contains(&sent), "{sent} bytes");
    }

    #[test]
    fn it_says_when_there_is_room_again() {
        let now = origin();
        let mut outgoing = Outgoing::new(1_000, now);
        while outgoing.take(now, 100) {}
        let ready = outgoing.has_room(now, 100).unwrap_err();
        assert!(ready > now && ready <= now + Duration::from_millis(101));
        assert!(outgoing.take(ready, 100));
    }

    #[test]
    fn a_host_that_floods_is_not_heard_until_it_rests() {
        let (mut incoming, now) = (Incoming::default(), origin());
        let from = |port| SocketAddr::from(([9, 9, 9, 9], port));
        let heard = (0..1000).filter(|port| incoming.admit(now, from(*port)));
        assert_eq!(heard.count(), MAX_DATAGRAMS_PER_HOST as usize);
        assert!(incoming.admit(now, SocketAddr::from(([9, 9, 9, 8], 1))));
        assert!(incoming.admit(now + INCOMING_WINDOW, from(1)));
    }

    #[test]
    fn forged_senders_fill_no_memory() {
        let (mut incoming, now) = (Incoming::default(), origin());
        for number in 0..3 * u32::try_from(MAX_COUNTED_HOSTS).unwrap() {
            incoming.admit(now, SocketAddr::from(((9 << 24 | number).to_be_bytes(), 1)));
            assert!(incoming.hosts.len() <= MAX_COUNTED_HOSTS);
        }
        incoming.expire(now + INCOMING_WINDOW);
        assert!(incoming.hosts.is_empty());
    }
}
