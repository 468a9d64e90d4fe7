//! Corrupt pieces of v2 torrents: the leaves of the merkle tree tell which block is wrong, and so who lied (BEP 52).
//!
//! When a piece of several peers is corrupt, its leaves are asked for and the blocks are compared with them: whoever sent a wrong one is
//! banned, and only what was wrong is fetched again. The pieces begun after that are watched: their leaves are asked for in advance,
//! and each block is compared as it comes, until many pieces in a row were right.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use rarest_metainfo::merkle::ProofError;
use rarest_metainfo::{Block, PieceIndex, PieceLeaves, Sha256Digest};
use rarest_peer_wire::HashRange;
use rarest_peer_wire::connection::Command;
use rarest_peer_wire::limits::MAX_HASHES;

use super::Torrent;
use crate::input::BlockDigest;
use crate::layers::{HashRequests, Wanted};
use crate::limits::{
    DISPUTE_TIME, LEAVES_TIMEOUT, MAX_DISPUTES, MAX_LEAF_ATTEMPTS, WATCHED_PIECES,
};
use crate::output::BanReason;
use crate::piece::{PeerSlot, block_at};

/// The leaves of pieces in the making.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    pieces: BTreeMap<PieceIndex, Leafy>,
    /// Pieces that are still to be right before none are watched any more.
    watched_left: u32,
}

#[derive(Debug)]
struct Leafy {
    leaves: PieceLeaves,
    known: Option<Vec<Sha256Digest>>,
    /// Peers that were asked.
    asked: Vec<IpAddr>,
    dispute: Option<Dispute>,
}

/// A corrupt piece that waits for its leaves.
#[derive(Debug)]
struct Dispute {
    digests: Vec<BlockDigest>,
    /// Until then leaves are waited for.
    deadline: Instant,
}

impl Leaves {
    fn disputes(&self) -> usize {
        let disputed = self.pieces.values().filter(|leafy| leafy.dispute.is_some());
        disputed.count()
    }
}

impl Torrent {
    /// A piece that several peers sent is corrupt. Whether it waits for its leaves, with all of its blocks.
    pub(super) fn dispute(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        digests: &[BlockDigest],
    ) -> bool {
        self.leaves.watched_left = WATCHED_PIECES;
        if self.leaves.disputes() >= MAX_DISPUTES || !self.watch(piece) {
            return false;
        }
        let Some(leafy) = self.leaves.pieces.get_mut(&piece) else {
            return false;
        };
        let is_known = leafy.known.is_some();
        // Earlier attempts were in advance; there is more at stake now.
        leafy.asked.clear();
        leafy.dispute = Some(Dispute {
            digests: digests.to_vec(),
            deadline: now + DISPUTE_TIME,
        });
        if !is_known && !self.ask_for_leaves(now, piece, &self.picker.contributors(piece)) {
            self.leaves.pieces.remove(&piece);
            return false;
        }
        self.picker.dispute(piece);
        if is_known {
            self.settle_dispute(now, piece);
        }
        true
    }

    /// Watches the pieces of blocks that are being asked for, where peers lied before.
    pub(super) fn watch_asked(&mut self, now: Instant, blocks: &[Block]) {
        if self.leaves.watched_left == 0 {
            return;
        }
        let mut last = None;
        for block in blocks {
            let piece = block.piece();
            let is_new = last.replace(piece) != Some(piece)
                && !self.leaves.pieces.contains_key(&piece)
                && self.watch(piece);
            if is_new && !self.ask_for_leaves(now, piece, &[]) {
                self.leaves.pieces.remove(&piece);
            }
        }
    }

    /// Keeps room for the leaves of a piece. `false` when it has none beyond its hash, or that is not known.
    fn watch(&mut self, piece: PieceIndex) -> bool {
        if self.leaves.pieces.contains_key(&piece) {
            return true;
        }
        let leaves = self.hashes.metainfo();
        let leaves = leaves.and_then(|metainfo| metainfo.piece_leaves(piece));
        let Some(leaves) = leaves.filter(|leaves| leaves.request().length <= MAX_HASHES) else {
            return false;
        };
        let leafy = Leafy {
            leaves,
            known: None,
            asked: Vec::new(),
            dispute: None,
        };
        self.leaves.pieces.insert(piece, leafy);
        true
    }

