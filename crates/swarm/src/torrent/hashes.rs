//! Piece layers that peers are asked for, so that pieces of v2 torrents can be verified (BEP 52).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rarest_metainfo::merkle::ProofError;
use rarest_metainfo::{InfoHash, Metainfo, PieceIndex, Sha256Digest};
use rarest_peer_wire::connection::Command;
use rarest_peer_wire::{Handshake, HashRange, Reserved};

use super::Torrent;
use crate::layers::{Ended, Found, HashRequests, LayerRange, MissingLayers, Wanted};
use crate::limits::{HASH_TIMEOUT, LAYERS_INTERVAL};
use crate::output::{BanReason, Output};
use crate::piece::PeerSlot;
use crate::{Direction, Priority};

/// What is known of the hashes, and what is not.
#[derive(Debug)]
pub(super) struct Hashes {
    metainfo: Option<Arc<Metainfo>>,
    missing: MissingLayers,
    /// Whole layers that nobody was told of.
    found: Vec<Found>,
    tell_not_before: Instant,
}

impl Hashes {
    pub(super) fn unknown(now: Instant) -> Self {
        Self {
            metainfo: None,
            missing: MissingLayers::default(),
            found: Vec::new(),
            tell_not_before: now,
        }
    }

    pub(super) fn metainfo(&self) -> Option<&Arc<Metainfo>> {
        self.metainfo.as_ref()
    }

    /// When found layers are told of.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.found.is_empty()).then_some(self.tell_not_before)
    }
}

impl Torrent {
    /// The torrent whose pieces these are. Piece layers that it lacks are asked of peers from now on, those of wanted files; see
    /// [`Output::HashesFound`].
    pub fn set_metainfo(&mut self, now: Instant, metainfo: Arc<Metainfo>) {
        let mut missing = MissingLayers::default();
        if !metainfo.has_all_piece_layers() {
            let mut pieces = pieces_by_root(&metainfo);
            for layer in metainfo.missing_layers() {
                if let Some(pieces) = pieces.remove(&layer.pieces_root()) {
                    missing.insert(layer, pieces);
                }
            }
        }
        self.hashes.metainfo = Some(metainfo);
        self.hashes.missing = missing;
        self.hashes.found.clear();
        self.hashes_are_wanted_anew(now);
        self.settle(now);
    }

    /// What a peer that shook hands may be asked for: hashes only where both ends mean the v2 swarm.
    pub(super) fn hash_requests_of(
        &self,
        direction: Direction,
        handshake: &Handshake,
    ) -> Option<HashRequests> {
        let v2 = self.info_hashes.v2.map(InfoHash::from)?;
        // Who dialled for the v1 swarm of a hybrid, and knows the other, is answered with that one.
        let is_upgraded = direction == Direction::Incoming
            && self.info_hashes.v1.is_some()
            && handshake.reserved.has(Reserved::V2_UPGRADE);
        (handshake.info_hash == v2 || is_upgraded).then(HashRequests::default)
    }

    /// Other pieces are wanted than before, or more.
    pub(super) fn hashes_are_wanted_anew(&mut self, now: Instant) {
        if self.hashes.missing.is_empty() {
            return;
        }
        let picker = &self.picker;
        self.hashes.missing.reprioritise(|piece| {
            if picker.lacking().contains(piece) {
                picker.priority(piece)
            } else {
                Priority::Off
            }
        });
        self.ask_all_for_hashes(now);
    }

    pub(super) fn ask_all_for_hashes(&mut self, now: Instant) {
        if self.hashes.missing.is_empty() {
            return;
        }
        for slot in self.peers.slots() {
            self.ask_for_hashes(now, slot);
        }
    }

    /// Asks the peer for as many hashes as it may be asked for.
    pub(super) fn ask_for_hashes(&mut self, now: Instant, slot: PeerSlot) {
        while !self.hashes.missing.is_empty()
            && let Some(peer) = self.peers.get_mut(slot)
            // Who has no piece has had no use for hashes either.
            && peer.pieces.has.count(1) > 0
            && let Some(requests) = &mut peer.hash_requests
            && let Some(refused) = requests.refused(now)
            && let Some(wanted) = self.hashes.missing.take(refused)
            && let Some(range) = self.hashes.missing.request(wanted)
        {
            requests.sent(range, Wanted::Layer(wanted), now + HASH_TIMEOUT);
            self.command(slot, Command::RequestHashes(Box::new(range)));
        }
    }

    pub(super) fn hashes_came(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        range: &HashRange,
        hashes: &[u8],
    ) {
        let Some(ended) = self.hash_request_ended(slot, range) else {
            return;
        };
        let (chunks, _) = hashes.as_chunks();
        let answer: Vec<_> = chunks.iter().copied().map(Sha256Digest).collect();
        match ended.wanted {
            Wanted::Layer(range) => self.layer_came(now, slot, range, ended.was_late, &answer),
            Wanted::Leaves(piece) => self.leaves_came(now, slot, piece, answer),
        }
    }

