//! Our requests: those that wait for room at the peer, those it has, and those we gave up.

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
    entries: HashMap<BlockRequest, Entry>,
    /// Requests in the order they were made that the peer has no room for; those that were cancelled stay until
    /// they come to the front.
    queued: VecDeque<Block>,
    /// Requests in the order they were sent. An answered one stays until it comes to the front, or is swept.
    in_order: VecDeque<(BlockRequest, Serial)>,
    /// Requests given up, oldest first; at most `MAX_FORGIVEN_REQUESTS`.
    forgiven: VecDeque<BlockRequest>,
    sent_count: usize,
    next_serial: Serial,
    /// Most requests that the peer holds.
    peer_limit: usize,
    timeout: Duration,
    last_progress: Option<Instant>,
    /// While the peer chokes us: when it has had enough time for the requests it got before.
    grace_until: Option<Instant>,
}

type Serial = u64;

/// What we know of one range of bytes. There is an entry as long as either field says something.
#[derive(Debug, Default)]
struct Entry {
    waiting: Option<Waiting>,
    /// Requests for it that we gave up, each of which may still be answered.
    forgiven: u16,
}

#[derive(Debug)]
struct Waiting {
    block: Block,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Queued,
    Sent {
        at: Instant,
        serial: Serial,
        intent: Intent,
    },
}

