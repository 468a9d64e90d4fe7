//! Which blocks to ask of which peer.
//!
//! In order: the piece the peer is at, other pieces that were begun, then the rarest piece not begun. When nothing
//! is left that nobody was asked for, or too many pieces are in the making, blocks are asked of several peers.

mod availability;
mod consistency;
mod endgame;
mod holding;
mod interest;
mod storing;
mod wanting;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use rand::Rng;
use rarest_metainfo::{Bitfield, Block, BlockRequest, Geometry, PieceIndex};

use crate::Priority;
use crate::limits::{ENDGAME_REQUESTS, RANDOM_FIRST_PIECES, SPARE_BEGUN_PIECES};
use crate::piece::{Gathered, PeerSlot, Piece, Share, Stage, block_at};
use crate::pipeline::Pipeline;

use availability::Availability;
pub(crate) use holding::Lost;
use interest::Order;
pub(crate) use interest::PeerPieces;

/// The pieces of a torrent as the download sees them.
#[derive(Debug)]
pub(crate) struct Picker {
    geometry: Arc<Geometry>,
    have: Bitfield,
    /// Wanted and not verified.
    lacking: Bitfield,
    /// The part of `lacking` that may be fetched now: neither without a hash nor in doubt.
    fetchable: Bitfield,
    /// Without a hash, they could not be told from garbage (BEP 52).
    hash_unknown: Bitfield,
    /// Verified once, and being looked at again.
    doubted: Bitfield,
    priorities: Vec<Priority>,
    availability: Availability,
    begun: BTreeMap<PieceIndex, Piece>,
    /// Wanted pieces with blocks that nobody was asked for: the most wanted first, then the oldest.
    with_free: BTreeSet<(Reverse<Priority>, u64, PieceIndex)>,
    /// Pieces with requests in flight, the oldest first.
    in_hand: BTreeSet<(u64, PieceIndex)>,
    /// Requests in flight.
    requests: usize,
    /// Bytes of pieces that are not verified, and of those of them that are wanted.
    left: u64,
    wanted_left: u64,
    /// Bytes of blocks in memory, and the part of them that is on its way to the disk.
    buffered: u64,
    spilling: u64,
    /// For each peer of use one piece that proves it.
    witnesses: BTreeSet<(PieceIndex, PeerSlot)>,
    /// Begun pieces that are asked of one peer alone.
    alone: BTreeSet<PieceIndex>,
    /// Pieces that became whole and were not handed out yet.
    whole: VecDeque<PieceIndex>,
    next_begun: u64,
    /// Rises when a piece is opened: a peer for which nothing was open may find something.
    opened: u64,
    /// Whether a block or piece became free since the last look.
    freed: bool,
    /// Where the search for blocks to ask of a second peer goes on.
    endgame_cursor: u64,
}

/// A peer that has room for requests.
pub(crate) struct Asked<'a> {
    pub(crate) slot: PeerSlot,
    pub(crate) pieces: &'a mut PeerPieces,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) standing: Standing,
    /// Peers that let us request, to bound the pieces in the making.
    pub(crate) unchoking_peers: usize,
}

/// Whether a suspected piece, which is asked of one peer alone, may be asked of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It delivers, or nobody better came.
    Proven,
    /// It has sent nothing yet, and may never: the piece would wait until that is sure.
    Unproven,
}

impl Picker {
    pub(crate) fn new(
        geometry: Arc<Geometry>,
        have: Bitfield,
        hash_unknown: Bitfield,
        on_disk: &[Block],
    ) -> Self {
        let mut lacking = Bitfield::full(&geometry);
        let mut left = geometry.total_length();
        for piece in have.iter() {
            lacking.remove(piece);
            left -= u64::from(geometry.piece_length(piece));
        }
        let mut fetchable = lacking.clone();
        for piece in hash_unknown.iter() {
            fetchable.remove(piece);
        }
        let mut picker = Self {
            doubted: Bitfield::empty(&geometry),
            fetchable,
            hash_unknown,
            priorities: vec![Priority::Normal; geometry.piece_count() as usize],
            availability: Availability::new(Arc::clone(&geometry)),
            begun: BTreeMap::new(),
            with_free: BTreeSet::new(),
            in_hand: BTreeSet::new(),
            requests: 0,
            left,
            wanted_left: left,
            buffered: 0,
            spilling: 0,
            witnesses: BTreeSet::new(),
            alone: BTreeSet::new(),
            whole: VecDeque::new(),
            next_begun: 0,
            opened: 0,
            freed: false,
            endgame_cursor: 0,
            lacking,
            have,
            geometry,
        };
        for &block in on_disk {
            picker.found_on_disk(block);
        }
        picker.availability.sort_later();
        let lacking = picker.lacking.clone();
        for piece in lacking.iter() {
            picker.open(piece);
        }
        picker
    }

    pub(crate) fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Wanted pieces that are not verified.
    pub(crate) fn lacking(&self) -> &Bitfield {
        &self.lacking
    }

    pub(crate) fn availability(&self) -> &Availability {
        &self.availability
    }

