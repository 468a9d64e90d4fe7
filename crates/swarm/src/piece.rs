//! A piece that was begun: which of its blocks are free, asked for, gathered or on disk.

mod requests;

use std::net::IpAddr;

use bytes::Bytes;
use rarest_metainfo::{Block, Geometry, PieceIndex};

use crate::output::BlockData;
use requests::{FreeBlocks, Requesters};

/// A peer as the picker knows it: its place among the connected peers.
pub(crate) type PeerSlot = u32;

/// One piece between its first request and its verification.
#[derive(Debug)]
pub(crate) struct Piece {
    blocks: Box<[State]>,
    free: FreeBlocks,
    /// Blocks that nobody has sent yet.
    missing: u32,
    /// Requests that are out, several for one block counted each.
    requests: u32,
    /// Bytes in memory.
    buffered: u64,
    /// Blocks on their way to the disk before the piece is whole.
    spilling: u32,
    pub(crate) stage: Stage,
    pub(crate) share: Share,
    /// When the piece was begun, as a rising number.
    pub(crate) begun: u64,
    /// Whether the picker lists it among the pieces with free blocks.
    pub(crate) is_listed: bool,
}

/// What happens to the piece as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Blocks are asked for and gathered.
    Gathering,
    /// Whole, and in the hands of the store.
    Completing,
    /// Whole, but the store failed; waits until it recovers.
    Stalled,
    /// Whole and corrupt; waits until it is known which blocks are wrong.
    Disputed,
    /// Its hash is not known: nothing is asked for, and what came waits, on disk where memory is short.
    Withheld,
}

/// Who may be asked for blocks of the piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Any peer that has it.
    Anyone,
    /// One peer alone, so that it is known who lied should the piece be corrupt again; `None`: the next that comes.
    Alone(Option<PeerSlot>),
}

#[derive(Debug)]
enum State {
    /// Nobody was asked.
    Free,
    Requested(Requesters),
    Gathered {
        data: Bytes,
        from: IpAddr,
        spilling: bool,
    },
    /// On disk, unverified. Who sent it is not known when it is from an earlier run.
    Spilled {
        from: Option<IpAddr>,
        length: u32,
    },
    /// Zeros by definition (BEP 47).
    Padding {
        length: u32,
    },
}

/// What became of a block that came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gathered {
    /// The piece lacks others still. These peers were asked for it too.
    Stored { cancel: Vec<PeerSlot> },
    /// We had it.
    Duplicate,
}

impl Piece {
    pub(crate) fn new(geometry: &Geometry, index: PieceIndex, begun: u64) -> Self {
        let mut free = FreeBlocks::none(geometry.block_count(index));
        let mut missing = 0;
        let blocks = (0..)
            .zip(geometry.blocks(index))
            .map(|(number, block)| {
                if geometry.is_padding(block) {
                    State::Padding {
                        length: block.length(),
                    }
                } else {
                    missing += 1;
                    free.insert(number);
                    State::Free
                }
            })
            .collect();
        Self {
            blocks,
            free,
            missing,
            requests: 0,
            buffered: 0,
            spilling: 0,
            stage: Stage::Gathering,
            share: Share::Anyone,
            begun,
            is_listed: false,
        }
    }

    /// Begins anew: what was gathered is corrupt.
    pub(crate) fn restart(&mut self, geometry: &Geometry, index: PieceIndex, share: Share) {
        *self = Self {
            is_listed: self.is_listed,
            share,
            ..Self::new(geometry, index, self.begun)
        };
    }

    /// Whether what is in memory may be written to disk before the piece is verified.
    pub(crate) fn may_spill(&self) -> bool {
        matches!(self.stage, Stage::Gathering | Stage::Withheld)
    }

    /// Whether nothing was gathered and nobody was asked.
    pub(crate) fn is_untouched(&self) -> bool {
        self.requests == 0
            && !self
                .blocks
                .iter()
                .any(|state| matches!(state, State::Gathered { .. } | State::Spilled { .. }))
    }

    /// Whether all blocks are there and none is on its way to the disk.
    pub(crate) fn is_whole(&self) -> bool {
        self.missing == 0 && self.spilling == 0
    }

    pub(crate) fn free_count(&self) -> u32 {
        self.free.count()
    }

    pub(crate) fn missing(&self) -> u32 {
        self.missing
    }

    pub(crate) fn requests(&self) -> u32 {
        self.requests
    }

    pub(crate) fn buffered(&self) -> u64 {
        self.buffered
    }