    fn layer_came(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        range: LayerRange,
        was_late: bool,
        answer: &[Sha256Digest],
    ) {
        match self.hashes.missing.add(range, answer) {
            Ok(found) => {
                self.used(now, slot);
                self.hashes.found.extend(found);
            }
            Err(error) => {
                let ip = self.peers.get(slot).map(|peer| peer.addr.ip());
                self.layer_refused(now, slot, range, was_late);
                // What does not lead to the root is a lie. A wrong number of hashes may be another reading of the BEP.
                if let (ProofError::WrongRoot, Some(ip)) = (error, ip) {
                    self.punish(now, ip, BanReason::WrongHashes(range.pieces_root));
                }
            }
        }
    }

    pub(super) fn hashes_returned(&mut self, now: Instant, slot: PeerSlot, range: &HashRange) {
        let Some(ended) = self.hash_request_ended(slot, range) else {
            return;
        };
        match ended.wanted {
            Wanted::Layer(range) => self.layer_refused(now, slot, range, ended.was_late),
            // Others were asked when it was late.
            Wanted::Leaves(_) if ended.was_late => {}
            Wanted::Leaves(piece) => self.leaves_refused(now, slot, piece),
        }
    }

    fn hash_request_ended(&mut self, slot: PeerSlot, range: &HashRange) -> Option<Ended> {
        let requests = self.peers.get_mut(slot)?.hash_requests.as_mut()?;
        requests.ended(range)
    }

    fn layer_refused(&mut self, now: Instant, slot: PeerSlot, range: LayerRange, was_late: bool) {
        if let Some(peer) = self.peers.get_mut(slot)
            && let Some(requests) = &mut peer.hash_requests
        {
            requests.refuses(now, range.pieces_root);
        }
        if !was_late {
            self.give_back_hashes(now, &[Wanted::Layer(range)]);
        }
    }

    /// Asks others for what peers owe too long, and again those that refused long ago.
    pub(super) fn check_hash_requests(&mut self, now: Instant) {
        if self.info_hashes.v2.is_none() {
            return;
        }
        for slot in self.peers.slots() {
            if let Some(peer) = self.peers.get_mut(slot)
                && let Some(requests) = &mut peer.hash_requests
            {
                requests.end_rest(now);
                let overdue = requests.take_overdue(now);
                self.give_back_hashes(now, &overdue);
            }
        }
        self.check_disputes(now);
        self.ask_all_for_hashes(now);
    }

    /// Whoever was asked does not answer, or not in time.
    pub(super) fn give_back_hashes(&mut self, now: Instant, wanted: &[Wanted]) {
        if wanted.is_empty() {
            return;
        }
        for &wanted in wanted {
            match wanted {
                Wanted::Layer(range) => self.hashes.missing.give_back(range),
                Wanted::Leaves(piece) => self.ask_others_for_leaves(now, piece),
            }
        }
        self.ask_all_for_hashes(now);
    }

    /// Tells of whole layers: the last at once, others in rounds, as each costs the driver time in proportion to all there are.
    pub(super) fn tell_of_layers(&mut self, now: Instant) {
        let is_due = self.hashes.missing.is_empty() || self.hashes.tell_not_before <= now;
        if self.hashes.found.is_empty() || !is_due {
            return;
        }
        let Some(metainfo) = &mut self.hashes.metainfo else {
            return;
        };
        self.hashes.tell_not_before = now + LAYERS_INTERVAL;
        let known = Arc::make_mut(metainfo);
        let mut pieces = Vec::new();
        for found in self.hashes.found.drain(..) {
            // It fits: it was asked for because this torrent lacks it.
            if known.add_proven_layer(&found.layer).is_ok() {
                pieces.extend(found.pieces);
            }
        }
        self.outputs.push_back(Output::HashesFound {
            metainfo: Arc::clone(metainfo),
            pieces,
        });
    }

    pub(super) fn assert_hashes_consistent(&self) {
        let peers = self.peers.iter();
        let requests = peers.filter_map(|(_, peer)| peer.hash_requests.as_ref());
        let asked: Vec<_> = requests
            .flat_map(HashRequests::pending)
            .filter_map(|wanted| match wanted {
                Wanted::Layer(range) => Some(range),
                Wanted::Leaves(_) => None,
            })
            .collect();
        self.hashes.missing.assert_consistent(&asked);
    }
}

/// The pieces of all files of more than one piece, by the roots of their trees.
fn pieces_by_root(metainfo: &Metainfo) -> BTreeMap<Sha256Digest, Vec<PieceIndex>> {
    let info = metainfo.info();
    let mut pieces: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for file in info.files() {
        if let Some(root) = file.pieces_root() {
            let of_root = pieces.entry(root).or_default();
            of_root.extend(info.pieces_of(file.index()));
        }
    }
    pieces
}
