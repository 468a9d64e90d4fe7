//! Peers in the same network (BEP 14): the task that tells them of our torrents, and hears of theirs.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rarest_lsd::{Config, Cookie, Found, Group, Hearing, Schedule, Sockets};
use rarest_metainfo::{InfoHash, InfoHashes};
use rarest_swarm::PeerSource;
use tokio::sync::mpsc;

use crate::session::{Shared, now, sleep_until};
use crate::torrent_task::Mail;

/// Reads in a row that may fail until the sockets are given up: errors of what was sent come with them.
const MAX_FAILURES: u32 = 16;

/// Where torrents say that they run, or no longer.
#[derive(Debug)]
pub(crate) struct LocalDiscovery {
    /// `None` when the session goes without.
    wishes: Option<mpsc::UnboundedSender<Wish>>,
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    Start(InfoHashes),
    Stop(InfoHashes),
}

/// The task, before it runs.
#[derive(Debug)]
pub(crate) struct Discovering {
    wishes: mpsc::UnboundedReceiver<Wish>,
}

impl LocalDiscovery {
    /// For a session that takes no part.
    pub(crate) fn off() -> Self {
        Self { wishes: None }
    }

    pub(crate) fn new() -> (Self, Discovering) {
        let (sender, wishes) = mpsc::unbounded_channel();
        let this = Self {
            wishes: Some(sender),
        };
        (this, Discovering { wishes })
    }

    /// A torrent runs. It is not private.
    pub(crate) fn start(&self, hashes: InfoHashes) {
        self.send(Wish::Start(hashes));
    }

    /// A torrent is stopped or gone, or turned out to be private.
    pub(crate) fn stop(&self, hashes: InfoHashes) {
        self.send(Wish::Stop(hashes));
    }

    fn send(&self, wish: Wish) {
        if let Some(wishes) = &self.wishes {
            // On a machine without multicast nobody listens.
            let _ = wishes.send(wish);
        }
    }
}

impl Discovering {
    /// Runs until the session ends. The groups are joined when the first torrent runs; a machine without multicast is no error.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        let stop = shared.stop.clone();
        let discovering = async {
            let Some(first) = self.wishes.recv().await else {
                return;
            };
            let config = Config {
                port: shared.port(),
                interfaces: shared.config.listen_addresses.clone(),
                cookie: Cookie::new(rand::random()),
                group_port: Group::PORT,
            };
            match Sockets::join(config) {
                Ok(sockets) => Task::new(shared, sockets).run(first, self.wishes).await,
                Err(error) => tracing::info!(%error, "there is no local discovery"),
            }
        };
        tokio::select! {
            () = discovering => {}
            () = stop.cancelled() => {}
        }
    }
}

struct Task {
    shared: Arc<Shared>,
    sockets: Sockets,
    schedule: Schedule,
    hearing: Hearing,
    running: BTreeSet<InfoHash>,
}

impl Task {
    fn new(shared: Arc<Shared>, sockets: Sockets) -> Self {
        Self {
            shared,
            sockets,
            schedule: Schedule::new(now()),
            hearing: Hearing::new(now()),
            running: BTreeSet::new(),
        }
    }

    async fn run(mut self, first: Wish, mut wishes: mpsc::UnboundedReceiver<Wish>) {
        self.obey(first);
        let mut failures = 0;
        while failures < MAX_FAILURES {
            let next = self.schedule.next_timeout();
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(wish) => self.obey(wish),
                    None => return,
                },
                heard = self.sockets.receive() => match heard {
                    Ok(found) => {
                        failures = 0;
                        self.hear(found);
                    }
                    Err(error) => {
                        failures += 1;
                        tracing::debug!(%error, "local discovery hears nothing");
                    }
                },
                () = sleep_until(next) => self.announce().await,
            }
        }
    }

    fn obey(&mut self, wish: Wish) {
        let now = now();
        match wish {
            Wish::Start(hashes) => {
                for hash in hashes.swarms() {
                    self.running.insert(hash);
                    self.schedule.start(now, hash);
                }
            }
            Wish::Stop(hashes) => {
                for hash in hashes.swarms() {
                    self.running.remove(&hash);
                    self.schedule.stop(now, hash);
                }
            }
        }
    }

    async fn announce(&mut self) {
        let torrents = self.schedule.poll_announce(now());
        if torrents.is_empty() {
            return;
        }
        if let Err(error) = self.sockets.announce(torrents).await {
            // As where the network is down; it is tried again.
            tracing::debug!(%error, "the local network is not told of torrents");
        }
    }

    fn hear(&mut self, found: Option<Found>) {
        let Some(found) = found else { return };
        if !self.hearing.may_hear(now()) || !can_be_dialled(found.addr) {
            return;
        }
        for hash in found.info_hashes {
            if self.running.contains(&hash)
                && let Some(entry) = self.shared.registry.of_swarm(hash)
            {
                let mail = Mail::Peers(PeerSource::LocalDiscovery, vec![found.addr]);
                // A torrent that is gone has no use for it.
                let _ = entry.send(&self.shared, mail);
            }
        }
    }
}

/// An address of a link leads nowhere without the number of the interface, which peers' addresses do not have.
fn can_be_dialled(addr: SocketAddr) -> bool {
    match addr.ip() {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    }
}