    /// Asks one peer for the leaves, those who did not send the piece first. Whether there is anybody to ask.
    fn ask_for_leaves(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        contributors: &[Option<IpAddr>],
    ) -> bool {
        let Some(leafy) = self.leaves.pieces.get_mut(&piece) else {
            return false;
        };
        if leafy.asked.len() >= MAX_LEAF_ATTEMPTS {
            return false;
        }
        let range = HashRange::new(&leafy.leaves.pieces_root(), leafy.leaves.request());
        let can_answer = |peer: &crate::peers::Peer| {
            peer.pieces.has.contains(piece)
                && !leafy.asked.contains(&peer.addr.ip())
                && peer
                    .hash_requests
                    .as_ref()
                    .is_some_and(|requests| requests.gives_leaves(&range))
        };
        let candidates = self.peers.iter().filter(|(_, peer)| can_answer(peer));
        let best = candidates.min_by_key(|(_, peer)| {
            let is_involved = contributors.contains(&Some(peer.addr.ip()));
            (
                is_involved,
                peer.hash_requests.as_ref().map(HashRequests::in_flight),
            )
        });
        let Some((slot, peer)) = best.map(|(slot, peer)| (slot, peer.addr.ip())) else {
            return false;
        };
        leafy.asked.push(peer);
        if let Some(requests) = self
            .peers
            .get_mut(slot)
            .and_then(|peer| peer.hash_requests.as_mut())
        {
            requests.sent(range, Wanted::Leaves(piece), now + LEAVES_TIMEOUT);
        }
        self.command(slot, Command::RequestHashes(Box::new(range)));
        true
    }

    /// Leaves that were asked for.
    pub(super) fn leaves_came(
        &mut self,
        now: Instant,
        slot: PeerSlot,
        piece: PieceIndex,
        answer: Vec<Sha256Digest>,
    ) {
        let Some(leafy) = self.leaves.pieces.get_mut(&piece) else {
            return;
        };
        match leafy.leaves.verify(&answer) {
            Ok(()) => {
                let is_disputed = leafy.dispute.is_some();
                leafy.known = Some(answer);
                if is_disputed {
                    self.settle_dispute(now, piece);
                } else {
                    self.discard_false_blocks(now, piece);
                }
            }
            Err(error) => {
                let root = leafy.leaves.pieces_root();
                let ip = self.peers.get(slot).map(|peer| peer.addr.ip());
                self.leaves_refused(now, slot, piece);
                if let (ProofError::WrongRoot, Some(ip)) = (error, ip) {
                    self.punish(now, ip, BanReason::WrongHashes(root));
                }
            }
        }
    }

    /// The peer does not give leaves, or not in time.
    pub(super) fn leaves_refused(&mut self, now: Instant, slot: PeerSlot, piece: PieceIndex) {
        if let Some(peer) = self.peers.get_mut(slot)
            && let Some(requests) = &mut peer.hash_requests
        {
            requests.refuses_leaves(now);
        }
        self.ask_others_for_leaves(now, piece);
    }

    pub(super) fn ask_others_for_leaves(&mut self, now: Instant, piece: PieceIndex) {
        let is_awaited = |leafy: &Leafy| leafy.known.is_none();
        if !self.leaves.pieces.get(&piece).is_some_and(is_awaited) {
            return;
        }
        let contributors = self.picker.contributors(piece);
        if !self.ask_for_leaves(now, piece, &contributors) {
            self.give_up_leaves(now, piece);
        }
    }

    /// Nobody gives the leaves: the liar is found in another way, if the piece is corrupt.
    fn give_up_leaves(&mut self, now: Instant, piece: PieceIndex) {
        let leafy = self.leaves.pieces.remove(&piece);
        if let Some(dispute) = leafy.and_then(|leafy| leafy.dispute) {
            self.picker.give_up_dispute(piece);
            self.fetch_corrupt_again(now, piece, &dispute.digests);
        }
    }