    pub(crate) fn priority(&self, piece: PieceIndex) -> Priority {
        self.priorities[piece.as_usize()]
    }

    /// Bytes of pieces that are not verified.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Bytes of wanted pieces that are not verified.
    pub(crate) fn wanted_left(&self) -> u64 {
        self.wanted_left
    }

    /// Bytes of blocks in memory.
    pub(crate) fn buffered(&self) -> u64 {
        self.buffered
    }

    /// Number of pieces that were begun.
    pub(crate) fn begun_count(&self) -> usize {
        self.begun.len()
    }

    /// Whether there is a wanted block that nobody was asked for.
    pub(crate) fn has_free(&self) -> bool {
        !self.with_free.is_empty() || self.availability.open_count() > 0
    }

    /// Whether a block or piece became free since the last call.
    pub(crate) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// Up to `most` blocks to ask of a peer that lets us request. They count as asked for.
    pub(crate) fn pick(
        &mut self,
        mut asked: Asked<'_>,
        most: usize,
        rng: &mut impl Rng,
        blocks: &mut Vec<Block>,
    ) {
        let wanted = blocks.len() + most;
        if let Some(current) = asked.pieces.current {
            self.take_free(current, &asked, wanted, blocks);
        }
        self.pick_begun(&asked, wanted, blocks);
        self.pick_open(&mut asked, wanted, rng, blocks);
        let in_flight = asked.pipeline.in_flight() + blocks.len();
        let duplicates = (asked.pipeline.depth() / 2)
            .max(ENDGAME_REQUESTS)
            .saturating_sub(in_flight)
            .min(wanted - blocks.len());
        if duplicates > 0 && (!self.has_free() || !self.may_begin(&asked)) {
            self.pick_duplicates(&asked, blocks.len() + duplicates, blocks);
        }
    }

    /// Up to `most` blocks to ask of a peer that chokes us: those of its allowed-fast set (BEP 6).
    pub(crate) fn pick_allowed_fast(
        &mut self,
        asked: &Asked<'_>,
        most: usize,
        blocks: &mut Vec<Block>,
    ) {
        let wanted = blocks.len() + most;
        for &piece in &asked.pieces.allowed_fast {
            if blocks.len() >= wanted {
                return;
            }
            // It may name pieces that the peer does not have.
            if !asked.pieces.has.contains(piece) {
                continue;
            }
            if self.availability.is_open(piece) {
                self.begin(piece);
            }
            self.take_free(piece, asked, wanted, blocks);
        }
    }

    fn pick_begun(&mut self, asked: &Asked<'_>, wanted: usize, blocks: &mut Vec<Block>) {
        let mut after = Bound::Unbounded;
        while blocks.len() < wanted
            && let Some(&entry) = self.with_free.range((after, Bound::Unbounded)).next()
        {
            self.take_free(entry.2, asked, wanted, blocks);
            after = Bound::Excluded(entry);
        }
    }

    fn pick_open(
        &mut self,
        asked: &mut Asked<'_>,
        wanted: usize,
        rng: &mut impl Rng,
        blocks: &mut Vec<Block>,
    ) {
        while blocks.len() < wanted
            && self.may_begin(asked)
            && asked.pieces.nothing_open_at != Some(self.opened)
        {
            let Some(piece) = self.choose_open(asked.pieces, rng) else {
                asked.pieces.nothing_open_at = Some(self.opened);
                return;
            };
            self.begin(piece);
            asked.pieces.current = Some(piece);
            self.take_free(piece, asked, wanted, blocks);
        }
    }

    fn choose_open(&mut self, pieces: &mut PeerPieces, rng: &mut impl Rng) -> Option<PieceIndex> {
        while let Some(piece) = pieces.suggested.pop_back() {
            if self.availability.is_open(piece) && pieces.has.contains(piece) {
                return Some(piece);
            }
        }
        if let Some(piece) = self.next_of_run(pieces) {
            return Some(piece);
        }
        if self.have.count() < RANDOM_FIRST_PIECES
            && let Some(piece) = self.availability.pick_random(&pieces.has, rng)
        {
            return Some(piece);
        }
        self.availability.pick(&pieces.has, rng)
    }

    /// The piece behind the last one that a peer was asked for, if it is asked for pieces in a row, and none is wanted more.
    fn next_of_run(&self, pieces: &PeerPieces) -> Option<PieceIndex> {
        if pieces.order != Order::Runs {
            return None;
        }
        let next = self.geometry.piece(pieces.current?.get() + 1)?;
        let may_be_next = self.availability.is_most_wanted(next) && pieces.has.contains(next);
        may_be_next.then_some(next)
    }

    /// The pieces in the making are bounded by the peers and what their requests fill: each holds memory.
    fn may_begin(&self, asked: &Asked<'_>) -> bool {
        let blocks_a_piece = self
            .geometry
            .nominal_piece_length()
            .div_ceil(rarest_metainfo::BLOCK_LENGTH) as usize;
        let bound = SPARE_BEGUN_PIECES + 2 * asked.unchoking_peers + self.requests / blocks_a_piece;
        self.in_hand.len() < bound
    }

