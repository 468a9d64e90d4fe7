//! The info dictionary: fetched first when the torrent began as a magnet link, served ever after.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::{Bitfield, Geometry, InfoHashes, PeerId};
use rarest_peer_wire::Extension;
use rarest_peer_wire::connection::{Command, Role};
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::extension::metadata::MetadataMessage;

use super::Torrent;
use crate::metadata::{Answer, Arrived, Fetch, Serving};
use crate::output::{BanReason, DisconnectReason, Output};
use crate::picker::Picker;
use crate::piece::PeerSlot;
use crate::{Config, PeerSource, Privacy, Start};

/// What is known of the torrent beside its identity.
#[derive(Debug)]
pub(super) enum Metadata {
    /// Nothing: it is being fetched.
    Wanted(Box<Fetch<PeerSlot>>),
    /// It is here, but what is on disk is not known yet.
    Found(Serving<PeerSlot>),
    /// Everything.
    Known(Option<Serving<PeerSlot>>),
}

impl Metadata {
    pub(super) fn known(raw: Option<Bytes>, now: Instant) -> Self {
        Self::Known(raw.map(|raw| Serving::new(raw, now)))
    }

    fn serving(&mut self) -> Option<&mut Serving<PeerSlot>> {
        match self {
            Self::Wanted(_) => None,
            Self::Found(serving) => Some(serving),
            Self::Known(serving) => serving.as_mut(),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Wanted(fetch) => fetch.next_timeout(),
            Self::Found(serving) => serving.next_timeout(),
            Self::Known(serving) => serving.as_ref().and_then(Serving::next_timeout),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Self::Wanted(fetch) = self {
            fetch.handle_timeout(now);
        }
    }

    pub(super) fn peer_left(&mut self, now: Instant, slot: PeerSlot) {
        if let Self::Wanted(fetch) = self {
            fetch.peer_left(now, slot);
        } else if let Some(serving) = self.serving() {
            serving.peer_left(slot);
        }
    }
}

impl Torrent {
    /// A torrent that runs, without peers, of which only the info-hash is known.
    ///
    /// It finds peers and fetches the metadata of them. Then comes [`Output::Metadata`], which
    /// [`handle_metadata`](Self::handle_metadata) answers. Until then there are no pieces, and nothing is finished.
    #[must_use]
    pub fn without_metadata(
        config: Config,
        info_hashes: InfoHashes,
        peer_id: PeerId,
        now: Instant,
    ) -> Self {
        let geometry = Arc::new(Geometry::unknown());
        let start = Start {
            verified: Bitfield::empty(&geometry),
            hash_unknown: Bitfield::empty(&geometry),
            geometry,
            info_hashes,
            peer_id,
            on_disk: Vec::new(),
            metadata: None,
        };
        let mut torrent = Self::new(config, start, now);
        torrent.role = Role::Downloader;
        torrent.metadata = Metadata::Wanted(Box::new(Fetch::new(info_hashes)));
        torrent
    }

    /// The answer to [`Output::Metadata`], once it is known what is on disk: the torrent has pieces from now on. The connections are to be told
    /// before they are given any further command; what their peers said of pieces until now comes as events then.
    ///
    /// It may come unasked as well, when the metadata was found elsewhere. Nothing happens when it is known already. A private torrent parts
    /// from peers that no tracker named (BEP 27).
    pub fn handle_metadata(&mut self, now: Instant, start: Start, privacy: Privacy) {
        if self.knows_pieces() {
            return;
        }
        self.picker = Picker::new(
            Arc::clone(&start.geometry),
            start.verified,
            start.hash_unknown,
            &start.on_disk,
        );
        self.geometry = start.geometry;
        self.info_hashes = start.info_hashes;
        self.metadata = match std::mem::replace(&mut self.metadata, Metadata::Known(None)) {
            Metadata::Found(serving) => Metadata::Known(Some(serving)),
            Metadata::Wanted(_) | Metadata::Known(_) => Metadata::known(start.metadata, now),
        };
        self.config.privacy = privacy;
        self.keep_privacy(now);
        if self.is_finished() {
            self.role = Role::UploadOnly;
            for slot in self.peers.slots() {
                self.command(slot, Command::Role(Role::UploadOnly));
            }
        }
        self.settle(now);
    }

