//! Announces by the host of their tracker: a few are under way at once, the others wait as data.

use std::collections::{HashMap, VecDeque};

/// Announces to one host that are made at the same time: more than it has connections to us, so that none of those rests. What waits takes some
/// hundred bytes, what is under way some thousand, and thousands of torrents may have one tracker.
pub(super) const MAX_UNDER_WAY: usize = 16;

/// The hosts that are asked just now.
#[derive(Debug)]
pub(super) struct Hosts<T> {
    hosts: HashMap<Box<str>, Host<T>>,
}

#[derive(Debug)]
struct Host<T> {
    under_way: usize,
    waiting: VecDeque<T>,
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Self {
            hosts: HashMap::new(),
        }
    }
}

impl<T> Hosts<T> {
    /// Gives `announce` back when it may begin; else it waits.
    pub(super) fn ask(&mut self, host: &str, announce: T) -> Option<T> {
        match self.hosts.get_mut(host) {
            Some(host) if host.under_way >= MAX_UNDER_WAY => {
                host.waiting.push_back(announce);
                return None;
            }
            Some(host) => host.under_way += 1,
            None => {
                let asked = Host {
                    under_way: 1,
                    waiting: VecDeque::new(),
                };
                self.hosts.insert(host.into(), asked);
            }
        }
        Some(announce)
    }

    /// One that had begun has ended. Gives the one that begins in its place: the oldest that is still wanted.
    pub(super) fn end(&mut self, host: &str, mut is_wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let asked = self.hosts.get_mut(host)?;
        while let Some(next) = asked.waiting.pop_front() {
            if is_wanted(&next) {
                return Some(next);
            }
        }
        asked.under_way -= 1;
        if asked.under_way == 0 {
            self.hosts.remove(host);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_host_keeps_its_announces_waiting_and_nobody_elses() {
        let mut hosts = Hosts::default();
        for number in 0..MAX_UNDER_WAY {
            assert_eq!(hosts.ask("busy", number), Some(number));
        }
        for number in 100..103 {
            assert_eq!(hosts.ask("busy", number), None);
        }
        assert_eq!(hosts.ask("other", 200), Some(200));
        assert_eq!(hosts.end("busy", |_| true), Some(100));
        assert_eq!(hosts.end("busy", |&number| number != 101), Some(102));
        assert_eq!(hosts.end("busy", |_| true), None);
        assert_eq!(hosts.ask("busy", 300), Some(300));
    }

    #[test]
    fn a_host_that_nobody_asks_is_forgotten() {
        let mut hosts = Hosts::default();
        hosts.ask("a", ());
        hosts.ask("a", ());
        hosts.end("a", |()| true);
        assert_eq!(hosts.hosts.len(), 1);
        hosts.end("a", |()| true);
        assert!(hosts.hosts.is_empty());
    }
}
