//! The task: sockets and clock on one side, the node on the other.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::{Command, Found, LookupStream, Stats, Wish};
use crate::address::Family;
use crate::error::Busy;
use crate::event::Event;
use crate::lookup::LookupId;
use crate::node::Node;

/// How long a socket rests after it failed to receive, so that a broken interface does not keep the processor busy.
const RECEIVE_ERROR_PAUSE: Duration = Duration::from_millis(200);

/// Room for any datagram: some systems take one that does not fit for an error of the socket, and strangers could make it rest.
const BUFFER_LENGTH: usize = u16::MAX as usize;

/// The clock of the task: tokio's, so that tests can hold it.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[derive(Debug)]
pub(super) struct Driver {
    node: Node,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    commands: mpsc::WeakSender<Command>,
    waiting: HashMap<LookupId, mpsc::UnboundedSender<Found>>,
}

impl Driver {
    pub(super) fn new(
        node: Node,
        v4: Option<UdpSocket>,
        v6: Option<UdpSocket>,
        commands: mpsc::WeakSender<Command>,
    ) -> Self {
        Self {
            node,
            v4,
            v6,
            commands,
            waiting: HashMap::new(),
        }
    }

    /// Runs until the last handle is gone.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let (mut buffer_v4, mut buffer_v6) = (vec![0; BUFFER_LENGTH], vec![0; BUFFER_LENGTH]);
        loop {
            self.send().await;
            self.tell();
            let timeout = self.node.next_timeout();
            tokio::select! {
                command = queue.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                received = receive(self.v4.as_ref(), &mut buffer_v4) => {
                    self.take(received, &buffer_v4).await;
                }
                received = receive(self.v6.as_ref(), &mut buffer_v6) => {
                    self.take(received, &buffer_v6).await;
                }
                () = sleep_until(timeout) => self.node.handle_timeout(now()),
            }
        }
    }

    async fn take(&mut self, received: io::Result<(usize, SocketAddr)>, buffer: &[u8]) {
        match received {
            Ok((length, from)) => self.node.handle_datagram(now(), from, &buffer[..length]),
            // Some systems report here that an earlier datagram met a closed port.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(_) => tokio::time::sleep(RECEIVE_ERROR_PAUSE).await,
        }
    }

    async fn send(&mut self) {
        while let Some(transmit) = self.node.poll_transmit() {
            let socket = match Family::of(transmit.to.ip()) {
                Family::V4 => &self.v4,
                Family::V6 => &self.v6,
            };
            if let Some(socket) = socket {
                // What does not go out is a lost datagram like others.
                let _ = socket.send_to(&transmit.datagram, transmit.to).await;
            }
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.node.poll_event() {
            let (lookup, found) = match event {
                Event::Peers { lookup, peers } => (lookup, Found::Peers(peers)),
                Event::Item { lookup, item } => (lookup, Found::Item(item)),
                Event::Samples {
                    lookup,
                    from,
                    samples,
                } => (lookup, Found::Samples(from, samples)),
                Event::Done { lookup, summary } => {
                    if let Some(waiting) = self.waiting.remove(&lookup) {
                        // Whoever asked may have gone.
                        let _ = waiting.send(Found::Done(summary));
                    }
                    continue;
                }
                Event::Bootstrapped { .. } | Event::IdChanged { .. } => continue,
            };
            let gone = self
                .waiting
                .get(&lookup)
                .map(|waiting| waiting.send(found).is_err());
            if gone == Some(true) {
                self.cancel(lookup);
            }
        }
    }

    fn cancel(&mut self, lookup: LookupId) {
        self.node.cancel(lookup);
        self.waiting.remove(&lookup);
    }

    fn obey(&mut self, command: Command) {
        let now = now();
        match command {
            Command::Lookup(wish, reply) => {
                let begun = self.begin(now, *wish).map(|lookup| {
                    let (sender, stream) = LookupStream::new(lookup, self.commands.clone());
                    self.waiting.insert(lookup, sender);
                    stream
                });
                // If nobody waits any more, the stream that comes back ends the lookup.
                let _ = reply.send(begun.map_err(Into::into));
            }
            Command::Cancel(lookup) => self.cancel(lookup),
            Command::AddNode(addr) => self.node.add_node(now, addr),
            Command::Bootstrap(routers) => self.node.bootstrap(now, &routers),
            Command::State(reply) => {
                let _ = reply.send(self.node.save());
            }
            Command::Stats(reply) => {
                let stats = Stats {
                    nodes_v4: self.node.table_len(Family::V4),
                    nodes_v6: self.node.table_len(Family::V6),
                    lookups: self.node.lookups(),
                    id_v4: self.node.id(Family::V4),
                    id_v6: self.node.id(Family::V6),
                };
                let _ = reply.send(stats);
            }
        }
    }

    fn begin(&mut self, now: Instant, wish: Wish) -> Result<LookupId, Busy> {
        match wish {
            Wish::Peers(info_hash, announce) => self.node.get_peers(now, info_hash, announce),
            Wish::Get(target) => self.node.get(now, target),
            Wish::Put(item, cas) => self.node.put(now, item, cas),
            Wish::Sample(target) => self.node.sample_infohashes(now, target),
        }
    }
}

/// Waits for a datagram; for ever without a socket.
async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