    /// The metadata says that the torrent is private (BEP 27), before it is known what there is of it: that may take hours.
    pub fn handle_private(&mut self, now: Instant) {
        self.config.privacy = Privacy::Private;
        self.keep_privacy(now);
        self.settle(now);
    }

    fn keep_privacy(&mut self, now: Instant) {
        if self.config.privacy == Privacy::Private {
            self.keep_to_trackers(now);
        }
    }

    /// Whether the pieces of the torrent are known: always, unless it began as a magnet link.
    #[must_use]
    pub fn knows_pieces(&self) -> bool {
        matches!(self.metadata, Metadata::Known(_))
    }

    /// Number of connected peers that offer the metadata, while that is wanted.
    #[must_use]
    pub fn metadata_offers(&self) -> usize {
        match &self.metadata {
            Metadata::Wanted(fetch) => fetch.offers(),
            Metadata::Found(_) | Metadata::Known(_) => 0,
        }
    }

    /// Parts from everybody who is known neither from a tracker nor from the user, and tells nobody of peers any more.
    fn keep_to_trackers(&mut self, now: Instant) {
        self.book
            .keep_sources(|source| matches!(source, PeerSource::Tracker | PeerSource::User));
        for slot in self.peers.slots() {
            let is_known = self
                .peers
                .get(slot)
                .and_then(|peer| peer.listens_at)
                .is_some_and(|addr| self.book.is_known(addr));
            if !is_known {
                self.disconnect(now, slot, DisconnectReason::Private);
            } else if let Some(told) = self.peers.get_mut(slot).and_then(|peer| peer.told.take()) {
                self.exchange.leave(slot, &told);
            }
        }
    }

    /// What the peer says of the extension in its handshake.
    pub(super) fn metadata_offered(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        handshake: &ExtensionHandshake,
    ) {
        let (Metadata::Wanted(fetch), Some(peer)) = (&mut self.metadata, self.peers.get_mut(slot))
        else {
            return;
        };
        let id = handshake.id(Extension::Metadata);
        if id != Some(0) && handshake.metadata_size.is_none() {
            return;
        }
        let Some(left) = peer.metadata_offers_left.checked_sub(1) else {
            return;
        };
        peer.metadata_offers_left = left;
        match (id, handshake.metadata_size) {
            (Some(0), _) => fetch.peer_left(now, slot),
            (_, Some(size)) => fetch.peer_offers(now, slot, peer.addr.ip(), size),
            (_, None) => {}
        }
    }

    /// A message of the extension. One that cannot be read is not worth more than one that says nothing.
    pub(super) fn metadata_message(&mut self, now: Instant, slot: PeerSlot, payload: &Bytes) {
        let Ok(message) = MetadataMessage::decode(payload) else {
            return;
        };
        if let MetadataMessage::Request { piece } = message {
            let answer = match self.metadata.serving() {
                Some(serving) => serving.handle_request(slot, piece),
                None => Answer::Reject,
            };
            if answer == Answer::Reject {
                self.send_metadata(slot, &MetadataMessage::Reject { piece });
            }
            return;
        }
        let Metadata::Wanted(fetch) = &mut self.metadata else {
            return;
        };
        match fetch.handle_message(now, slot, &message) {
            Arrived::Incomplete => {}
            Arrived::Lie(ip) => self.punish(now, ip, BanReason::WrongMetadata),
            Arrived::Whole(raw) => {
                self.metadata = Metadata::Found(Serving::new(raw.clone(), now));
                self.outputs.push_back(Output::Metadata(raw));
            }
        }
    }

    /// Asks for what is wanted, and sends what others asked for.
    pub(super) fn trade_metadata(&mut self, now: Instant) {
        while let Metadata::Wanted(fetch) = &mut self.metadata
            && let Some((slot, piece)) = fetch.poll_request()
        {
            self.send_metadata(slot, &MetadataMessage::Request { piece });
        }
        while let Some(serving) = self.metadata.serving()
            && let Some((slot, part)) = serving.poll_part(now)
        {
            self.send_metadata(slot, &part);
        }
    }

    fn send_metadata(&mut self, slot: PeerSlot, message: &MetadataMessage) {
        let extension = Extension::Metadata;
        let payload = message.encode().into();
        self.command(slot, Command::Extended { extension, payload });
    }
}
