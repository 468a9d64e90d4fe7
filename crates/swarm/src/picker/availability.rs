//! How many peers have each piece, and the pieces not begun yet in that order.

#[cfg(test)]
mod model;

use std::ops::Range;
use std::sync::Arc;

use rand::{Rng, RngExt};
use rarest_metainfo::{Bitfield, Geometry, PieceIndex};

use crate::Priority;
use crate::has::{Has, common_words};

/// Pieces with this many copies or more count as equally common: what is plentiful needs no order, and a search passes
/// over a bounded number of classes.
const RARITY_CLASSES: usize = 64;

/// How many pieces of one class are tried for a peer before the next class. A class may hold a million
/// pieces of which the peer has none.
const PROBES_PER_CLASS: usize = 32;

/// How many pieces are tried for a peer in order of rarity. After that its own pieces are searched.
const PROBES: usize = 512;

/// How many pieces that fit are compared in a search through a peer's own pieces.
const COMPARED: usize = 1024;

/// A bitfield that would move more than one in this many open pieces only counts; the order is made anew
/// when it is needed, once for all peers that joined meanwhile.
const RESORT_FRACTION: u32 = 8;

const LEVELS: usize = 3;

/// The copies of every piece and the open pieces (wanted, not begun) by priority and rarity.
///
/// A `have`, and opening or closing a piece, cost a constant number of moves however many pieces there are.
#[derive(Debug)]
pub(crate) struct Availability {
    geometry: Arc<Geometry>,
    /// Copies at peers that are not counted in `seeds`.
    copies: Vec<u16>,
    /// Peers that had everything when they joined: they change the order of nothing.
    seeds: u32,
    /// `pieces_with[n]`: number of pieces with `n` copies, seeds left out.
    pieces_with: Vec<u32>,
    open: Bitfield,
    levels: [Level; LEVELS],
    /// Where an open piece stands in the order of its level.
    position: Vec<u32>,
    /// The level of an open piece.
    level: Vec<u8>,
    /// Copies were counted without moving pieces.
    stale: bool,
}

/// The open pieces of one priority, by class of rarity.
#[derive(Debug)]
struct Level {
    order: Vec<u32>,
    /// Class `c` is `order[starts[c]..starts[c + 1]]`.
    starts: [usize; RARITY_CLASSES + 1],
}

impl Availability {
    pub(crate) fn new(geometry: Arc<Geometry>) -> Self {
        let piece_count = geometry.piece_count() as usize;
        Self {
            copies: vec![0; piece_count],
            seeds: 0,
            pieces_with: vec![geometry.piece_count()],
            open: Bitfield::empty(&geometry),
            levels: std::array::from_fn(|_| Level::default()),
            position: vec![0; piece_count],
            level: vec![0; piece_count],
            stale: false,
            geometry,
        }
    }

    /// Number of open pieces.
    pub(crate) fn open_count(&self) -> u32 {
        self.open.count()
    }

    pub(crate) fn is_open(&self, piece: PieceIndex) -> bool {
        self.open.contains(piece)
    }

    /// Adds a piece to those that may be picked. Does nothing with `Priority::Off`.
    pub(crate) fn open(&mut self, piece: PieceIndex, priority: Priority) {
        let Some(level) = level_of(priority) else {
            return;
        };
        if !self.open.insert(piece) {
            return;
        }
        self.level[piece.as_usize()] = level;
        let class = class(self.copies[piece.as_usize()]);
        let level = &mut self.levels[usize::from(level)];
        if self.stale {
            level.push(piece.get(), &mut self.position);
        } else {
            level.insert(piece.get(), class, &mut self.position);
        }
    }

    /// Puts off the sorting until the next search: many pieces are about to be opened.
    pub(crate) fn sort_later(&mut self) {
        self.stale = true;
    }

    /// Takes a piece out of those that may be picked.
    pub(crate) fn close(&mut self, piece: PieceIndex) {
        if !self.open.contains(piece) {
            return;
        }
        self.sort();
        self.open.remove(piece);
        let class = class(self.copies[piece.as_usize()]);
        let level = usize::from(self.level[piece.as_usize()]);
        self.levels[level].remove(piece.get(), class, &mut self.position);
    }

    pub(crate) fn join(&mut self, has: &Has) {
        self.count(has, Self::gain, |copies| copies + 1, |seeds| seeds + 1);
    }

    pub(crate) fn leave(&mut self, has: &Has) {
        self.count(has, Self::lose, |copies| copies - 1, |seeds| seeds - 1);
    }

