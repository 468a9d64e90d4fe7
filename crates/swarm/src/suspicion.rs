//! Corrupt pieces that came from several peers: what each of them sent, until the good piece tells who lied.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use rarest_metainfo::PieceIndex;

use crate::BlockDigest;
use crate::limits::{MAX_BAD_COPIES, MAX_SUSPECT_PIECES};

/// The bad copies of pieces that are fetched again.
#[derive(Debug, Default)]
pub(crate) struct Suspicion {
    copies: BTreeMap<PieceIndex, Vec<BadCopy>>,
    /// The pieces in the order they came, so that the oldest is given up when there are too many.
    order: VecDeque<PieceIndex>,
}

#[derive(Debug)]
struct BadCopy {
    blocks: Vec<(Option<IpAddr>, BlockDigest)>,
}

/// What a corrupt piece says of those who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of it came from there.
    Guilty(IpAddr),
    /// One or more of several lied.
    Open,
}

impl Suspicion {
    /// A piece was corrupt. `contributors` names who sent each block, in order.
    pub(crate) fn corrupt(
        &mut self,
        piece: PieceIndex,
        contributors: &[Option<IpAddr>],
        has_unknown: bool,
        digests: &[BlockDigest],
    ) -> Verdict {
        let senders: BTreeSet<_> = contributors.iter().flatten().copied().collect();
        if !has_unknown
            && senders.len() == 1
            && let Some(&one) = senders.first()
        {
            return Verdict::Guilty(one);
        }
        if digests.len() == contributors.len() {
            let blocks = contributors.iter().copied().zip(digests.iter().copied());
            self.keep(
                piece,
                BadCopy {
                    blocks: blocks.collect(),
                },
            );
        }
        Verdict::Open
    }

    fn keep(&mut self, piece: PieceIndex, copy: BadCopy) {
        let copies = self.copies.entry(piece).or_default();
        if copies.is_empty() {
            self.order.push_back(piece);
        }
        if copies.len() == MAX_BAD_COPIES {
            copies.remove(0);
        }
        copies.push(copy);
        if self.order.len() > MAX_SUSPECT_PIECES
            && let Some(oldest) = self.order.pop_front()
        {
            self.copies.remove(&oldest);
        }
    }

    /// Whether the digests of the good piece would tell something.
    pub(crate) fn is_suspect(&self, piece: PieceIndex) -> bool {
        self.copies.contains_key(&piece)
    }

    /// The piece is good now. Gives who had sent a block that differs, with the number of the first such block.
    pub(crate) fn verified(
        &mut self,
        piece: PieceIndex,
        digests: &[BlockDigest],
    ) -> BTreeMap<IpAddr, u32> {
        let mut liars = BTreeMap::new();
        let Some(copies) = self.copies.remove(&piece) else {
            return liars;
        };
        self.order.retain(|&other| other != piece);
        for copy in copies {
            if copy.blocks.len() != digests.len() {
                continue;
            }
            for (number, ((sender, bad), good)) in (0..).zip(copy.blocks.iter().zip(digests)) {
                if let Some(sender) = sender
                    && bad != good
                {
                    liars.entry(*sender).or_insert(number);
                }
            }
        }
        liars
    }
}