    /// Whether blocks of the piece may be asked of the peer.
    pub(crate) fn is_open_to(&self, peer: PeerSlot) -> bool {
        self.stage == Stage::Gathering
            && match self.share {
                Share::Anyone | Share::Alone(None) => true,
                Share::Alone(Some(one)) => one == peer,
            }
    }

    /// Marks up to `most` free blocks as asked of the peer; leaves out those it is `asked` for already.
    pub(crate) fn take_free(
        &mut self,
        peer: PeerSlot,
        most: usize,
        mut asked: impl FnMut(u32) -> bool,
        mut taken: impl FnMut(u32),
    ) -> usize {
        if let Share::Alone(one @ None) = &mut self.share {
            *one = Some(peer);
        }
        let mut count = 0;
        let mut next = 0;
        while count < most
            && let Some(number) = self.free.next(next)
        {
            next = number + 1;
            if asked(number) {
                continue;
            }
            self.free.remove(number);
            self.blocks[number as usize] = State::Requested(Requesters::one(peer));
            self.requests += 1;
            count += 1;
            taken(number);
        }
        count
    }

    /// Whether others were asked for the block and `peer` may be asked for it too.
    pub(crate) fn may_duplicate(&self, number: u32, peer: PeerSlot) -> bool {
        match &self.blocks[number as usize] {
            State::Requested(requesters) => requesters.has_room() && !requesters.contains(peer),
            _ => false,
        }
    }

    /// Asks one more peer for a block that is asked for.
    pub(crate) fn duplicate(&mut self, number: u32, peer: PeerSlot) {
        if let State::Requested(requesters) = &mut self.blocks[number as usize] {
            requesters.push(peer);
            self.requests += 1;
        }
    }

    pub(crate) fn block_count(&self) -> u32 {
        u32::try_from(self.blocks.len()).expect("a piece has fewer than 2^18 blocks")
    }

