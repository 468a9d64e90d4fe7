//! The connections of a torrent: dialled, agreed to, told what to do, ended.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rarest_metainfo::InfoHashes;
use rarest_peer_wire::connection::{Command, LocalTorrent, Privacy, Role, SwarmId};
use rarest_peer_wire::mse::Method;
use rarest_swarm::limits::MAX_KNOWN_PEERS;
use rarest_swarm::{BanReason, DisconnectReason, Ended, PeerKey, PeerSource};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::{Driver, Mail, SLEEP_AFTER, Stage};
use crate::handshaking::{self, Arrival};
use crate::peer_task::{Content, Order, PeerMail, PeerTask};
use crate::registry::Entry;
use crate::session::{Shared, now};
use crate::{TorrentEvent, TorrentId};

/// A connection, as its torrent holds it. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct PeerLink {
    address: SocketAddr,
    /// How its stream goes over the wire.
    method: Method,
    orders: mpsc::UnboundedSender<Order>,
}

/// Addresses that were told before there is a machine: a check may take hours, and a storage that cannot be looked at for ever.
#[derive(Debug, Default)]
pub(super) struct EarlyPeers(BTreeSet<(PeerSource, SocketAddr)>);

impl EarlyPeers {
    /// What is beyond what the machine would remember is forgotten at once.
    pub(super) fn add(
        &mut self,
        source: PeerSource,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) {
        let addresses = addresses.into_iter().map(|address| (source, address));
        for peer in addresses {
            if self.0.len() < MAX_KNOWN_PEERS {
                self.0.insert(peer);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for EarlyPeers {
    type Item = (PeerSource, SocketAddr);
    type IntoIter = <BTreeSet<Self::Item> as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl PeerLink {
    /// How many of these are encrypted.
    pub(super) fn count_encrypted<'a>(links: impl IntoIterator<Item = &'a Self>) -> usize {
        let encrypted = |link: &&Self| link.method == Method::Rc4;
        links.into_iter().filter(encrypted).count()
    }

    /// Begins a connection that the machine agreed to.
    pub(super) fn start(
        place: &Place<'_>,
        key: PeerKey,
        arrival: Arrival,
        torrent: LocalTorrent,
        content: Option<Content>,
    ) -> Self {
        let mut socket = arrival.socket;
        let address = socket.address;
        let method = socket.stream.method();
        socket.connection.accept(now(), torrent);
        let (orders, received) = mpsc::unbounded_channel();
        let task = PeerTask {
            shared: Arc::clone(place.shared),
            entry: Arc::clone(place.entry),
            content,
            key,
            socket,
            orders: received,
            torrent: place.mail.clone(),
        };
        let span = tracing::debug_span!("peer", %address);
        place.shared.tasks.spawn(task.run().instrument(span));
        Self {
            address,
            method,
            orders,
        }
    }

    pub(super) fn command(&self, commands: Vec<Command>) {
        // A connection that has just ended says so in its last mail.
        let _ = self.orders.send(Order::Commands(commands));
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Where a connection belongs.
pub(super) struct Place<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) entry: &'a Arc<Entry>,
    /// Where it tells what happened.
    pub(super) mail: &'a mpsc::Sender<PeerMail>,
}

/// Dials in the background; the result comes as mail.
pub(super) fn dial(shared: &Arc<Shared>, entry: &Arc<Entry>, swarm: SwarmId, address: SocketAddr) {
    let stop = shared.stop.clone();
    let (shared, entry) = (Arc::clone(shared), Arc::clone(entry));
    let tasks = shared.tasks.clone();
    let dialling = async move {
        let mail = match handshaking::outgoing(&shared, address, swarm).await {
            Ok(arrival) => Mail::Arrived(Box::new(arrival)),
            Err(error) => {
                tracing::debug!(%address, %error, "a peer cannot be reached");
                Mail::DialFailed(address, error.to_string())
            }
        };
        // A torrent that is gone has no use for it.
        let _ = entry.send(&shared, mail);
    };
    tasks.spawn(
        async move {
            tokio::select! {
                () = dialling => {}
                () = stop.cancelled() => {}
            }
        }
        .in_current_span(),
    );
}

/// The swarm that we dial for; a hybrid's peers may answer for the other one.
pub(super) fn swarm_id(torrent: TorrentId, hashes: InfoHashes) -> SwarmId {
    SwarmId {
        info_hash: torrent.info_hash(),
        upgrade: hashes.v1.and(hashes.v2).map(Into::into),
    }
}

impl Driver {
    pub(super) fn add_peers(&mut self, source: PeerSource, peers: Vec<SocketAddr>) {
        match self.machine() {
            Some(torrent) => torrent.add_peers(now(), source, &peers),
            None => self.early_peers.add(source, peers),
        }
    }

    pub(super) fn dial(&self, address: SocketAddr) {
        dial(&self.shared, &self.entry, self.swarm(), address);
    }

    fn swarm(&self) -> SwarmId {
        swarm_id(self.entry.id, self.metainfo.info_hashes())
    }

    /// A peer has shaken hands: if the machine agrees, it gets a task.
    pub(super) fn handle_arrival(&mut self, arrival: Arrival) {
        let address = arrival.socket.address;
        let Some(torrent) = self.machine() else {
            return;
        };
        let key = match torrent.handle_peer_connected(
            now(),
            address,
            arrival.direction,
            &arrival.handshake,
        ) {
            Ok(key) => key,
            Err(refused) => {
                tracing::debug!(%address, %refused, "a peer is not taken");
                return;
            }
        };
        self.connect(key, arrival);
    }

    fn connect(&mut self, key: PeerKey, arrival: Arrival) {
        let Some(peer_mail) = &self.peer_mail else {
            // Peers are taken by the task alone, which has opened it.
            return;
        };
        let place = Place {
            shared: &self.shared,
            entry: &self.entry,
            mail: peer_mail,
        };
        let (torrent, content) = match self.local_torrent() {
            Some(torrent) => (torrent, Some(self.content())),
            // It is told as soon as the disk was looked at.
            None => (LocalTorrent::without_metadata(self.swarm()), None),
        };
        let link = PeerLink::start(&place, key, arrival, torrent, content);
        let address = link.address;
        self.peers.insert(key, link);
        self.patience = SLEEP_AFTER;
        self.observed.changed();
        self.tell(TorrentEvent::PeerConnected(address));
    }

    /// What a peer is told of the torrent: what the machine knows, which tells of every piece that is verified later.
    fn local_torrent(&self) -> Option<LocalTorrent> {
        let Stage::Active(torrent) = &self.stage else {
            return None;
        };
        let info = self.metainfo.info();
        let geometry = Arc::clone(info.geometry());
        let mut local = LocalTorrent::new(self.swarm(), geometry, torrent.verified().clone());
        local.metadata_size = u32::try_from(info.raw().len()).ok();
        if self.observed.is_finished() {
            local.role = Role::UploadOnly;
        }
        local.privacy = self.privacy();
        Some(local)
    }

    fn content(&self) -> Content {
        Content {
            store: Arc::clone(&self.disk.store),
            disk_reads: Arc::clone(&self.disk.reads),
        }
    }

    /// Peers that were connected before the metadata was there learn what there is, before the machine says anything more to them.
    pub(super) fn tell_peers_metadata(&self) {
        for link in self.peers.values() {
            if let Some(torrent) = self.local_torrent() {
                let order = Order::Metadata(Box::new(torrent), self.content());
                // A connection that has just ended says so in its last mail.
                let _ = link.orders.send(order);
            }
        }
    }

    /// Whether peers may tell each other of the torrent's peers.
    pub(super) fn privacy(&self) -> Privacy {
        if self.metainfo.info().is_private() {
            Privacy::Private
        } else {
            Privacy::Public
        }
    }

    pub(super) fn command_peer(&self, peer: PeerKey, commands: Vec<Command>) {
        if let Some(link) = self.peers.get(&peer) {
            link.command(commands);
        } else {
            self.command_web_seed(peer, commands);
        }
    }

    pub(super) fn handle_peer_mail(&mut self, mail: PeerMail) {
        let now = now();
        match mail {
            PeerMail::Events {
                peer,
                events,
                bytes,
            } => {
                if !bytes.is_empty() {
                    self.observed.blocks_came(now);
                }
                // What is sent to peers is told in events alone, and is to be seen and saved as well.
                self.observed.changed();
                if let Some(torrent) = self.machine() {
                    torrent.handle_peer_events(now, peer, events);
                }
                // The machine holds them now, and counts them.
                self.count_memory();
                drop(bytes);
            }
            PeerMail::ReadFailed { error } => self.handle_read_error(error),
            PeerMail::WebSeedEnded { peer, end, reason } => self.web_seed_ended(peer, end, reason),
            PeerMail::Closed {
                peer,
                ended,
                reason,
            } => {
                // A connection that the machine ended was forgotten then.
                if let Some(link) = self.peers.remove(&peer) {
                    if let Some(torrent) = self.machine() {
                        torrent.handle_peer_disconnected(now, peer, ended);
                    }
                    self.tell_disconnected(link.address, reason);
                }
            }
        }
    }

    pub(super) fn disconnect(&mut self, peer: PeerKey, reason: DisconnectReason) {
        if let Some(link) = self.peers.remove(&peer) {
            self.tell_disconnected(link.address, describe(reason).to_owned());
        } else {
            self.close_web_seed(peer, reason);
        }
    }

    fn tell_disconnected(&mut self, peer: SocketAddr, reason: String) {
        self.observed.changed();
        self.tell(TorrentEvent::PeerDisconnected { peer, reason });
    }

    pub(super) fn banned(&self, address: IpAddr, reason: BanReason) {
        tracing::info!(%address, ?reason, "a peer is banned");
        self.tell(TorrentEvent::PeerBanned { address, reason });
    }

    /// Ends every connection.
    pub(super) fn drop_peers(&mut self, reason: &str) {
        let now = now();
        for (peer, link) in std::mem::take(&mut self.peers) {
            if let Some(torrent) = self.machine() {
                torrent.handle_peer_disconnected(now, peer, Ended::Ours);
            }
            self.tell_disconnected(link.address, reason.to_owned());
        }
    }
}

pub(super) fn describe(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::BothComplete => "both ends have all that they want",
        DisconnectReason::Duplicate => "there is another connection to the same peer",
        DisconnectReason::Banned => "the peer sent corrupt data",
        DisconnectReason::Paused => "the torrent was paused",
        DisconnectReason::Replaced => "the place was given to a peer of more use",
        DisconnectReason::Private => {
            "the torrent is private, and the peer is not known from its tracker"
        }
        DisconnectReason::PiecesChanged => "what is on the disk has changed much",
        DisconnectReason::UnreadableMessage => "it sent a message that cannot be read",
        _ => "the torrent ended the connection",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_told_while_nothing_can_be_done_with_them_are_bounded() {
        let mut early = EarlyPeers::default();
        for address in 0..2 * u32::try_from(MAX_KNOWN_PEERS).unwrap() {
            let address = SocketAddr::new(IpAddr::V4(address.into()), 6881);
            early.add(PeerSource::Tracker, [address]);
            early.add(PeerSource::Tracker, [address]);
        }
        assert_eq!(early.into_iter().count(), MAX_KNOWN_PEERS);
    }
}
