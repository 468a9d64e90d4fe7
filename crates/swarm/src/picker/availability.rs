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

    /// Whether a piece is open, and none that is has a higher priority.
    pub(crate) fn is_most_wanted(&self, piece: PieceIndex) -> bool {
        let mut levels = self.levels.iter();
        let highest = levels.position(|level| !level.order.is_empty());
        self.is_open(piece) && highest == Some(usize::from(self.level[piece.as_usize()]))
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
        match has {
            Has::Unknown => {}
            Has::All => self.seeds += 1,
            Has::Some(pieces) if self.are_few(pieces) => {
                pieces.iter().for_each(|piece| self.gain(piece));
            }
            Has::Some(pieces) => {
                self.stale = true;
                for_each_bit(pieces, &mut self.copies, |copies, bit| *copies += bit);
            }
        }
    }

    pub(crate) fn leave(&mut self, has: &Has) {
        match has {
            Has::Unknown => {}
            Has::All => self.seeds -= 1,
            Has::Some(pieces) if self.are_few(pieces) => {
                pieces.iter().for_each(|piece| self.lose(piece));
            }
            Has::Some(pieces) => {
                self.stale = true;
                for_each_bit(pieces, &mut self.copies, |copies, bit| *copies -= bit);
            }
        }
    }

    fn are_few(&self, pieces: &Bitfield) -> bool {
        pieces.count() <= self.open_count() / RESORT_FRACTION
    }

    /// One peer more has the piece.
    pub(crate) fn gain(&mut self, piece: PieceIndex) {
        let before = self.copies[piece.as_usize()];
        self.copies[piece.as_usize()] = before + 1;
        self.reclass(piece, before, before + 1);
    }

    /// One peer less has the piece.
    pub(crate) fn lose(&mut self, piece: PieceIndex) {
        let before = self.copies[piece.as_usize()];
        self.copies[piece.as_usize()] = before - 1;
        self.reclass(piece, before, before - 1);
    }

    /// A peer that was counted as a seed has one piece less: from now on its pieces are counted one by one.
    pub(crate) fn seed_became_partial(&mut self, pieces: &Bitfield) {
        self.seeds -= 1;
        self.join(&Has::Some(pieces.clone()));
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
    ///
    /// Takes time in proportion to the pieces, though little: a count that is kept up to date would cost more, whenever a peer joins.
    pub(crate) fn distributed_copies(&self) -> (u32, u32) {
        let least = self.copies.iter().copied().min().unwrap_or(0);
        // Counted in blocks, with numbers as short as the copies are: so that a processor takes many at once.
        let more_in = |block: &[u16]| -> u16 { block.iter().map(|&n| u16::from(n > least)).sum() };
        let blocks = self.copies.chunks(1024).map(more_in);
        let more: u64 = blocks.map(u64::from).sum();
        // There are none before the metadata is known.
        let pieces = self.geometry.piece_count().max(1);
        let thousandths = more * 1000 / u64::from(pieces);
        (
            u32::from(least) + self.seeds,
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

    /// Puts the open pieces in order, going through all arrays from front to back.
    fn sort(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let mut sizes = [[0; RARITY_CLASSES]; LEVELS];
        for piece in self.open.iter() {
            let level = usize::from(self.level[piece.as_usize()]);
            sizes[level][class(self.copies[piece.as_usize()])] += 1;
        }
        let mut next = [[0; RARITY_CLASSES]; LEVELS];
        for ((level, sizes), next) in self.levels.iter_mut().zip(&sizes).zip(&mut next) {
            *next = level.divide(sizes);
        }
        for piece in self.open.iter() {
            let level = usize::from(self.level[piece.as_usize()]);
            let place = &mut next[level][class(self.copies[piece.as_usize()])];
            self.levels[level].put(*place, piece.get(), &mut self.position);
            *place += 1;
        }
    }
}

/// The bits of each byte as eight numbers, the highest first.
static BITS: [[u16; 8]; 256] = {
    let mut bits = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            if byte & (0x80 >> bit) != 0 {
                bits[byte][bit] = 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    bits
};

/// Changes one number a piece by one if the piece is in the set, and by zero if not: without branches, so that a processor takes
/// eight at once.
fn for_each_bit(set: &Bitfield, numbers: &mut [u16], change: impl Fn(&mut u16, u16)) {
    let bits = set.as_bytes().iter().map(|&byte| &BITS[usize::from(byte)]);
    let (eights, rest) = numbers.as_chunks_mut::<8>();
    let last = bits.clone().next_back().filter(|_| !rest.is_empty());
    for (bits, numbers) in bits.zip(eights) {
        for (&bit, number) in bits.iter().zip(numbers) {
            change(number, bit);
        }
    }
    for (&bit, number) in last.into_iter().flatten().zip(rest) {
        change(number, bit);
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

    /// Gives each class its size, with pieces yet to be put there. Gives where each begins.
    fn divide(&mut self, sizes: &[usize; RARITY_CLASSES]) -> [usize; RARITY_CLASSES] {
        let mut firsts = [0; RARITY_CLASSES];
        let mut sum = 0;
        for (class, size) in sizes.iter().enumerate() {
            self.starts[class] = sum;
            firsts[class] = sum;
            sum += size;
        }
        self.starts[RARITY_CLASSES] = sum;
        self.order.resize(sum, 0);
        firsts
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
