//! The web servers that have the torrent (BEP 19): which to ask now, which later, and which never more.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::limits::{FIRST_BACK_OFF, MAX_BACK_OFF, MAX_FAILURES, MAX_WEB_SEEDS};

/// A web seed of a torrent, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebSeedId(u32);

impl WebSeedId {
    /// How many were added before it.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// A place of its own among the addresses of peers: what it sends is judged like what they send, and it is banned like them. Nobody is
    /// at these addresses ([RFC 6666](https://www.rfc-editor.org/rfc/rfc6666)).
    pub(crate) fn addr(self) -> SocketAddr {
        let [high, low] = [self.0 >> 16, self.0 & 0xffff];
        let narrow = |half| u16::try_from(half).expect("16 bits are left");
        let ip = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, narrow(high), narrow(low));
        SocketAddr::new(ip.into(), 0)
    }
}

/// What became of a web seed that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSeedEnd {
    /// It may help later: it is asked again after longer and longer waits, and then no more.
    TryLater,
    /// It said when it may help.
    TryAfter(Duration),
    /// It never helps.
    GiveUp,
}

#[derive(Debug, Default)]
pub(crate) struct WebSeeds {
    seeds: Vec<Seed>,
    ready: BTreeSet<WebSeedId>,
    waiting: BTreeSet<(Instant, WebSeedId)>,
    open: usize,
}

#[derive(Clone, Copy, Debug)]
struct Seed {
    state: State,
    failures: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Waiting(Instant),
    Open,
    GivenUp,
}

impl WebSeeds {
    pub(crate) fn add(&mut self) -> Option<WebSeedId> {
        if self.seeds.len() >= MAX_WEB_SEEDS {
            return None;
        }
        let id = WebSeedId(u32::try_from(self.seeds.len()).ok()?);
        self.seeds.push(Seed {
            state: State::Ready,
            failures: 0,
        });
        self.ready.insert(id);
        Some(id)
    }

    /// How many are being asked.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// The next one to ask. It counts as being asked.
    pub(crate) fn next_to_open(&mut self, now: Instant) -> Option<WebSeedId> {
        while let Some(&(until, id)) = self.waiting.first()
            && until <= now
        {
            self.set(id, State::Ready);
        }
        let id = *self.ready.first()?;
        self.set(id, State::Open);
        Some(id)
    }

    /// When the next one may be asked that may not now.
    pub(crate) fn next_ready(&self) -> Option<Instant> {
        self.waiting.first().map(|&(until, _)| until)
    }

    /// It is not asked any more, for no fault of its own.
    pub(crate) fn closed(&mut self, id: WebSeedId) {
        self.set(id, State::Ready);
    }

    pub(crate) fn ended(&mut self, now: Instant, id: WebSeedId, end: WebSeedEnd, helped: bool) {
        let Some(seed) = self.seeds.get_mut(id.0 as usize) else {
            return;
        };
        if helped {
            seed.failures = 0;
        }
        let state = match end {
            WebSeedEnd::GiveUp => State::GivenUp,
            WebSeedEnd::TryAfter(wait) => {
                State::Waiting(now + wait.clamp(FIRST_BACK_OFF, MAX_BACK_OFF * 2))
            }
            WebSeedEnd::TryLater => {
                seed.failures += 1;
                let doublings = u32::from(seed.failures - 1).min(16);
                let wait = (FIRST_BACK_OFF * (1 << doublings)).min(MAX_BACK_OFF);
                match seed.failures >= MAX_FAILURES {
                    true => State::GivenUp,
                    false => State::Waiting(now + wait),
                }
            }
        };
        self.set(id, state);
    }

    fn set(&mut self, id: WebSeedId, state: State) {
        let Some(seed) = self.seeds.get_mut(id.0 as usize) else {
            return;
        };
        match std::mem::replace(&mut seed.state, state) {
            State::Ready => _ = self.ready.remove(&id),
            State::Waiting(until) => _ = self.waiting.remove(&(until, id)),
            State::Open => self.open -= 1,
            State::GivenUp => {}
        }
        match state {
            State::Ready => _ = self.ready.insert(id),
            State::Waiting(until) => _ = self.waiting.insert((until, id)),
            State::Open => self.open += 1,
            State::GivenUp => {}
        }
    }

    /// Whether the address is the place of a web seed.
    pub(crate) fn is_one(&self, ip: IpAddr) -> bool {
        let mut ids = (0..).map(WebSeedId).take(self.seeds.len());
        ids.any(|id| id.addr().ip() == ip)
    }
}
