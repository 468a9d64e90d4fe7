//! Virtual time: what happens next, and when.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// What is to happen, in order of time; what happens at the same time comes in the order it was planned.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    start: Instant,
    now: Instant,
    entries: BinaryHeap<Reverse<Entry<T>>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    number: u64,
    happening: T,
}

impl<T> Agenda<T> {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            now: start,
            entries: BinaryHeap::new(),
            planned: 0,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Plans something; what lies in the past happens now.
    pub(crate) fn plan(&mut self, at: Instant, happening: T) {
        let number = self.planned;
        self.planned += 1;
        self.entries.push(Reverse(Entry {
            at: at.max(self.now),
            number,
            happening,
        }));
    }

    /// Plans something for later.
    pub(crate) fn plan_in(&mut self, time: Duration, happening: T) {
        self.plan(self.now + time, happening);
    }

    /// When the next thing happens.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse(entry)| entry.at)
    }

    /// Lets time pass until the next thing, and gives it.
    pub(crate) fn next(&mut self) -> Option<T> {
        let Reverse(entry) = self.entries.pop()?;
        self.now = entry.at;
        Some(entry.happening)
    }
}

impl<T> Entry<T> {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
