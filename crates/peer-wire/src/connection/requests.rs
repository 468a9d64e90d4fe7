//! Our requests: those that wait for room at the peer, those it has, and those we gave up.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rarest_metainfo::{Block, BlockRequest};

use super::Dialect;
use crate::limits::{
    CHOKE_GRACE, DEFAULT_REQUEST_QUEUE, MAX_FORGIVEN_REQUESTS, REJECT_GRACE, REQUEST_LIFETIME,
};

/// Every request of ours that a block may still answer. All operations but `cancel` and `choke` take constant time.
#[derive(Debug)]
pub(super) struct Requests {
    dialect: Dialect,
    ranges: HashMap<BlockRequest, Range>,
    /// Requests in the order they were made that the peer has no room for.
    queued: VecDeque<Block>,
    /// Requests in the order they were sent; the front one still waits.
    sent: VecDeque<Sent>,
    /// The number of the front one of `sent`.
    first_serial: Serial,
    /// Those of `sent` that still wait.
    sent_count: usize,
    /// Requests given up, oldest first; at most `MAX_FORGIVEN_REQUESTS`.
    forgiven: VecDeque<BlockRequest>,
    /// Most requests that the peer holds.
    peer_limit: usize,
    timeout: Duration,
    last_progress: Option<Instant>,
    /// While the peer chokes us: when it has had enough time for the requests it got before.
    grace_until: Option<Instant>,
}

/// Requests are counted in the order they are sent.
type Serial = u64;

/// What we know of one range of bytes. It is kept as long as either field says something.
#[derive(Debug, Default)]
struct Range {
    waiting: Option<Waiting>,
    /// Requests for it that we gave up, each of which may still be answered.
    forgiven: u16,
}

/// Where a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// In `queued`.
    Here,
    /// At the peer, and in `sent`.
    There(Serial),
}

/// A request that was sent.
#[derive(Debug)]
struct Sent {
    block: Block,
    at: Instant,
    state: SentState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SentState {
    Wanted,
    /// The torrent no longer wants it. The peer was told, and still answers.
    Cancelled,
    /// It was answered or given up, and stays until it comes to the front, or is swept.
    Over,
}

/// What an answer is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To a request that waits.
    Expected(Block),
    /// To one that we gave up.
    Late,
    /// To none.
    Unrequested,
}

/// What came of a cancel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// The peer never got the request.
    BeforeSending,
    /// The peer must be told, and still answers (BEP 6).
    AnswerFollows,
    /// The peer must be told, and need not answer.
    GivenUp,
    /// There is no such request, or it is cancelled already.
    Unknown,
}

impl Requests {
    pub(super) fn new(dialect: Dialect, timeout: Duration) -> Self {
        Self {
            dialect,
            ranges: HashMap::new(),
            queued: VecDeque::new(),
            sent: VecDeque::new(),
            first_serial: 0,
            sent_count: 0,
            forgiven: VecDeque::new(),
            peer_limit: DEFAULT_REQUEST_QUEUE as usize,
            timeout,
            last_progress: None,
            grace_until: None,
        }
    }

    /// The peer holds so many requests. A peer that says 0 is sent one at a time, else nothing would ever move.
    pub(super) fn set_peer_limit(&mut self, limit: u32) {
        self.peer_limit = limit.max(1) as usize;
    }

    /// Queues a request; `false` when the same waits already.
    pub(super) fn push(&mut self, block: Block) -> bool {
        let entry = self.ranges.entry(block.into()).or_default();
        if entry.waiting.is_some() {
            return false;
        }
        entry.waiting = Some(Waiting::Here);
        self.queued.push_back(block);
        true
    }

    /// The next request that the peer has room for. It counts as sent.
    pub(super) fn next_to_send(&mut self, now: Instant) -> Option<Block> {
        if self.sent_count >= self.peer_limit {
            return None;
        }
        let block = self.queued.pop_front()?;
        let serial = self.first_serial + self.sent.len() as Serial;
        self.ranges.entry(block.into()).or_default().waiting = Some(Waiting::There(serial));
        self.sent.push_back(Sent {
            block,
            at: now,
            state: SentState::Wanted,
        });
        self.sent_count += 1;
        Some(block)
    }

    /// The peer answered with a block.
    pub(super) fn answer_with_block(&mut self, now: Instant, key: BlockRequest) -> Answer {
        let answer = self.answer(key);
        if answer != Answer::Unrequested {
            self.last_progress = Some(now);
        }
        answer
    }

    /// The peer rejected a request.
    pub(super) fn answer_with_reject(&mut self, key: BlockRequest) -> Answer {
        self.answer(key)
    }

    /// The torrent no longer wants the block.
    pub(super) fn cancel(&mut self, block: Block) -> Cancelled {
        let key = block.into();
        let Some(waiting) = self.ranges.get(&key).and_then(|entry| entry.waiting) else {
            return Cancelled::Unknown;
        };
        match waiting {
            Waiting::Here => {
                self.remove_waiting(key);
                self.queued.retain(|&queued| queued != block);
                Cancelled::BeforeSending
            }
            Waiting::There(serial) => match (self.dialect, self.sent_as(serial)) {
                (_, Some(sent)) if sent.state == SentState::Cancelled => Cancelled::Unknown,
                (Dialect::Fast, Some(sent)) => {
                    sent.state = SentState::Cancelled;
                    Cancelled::AnswerFollows
                }
                _ => {
                    self.give_up(key);
                    Cancelled::GivenUp
                }
            },
        }
    }

