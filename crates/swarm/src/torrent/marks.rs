//! Marks that change by themselves: pieces that are in doubt, lost or found on disk, and hashes that are not known.

use std::time::Instant;

use rarest_metainfo::{Bitfield, PieceIndex};
use rarest_peer_wire::connection::{Command, Role};

use super::pieces::Origin;
use super::{Disk, Fetchable, Torrent};
use crate::limits::MAX_NEWS_AT_ONCE;
use crate::output::{DisconnectReason, TorrentEvent};
use crate::picker::{Lost, Picker};

impl Torrent {
    /// The hashes of these pieces are known now (BEP 52): they may be fetched.
    pub fn handle_hashes_known(&mut self, now: Instant, pieces: &[PieceIndex]) {
        let news = self.picker.hashes_known(pieces);
        self.fetch_from_now_on(now, &news);
        self.settle(now);
    }

    /// These pieces were verified and may be so no longer, because somebody else touched the files: they are being looked at.
    ///
    /// Until that is known they are neither served nor fetched. It ends with [`handle_checked`](Self::handle_checked),
    /// [`handle_pieces_lost`](Self::handle_pieces_lost), or [`handle_piece_done`](Self::handle_piece_done) with `Verified`.
    pub fn handle_pieces_doubted(&mut self, now: Instant, pieces: &[PieceIndex]) {
        let gone = self.picker.doubt(pieces);
        self.tell_gone(now, &gone);
        self.settle(now);
    }

    /// These pieces were verified, in doubt or spilled in part, and are not on disk: they are served no more and fetched again. Peers that
    /// speak `lt_donthave` (BEP 54) are told.
    pub fn handle_pieces_lost(&mut self, now: Instant, pieces: &[PieceIndex]) {
        let Lost { gone, fetchable } = self.picker.lose(pieces);
        self.tell_gone(now, &gone);
        self.fetch_from_now_on(now, &fetchable);
        self.settle(now);
    }

    /// The store begins to look at all that is on disk. Until [`handle_checked`](Self::handle_checked) says what it found, nothing is
    /// requested, as it may be there; what is verified is served all the same.
    pub fn handle_check_begun(&mut self, now: Instant) {
        self.disk = Disk::LookedAt;
        self.cancel_all();
        self.settle(now);
    }

    /// The store has looked at what is on disk, and found exactly these pieces. What was lost is fetched again, and no piece is
    /// in doubt any more. There is no [`PieceVerified`](TorrentEvent::PieceVerified) for what was found.
    ///
    /// `verified` is to be as new as this call: a piece that was completed since and is not in it counts as lost.
    pub fn handle_checked(&mut self, now: Instant, verified: &Bitfield) {
        let have = self.picker.have();
        let lost: Vec<_> = have
            .iter()
            .chain(self.picker.doubted())
            .filter(|&piece| !verified.contains(piece))
            .collect();
        self.handle_pieces_lost(now, &lost);
        let have = self.picker.have();
        let found: Vec<_> = verified
            .iter()
            // The answer is on its way, and says more.
            .filter(|&piece| !have.contains(piece) && !self.picker.is_completing(piece))
            .collect();
        self.make_way_for_news(now, found.len());
        for piece in found {
            self.verified_piece(now, piece, Origin::Disk, &[]);
        }
        if std::mem::replace(&mut self.disk, Disk::Known) == Disk::LookedAt {
            self.refill_all(now);
        }
        self.settle(now);
    }

    pub(super) fn hash_missing(&mut self, now: Instant, piece: PieceIndex) {
        if self.picker.hash_missing(piece) {
            self.fetched_no_more(now, piece);
        }
    }

    /// Says so when nothing is left but what lacks its hash.
    pub(super) fn notice_missing_hashes(&mut self) {
        let fetchable = if self.picker.awaits_hashes() {
            Fetchable::Nothing
        } else {
            Fetchable::Something
        };
        let before = std::mem::replace(&mut self.fetchable, fetchable);
        if before != fetchable && fetchable == Fetchable::Nothing {
            self.event(TorrentEvent::HashesMissing);
        }
    }

    /// The piece was fetchable until now.
    pub(super) fn fetched_no_more(&mut self, now: Instant, piece: PieceIndex) {
        for slot in self.picker.take_witnessed(piece) {
            if let Some(peer) = self.peers.get_mut(slot) {
                Picker::witness_taken(&mut peer.pieces);
            }
            self.update_interest(now, slot);
        }
    }

    fn fetch_from_now_on(&mut self, now: Instant, pieces: &[PieceIndex]) {
        if pieces.is_empty() {
            return;
        }
        for slot in self.peers.slots() {
            if let Some(peer) = self.peers.get_mut(slot) {
                self.picker.peer_gained_use(slot, &mut peer.pieces, pieces);
            }
            self.update_interest(now, slot);
            self.refill(now, slot);
        }
        self.want_more();
    }

    /// Tells peers that we want pieces, if we said that we want none.
    pub(super) fn want_more(&mut self) {
        if self.role == Role::Downloader || self.is_finished() {
            return;
        }
        self.role = Role::Downloader;
        self.book.wake_complete();
        for slot in self.peers.slots() {
            self.command(slot, Command::Role(Role::Downloader));
        }
    }

    fn tell_gone(&mut self, now: Instant, gone: &[PieceIndex]) {
        self.make_way_for_news(now, gone.len());
        for slot in self.peers.slots() {
            for &piece in gone {
                self.command(slot, Command::DontHave(piece));
            }
        }
    }

    /// Where one bitfield for each peer is less than the news of so many pieces, peers are connected again.
    fn make_way_for_news(&mut self, now: Instant, pieces: usize) {
        if pieces.saturating_mul(self.peers.len()) > MAX_NEWS_AT_ONCE {
            self.disconnect_all(now, DisconnectReason::PiecesChanged);
        }
    }
}
