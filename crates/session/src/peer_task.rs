//! One connection: the task that owns the socket and carries bytes between it, the torrent and the disk.

mod input;
mod stream;
mod upload;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use rarest_peer_wire::connection::{CloseReason, Command, Connection, Event, LocalTorrent};
use rarest_piece_store::ReadError;
use rarest_swarm::{Ended, PeerKey, WebSeedEnd};
use tokio::io::Interest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;

use crate::limiter::Pace;
use crate::registry::Entry;
use crate::session::{Shared, now};
use crate::torrent_task::Store;
pub(crate) use input::Input;
pub(crate) use stream::PeerStream;
use upload::Upload;

/// What a connection tells its torrent.
#[derive(Debug)]
pub(crate) enum PeerMail {
    /// What came in one read of the socket.
    Events {
        peer: PeerKey,
        events: Vec<Event>,
        /// Those of the blocks in it.
        bytes: InTransit,
    },
    /// A block that was verified could not be read.
    ReadFailed { error: ReadError },
    /// A web seed cannot be asked any more. The last of its mail.
    WebSeedEnded {
        peer: PeerKey,
        end: WebSeedEnd,
        reason: String,
    },
    /// The connection ended. The last of its mail.
    Closed {
        peer: PeerKey,
        ended: Ended,
        reason: String,
    },
}

/// Bytes of blocks on their way to the torrent. The memory budget counts them until this is dropped, whoever does that.
#[derive(Debug)]
pub(crate) struct InTransit {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    count: usize,
}