    /// The peer chokes us. Calls `returned` for requests that were never sent, unless `may_ask` says that they
    /// are answered all the same. Those that were sent have some time left.
    pub(super) fn choke(
        &mut self,
        now: Instant,
        may_ask: impl Fn(Block) -> bool,
        mut returned: impl FnMut(Block),
    ) {
        let grace = match self.dialect {
            Dialect::Base => CHOKE_GRACE,
            Dialect::Fast => REJECT_GRACE,
        };
        self.grace_until = (self.sent_count > 0).then(|| now + grace);
        for block in std::mem::take(&mut self.queued) {
            if may_ask(block) {
                self.queued.push_back(block);
            } else {
                self.remove_waiting(block.into());
                returned(block);
            }
        }
    }

    /// The peer unchokes us. Without the fast extension it has forgotten the requests from before its choke.
    pub(super) fn unchoke(&mut self, returned: impl FnMut(Block)) {
        if self.grace_until.take().is_some() && self.dialect == Dialect::Base {
            self.give_up_sent(|_| false, returned);
        }
    }

    /// Gives up what is overdue. `may_ask` says which requests the peer answers although it chokes us.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        may_ask: impl Fn(Block) -> bool,
        mut returned: impl FnMut(Block),
    ) {
        if self.grace_until.is_some_and(|until| until <= now) {
            self.grace_until = None;
            self.give_up_sent(may_ask, &mut returned);
        }
        while self
            .oldest_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            let Some(oldest) = self.sent.front() else {
                return;
            };
            let block = oldest.block;
            self.give_up(block.into());
            returned(block);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        [self.grace_until, self.oldest_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The connection ends: every request is returned, in the order they were made.
    pub(super) fn drain(&mut self, mut returned: impl FnMut(Block)) {
        self.give_up_sent(|_| false, &mut returned);
        for block in std::mem::take(&mut self.queued) {
            self.remove_waiting(block.into());
            returned(block);
        }
    }

    /// When the oldest request is overdue.
    fn oldest_deadline(&self) -> Option<Instant> {
        let at = self.sent.front()?.at;
        let silent_since = self.last_progress.map_or(at, |progress| progress.max(at));
        Some((silent_since + self.timeout).min(at + self.timeout.max(REQUEST_LIFETIME)))
    }

    fn answer(&mut self, key: BlockRequest) -> Answer {
        let Entry::Occupied(mut entry) = self.ranges.entry(key) else {
            return Answer::Unrequested;
        };
        let range = entry.get_mut();
        if let Some(Waiting::There(serial)) = range.waiting {
            range.waiting = None;
            if range.forgiven == 0 {
                entry.remove();
            }
            return self
                .end(serial)
                .map_or(Answer::Unrequested, Answer::Expected);
        }
        if range.forgiven == 0 {
            return Answer::Unrequested;
        }
        self.forget_one(key);
        Answer::Late
    }

    /// Ends a request that was sent, remembering that its block may still come.
    fn give_up(&mut self, key: BlockRequest) {
        if let Some(range) = self.ranges.get_mut(&key) {
            range.forgiven += 1;
        }
        if self.forgiven.len() == MAX_FORGIVEN_REQUESTS
            && let Some(oldest) = self.forgiven.pop_front()
        {
            self.forget_one(oldest);
        }
        self.forgiven.push_back(key);
        self.remove_waiting(key);
    }

    /// Gives up every request that was sent, in order, but those that `keep` names.
    fn give_up_sent(&mut self, keep: impl Fn(Block) -> bool, mut returned: impl FnMut(Block)) {
        let given_up = self
            .sent
            .iter()
            .filter(|sent| sent.state != SentState::Over);
        let given_up = given_up
            .map(|sent| sent.block)
            .filter(|&block| !keep(block));
        for block in given_up.collect::<Vec<_>>() {
            self.give_up(block.into());
            returned(block);
        }
    }

    fn sent_as(&mut self, serial: Serial) -> Option<&mut Sent> {
        let place = serial.checked_sub(self.first_serial)?;
        self.sent.get_mut(usize::try_from(place).ok()?)
    }

    /// A request waits no more, wherever it did.
    fn remove_waiting(&mut self, key: BlockRequest) {
        let Entry::Occupied(mut entry) = self.ranges.entry(key) else {
            return;
        };
        let range = entry.get_mut();
        let waiting = range.waiting.take();
        if range.forgiven == 0 {
            entry.remove();
        }
        if let Some(Waiting::There(serial)) = waiting {
            self.end(serial);
        }
    }

    /// A request that was sent waits no more. Its block.
    fn end(&mut self, serial: Serial) -> Option<Block> {
        let sent = self.sent_as(serial)?;
        sent.state = SentState::Over;
        let block = sent.block;
        self.sent_count -= 1;
        if self.sent_count == 0 {
            self.grace_until = None;
        }
        self.trim();
        Some(block)
    }

    fn forget_one(&mut self, key: BlockRequest) {
        if let Entry::Occupied(mut entry) = self.ranges.entry(key) {
            let range = entry.get_mut();
            range.forgiven = range.forgiven.saturating_sub(1);
            if range.forgiven == 0 && range.waiting.is_none() {
                entry.remove();
            }
        }
    }

    /// Drops what is over from the front of the order, and all of it when it outnumbers what waits.
    fn trim(&mut self) {
        while self
            .sent
            .front()
            .is_some_and(|sent| sent.state == SentState::Over)
        {
            self.sent.pop_front();
            self.first_serial += 1;
        }
        // A request that is never answered must not make the order grow behind it.
        if self.sent.len() > 2 * self.sent_count + 64 {
            self.sent.retain(|sent| sent.state != SentState::Over);
            for (serial, sent) in (self.first_serial..).zip(&self.sent) {
                if let Some(range) = self.ranges.get_mut(&sent.block.into()) {
                    range.waiting = Some(Waiting::There(serial));
                }
            }
        }
    }
}
