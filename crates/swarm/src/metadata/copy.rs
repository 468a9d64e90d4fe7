//! One info dictionary in the making: the parts that came, of whom, and those that were asked for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;

use super::{part_count, part_length};

/// Peers that one part is asked of at a time.
const MOST_ASKED: u8 = 2;

/// Who makes a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Makers<P> {
    /// Every peer that says it has so many bytes.
    All,
    /// One peer, so that it answers for the whole.
    One(P),
}

#[derive(Debug)]
pub(super) struct Copy<P> {
    pub(super) size: u32,
    pub(super) makers: Makers<P>,
    /// Until when others wait for their turn, if there is no room for another copy.
    pub(super) turn_ends: Instant,
    parts: Vec<Part>,
    missing: u32,
    /// Those of the missing parts that may be asked of one peer more.
    askable: u32,
}

#[derive(Debug)]
enum Part {
    /// So many peers were asked for it.
    Missing {
        asked: u8,
    },
    Here {
        bytes: Box<[u8]>,
        from: IpAddr,
    },
}

impl<P> Copy<P> {
    pub(super) fn new(size: u32, makers: Makers<P>, turn_ends: Instant) -> Self {
        let count = part_count(size);
        Self {
            size,
            makers,
            turn_ends,
            parts: (0..count).map(|_| Part::Missing { asked: 0 }).collect(),
            missing: count,
            askable: count,
        }
    }

    /// The part that a peer is to be asked for next, which was not asked for `already`: one that nobody was asked for, or else one that
    /// another peer owes. It counts as asked for.
    pub(super) fn next_part(&mut self, already: &[u32]) -> Option<u32> {
        // Hundreds of peers may find that nothing is left for them.
        if self.askable == 0 {
            return None;
        }
        let parts = (0..).zip(&mut self.parts);
        let askable = parts.filter_map(|(number, part)| match part {
            Part::Missing { asked } if *asked < MOST_ASKED && !already.contains(&number) => {
                Some((number, asked))
            }
            Part::Missing { .. } | Part::Here { .. } => None,
        });
        let (number, asked) = askable.min_by_key(|(number, asked)| (**asked, *number))?;
        *asked += 1;
        self.askable -= u32::from(*asked == MOST_ASKED);
        Some(number)
    }

    /// A peer that was asked for the part will not send it.
    pub(super) fn given_back(&mut self, part: u32) {
        if let Some(Part::Missing { asked }) = self.parts.get_mut(part as usize) {
            self.askable += u32::from(*asked == MOST_ASKED);
            *asked = asked.saturating_sub(1);
        }
    }

    /// Whether it is a part of this copy, by its length.
    pub(super) fn fits(&self, part: u32, total_size: u32, bytes: &[u8]) -> bool {
        total_size == self.size
            && part_length(self.size, part).is_some_and(|length| length as usize == bytes.len())
    }

    /// Takes a part that fits, the first that comes.
    pub(super) fn insert(&mut self, part: u32, bytes: &[u8], from: IpAddr) {
        if let Some(place) = self.parts.get_mut(part as usize)
            && let Part::Missing { asked } = *place
        {
            self.askable -= u32::from(asked < MOST_ASKED);
            // A slice would keep the whole read buffer alive.
            let bytes = bytes.into();
            *place = Part::Here { bytes, from };
            self.missing -= 1;
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// The parts that are here, put together.
    pub(super) fn bytes(&self) -> Bytes {
        let mut whole = Vec::with_capacity(self.size as usize);
        for part in &self.parts {
            if let Part::Here { bytes, .. } = part {
                whole.extend_from_slice(bytes);
            }
        }
        whole.into()
    }

    /// The addresses that the parts came from.
    pub(super) fn contributors(&self) -> BTreeSet<IpAddr> {
        let of_part = |part: &Part| match part {
            Part::Here { from, .. } => Some(*from),
            Part::Missing { .. } => None,
        };
        self.parts.iter().filter_map(of_part).collect()
    }

    /// Bytes that are here.
    pub(super) fn held(&self) -> usize {
        let of_part = |part: &Part| match part {
            Part::Here { bytes, .. } => bytes.len(),
            Part::Missing { .. } => 0,
        };
        self.parts.iter().map(of_part).sum()
    }
}
