//! The UDP client: one task that owns a socket for each family and carries out what [`UdpExchange`] decides.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rarest_metainfo::InfoHash;
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use crate::announce::{Announce, AnnounceReply, Family};
use crate::error::Error;
use crate::scrape::ScrapeReply;
use crate::udp::{self, Outcome, RequestId, UdpExchange, UrlData};
use crate::url::{Protocol, TrackerUrl};
use rarest_http::{Network, SystemNetwork};

/// How long the lookup of a tracker's name may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest datagram that is read whole: the largest that UDP knows.
const MAX_DATAGRAM_LENGTH: usize = 65_535;

/// How long a socket rests after it failed to receive, so that a broken interface does not keep the processor busy.
const RECEIVE_ERROR_PAUSE: Duration = Duration::from_millis(200);

/// How often requests whose future was dropped are looked for; it takes a walk over all.
const ABANDONED_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Addresses of one host that are asked, one after the other.
const MAX_ADDRESSES: usize = 4;

/// How long an address is waited for before the next one of its host is asked: the first time-out of BEP 15. The last has all the patience.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(15);

/// Addresses that are remembered because they answered, of hosts that have several.
const MAX_ANSWERED: usize = 64;

/// Requests that wait for the task to take them.
const QUEUE_LENGTH: usize = 256;

/// How the UDP client is set up.
#[derive(Clone, Debug)]
pub struct UdpConfig {
    /// Local addresses to send from, as in [`SystemNetwork::bind`].
    pub bind: Vec<IpAddr>,
    /// Looks hosts up.
    pub network: Arc<dyn Network>,
    /// How patient each request is. By default it is sent three times, within 105 s; what BEP 15 has beyond (two hours in all) would keep
    /// the user from learning that a tracker is dead, and the schedule asks again anyway.
    pub exchange: udp::Config,
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self {
            bind: Vec::new(),
            network: Arc::new(SystemNetwork::default()),
            exchange: udp::Config {
                max_retransmissions: 2,
            },
        }
    }
}

/// Speaks to all UDP trackers over one socket a family. Cheap to clone; the sockets are closed with the last clone.
#[derive(Clone, Debug)]
pub struct UdpClient {
    network: Arc<dyn Network>,
    jobs: mpsc::Sender<Job>,
    /// Addresses that answered, of hosts that have several; the latest first.
    answered: Arc<Mutex<VecDeque<SocketAddr>>>,
}

#[derive(Debug)]
struct Job {
    tracker: SocketAddr,
    question: Question,
    answer: oneshot::Sender<Outcome>,
}

#[derive(Clone, Debug)]
enum Question {
    Announce(Box<Announce>, UrlData),
    Scrape(Vec<InfoHash>),
}

impl UdpClient {
    /// Opens the sockets and starts the task. A family that the system does not have is left out.
    ///
    /// # Errors
    /// When no family has a socket.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(config: UdpConfig) -> io::Result<Self> {
        let v4 = open(&config.bind, Family::V4);
        let v6 = open(&config.bind, Family::V6);
        let (v4, v6) = match (v4, v6) {
            (Err(error), Err(_)) => return Err(error),
            (v4, v6) => (v4.ok(), v6.ok()),
        };
        let (jobs, queue) = mpsc::channel(QUEUE_LENGTH);
        let driver = Driver {
            exchange: UdpExchange::new(config.exchange, rand::random()),
            waiting: HashMap::new(),
            abandoned_checked_at: now(),
            sockets: Sockets { v4, v6 },
        };
        tokio::spawn(driver.run(queue));
        Ok(Self {
            network: config.network,
            jobs,
            answered: Arc::default(),
        })
    }

    /// Announces over one family. Dropping the future gives the request up.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn announce(
        &self,
        tracker: &TrackerUrl,
        family: Family,
        announce: &Announce,
    ) -> Result<AnnounceReply, Error> {
        let question = Question::Announce(Box::new(announce.clone()), UrlData::of(tracker));
        match self.ask(tracker, family, question).await? {
            Outcome::Announced(reply) => Ok(reply),
            Outcome::Failed(error) => Err(error),
            Outcome::Scraped(_) => unreachable!("the exchange matches answers to questions"),
        }
    }

    /// Asks about swarms, at most [`MAX_HASHES_PER_SCRAPE`](crate::MAX_HASHES_PER_SCRAPE) of them.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn scrape(
        &self,
        tracker: &TrackerUrl,
        family: Family,
        info_hashes: &[InfoHash],
    ) -> Result<ScrapeReply, Error> {
        let question = Question::Scrape(info_hashes.to_vec());
        match self.ask(tracker, family, question).await? {
            Outcome::Scraped(reply) => Ok(reply),
            Outcome::Failed(error) => Err(error),
            Outcome::Announced(_) => unreachable!("the exchange matches answers to questions"),
        }
    }

    async fn ask(
        &self,
        tracker: &TrackerUrl,
        family: Family,
        question: Question,
    ) -> Result<Outcome, Error> {
        if tracker.protocol() != Protocol::Udp {
            return Err(Error::NoClient(tracker.protocol()));
        }
        let (host, port) = (tracker.host(), tracker.port());
        let lookup = self.network.addresses(host, port, family.into());
        let addresses = tokio::time::timeout(LOOKUP_TIMEOUT, lookup)
            .await
            .unwrap_or(Err(rarest_http::Error::TimedOut(LOOKUP_TIMEOUT)))
            .map_err(|error| Error::of_http(error, tracker.protocol(), family))?;
        self.ask_one_after_the_other(addresses, question).await
    }

    /// Asks the address that is likeliest to answer; the next one, where it does not.
    async fn ask_one_after_the_other(
        &self,
        mut addresses: Vec<SocketAddr>,
        question: Question,
    ) -> Result<Outcome, Error> {
        // Those that answered before come first, and then all in the order of the resolver.
        addresses.sort_by_key(|address| !self.answered().contains(address));
        addresses.truncate(MAX_ADDRESSES);
        let mut outcome = Err(Error::Closed);
        for (index, &address) in addresses.iter().enumerate() {
            let asked = self.ask_at(address, question.clone());
            let is_last = index + 1 == addresses.len();
            outcome = match is_last {
                true => asked.await,
                false => match tokio::time::timeout(ADDRESS_PATIENCE, asked).await {
                    Ok(outcome) => outcome,
                    Err(_) => Ok(Outcome::Failed(Error::TimedOut(ADDRESS_PATIENCE))),
                },
            };
            // Who refuses has answered.
            let is_silent = matches!(
                outcome,
                Ok(Outcome::Failed(
                    Error::TimedOut(_) | Error::Network(_) | Error::NoAddress(_)
                ))
            );
            let mut answered = self.answered();
            answered.retain(|answered| *answered != address);
            if !is_silent {
                if addresses.len() > 1 {
                    answered.truncate(MAX_ANSWERED - 1);
                    answered.push_front(address);
                }
                return outcome;
            }
        }
        outcome
    }

    fn answered(&self) -> MutexGuard<'_, VecDeque<SocketAddr>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_at(&self, tracker: SocketAddr, question: Question) -> Result<Outcome, Error> {
        let (answer, outcome) = oneshot::channel();
        let job = Job {
            tracker,
            question,
            answer,
        };
        self.jobs.send(job).await.map_err(|_| Error::Closed)?;
        outcome.await.map_err(|_| Error::Closed)
    }
}