/// What the torrent wants of a request that was sent.
#[derive(Debug, PartialEq, Eq)]
enum Intent {
    Wanted,
    /// The peer was told, and still answers.
    Cancelled,
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
            entries: HashMap::new(),
            queued: VecDeque::new(),
            in_order: VecDeque::new(),
            forgiven: VecDeque::new(),
            sent_count: 0,
            next_serial: 0,
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
        let entry = self.entries.entry(block.into()).or_default();
        if entry.waiting.is_some() {
            return false;
        }
        entry.waiting = Some(Waiting {
            block,
            progress: Progress::Queued,
        });
        self.queued.push_back(block);
        true
    }

    /// The next request that the peer has room for. It counts as sent.
    pub(super) fn next_to_send(&mut self, now: Instant) -> Option<Block> {
        while self.sent_count < self.peer_limit {
            let block = self.queued.pop_front()?;
            let is_queued = self.entries.get(&block.into()).is_some_and(|entry| {
                matches!(
                    entry.waiting,
                    Some(Waiting {
                        progress: Progress::Queued,
                        ..
                    })
                )
            });
            if is_queued {
                self.mark_sent(now, block);
                return Some(block);
            }
        }
        None
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
        let entry = self.entries.get_mut(&key);
        let Some(waiting) = entry.and_then(|entry| entry.waiting.as_mut()) else {
            return Cancelled::Unknown;
        };
        match &mut waiting.progress {
            Progress::Queued => {
                self.remove_waiting(key);
                self.queued.retain(|&queued| queued != block);
                Cancelled::BeforeSending
            }
            Progress::Sent { intent, .. } if *intent == Intent::Cancelled => Cancelled::Unknown,
            Progress::Sent { intent, .. } if self.dialect == Dialect::Fast => {
                *intent = Intent::Cancelled;
                Cancelled::AnswerFollows
            }
            Progress::Sent { .. } => {
                self.give_up(key);
                Cancelled::GivenUp
            }
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
            } else if self.remove_waiting(block.into()).is_some() {
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
            let Some((key, _)) = self.in_order.pop_front() else {
                return;
            };
            if let Some(block) = self.give_up(key) {
                returned(block);
            }
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
            if self.remove_waiting(block.into()).is_some() {
                returned(block);
            }
        }
    }

    /// When the oldest request is overdue. `trim` keeps a request that waits at the front.
    fn oldest_deadline(&self) -> Option<Instant> {
        let (key, _) = self.in_order.front()?;
        let Progress::Sent { at, .. } = self.entries.get(key)?.waiting.as_ref()?.progress else {
            return None;
        };
        let silent_since = self.last_progress.map_or(at, |progress| progress.max(at));
        Some((silent_since + self.timeout).min(at + self.timeout.max(REQUEST_LIFETIME)))
    }

    fn mark_sent(&mut self, now: Instant, block: Block) {
        let serial = self.next_serial;
        self.next_serial += 1;
        let progress = Progress::Sent {
            at: now,
            serial,
            intent: Intent::Wanted,
        };
        let entry = self.entries.entry(block.into()).or_default();
        entry.waiting = Some(Waiting { block, progress });
        self.in_order.push_back((block.into(), serial));
        self.sent_count += 1;
    }

    fn answer(&mut self, key: BlockRequest) -> Answer {
        let Some(entry) = self.entries.get_mut(&key) else {
            return Answer::Unrequested;
        };
        let is_sent = matches!(
            entry.waiting,
            Some(Waiting {
                progress: Progress::Sent { .. },
                ..
            })
        );
        if is_sent {
            return self
                .remove_waiting(key)
                .map_or(Answer::Unrequested, Answer::Expected);
        }
        if entry.forgiven == 0 {
            return Answer::Unrequested;
        }
        self.forget_one(key);
        Answer::Late
    }

    /// Ends a request that was sent, remembering that its block may still come.
    fn give_up(&mut self, key: BlockRequest) -> Option<Block> {
        self.entries.get_mut(&key)?.forgiven += 1;
        if self.forgiven.len() == MAX_FORGIVEN_REQUESTS
            && let Some(oldest) = self.forgiven.pop_front()
        {
            self.forget_one(oldest);
        }
        self.forgiven.push_back(key);
        self.remove_waiting(key)
    }

    /// Gives up every request that was sent, in order, but those that `keep` names.
    fn give_up_sent(&mut self, keep: impl Fn(Block) -> bool, mut returned: impl FnMut(Block)) {
        for (key, serial) in std::mem::take(&mut self.in_order) {
            match self.sent(key, serial) {
                Some(block) if keep(block) => self.in_order.push_back((key, serial)),
                Some(_) => {
                    if let Some(block) = self.give_up(key) {
                        returned(block);
                    }
                }
                None => {}
            }
        }
    }

    /// The block of the request that was sent under that number, if it still waits.
    fn sent(&self, key: BlockRequest, number: Serial) -> Option<Block> {
        let waiting = self.entries.get(&key)?.waiting.as_ref()?;
        let is_it = matches!(waiting.progress, Progress::Sent { serial, .. } if serial == number);
        is_it.then_some(waiting.block)
    }

    fn remove_waiting(&mut self, key: BlockRequest) -> Option<Block> {
        let entry = self.entries.get_mut(&key)?;
        let waiting = entry.waiting.take()?;
        if entry.forgiven == 0 {
            self.entries.remove(&key);
        }
        if matches!(waiting.progress, Progress::Sent { .. }) {
            self.sent_count -= 1;
            if self.sent_count == 0 {
                self.grace_until = None;
            }
            self.trim();
        }
        Some(waiting.block)
    }

    fn forget_one(&mut self, key: BlockRequest) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.forgiven = entry.forgiven.saturating_sub(1);
            if entry.forgiven == 0 && entry.waiting.is_none() {
                self.entries.remove(&key);
            }
        }
    }

    /// Drops answered requests from the front of the order, and all of them when they outnumber the others.
    fn trim(&mut self) {
        while let Some(&(key, serial)) = self.in_order.front()
            && self.sent(key, serial).is_none()
        {
            self.in_order.pop_front();
        }
        // A request that is never answered must not make the order grow behind it.
        if self.in_order.len() > 2 * self.sent_count + 64 {
            let order = std::mem::take(&mut self.in_order);
            self.in_order = order
                .into_iter()
                .filter(|&(key, serial)| self.sent(key, serial).is_some())
                .collect();
        }
    }
}