    /// Peers that are asked for the block now.
    pub(crate) fn requesters(&self, number: u32) -> impl Iterator<Item = PeerSlot> + '_ {
        let requesters = match &self.blocks[number as usize] {
            State::Requested(requesters) => Some(requesters),
            _ => None,
        };
        requesters.into_iter().flat_map(Requesters::iter)
    }

    /// Takes a request back; says whether the block is free now.
    pub(crate) fn returned(&mut self, number: u32, peer: PeerSlot) -> bool {
        let State::Requested(requesters) = &mut self.blocks[number as usize] else {
            return false;
        };
        if !requesters.remove(peer) {
            return false;
        }
        self.requests -= 1;
        if requesters.count() == 0 {
            self.blocks[number as usize] = State::Free;
            self.free.insert(number);
            return true;
        }
        false
    }

    /// Keeps a block. It need not have been asked for: it may come after its request was taken back.
    pub(crate) fn gather(
        &mut self,
        number: u32,
        peer: PeerSlot,
        from: IpAddr,
        data: Bytes,
    ) -> Gathered {
        let cancel = match &self.blocks[number as usize] {
            State::Free => {
                self.free.remove(number);
                Vec::new()
            }
            State::Requested(requesters) => {
                self.requests -= requesters.count();
                requesters.iter().filter(|&other| other != peer).collect()
            }
            State::Gathered { .. } | State::Spilled { .. } | State::Padding { .. } => {
                return Gathered::Duplicate;
            }
        };
        self.missing -= 1;
        self.buffered += data.len() as u64;
        self.blocks[number as usize] = State::Gathered {
            data,
            from,
            spilling: false,
        };
        Gathered::Stored { cancel }
    }

    /// A block that an earlier run left on disk.
    pub(crate) fn found_on_disk(&mut self, number: u32, length: u32) {
        if let State::Free = self.blocks[number as usize] {
            self.free.remove(number);
            self.missing -= 1;
            self.blocks[number as usize] = State::Spilled { from: None, length };
        }
    }

    /// Forgets all requests; names each block and peer.
    pub(crate) fn take_requests(&mut self, mut taken: impl FnMut(u32, PeerSlot)) {
        for (number, state) in (0..).zip(&mut self.blocks) {
            if let State::Requested(requesters) = state {
                requesters.iter().for_each(|peer| taken(number, peer));
                *state = State::Free;
                self.free.insert(number);
            }
        }
        self.requests = 0;
    }

    /// Gives up what the address sent and is not on its way to the disk.
    pub(crate) fn discard_from(&mut self, ip: IpAddr) {
        for (number, state) in (0..).zip(&mut self.blocks) {
            let length = match state {
                State::Gathered {
                    data,
                    from,
                    spilling: false,
                } if *from == ip => data.len() as u64,
                State::Spilled {
                    from: Some(from), ..
                } if *from == ip => 0,
                _ => continue,
            };
            *state = State::Free;
            self.free.insert(number);
            self.missing += 1;
            self.buffered -= length;
        }
    }

    /// Gives up blocks that are in memory and not on their way to the disk.
    pub(crate) fn discard(&mut self, numbers: &[u32]) {
        for &number in numbers {
            let state = &mut self.blocks[number as usize];
            if let State::Gathered {
                data,
                spilling: false,
                ..
            } = state
            {
                self.buffered -= data.len() as u64;
                self.missing += 1;
                *state = State::Free;
                self.free.insert(number);
            }
        }
    }

    /// The blocks in memory, and who sent them.
    pub(crate) fn gathered(&self) -> impl Iterator<Item = (u32, &Bytes, IpAddr)> + '_ {
        let blocks = (0..).zip(&self.blocks);
        blocks.filter_map(|(number, state)| match state {
            State::Gathered { data, from, .. } => Some((number, data, *from)),
            _ => None,
        })
    }

    /// What was on disk is gone.
    pub(crate) fn lose_spilled(&mut self) {
        for (number, state) in (0..).zip(&mut self.blocks) {
            if let State::Spilled { .. } = state {
                *state = State::Free;
                self.free.insert(number);
                self.missing += 1;
            }
        }
    }

    /// The contents in order. The piece must be whole.
    pub(crate) fn parts(&self) -> Vec<BlockData> {
        self.blocks
            .iter()
            .filter_map(|state| match state {
                State::Gathered { data, .. } => Some(BlockData::Memory(data.clone())),
                &State::Spilled { length, .. } => Some(BlockData::Spilled { length }),
                &State::Padding { length } => Some(BlockData::Padding { length }),
                State::Free | State::Requested(_) => None,
            })
            .collect()
    }

    /// Who sent each block; `None` for padding and for what an earlier run left on disk.
    pub(crate) fn contributors(&self) -> Vec<Option<IpAddr>> {
        self.blocks
            .iter()
            .map(|state| match state {
                State::Gathered { from, .. } => Some(*from),
                State::Spilled { from, .. } => *from,
                State::Free | State::Requested(_) | State::Padding { .. } => None,
            })
            .collect()
    }

    /// Whether blocks are used of which it is not known who sent them.
    pub(crate) fn has_unknown_contributor(&self) -> bool {
        self.blocks
            .iter()
            .any(|state| matches!(state, State::Spilled { from: None, .. }))
    }

    /// Numbers of the blocks on disk.
    pub(crate) fn spilled(&self) -> impl Iterator<Item = u32> + '_ {
        (0..)
            .zip(&self.blocks)
            .filter(|(_, state)| matches!(state, State::Spilled { .. }))
            .map(|(number, _)| number)
    }

    /// Hands out what is in memory, to be written to disk; it stays here until that is done.
    pub(crate) fn spill(&mut self, mut block: impl FnMut(u32, Bytes)) {
        for (number, state) in (0..).zip(&mut self.blocks) {
            if let State::Gathered { data, spilling, .. } = state
                && !*spilling
            {
                *spilling = true;
                self.spilling += 1;
                block(number, data.clone());
            }
        }
    }

    /// Bytes on their way to the disk before the piece is whole.
    pub(crate) fn spilling_bytes(&self) -> u64 {
        self.blocks
            .iter()
            .map(|state| match state {
                State::Gathered {
                    data,
                    spilling: true,
                    ..
                } => data.len() as u64,
                _ => 0,
            })
            .sum()
    }

    /// A block was written to disk; gives the bytes that are no longer in memory.
    pub(crate) fn spill_done(&mut self, number: u32) -> u64 {
        let state = &mut self.blocks[number as usize];
        let State::Gathered {
            data,
            from,
            spilling: true,
        } = state
        else {
            return 0;
        };
        let length = u32::try_from(data.len()).expect("a block has 16 KiB at most");
        *state = State::Spilled {
            from: Some(*from),
            length,
        };
        self.spilling -= 1;
        self.buffered -= u64::from(length);
        u64::from(length)
    }

    /// A block could not be written to disk and stays in memory; gives its bytes.
    pub(crate) fn spill_failed(&mut self, number: u32) -> u64 {
        match &mut self.blocks[number as usize] {
            State::Gathered { data, spilling, .. } if *spilling => {
                *spilling = false;
                self.spilling -= 1;
                data.len() as u64
            }
            _ => 0,
        }
    }
}

/// The block of that number in a piece that has it.
pub(crate) fn block_at(geometry: &Geometry, piece: PieceIndex, number: u32) -> Block {
    geometry
        .block_at(piece, number)
        .expect("numbers of blocks come from the piece itself")
}
