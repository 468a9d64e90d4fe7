//! Hashes that peers ask us for (BEP 52): each request is answered or rejected, and the work that strangers cause is bounded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_metainfo::{Metainfo, Sha256Digest};
use rarest_peer_wire::HashRange;
use rarest_peer_wire::connection::Command;

use super::Torrent;
use crate::PeerKey;
use crate::limits::{
    HASH_REQUEST_COST, HASH_WORK_PER_PEER, HASH_WORK_PER_TORRENT, KEPT_HASH_TREES,
    MAX_HASH_ANSWERS, MAX_HASH_ANSWERS_PER_PEER,
};
use crate::output::Output;
use crate::piece::PeerSlot;

/// How much work may be caused: bytes that are read or hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkLimit {
    /// Bytes that may come at once. One request more may begin as long as they are not used up.
    pub burst: u64,
    /// Bytes a second in the long run.
    pub rate: u64,
}

/// Work that was caused, and is forgotten with time.
#[derive(Debug)]
pub(crate) struct Work {
    bytes: u64,
    counted_at: Instant,
    /// Requests that are being answered.
    pub(crate) under_way: usize,
}

impl Work {
    pub(crate) fn none(now: Instant) -> Self {
        Self {
            bytes: 0,
            counted_at: now,
            under_way: 0,
        }
    }

    /// Whether more may be done.
    fn has_room(&mut self, now: Instant, limit: WorkLimit) -> bool {
        let since = now.saturating_duration_since(self.counted_at);
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let forgotten = limit.rate.saturating_mul(millis) / 1000;
        self.bytes = self.bytes.saturating_sub(forgotten);
        self.counted_at += Duration::from_millis(millis);
        self.bytes < limit.burst
    }
}

/// What is done for all peers together.
#[derive(Debug)]
pub(super) struct Serving {
    work: Work,
    /// Files whose trees the store is likely to have at hand.
    recent: VecDeque<Sha256Digest>,
}

impl Serving {
    pub(super) fn none(now: Instant) -> Self {
        Self {
            work: Work::none(now),
            recent: VecDeque::new(),
        }
    }

    /// Bytes to be read or hashed for an answer.
    fn cost(&mut self, metainfo: &Metainfo, range: &HashRange) -> u64 {
        let root = Sha256Digest(range.pieces_root);
        let piece_length = u64::from(metainfo.info().geometry().nominal_piece_length());
        let leaf_length = u64::from(rarest_metainfo::merkle::LEAF_LENGTH);
        let is_below_pieces = leaf_length << range.base_layer.min(32) < piece_length;
        let is_recent = self.recent.contains(&root);
        let of_leaves = if is_below_pieces { piece_length } else { 0 };
        let of_tree = match metainfo.piece_layer(&root) {
            Some(layer) if !is_recent => {
                self.recent.push_front(root);
                self.recent.truncate(KEPT_HASH_TREES);
                2 * layer.len() as u64
            }
            _ => 0,
        };
        HASH_REQUEST_COST + of_leaves + of_tree
    }
}

impl Torrent {
    /// The answer to [`Output::AnswerHashes`]: the hashes and uncles, 32 bytes each, or `None` when the request is to be rejected.
    pub fn handle_hashes_read(
        &mut self,
        now: Instant,
        key: PeerKey,
        range: Box<HashRange>,
        hashes: Option<Bytes>,
    ) {
        self.serving.work.under_way = self.serving.work.under_way.saturating_sub(1);
        if let Some(slot) = self.peers.slot(key) {
            if let Some(peer) = self.peers.get_mut(slot) {
                peer.hash_work.under_way = peer.hash_work.under_way.saturating_sub(1);
            }
            let answer = match hashes {
                Some(hashes) => Command::SendHashes { range, hashes },
                None => Command::RejectHashes(range),
            };
            self.command(slot, answer);
        }
        self.settle(now);
    }

    pub(super) fn hashes_wanted(&mut self, now: Instant, slot: PeerSlot, range: Box<HashRange>) {
        let Some(peer) = self.peers.get_mut(slot) else {
            return;
        };
        let all = &mut self.serving;
        let is_allowed = peer.hash_work.under_way < MAX_HASH_ANSWERS_PER_PEER
            && all.work.under_way < MAX_HASH_ANSWERS
            && peer.hash_work.has_room(now, HASH_WORK_PER_PEER)
            && all.work.has_room(now, HASH_WORK_PER_TORRENT);
        let Some(metainfo) = self.hashes.metainfo().filter(|_| is_allowed) else {
            return self.command(slot, Command::RejectHashes(range));
        };
        let cost = all.cost(metainfo, &range);
        for work in [&mut peer.hash_work, &mut all.work] {
            work.bytes += cost;
            work.under_way += 1;
        }
        let peer = peer.key;
        self.outputs.push_back(Output::AnswerHashes { peer, range });
    }
}
