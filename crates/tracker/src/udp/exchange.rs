//! Requests to any number of UDP trackers over one socket: connection ids, retransmission, matching of answers.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rarest_metainfo::InfoHash;

use super::options::UrlData;
use super::packet::{ConnectionId, Request, Response, TransactionId};
use crate::announce::{Announce, AnnounceReply, Failure, Family};
use crate::error::Error;
use crate::scrape::{MAX_HASHES_PER_SCRAPE, ScrapeReply, SwarmCounts};

/// How long a client may use a connection id (BEP 15).
pub const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

/// How long the first transmission is waited for; every further one twice as long as the one before (BEP 15).
pub const FIRST_TIMEOUT: Duration = Duration::from_secs(15);

/// The most retransmissions that BEP 15 knows; the last is waited for 3840 s.
pub const MAX_RETRANSMISSIONS: u32 = 8;

/// Requests under way at most, over all trackers. Each holds some 300 bytes; ten thousand torrents with a hybrid's two hashes fit.
pub const MAX_REQUESTS: usize = 32_768;

/// Trackers remembered without a request under way are swept when the table has this many, and at each doubling.
const FIRST_SWEEP: usize = 64;

/// How patient the exchange is.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How often a request is sent again before it fails; at most [`MAX_RETRANSMISSIONS`].
    pub max_retransmissions: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_retransmissions: MAX_RETRANSMISSIONS,
        }
    }
}

/// Names one request until its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub datagram: Vec<u8>,
}

/// How a request ended.
#[derive(Debug)]
pub enum Outcome {
    /// An announce was answered.
    Announced(AnnounceReply),
    /// A scrape was answered.
    Scraped(ScrapeReply),
    /// Either was refused, or never answered.
    Failed(Error),
}

/// The client's side of the UDP tracker protocol, without a socket or a clock.
///
/// It serves any number of trackers of both families at once. Feed it datagrams and time; drain [`poll_transmit`](Self::poll_transmit) and
/// [`poll_outcome`](Self::poll_outcome) after each; call [`handle_timeout`](Self::handle_timeout) at [`next_timeout`](Self::next_timeout).
///
/// Source: [BEP 15](https://www.bittorrent.org/beps/bep_0015.html).
#[derive(Debug)]
pub struct UdpExchange {
    config: Config,
    transaction_ids: StdRng,
    next_request: u64,
    requests: HashMap<RequestId, Pending>,
    trackers: HashMap<SocketAddr, Tracker>,
    transactions: HashMap<TransactionId, Transaction>,
    deadlines: BTreeSet<(Instant, TransactionId)>,
    transmits: VecDeque<Transmit>,
    outcomes: VecDeque<(RequestId, Outcome)>,
    sweep_at: usize,
}

/// What is asked, whoever answers.
#[derive(Debug)]
enum Question {
    Announce(Box<Announce>, UrlData),
    Scrape(Vec<InfoHash>),
}

#[derive(Debug)]
struct Pending {
    tracker: SocketAddr,
    question: Question,
    asked_at: Instant,
    /// Kept over retransmissions, so that a late answer to an early one still counts.
    transaction: TransactionId,
    retransmissions: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// For a connection id.
    Waiting,
    /// Sent with a connection id that an earlier request brought: if the tracker has forgotten it, one refusal proves nothing.
    OnOldConnection,
    /// Sent with a connection id that the tracker has just given.
    OnNewConnection,
}

#[derive(Debug, Default)]
struct Tracker {
    connection: Connection,
    /// Those that wait for the connection id, the oldest first; a set, so that giving up thousands is not quadratic.
    waiting: BTreeSet<RequestId>,
    requests: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Connection {
    #[default]
    None,
    Connecting {
        transaction: TransactionId,
        retransmissions: u32,
    },
    Open {
        id: ConnectionId,
        until: Instant,
    },
}

#[derive(Clone, Copy, Debug)]
struct Transaction {
    tracker: SocketAddr,
    /// `None` while nothing is in flight.
    deadline: Option<Instant>,
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug)]
enum Purpose {
    Connect,
    Request(RequestId),
}