impl InTransit {
    pub(crate) fn new(shared: &Arc<Shared>, entry: &Arc<Entry>, count: usize) -> Self {
        shared.budget.add(&entry.memory, count);
        Self {
            shared: Arc::clone(shared),
            entry: Arc::clone(entry),
            count,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Drop for InTransit {
    fn drop(&mut self) {
        self.shared.budget.release(&self.entry.memory, self.count);
    }
}

/// What a torrent tells one of its connections.
#[derive(Debug)]
pub(crate) enum Order {
    /// What its machine decided, in order.
    Commands(Vec<Command>),
    /// The metadata of a magnet link is there, and what there is to serve.
    Metadata(Box<LocalTorrent>, Content),
}

/// Where the blocks for peers are.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) store: Arc<Store>,
    /// Reads from the disk that the torrent may have under way.
    pub(crate) disk_reads: Arc<Semaphore>,
}

/// What a connection is given when its torrent agreed to it.
pub(crate) struct PeerTask {
    pub(crate) shared: Arc<Shared>,
    pub(crate) entry: Arc<Entry>,
    /// None until the metadata of a magnet link is there.
    pub(crate) content: Option<Content>,
    pub(crate) key: PeerKey,
    pub(crate) socket: Socket,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) torrent: mpsc::Sender<PeerMail>,
}

/// A socket and the state of the protocol on it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) stream: PeerStream,
    pub(crate) address: SocketAddr,
    pub(crate) connection: Connection,
    pub(crate) input: Input,
    /// Counts the connection among all of the session.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Why a connection ended.
enum End {
    /// The torrent let go of it.
    Dismissed,
    Closed(CloseReason),
    Network(io::Error),
}

impl PeerTask {
    /// Runs until the connection ends, and tells the torrent.
    pub(crate) async fn run(self) {
        let torrent = self.torrent.clone();
        let peer = self.key;
        let address = self.socket.address;
        let end = Driver::new(self).drive().await;
        tracing::debug!(%address, reason = %end, "connection ended");
        if let Some(ended) = end.ended() {
            let closed = PeerMail::Closed {
                peer,
                ended,
                reason: end.to_string(),
            };
            // A torrent that is gone needs no word.
            let _ = torrent.send(closed).await;
        }
    }
}

/// The running connection.
struct Driver {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    key: PeerKey,
    address: SocketAddr,
    stream: PeerStream,
    connection: Connection,
    input: Input,
    download: Pace,
    upload: Upload,
    orders: mpsc::UnboundedReceiver<Order>,
    torrent: mpsc::Sender<PeerMail>,
    /// UDP port of the peer's node of the DHT, as it said first.
    node: Option<u16>,
    /// Not to be read before: the download rate is used up.
    read_after: Option<Instant>,
    /// Not to be read until the disk has caught up.
    awaits_memory: bool,
    timer: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Driver {
    fn new(task: PeerTask) -> Self {
        let PeerTask {
            shared,
            entry,
            content,
            key,
            socket,
            orders,
            torrent,
        } = task;
        let of_torrent = entry.limiters();
        let pace = |of_torrent, of_session: &Arc<_>| Pace::new(of_torrent, Arc::clone(of_session));
        Self {
            download: pace(of_torrent.download, &shared.download),
            upload: Upload::new(content, pace(of_torrent.upload, &shared.upload), &shared),
            shared,
            entry,
            key,
            address: socket.address,
            stream: socket.stream,
            connection: socket.connection,
            input: socket.input,
            orders,
            torrent,
            node: None,
            read_after: None,
            awaits_memory: false,
            timer: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
            _permit: socket.permit,
        }
    }

    async fn drive(mut self) -> End {
        match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        // What came behind the handshake is there already.
        self.take_input(now())?;
        loop {
            self.upload.start_reading(now(), &mut self.connection);
            self.write()?;
            self.report().await?;
            self.arm_timer();
            let interest = self.interest();
            tokio::select! {
                ready = self.stream.ready(interest.unwrap_or(Interest::READABLE)), if interest.is_some() => {
                    if ready?.is_readable() && self.may_read() {
                        self.read(now())?;
                    }
                }
                order = self.orders.recv() => {
                    let Some(order) = order else { return Err(self.dismiss()) };
                    self.obey(now(), order)?;
                }
                read = self.upload.read() => {
                    for error in self.upload.finish_reading(now(), read, &mut self.connection) {
                        self.tell(PeerMail::ReadFailed { error }).await?;
                    }
                }
                () = self.shared.budget.available(&self.entry.memory), if self.awaits_memory => self.awaits_memory = false,
                () = self.timer.as_mut() => self.handle_timeout(now()),
            }
        }
    }

    fn obey(&mut self, now: Instant, order: Order) -> Result<(), End> {
        match order {
            Order::Commands(commands) => self.connection.handle_commands(now, commands),
            Order::Metadata(torrent, content) => {
                self.upload.set_content(content);
                let known = self.connection.handle_metadata(now, *torrent);
                known.map_err(End::Closed)?;
            }
        }
        Ok(())
    }

    /// The torrent has let go of the connection: what the socket takes at once still goes out.
    fn dismiss(&mut self) -> End {
        // The end is the same whether it does or not.
        let _ = self.write();
        End::Dismissed
    }

    fn may_read(&self) -> bool {
        self.read_after.is_none() && !self.awaits_memory
    }

    fn interest(&self) -> Option<Interest> {
        let readable = self.may_read().then_some(Interest::READABLE);
        let writable = self.connection.has_output().then_some(Interest::WRITABLE);
        match (readable, writable) {
            (Some(readable), Some(writable)) => Some(readable | writable),
            (one, other) => one.or(other),
        }
    }

    /// Reads once, as much as rate and memory allow.
    fn read(&mut self, now: Instant) -> Result<(), End> {
        let most = self.input.next_read();
        let allowed = match self.download.allowance(now, most) {
            Ok(bytes) => bytes.min(self.shared.budget.left(&self.entry.memory)),
            Err(later) => {
                self.read_after = Some(later);
                return Ok(());
            }
        };
        if allowed == 0 {
            self.download.moved(now, 0);
            self.awaits_memory = true;
            return Ok(());
        }
        match self
            .stream
            .read(&mut self.input, allowed, &self.shared.buffers)
        {
            Ok(0) => return Err(End::Closed(CloseReason::Remote)),
            Ok(bytes) => self.download.moved(now, bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.download.moved(now, 0);
                return Ok(());
            }
            Err(error) => return Err(End::Network(error)),
        }
        self.take_input(now)
    }

    fn take_input(&mut self, now: Instant) -> Result<(), End> {
        self.connection
            .handle_input(now, self.input.bytes())
            .map_err(End::Closed)
    }

    /// Writes until everything is gone or the socket takes no more.
    fn write(&mut self) -> Result<(), End> {
        while self.connection.has_output() {
            match self.stream.write(self.connection.output()) {
                Ok(()) => self.upload.start_reading(now(), &mut self.connection),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Network(error)),
            }
        }
        let waiting = self.connection.output().waiting_payload();
        self.upload.written(waiting);
        Ok(())
    }

