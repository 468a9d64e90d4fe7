//! The connections of a torrent: dialled, agreed to, told what to do, ended.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rarest_metainfo::Bitfield;
use rarest_peer_wire::connection::{Command, LocalTorrent, Privacy, Role, SwarmId};
use rarest_swarm::limits::MAX_KNOWN_PEERS;
use rarest_swarm::{BanReason, DisconnectReason, Ended, PeerKey, PeerSource};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::{Driver, Mail, SLEEP_AFTER, Stage};
use crate::TorrentEvent;
use crate::handshaking::{self, Arrival};
use crate::peer_task::{PeerMail, PeerTask};
use crate::session::now;

/// A connection, as its torrent holds it. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct PeerLink {
    address: SocketAddr,
    commands: mpsc::UnboundedSender<Vec<Command>>,
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
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Driver {
    pub(super) fn add_peers(&mut self, source: PeerSource, peers: Vec<SocketAddr>) {
        match &mut self.stage {
            Stage::Active(torrent) => torrent.add_peers(now(), source, &peers),
            Stage::New | Stage::Checking | Stage::Unreadable => {
                self.early_peers.add(source, peers);
            }
        }
    }

    /// Dials in the background; the result comes as mail.
    pub(super) fn dial(&self, address: SocketAddr) {
        let shared = Arc::clone(&self.shared);
        let entry = Arc::clone(&self.entry);
        let swarm = self.swarm();
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
        let stop = self.shared.stop.clone();
        self.shared.tasks.spawn(
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
    fn swarm(&self) -> SwarmId {
        let hashes = self.metainfo.info_hashes();
        SwarmId {
            info_hash: self.entry.id.info_hash(),
            upgrade: hashes.v1.and(hashes.v2).map(Into::into),
        }
    }

    /// A peer has shaken hands: if the machine agrees, it gets a task.
    pub(super) fn handle_arrival(&mut self, arrival: Arrival) {
        let address = arrival.socket.address;
        let Stage::Active(torrent) = &mut self.stage else {
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
        let mut socket = arrival.socket;
        self.patience = SLEEP_AFTER;
        let address = socket.address;
        socket.connection.accept(now(), self.local_torrent());
        let (commands, received) = mpsc::unbounded_channel();
        self.peers.insert(key, PeerLink { address, commands });
        let task = PeerTask {
            shared: Arc::clone(&self.shared),
            entry: Arc::clone(&self.entry),
            store: Arc::clone(&self.disk.store),
            disk_reads: Arc::clone(&self.disk.reads),
            key,
            socket,
            commands: received,
            torrent: peer_mail.clone(),
        };
        let span = tracing::debug_span!("peer", %address);
        self.shared.tasks.spawn(task.run().instrument(span));
        self.observed.changed();
        self.tell(TorrentEvent::PeerConnected(address));
    }

    /// What a peer is told of the torrent: what the machine knows, which tells of every piece that is verified later.
    fn local_torrent(&self) -> LocalTorrent {
        let geometry = Arc::clone(self.metainfo.info().geometry());
        let have = match &self.stage {
            Stage::Active(torrent) => torrent.verified().clone(),
            Stage::New | Stage::Checking | Stage::Unreadable => Bitfield::empty(&geometry),
        };
        let mut local = LocalTorrent::new(self.swarm(), geometry, have);
        if self.observed.is_finished() {
            local.role = Role::UploadOnly;
        }
        local.privacy = self.privacy();
        local
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
            // A connection that has just ended says so in its last mail.
            let _ = link.commands.send(commands);
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
                if let Stage::Active(torrent) = &mut self.stage {
                    torrent.handle_peer_events(now, peer, events);
                }
                // The machine holds them now, and counts them.
                self.count_memory();
                drop(bytes);
            }
            PeerMail::ReadFailed { error } => self.handle_read_error(error),
            PeerMail::Closed {
                peer,
                ended,
                reason,
            } => {
                // A connection that the machine ended was forgotten then.
                if let Some(link) = self.peers.remove(&peer) {
                    if let Stage::Active(torrent) = &mut self.stage {
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
            if let Stage::Active(torrent) = &mut self.stage {
                torrent.handle_peer_disconnected(now, peer, Ended::Ours);
            }
            self.tell_disconnected(link.address, reason.to_owned());
        }
    }
}

fn describe(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::BothComplete => "both ends have all that they want",
        DisconnectReason::Duplicate => "there is another connection to the same peer",
        DisconnectReason::Banned => "the peer sent corrupt data",
        DisconnectReason::Paused => "the torrent was paused",
        DisconnectReason::Replaced => "the place was given to a peer of more use",
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