fn open(bind: &[IpAddr], family: Family) -> io::Result<UdpSocket> {
    let (domain, any) = match family {
        Family::V4 => (Domain::IPV4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Family::V6 => (Domain::IPV6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    let bound = SystemNetwork {
        bind: bind.to_vec(),
    };
    let local = bound.local_address(any)?.unwrap_or(any);
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    if family == Family::V6 {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(local, 0).into())?;
    UdpSocket::from_std(socket.into())
}

#[derive(Debug)]
struct Sockets {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
}

impl Sockets {
    fn of(&self, address: SocketAddr) -> Option<&UdpSocket> {
        match Family::of(address.ip()) {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }
}

/// Owns the exchange and the sockets.
#[derive(Debug)]
struct Driver {
    exchange: UdpExchange,
    waiting: HashMap<RequestId, oneshot::Sender<Outcome>>,
    abandoned_checked_at: Instant,
    sockets: Sockets,
}

impl Driver {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut v4_buffer = vec![0; MAX_DATAGRAM_LENGTH];
        let mut v6_buffer = vec![0; MAX_DATAGRAM_LENGTH];
        loop {
            let deadline = self.exchange.next_timeout();
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => self.take(job),
                    // The last handle is gone, and with it everybody who could wait for an answer.
                    None => return,
                },
                (from, length) = receive(self.sockets.v4.as_ref(), &mut v4_buffer) => {
                    self.exchange.handle_datagram(now(), from, &v4_buffer[..length]);
                }
                (from, length) = receive(self.sockets.v6.as_ref(), &mut v6_buffer) => {
                    self.exchange.handle_datagram(now(), from, &v6_buffer[..length]);
                }
                () = until(deadline) => self.drop_abandoned(),
            }
            self.exchange.handle_timeout(now());
            self.carry_out().await;
        }
    }

    fn take(&mut self, job: Job) {
        if self.sockets.of(job.tracker).is_none() {
            let family = Family::of(job.tracker.ip());
            let _gone = job.answer.send(Outcome::Failed(Error::NoAddress(family)));
            return;
        }
        let asked = match job.question {
            Question::Announce(announce, url_data) => {
                self.exchange
                    .announce(now(), job.tracker, *announce, url_data)
            }
            Question::Scrape(info_hashes) => self.exchange.scrape(now(), job.tracker, &info_hashes),
        };
        match asked {
            Ok(id) => {
                self.waiting.insert(id, job.answer);
            }
            Err(error) => {
                let _gone = job.answer.send(Outcome::Failed(error));
            }
        }
    }

    /// Sends and answers what the exchange has ready.
    async fn carry_out(&mut self) {
        while let Some(transmit) = self.exchange.poll_transmit() {
            if let Some(socket) = self.sockets.of(transmit.to) {
                // A datagram that the system does not take is as good as lost on the way, and sent again.
                let _lost = socket.send_to(&transmit.datagram, transmit.to).await;
            }
        }
        while let Some((id, outcome)) = self.exchange.poll_outcome() {
            if let Some(answer) = self.waiting.remove(&id) {
                let _gone = answer.send(outcome);
            }
        }
    }

    /// Gives up requests whose future was dropped. Done before anything is sent again, which is when it matters.
    fn drop_abandoned(&mut self) {
        let now = now();
        if now < self.abandoned_checked_at + ABANDONED_CHECK_INTERVAL {
            return;
        }
        self.abandoned_checked_at = now;
        let exchange = &mut self.exchange;
        self.waiting.retain(|id, answer| {
            if answer.is_closed() {
                exchange.cancel(*id);
            }
            !answer.is_closed()
        });
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The next datagram; never, without a socket.
async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> (SocketAddr, usize) {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    loop {
        match socket.recv_from(buffer).await {
            Ok((length, from)) => return (from, length),
            Err(_) => tokio::time::sleep(RECEIVE_ERROR_PAUSE).await,
        }
    }
}