    fn count(
        &mut self,
        has: &Has,
        one: fn(&mut Self, PieceIndex),
        copies: fn(u16) -> u16,
        seeds: fn(u32) -> u32,
    ) {
        match has {
            Has::Unknown => {}
            Has::All => self.seeds = seeds(self.seeds),
            Has::Some(pieces) if pieces.count() <= self.open_count() / RESORT_FRACTION => {
                pieces.iter().for_each(|piece| one(self, piece));
            }
            Has::Some(pieces) => {
                self.stale = true;
                // A million pieces mostly have one of few numbers of copies: those are brought up to date once each.
                let mut moved = vec![0; self.pieces_with.len()];
                for piece in pieces.iter() {
                    let count = &mut self.copies[piece.as_usize()];
                    moved[usize::from(*count)] += 1;
                    *count = copies(*count);
                }
                for (before, pieces) in (0..).zip(moved) {
                    if pieces > 0 {
                        self.recount(before, copies(before), pieces);
                    }
                }
            }
        }
    }

    /// One peer more has the piece.
    pub(crate) fn gain(&mut self, piece: PieceIndex) {
        let before = self.copies[piece.as_usize()];
        self.copies[piece.as_usize()] = before + 1;
        self.recount(before, before + 1, 1);
        self.reclass(piece, before, before + 1);
    }

    /// One peer less has the piece.
    pub(crate) fn lose(&mut self, piece: PieceIndex) {
        let before = self.copies[piece.as_usize()];
        self.copies[piece.as_usize()] = before - 1;
        self.recount(before, before - 1, 1);
        self.reclass(piece, before, before - 1);
    }

    /// A peer that was counted as a seed has one piece less: from now on its pieces are counted one by one.
    pub(crate) fn seed_became_partial(&mut self, pieces: &Bitfield) {
        self.seeds -= 1;
        self.join(&Has::Some(pieces.clone()));
    }

    /// So many pieces have other numbers of copies than before.
    fn recount(&mut self, before: u16, after: u16, pieces: u32) {
        let most = usize::from(before.max(after)) + 1;
        if self.pieces_with.len() < most {
            self.pieces_with.resize(most, 0);
        }
        self.pieces_with[usize::from(before)] -= pieces;
        self.pieces_with[usize::from(after)] += pieces;
    }

    fn reclass(&mut self, piece: PieceIndex, before: u16, after: u16) {
        let (from, to) = (class(before), class(after));
        if from == to || self.stale || !self.open.contains(piece) {
            return;
        }
        let level = &mut self.levels[usize::from(self.level[piece.as_usize()])];
        if to > from {
            level.promote(piece.get(), from, &mut self.position);
        } else {
            level.demote(piece.get(), from, &mut self.position);
        }
    }

    /// Number of peers that have the piece.
    pub(crate) fn copies(&self, piece: PieceIndex) -> u32 {
        u32::from(self.copies[piece.as_usize()]) + self.seeds
    }

    /// Copies of the rarest piece among the peers, and the share of pieces of which there are more, in thousandths.
    pub(crate) fn distributed_copies(&self) -> (u32, u32) {
        let least = self
            .pieces_with
            .iter()
            .position(|&pieces| pieces > 0)
            .unwrap_or(0);
        let piece_count = self.geometry.piece_count();
        let more = u64::from(piece_count - self.pieces_with[least]);
        let least = u32::try_from(least).expect("copies are counted in a u16");
        let thousandths = more * 1000 / u64::from(piece_count);
        (
            least + self.seeds,
            u32::try_from(thousandths).expect("at most 1000"),
        )
    }

    /// A random open piece that the peer has, of the highest priority, as far as a bounded search finds one.
    pub(crate) fn pick_random(&mut self, has: &Has, rng: &mut impl Rng) -> Option<PieceIndex> {
        let level = self.levels.iter().find(|level| !level.order.is_empty())?;
        (0..PROBES)
            .map(|_| level.order[rng.random_range(0..level.order.len())])
            .filter_map(|index| self.geometry.piece(index))
            .find(|&piece| has.contains(piece))
    }

    /// The rarest open piece of the highest priority that the peer has; among equals a random one.
    ///
    /// In a class of very many pieces, only some are tried, and rarity gives way to an answer in bounded
    /// time. `None` means that the peer has no open piece at all.
    pub(crate) fn pick(&mut self, has: &Has, rng: &mut impl Rng) -> Option<PieceIndex> {
        self.sort();
        let mut left = PROBES;
        for level in &self.levels {
            // Nobody but seeds has the pieces of class 0.
            let first = usize::from(!matches!(has, Has::All));
            for class in first..RARITY_CLASSES {
                let range = level.class(class);
                if range.is_empty() {
                    continue;
                }
                let pieces = &level.order[range];
                let start = rng.random_range(0..pieces.len());
                let tried = pieces.len().min(PROBES_PER_CLASS).min(left);
                let found = (0..tried)
                    .map(|step| pieces[(start + step) % pieces.len()])
                    .filter_map(|index| self.geometry.piece(index))
                    .find(|&piece| has.contains(piece));
                if found.is_some() {
                    return found;
                }
                left -= tried;
            }
        }
        self.search(has)
    }