    /// Does not wait for leaves for ever.
    pub(super) fn check_disputes(&mut self, now: Instant) {
        let is_over = |dispute: &Dispute| dispute.deadline <= now;
        let over: Vec<_> = self
            .leaves
            .pieces
            .iter()
            .filter(|(_, leafy)| leafy.dispute.as_ref().is_some_and(is_over))
            .map(|(&piece, _)| piece)
            .collect();
        for piece in over {
            self.give_up_leaves(now, piece);
        }
    }

    /// The leaves of a corrupt piece are here.
    fn settle_dispute(&mut self, now: Instant, piece: PieceIndex) {
        let Some(leafy) = self.leaves.pieces.get_mut(&piece) else {
            return;
        };
        let Some(dispute) = leafy.dispute.take() else {
            return;
        };
        let false_blocks = self.false_blocks(piece);
        if false_blocks.is_empty() && !self.picker.has_spilled(piece) {
            // The v1 hash of a hybrid is another, or padding is not zeros: leaves say nothing of either.
            self.picker.give_up_dispute(piece);
            return self.fetch_corrupt_again(now, piece, &dispute.digests);
        }
        // First, while what else they sent of the piece, which is right, cannot be taken for suspect.
        self.punish_for(now, piece, &false_blocks);
        self.picker.end_dispute(piece, &numbers(&false_blocks));
    }

    /// The leaves of a piece in the making are here: what came before them is compared now.
    fn discard_false_blocks(&mut self, now: Instant, piece: PieceIndex) {
        let false_blocks = self.false_blocks(piece);
        if !false_blocks.is_empty() && self.picker.discard(piece, &numbers(&false_blocks)) {
            self.punish_for(now, piece, &false_blocks);
        }
    }

    fn punish_for(&mut self, now: Instant, piece: PieceIndex, false_blocks: &[(u32, IpAddr)]) {
        for &(number, ip) in false_blocks {
            let block = block_at(&self.geometry, piece, number);
            self.wasted += u64::from(block.length());
            self.punish(now, ip, BanReason::CorruptBlock(block));
        }
    }

    /// The blocks in memory that differ from the leaves, and who sent them.
    fn false_blocks(&self, piece: PieceIndex) -> Vec<(u32, IpAddr)> {
        let Some(leafy) = self.leaves.pieces.get(&piece) else {
            return Vec::new();
        };
        let Some(known) = &leafy.known else {
            return Vec::new();
        };
        self.picker
            .gathered(piece)
            .filter(|&(number, data, _)| {
                let leaf = known.get(number as usize);
                !leaf.is_some_and(|leaf| leafy.leaves.block_matches(number, data, leaf))
            })
            .map(|(number, _, from)| (number, from))
            .collect()
    }

    /// Whether a block that came is known to be wrong.
    pub(super) fn is_false(&self, block: Block, data: &Bytes) -> bool {
        let number = block.index_in_piece();
        self.leaves.pieces.get(&block.piece()).is_some_and(|leafy| {
            let leaf = leafy
                .known
                .as_ref()
                .and_then(|known| known.get(number as usize));
            leaf.is_some_and(|leaf| !leafy.leaves.block_matches(number, data, leaf))
        })
    }

    /// The piece is verified: nothing of its leaves is kept.
    pub(super) fn forget_leaves(&mut self, piece: PieceIndex) {
        self.leaves.pieces.remove(&piece);
        self.leaves.watched_left = self.leaves.watched_left.saturating_sub(1);
        if self.leaves.watched_left == 0 {
            self.leaves
                .pieces
                .retain(|_, leafy| leafy.dispute.is_some());
        }
    }
}

fn numbers(blocks: &[(u32, IpAddr)]) -> Vec<u32> {
    blocks.iter().map(|&(number, _)| number).collect()
}
