//! Hash requests of both sides that have no answer yet (BEP 52).

use std::collections::VecDeque;
use std::time::Instant;

use crate::HashRange;
use crate::limits::{HASH_ANSWER_TIMEOUT, MAX_HASH_REQUESTS};

#[derive(Debug, Default)]
pub(super) struct HashRequests {
    /// The peer's, by rising deadline.
    theirs: VecDeque<(HashRange, Instant)>,
    ours: Vec<HashRange>,
}

impl HashRequests {
    /// The peer asks; `false` when it has asked too much, or for nothing that exists.
    pub(super) fn push_theirs(&mut self, now: Instant, range: HashRange) -> bool {
        let is_accepted = range.is_well_formed() && self.theirs.len() < MAX_HASH_REQUESTS;
        if is_accepted {
            self.theirs.push_back((range, now + HASH_ANSWER_TIMEOUT));
        }
        is_accepted
    }

    /// The owner answers; `false` when there is no such request any more.
    pub(super) fn finish_theirs(&mut self, range: &HashRange) -> bool {
        let found = self.theirs.iter().position(|(theirs, _)| theirs == range);
        found.is_some_and(|index| self.theirs.remove(index).is_some())
    }

    /// A request of the peer that was not answered in time.
    pub(super) fn pop_overdue(&mut self, now: Instant) -> Option<HashRange> {
        let &(range, deadline) = self.theirs.front()?;
        if deadline > now {
            return None;
        }
        self.theirs.pop_front();
        Some(range)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.theirs.front().map(|&(_, deadline)| deadline)
    }

    /// We ask; `false` when the peer has enough requests of ours, or this one.
    pub(super) fn push_ours(&mut self, range: HashRange) -> bool {
        let has_room = self.ours.len() < MAX_HASH_REQUESTS && !self.ours.contains(&range);
        if has_room {
            self.ours.push(range);
        }
        has_room
    }

    /// The peer answers; `false` when it was not asked.
    pub(super) fn finish_ours(&mut self, range: &HashRange) -> bool {
        let found = self.ours.iter().position(|ours| ours == range);
        found.map(|index| self.ours.remove(index)).is_some()
    }

    /// The connection ends: all requests of ours.
    pub(super) fn drain_ours(&mut self) -> Vec<HashRange> {
        std::mem::take(&mut self.ours)
    }
}