    /// The best of the open pieces among the peer's own. It has few of them, or there are few.
    fn search(&self, has: &Has) -> Option<PieceIndex> {
        let Has::Some(pieces) = has else {
            return None;
        };
        common_words(pieces, &self.open)
            .flat_map(|(first, word)| {
                (0..64)
                    .filter(move |bit| word & (1 << (63 - bit)) != 0)
                    .map(move |bit| first + bit)
            })
            .filter_map(|index| self.geometry.piece(index))
            .take(COMPARED)
            .min_by_key(|piece| (self.level[piece.as_usize()], self.copies[piece.as_usize()]))
    }

    fn sort(&mut self) {
        if std::mem::take(&mut self.stale) {
            for level in &mut self.levels {
                level.sort(&self.copies, &mut self.position);
            }
        }
    }
}

impl Default for Level {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            starts: [0; RARITY_CLASSES + 1],
        }
    }
}

impl Level {
    fn class(&self, class: usize) -> Range<usize> {
        self.starts[class]..self.starts[class + 1]
    }

    fn put(&mut self, at: usize, piece: u32, position: &mut [u32]) {
        self.order[at] = piece;
        position[piece as usize] = u32::try_from(at).expect("there are fewer than 2^32 pieces");
    }

    /// Adds a piece without its class; the order must be sorted before the next move.
    fn push(&mut self, piece: u32, position: &mut [u32]) {
        let at = self.order.len();
        self.order.push(piece);
        self.put(at, piece, position);
        self.starts[RARITY_CLASSES] += 1;
    }

    /// Adds a piece: each class above gives its first place away and gets one behind its last.
    fn insert(&mut self, piece: u32, class: usize, position: &mut [u32]) {
        let mut hole = self.order.len();
        self.order.push(piece);
        self.starts[RARITY_CLASSES] += 1;
        for above in (class + 1..RARITY_CLASSES).rev() {
            let first = self.starts[above];
            if first != hole {
                self.put(hole, self.order[first], position);
            }
            hole = first;
            self.starts[above] += 1;
        }
        self.put(hole, piece, position);
    }

    fn remove(&mut self, piece: u32, class: usize, position: &mut [u32]) {
        let mut hole = position[piece as usize] as usize;
        for from in class..RARITY_CLASSES {
            let last = self.starts[from + 1] - 1;
            if last != hole {
                self.put(hole, self.order[last], position);
            }
            hole = last;
            self.starts[from + 1] -= 1;
        }
        self.order.pop();
    }

    /// Moves a piece from `class` to the next more common one.
    fn promote(&mut self, piece: u32, class: usize, position: &mut [u32]) {
        let last = self.starts[class + 1] - 1;
        self.swap(piece, last, position);
        self.starts[class + 1] -= 1;
    }

    /// Moves a piece from `class` to the next rarer one.
    fn demote(&mut self, piece: u32, class: usize, position: &mut [u32]) {
        let first = self.starts[class];
        self.swap(piece, first, position);
        self.starts[class] += 1;
    }

    fn swap(&mut self, piece: u32, with: usize, position: &mut [u32]) {
        let at = position[piece as usize] as usize;
        let other = self.order[with];
        self.put(at, other, position);
        self.put(with, piece, position);
    }

    fn sort(&mut self, copies: &[u16], position: &mut [u32]) {
        let mut sizes = [0; RARITY_CLASSES];
        for &piece in &self.order {
            sizes[class(copies[piece as usize])] += 1;
        }
        let mut next = [0; RARITY_CLASSES];
        let mut sum = 0;
        for (class, size) in sizes.into_iter().enumerate() {
            self.starts[class] = sum;
            next[class] = sum;
            sum += size;
        }
        self.starts[RARITY_CLASSES] = sum;
        for piece in std::mem::replace(&mut self.order, vec![0; sum]) {
            let place = &mut next[class(copies[piece as usize])];
            self.put(*place, piece, position);
            *place += 1;
        }
    }
}

fn class(copies: u16) -> usize {
    usize::from(copies).min(RARITY_CLASSES - 1)
}

/// The index of a priority's level, the most wanted first.
fn level_of(priority: Priority) -> Option<u8> {
    match priority {
        Priority::Off => None,
        Priority::Low => Some(2),
        Priority::Normal => Some(1),
        Priority::High => Some(0),
    }
}
