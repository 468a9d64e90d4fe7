//! Who was asked for the blocks of a piece, and which blocks nobody was.

use super::PeerSlot;

/// Most peers that are asked for one block at a time. More would waste what they send.
const MAX_REQUESTERS: usize = 3;

/// The peers that were asked for a block: at least one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requesters {
    peers: [PeerSlot; MAX_REQUESTERS],
    count: usize,
}

impl Requesters {
    pub(super) fn one(peer: PeerSlot) -> Self {
        Self {
            peers: [peer; MAX_REQUESTERS],
            count: 1,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = PeerSlot> + '_ {
        self.peers[..self.count].iter().copied()
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.count).expect("at most MAX_REQUESTERS")
    }

    pub(super) fn has_room(&self) -> bool {
        self.count < MAX_REQUESTERS
    }

    pub(super) fn contains(&self, peer: PeerSlot) -> bool {
        self.peers[..self.count].contains(&peer)
    }

    pub(super) fn push(&mut self, peer: PeerSlot) {
        self.peers[self.count] = peer;
        self.count += 1;
    }

    pub(super) fn remove(&mut self, peer: PeerSlot) -> bool {
        let Some(at) = self.iter().position(|other| other == peer) else {
            return false;
        };
        self.count -= 1;
        self.peers[at] = self.peers[self.count];
        true
    }
}

/// The free blocks of a piece: a piece may have many thousands.
#[derive(Debug)]
pub(super) struct FreeBlocks {
    words: Box<[u64]>,
    count: u32,
}

impl FreeBlocks {
    pub(super) fn none(block_count: u32) -> Self {
        Self {
            words: vec![0; block_count.div_ceil(64) as usize].into(),
            count: 0,
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn insert(&mut self, number: u32) {
        let mask = 1 << (number % 64);
        let word = &mut self.words[number as usize / 64];
        self.count += u32::from(*word & mask == 0);
        *word |= mask;
    }

    pub(super) fn remove(&mut self, number: u32) {
        let mask = 1 << (number % 64);
        let word = &mut self.words[number as usize / 64];
        self.count -= u32::from(*word & mask != 0);
        *word &= !mask;
    }

    /// The first free block that is not before `from`.
    pub(super) fn next(&self, from: u32) -> Option<u32> {
        let first = from as usize / 64;
        let mut mask = u64::MAX << (from % 64);
        for (word, bits) in (0u32..).zip(&self.words).skip(first) {
            let bits = bits & mask;
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }
}
