//! What becomes of pieces: verified, corrupt, spilled, wanted or not.

use std::time::Instant;

use rarest_metainfo::{Block, PieceIndex};
use rarest_peer_wire::connection::{Command, Role};

use super::{Store, Torrent};
use crate::Priority;
use crate::input::{BlockDigest, PieceResult, SpillResult};
use crate::output::{BanReason, CompletePiece, Digests, Output, TorrentEvent};
use crate::piece::block_at;
use crate::suspicion::Verdict;

/// Where a verified piece came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Peers,
    /// It lay on disk.
    Disk,
}

impl Torrent {
    /// The answer to [`Output::CompletePiece`]. `Verified` may also come unasked, when a piece was found on disk.
    pub fn handle_piece_done(&mut self, now: Instant, piece: PieceIndex, result: PieceResult) {
        match result {
            PieceResult::Verified { block_digests } => {
                self.verified_piece(now, piece, Origin::Peers, &block_digests);
            }
            PieceResult::Corrupt { block_digests } => {
                self.corrupt_piece(now, piece, &block_digests);
            }
            PieceResult::SpillLost => self.picker.lose_spilled(piece),
            PieceResult::HashUnknown => self.hash_missing(now, piece),
            PieceResult::StoreFailed => {
                self.picker.stall(piece);
                self.store_failed();
            }
        }
        self.settle(now);
    }

    /// The answer to [`Output::Spill`], for all of its blocks or some.
    pub fn handle_spilled(&mut self, now: Instant, blocks: &[Block], result: SpillResult) {
        for &block in blocks {
            match result {
                SpillResult::Written => self.picker.spill_done(block),
                SpillResult::StoreFailed => self.picker.spill_failed(block),
            }
        }
        if result == SpillResult::StoreFailed {
            self.store_failed();
        }
        self.settle(now);
    }

    /// Spills blocks of begun pieces until not more than `target_bytes` are to stay in memory.
    ///
    /// The bytes are counted in [`buffered_bytes`](Self::buffered_bytes) until [`handle_spilled`](Self::handle_spilled).
    /// Pieces that are whole are with the store already and cannot be spilled.
    pub fn handle_memory_pressure(&mut self, now: Instant, target_bytes: u64) {
        self.spill(target_bytes);
        self.settle(now);
    }

    /// The store works again, or is worth another try: pieces that waited are completed, and requests go out again.
    pub fn handle_store_recovered(&mut self, now: Instant) {
        if std::mem::replace(&mut self.store, Store::Working) == Store::Working {
            return;
        }
        self.event(TorrentEvent::DownloadResumed);
        self.picker.retry_stalled();
        self.refill_all(now);
        self.settle(now);
    }

    pub(super) fn spill(&mut self, target_bytes: u64) {
        let blocks = self.picker.spill(target_bytes);
        if !blocks.is_empty() {
            self.outputs.push_back(Output::Spill(blocks));
        }
    }

    pub(super) fn complete_whole_pieces(&mut self) {
        while let Some((piece, parts)) = self.picker.take_whole() {
            if self.store == Store::Failed {
                self.picker.stall(piece);
                continue;
            }
            let digests = if self.suspicion.is_suspect(piece) {
                Digests::Wanted
            } else {
                Digests::Unneeded
            };
            self.outputs.push_back(Output::CompletePiece(CompletePiece {
                piece,
                parts,
                digests,
            }));
        }
    }

    pub(super) fn change_priorities(&mut self, now: Instant, changes: &[(PieceIndex, Priority)]) {
        let was_finished = self.is_finished();
        for (slot, block) in self.picker.set_priorities(changes) {
            self.cancel(slot, block);
        }
        let mut blocks = Vec::new();
        for &(piece, priority) in changes {
            if priority == Priority::Off {
                self.picker.spill_piece(piece, &mut blocks);
            }
        }
        if !blocks.is_empty() {
            self.outputs.push_back(Output::Spill(blocks));
        }
        for slot in self.peers.slots() {
            if let Some(peer) = self.peers.get_mut(slot) {
                self.picker.recount(slot, &mut peer.pieces);
            }
            self.update_interest(now, slot);
            self.refill(now, slot);
        }
        if self.is_finished() && !was_finished {
            self.finished(now);
        }
        self.hashes_are_wanted_anew(now);
        self.want_more();
    }

    fn store_failed(&mut self) {
        if std::mem::replace(&mut self.store, Store::Failed) == Store::Working {
            self.event(TorrentEvent::UploadOnly);
            self.cancel_all();
        }
    }

    pub(super) fn verified_piece(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        origin: Origin,
        digests: &[BlockDigest],
    ) {
        let was_finished = self.is_finished();
        let was_fetchable = self.picker.is_fetchable(piece);
        // There are requests only when the piece was found on disk.
        for (slot, block) in self.picker.take_requests(piece) {
            self.cancel(slot, block);
        }
        if !self.picker.verified(piece) {
            return;
        }
        if origin == Origin::Peers {
            self.event(TorrentEvent::PieceVerified(piece));
        }
        if was_fetchable {
            self.fetched_no_more(now, piece);
        }
        self.forget_leaves(piece);
        self.note_news(piece);
        for (ip, number) in self.suspicion.verified(piece, digests) {
            let block = block_at(&self.geometry, piece, number);
            self.punish(now, ip, BanReason::CorruptBlock(block));
        }
        if self.is_finished() && !was_finished {
            self.finished(now);
        }
        if self.is_complete() {
            self.event(TorrentEvent::Completed);
        }
    }

    fn finished(&mut self, now: Instant) {
        self.event(TorrentEvent::Finished);
        let was_told = std::mem::replace(&mut self.role, Role::UploadOnly) == Role::UploadOnly;
        for slot in self.peers.slots() {
            if !was_told {
                self.command(slot, Command::Role(Role::UploadOnly));
            }
            self.part_if_both_complete(now, slot);
        }
    }

    fn corrupt_piece(&mut self, now: Instant, piece: PieceIndex, digests: &[BlockDigest]) {
        if !self.picker.is_completing(piece) {
            return;
        }
        self.event(TorrentEvent::PieceCorrupt(piece));
        if !self.picker.has_one_contributor(piece) && self.dispute(now, piece, digests) {
            return;
        }
        self.fetch_corrupt_again(now, piece, digests);
    }

    /// All of a corrupt piece is fetched again, of one peer alone, unless it is known who lied.
    pub(super) fn fetch_corrupt_again(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        digests: &[BlockDigest],
    ) {
        let has_unknown = self.picker.has_unknown_contributor(piece);
        let contributors = self.picker.corrupt(piece);
        let verdict = self
            .suspicion
            .corrupt(piece, &contributors, has_unknown, digests);
        if let Verdict::Guilty(ip) = verdict {
            self.picker.trust_again(piece);
            self.punish(now, ip, BanReason::CorruptPiece(piece));
        }
    }
}