impl UdpExchange {
    /// An exchange without requests. `seed` must be hard to guess: transaction ids are all that keeps others from answering in a tracker's name.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            transaction_ids: StdRng::from_seed(seed),
            next_request: 0,
            requests: HashMap::new(),
            trackers: HashMap::new(),
            transactions: HashMap::new(),
            deadlines: BTreeSet::new(),
            transmits: VecDeque::new(),
            outcomes: VecDeque::new(),
            sweep_at: FIRST_SWEEP,
        }
    }

    /// Announces to the tracker at this address.
    ///
    /// # Errors
    /// [`Error::Busy`] when [`MAX_REQUESTS`] are under way.
    pub fn announce(
        &mut self,
        now: Instant,
        tracker: SocketAddr,
        announce: Announce,
        url_data: UrlData,
    ) -> Result<RequestId, Error> {
        self.ask(
            now,
            tracker,
            Question::Announce(Box::new(announce), url_data),
        )
    }

    /// Asks the tracker at this address about swarms: the first [`MAX_HASHES_PER_SCRAPE`] of `info_hashes`.
    ///
    /// # Errors
    /// [`Error::Busy`] when [`MAX_REQUESTS`] are under way.
    pub fn scrape(
        &mut self,
        now: Instant,
        tracker: SocketAddr,
        info_hashes: &[InfoHash],
    ) -> Result<RequestId, Error> {
        let asked = info_hashes.iter().copied().take(MAX_HASHES_PER_SCRAPE);
        self.ask(now, tracker, Question::Scrape(asked.collect()))
    }

    /// Gives a request up. No outcome follows.
    pub fn cancel(&mut self, id: RequestId) {
        // A request is either under way or has an outcome, never both: the walk is for those that have just ended.
        if self.forget(id).is_none() {
            self.outcomes.retain(|(done, _)| *done != id);
        }
    }

    /// Requests without an outcome.
    #[must_use]
    pub fn requests_under_way(&self) -> usize {
        self.requests.len()
    }

    /// The next datagram to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next request that ended.
    pub fn poll_outcome(&mut self) -> Option<(RequestId, Outcome)> {
        self.outcomes.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Sends again, or gives up, what was not answered in time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.disarm(id);
            let Some(&Transaction {
                tracker, purpose, ..
            }) = self.transactions.get(&id)
            else {
                continue;
            };
            match purpose {
                Purpose::Connect => self.connect_timed_out(now, tracker),
                Purpose::Request(request) => self.request_timed_out(now, request),
            }
        }
    }

    /// Takes a datagram that came from `from`. What is no answer to a request of ours to that address is ignored.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let Ok(response) = Response::decode(datagram, Family::of(from.ip())) else {
            return;
        };
        let Some(&Transaction {
            tracker, purpose, ..
        }) = self.transactions.get(&response.transaction())
        else {
            return;
        };
        // An answer from another address is a guess of a stranger's.
        if tracker != from {
            return;
        }
        match (purpose, response) {
            (Purpose::Connect, Response::Connect { connection, .. }) => {
                self.connected(now, tracker, connection);
            }
            (Purpose::Connect, Response::Error { message, .. }) => {
                self.connect_failed(tracker, |_| Error::Refused(refusal(message.clone())));
            }
            (Purpose::Request(id), response) => self.answered(now, id, response),
            (Purpose::Connect, _) => {}
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        tracker: SocketAddr,
        question: Question,
    ) -> Result<RequestId, Error> {
        if self.requests.len() >= MAX_REQUESTS {
            return Err(Error::Busy);
        }
        self.sweep(now);
        let tracker = SocketAddr::new(tracker.ip().to_canonical(), tracker.port());
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let transaction = self.begin_transaction(tracker, Purpose::Request(id));
        self.requests.insert(
            id,
            Pending {
                tracker,
                question,
                asked_at: now,
                transaction,
                retransmissions: 0,
                phase: Phase::Waiting,
            },
        );
        self.trackers.entry(tracker).or_default().requests += 1;
        self.send_or_connect(now, id, Phase::OnOldConnection);
        Ok(id)
    }

    /// Sends a request if its tracker has given us a connection id that still lives, else sees that we get one.
    fn send_or_connect(&mut self, now: Instant, id: RequestId, sent: Phase) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let address = request.tracker;
        let tracker = self.trackers.entry(address).or_default();
        match tracker.connection {
            Connection::Open {
                id: connection,
                until,
            } if now < until => {
                request.phase = sent;
                let transaction = request.transaction;
                let packet = match &request.question {
                    Question::Announce(announce, url_data) => Request::Announce {
                        connection,
                        transaction,
                        announce: (**announce).clone(),
                        url_data: url_data.clone(),
                    },
                    Question::Scrape(info_hashes) => Request::Scrape {
                        connection,
                        transaction,
                        info_hashes: info_hashes.clone(),
                    },
                };
                let deadline = now + timeout(request.retransmissions);
                self.transmit(address, &packet, transaction, deadline);
            }
            Connection::Connecting { .. } => {
                request.phase = Phase::Waiting;
                tracker.waiting.insert(id);
            }
            Connection::None | Connection::Open { .. } => {
                request.phase = Phase::Waiting;
                tracker.waiting.insert(id);
                // BEP 15 counts on when the connection id expired between two transmissions.
                let retransmissions = request.retransmissions;
                let transaction = self.begin_transaction(address, Purpose::Connect);
                self.send_connect(now, address, transaction, retransmissions);
            }
        }
    }

    fn send_connect(
        &mut self,
        now: Instant,
        address: SocketAddr,
        transaction: TransactionId,
        retransmissions: u32,
    ) {
        if let Some(tracker) = self.trackers.get_mut(&address) {
            tracker.connection = Connection::Connecting {
                transaction,
                retransmissions,
            };
        }
        let deadline = now + timeout(retransmissions);
        self.transmit(
            address,
            &Request::Connect { transaction },
            transaction,
            deadline,
        );
    }

    fn transmit(
        &mut self,
        to: SocketAddr,
        packet: &Request,
        transaction: TransactionId,
        deadline: Instant,
    ) {
        self.transmits.push_back(Transmit {
            to,
            datagram: packet.encode(),
        });
        self.disarm(transaction);
        if let Some(entry) = self.transactions.get_mut(&transaction) {
            entry.deadline = Some(deadline);
            self.deadlines.insert((deadline, transaction));
        }
    }

    fn connected(&mut self, now: Instant, address: SocketAddr, id: ConnectionId) {
        let Some(waiting) = self.end_connecting(
            address,
            Connection::Open {
                id,
                until: now + CONNECTION_LIFETIME,
            },
        ) else {
            return;
        };
        for request in waiting {
            self.send_or_connect(now, request, Phase::OnNewConnection);
        }
    }

    fn connect_timed_out(&mut self, now: Instant, address: SocketAddr) {
        let Some(&Tracker {
            connection:
                Connection::Connecting {
                    transaction,
                    retransmissions,
                },
            ..
        }) = self.trackers.get(&address)
        else {
            return;
        };
        if retransmissions >= self.config.max_retransmissions {
            self.connect_failed(address, |asked_at| {
                Error::TimedOut(now.saturating_duration_since(asked_at))
            });
        } else {
            self.send_connect(now, address, transaction, retransmissions + 1);
        }
    }

    fn connect_failed(&mut self, address: SocketAddr, error: impl Fn(Instant) -> Error) {
        for id in self
            .end_connecting(address, Connection::None)
            .unwrap_or_default()
        {
            if let Some(request) = self.forget(id) {
                let outcome = Outcome::Failed(error(request.asked_at));
                self.outcomes.push_back((id, outcome));
            }
        }
    }

    /// Ends the wait for a connection id; returns who waited.
    fn end_connecting(
        &mut self,
        address: SocketAddr,
        next: Connection,
    ) -> Option<BTreeSet<RequestId>> {
        let tracker = self.trackers.get_mut(&address)?;
        let Connection::Connecting { transaction, .. } = tracker.connection else {
            return None;
        };
        tracker.connection = next;
        let waiting = std::mem::take(&mut tracker.waiting);
        self.end_transaction(transaction);
        Some(waiting)
    }

    fn request_timed_out(&mut self, now: Instant, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if request.retransmissions >= self.config.max_retransmissions {
            let waited = now.saturating_duration_since(request.asked_at);
            self.forget(id);
            self.outcomes
                .push_back((id, Outcome::Failed(Error::TimedOut(waited))));
        } else {
            request.retransmissions += 1;
            let phase = request.phase;
            self.send_or_connect(now, id, phase);
        }
    }

    fn answered(&mut self, now: Instant, id: RequestId, response: Response) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let outcome = match (&request.question, response) {
            (Question::Announce(..), Response::Announce { reply, .. }) => Outcome::Announced(reply),
            (Question::Scrape(info_hashes), Response::Scrape { swarms, .. }) => {
                Outcome::Scraped(scrape_reply(info_hashes, swarms))
            }
            (_, Response::Error { .. }) if request.phase == Phase::OnOldConnection => {
                // A tracker that was restarted does not know the connection id any more.
                let address = request.tracker;
                if let Some(tracker) = self.trackers.get_mut(&address)
                    && let Connection::Open { .. } = tracker.connection
                {
                    tracker.connection = Connection::None;
                }
                self.disarm(self.requests[&id].transaction);
                self.send_or_connect(now, id, Phase::OnNewConnection);
                return;
            }
            (_, Response::Error { message, .. }) => {
                Outcome::Failed(Error::Refused(refusal(message)))
            }
            // The right number with the wrong action answers nothing; the request goes on.
            _ => return,
        };
        self.forget(id);
        self.outcomes.push_back((id, outcome));
    }

    fn forget(&mut self, id: RequestId) -> Option<Pending> {
        let request = self.requests.remove(&id)?;
        self.end_transaction(request.transaction);
        if let Some(tracker) = self.trackers.get_mut(&request.tracker) {
            tracker.requests -= 1;
            if request.phase == Phase::Waiting {
                tracker.waiting.remove(&id);
            }
            // Nobody waits for the connection id any more: stop asking for it.
            if tracker.requests == 0
                && let Connection::Connecting { .. } = tracker.connection
            {
                self.end_connecting(request.tracker, Connection::None);
            }
        }
        Some(request)
    }

    fn begin_transaction(&mut self, tracker: SocketAddr, purpose: Purpose) -> TransactionId {
        loop {
            let id = TransactionId(self.transaction_ids.next_u32());
            // Few of 2^32 are ever taken, so that this ends soon.
            if let Entry::Vacant(free) = self.transactions.entry(id) {
                free.insert(Transaction {
                    tracker,
                    deadline: None,
                    purpose,
                });
                return id;
            }
        }
    }

    fn disarm(&mut self, id: TransactionId) {
        if let Some(transaction) = self.transactions.get_mut(&id)
            && let Some(deadline) = transaction.deadline.take()
        {
            self.deadlines.remove(&(deadline, id));
        }
    }

    fn end_transaction(&mut self, id: TransactionId) {
        self.disarm(id);
        self.transactions.remove(&id);
    }

    fn sweep(&mut self, now: Instant) {
        if self.trackers.len() < self.sweep_at {
            return;
        }
        self.trackers.retain(|_, tracker| {
            tracker.requests > 0
                || matches!(tracker.connection, Connection::Open { until, .. } if now < until)
        });
        self.sweep_at = FIRST_SWEEP.max(2 * self.trackers.len());
    }
}

fn timeout(retransmissions: u32) -> Duration {
    FIRST_TIMEOUT * 2_u32.pow(retransmissions.min(MAX_RETRANSMISSIONS))
}

fn refusal(reason: String) -> Failure {
    Failure {
        reason,
        retry: None,
    }
}

/// BEP 15 answers in the order of the request. A tracker that answers for fewer swarms says nothing of the last ones.
fn scrape_reply(info_hashes: &[InfoHash], swarms: Vec<SwarmCounts>) -> ScrapeReply {
    ScrapeReply {
        swarms: info_hashes.iter().copied().zip(swarms).collect(),
        min_request_interval: None,
    }
}