    /// Tells the torrent what happened, as one message.
    async fn report(&mut self) -> Result<(), End> {
        let mut events = Vec::new();
        let mut block_bytes = 0;
        while let Some(event) = self.connection.poll_event() {
            match &event {
                Event::Block { data, .. } => block_bytes += data.len(),
                Event::Uploaded { bytes } => self.entry.totals.add_uploaded(*bytes),
                Event::Port(port) => self.tell_of_node(*port),
                _ => {}
            }
            events.push(event);
        }
        if let Some(reason) = self.connection.close_reason() {
            return Err(End::Closed(reason.clone()));
        }
        if events.is_empty() {
            return Ok(());
        }
        self.entry.totals.add_downloaded(block_bytes as u64);
        let mail = PeerMail::Events {
            peer: self.key,
            events,
            bytes: InTransit::new(&self.shared, &self.entry, block_bytes),
        };
        self.tell(mail).await
    }

    /// The peer has a node of the DHT. It has one: who names others too would have us ask thousands, faster than we can.
    fn tell_of_node(&mut self, port: u16) {
        if self.node.is_none()
            && let Some(dht) = self.shared.announcer.dht()
        {
            self.node = Some(port);
            dht.add_node(SocketAddr::new(self.address.ip(), port));
        }
    }

    /// Waits for room in the mailbox of the torrent. Turns are for others meanwhile.
    async fn tell(&mut self, mail: PeerMail) -> Result<(), End> {
        let room = tokio::select! {
            biased;
            room = self.torrent.reserve() => room.map_err(|_| End::Dismissed)?,
            never = self.upload.give_back_turns() => match never {},
        };
        room.send(mail);
        Ok(())
    }

    fn arm_timer(&mut self) {
        let next = [
            self.connection.next_timeout(),
            self.read_after,
            self.upload.next_timeout(),
        ];
        let next = next.into_iter().flatten().min();
        if let Some(next) = next {
            let next = next.into();
            // An early alarm does no harm; setting the timer anew for each read would cost more than it.
            if self.timer.deadline() > next || self.timer.is_elapsed() {
                self.timer.as_mut().reset(next);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.read_after.is_some_and(|after| after <= now) {
            self.read_after = None;
        }
        self.upload.handle_timeout(now);
        self.connection.handle_timeout(now);
    }
}

impl End {
    /// How it is told to the torrent; `None` when the torrent knows.
    fn ended(&self) -> Option<Ended> {
        match self {
            Self::Dismissed => None,
            Self::Network(_) => Some(Ended::Closed),
            Self::Closed(reason) => Some(match reason {
                CloseReason::Violation(_) => Ended::ProtocolViolation,
                CloseReason::HandshakeTimeout | CloseReason::Idle => Ended::TimedOut,
                CloseReason::Ourselves | CloseReason::NotReading { .. } | CloseReason::Local => {
                    Ended::Ours
                }
                _ => Ended::Closed,
            }),
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Network(error)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dismissed => f.write_str("the torrent ended the connection"),
            Self::Closed(reason) => reason.fmt(f),
            Self::Network(error) => write!(f, "the connection broke: {error}"),
        }
    }
}