    fn take_free(
        &mut self,
        index: PieceIndex,
        asked: &Asked<'_>,
        wanted: usize,
        blocks: &mut Vec<Block>,
    ) {
        if self.priority(index) == Priority::Off || !asked.pieces.has.contains(index) {
            return;
        }
        let geometry = Arc::clone(&self.geometry);
        self.change(index, |piece| {
            let may_wait =
                asked.standing == Standing::Unproven && piece.share == Share::Alone(None);
            if piece.free_count() > 0 && piece.is_open_to(asked.slot) && !may_wait {
                piece.take_free(
                    asked.slot,
                    wanted - blocks.len(),
                    |number| {
                        let block = block_at(&geometry, index, number);
                        asked.pipeline.is_outstanding(block)
                    },
                    |number| blocks.push(block_at(&geometry, index, number)),
                );
            }
        });
    }

    /// The peer will not send the block.
    pub(crate) fn returned(&mut self, slot: PeerSlot, block: Block) {
        self.change(block.piece(), |piece| {
            piece.returned(block.index_in_piece(), slot);
        });
    }

    /// The peer will send nothing more for now: pieces kept for it alone go to another.
    pub(crate) fn release_alone(&mut self, slot: PeerSlot, pieces: &mut PeerPieces) {
        pieces.current = None;
        for index in &self.alone {
            if let Some(piece) = self.begun.get_mut(index)
                && piece.share == Share::Alone(Some(slot))
            {
                piece.share = Share::Alone(None);
                self.freed = true;
            }
        }
    }

    /// Keeps a block that came. Gives the other peers that were asked for it, or `None` when it is of no use.
    pub(crate) fn received(
        &mut self,
        slot: PeerSlot,
        from: IpAddr,
        block: Block,
        data: Bytes,
    ) -> Option<Vec<PeerSlot>> {
        let gathered = self.change(block.piece(), |piece| {
            piece.gather(block.index_in_piece(), slot, from, data)
        });
        match gathered {
            Some(Gathered::Stored { cancel }) => {
                self.complete_if_whole(block.piece());
                Some(cancel)
            }
            Some(Gathered::Duplicate) | None => None,
        }
    }

    /// Makes a piece that is lacking available to be begun.
    fn open(&mut self, index: PieceIndex) {
        if self.begun.contains_key(&index) || !self.fetchable.contains(index) {
            return;
        }
        if self.is_padding(index) {
            self.begin(index);
            self.complete_if_whole(index);
            return;
        }
        self.availability.open(index, self.priority(index));
        self.opened += 1;
        self.freed = true;
    }

    fn is_padding(&self, index: PieceIndex) -> bool {
        let whole = BlockRequest {
            piece: index.get(),
            offset: 0,
            length: self.geometry.piece_length(index),
        };
        self.geometry
            .block(whole)
            .is_ok_and(|block| self.geometry.is_padding(block))
    }

    fn begin(&mut self, index: PieceIndex) {
        self.availability.close(index);
        let mut piece = Piece::new(&self.geometry, index, self.next_begun);
        if self.is_held_back(index) {
            piece.stage = Stage::Withheld;
        }
        self.next_begun += 1;
        self.begun.insert(index, piece);
        self.change(index, |_| {});
    }

    fn complete_if_whole(&mut self, index: PieceIndex) {
        let became_whole = self.change(index, |piece| {
            let is_new = piece.is_whole() && piece.stage == Stage::Gathering;
            if is_new {
                piece.stage = Stage::Completing;
            }
            is_new
        });
        if became_whole == Some(true) {
            self.whole.push_back(index);
        }
    }

    /// Changes a begun piece and brings all that is counted over pieces up to date.
    fn change<R>(&mut self, index: PieceIndex, change: impl FnOnce(&mut Piece) -> R) -> Option<R> {
        let priority = self.priority(index);
        let piece = self.begun.get_mut(&index)?;
        let (requests, buffered, free) = (piece.requests(), piece.buffered(), piece.free_count());
        let result = change(piece);
        self.requests = self.requests + piece.requests() as usize - requests as usize;
        self.buffered = self.buffered + piece.buffered() - buffered;
        match (requests > 0, piece.requests() > 0) {
            (false, true) => _ = self.in_hand.insert((piece.begun, index)),
            (true, false) => _ = self.in_hand.remove(&(piece.begun, index)),
            _ => {}
        }
        let is_listed =
            piece.stage == Stage::Gathering && piece.free_count() > 0 && priority != Priority::Off;
        if is_listed != piece.is_listed {
            piece.is_listed = is_listed;
            let entry = (Reverse(priority), piece.begun, index);
            if is_listed {
                self.with_free.insert(entry);
            } else {
                self.with_free.remove(&entry);
            }
        }
        // A piece less in hand lets a peer begin another.
        self.freed |= piece.free_count() > free || (requests > 0 && piece.requests() == 0);
        Some(result)
    }
}
