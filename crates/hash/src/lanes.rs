//! Several independent messages hashed side by side in one thread.
//!
//! One stream of SHA-1 or SHA-256 is bound by the latency of the CPU's instructions: each round waits for the
//! one before. Rounds of different messages do not wait for each other, so several streams in one loop keep the
//! units busy; and vectors do the same step of many messages in one instruction.
//!
//! This file cuts messages into runs of whole 64-byte blocks and keeps the lanes full; `x86` compresses them.

mod x86;

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::slice;

pub(crate) use x86::{Sha1Lanes, Sha256Lanes};

use crate::Slices;

/// Length of a block of SHA-1 and SHA-256, in bytes.
const BLOCK_LENGTH: usize = 64;

/// Length of the message length that ends the last block, in bytes.
const LENGTH_LENGTH: usize = 8;

/// Messages that are hashed at once, at most.
const MAX_LANES: usize = 16;

type Block = [u8; BLOCK_LENGTH];

/// A hash function that compresses blocks of several messages in one loop.
///
/// A value knows which instructions this CPU has for it.
pub(crate) trait Compress: Copy {
    /// The chaining value between two blocks.
    type State: Copy;
    /// The chaining value before the first block.
    const INITIAL: Self::State;

    /// How many messages it compresses at once, at most [`MAX_LANES`].
    fn lanes(self) -> usize;

    /// Compresses all blocks of `runs[i]` into `states[i]`, of as many messages as there are lanes at most. The runs are equally long.
    fn compress(self, states: &mut [Self::State], runs: &[&[Block]]);
}

/// The last chaining value of each message, in the order of the messages.
pub(crate) fn hash_many<C: Compress>(compress: C, messages: &[Slices<'_>]) -> Vec<C::State> {
    let mut states = vec![C::INITIAL; messages.len()];
    let mut waiting = messages.iter().enumerate();
    let most = compress.lanes();
    let mut lanes = Vec::with_capacity(most.min(messages.len()));
    loop {
        let free = most - lanes.len();
        lanes.extend(waiting.by_ref().take(free).map(|(message, slices)| Lane {
            message,
            state: C::INITIAL,
            input: Input::new(slices),
        }));
        if lanes.is_empty() {
            return states;
        }
        advance(compress, &mut lanes);
        lanes.retain(|lane| {
            if lane.input.is_finished() {
                states[lane.message] = lane.state;
            }
            !lane.input.is_finished()
        });
    }
}

/// One message on its way.
struct Lane<'a, S> {
    message: usize,
    state: S,
    input: Input<'a>,
}

/// Compresses as many blocks of each lane as the shortest run has.
fn advance<C: Compress>(compress: C, lanes: &mut [Lane<'_, C::State>]) {
    let blocks = lanes
        .iter()
        .map(|lane| lane.input.run().len())
        .min()
        .unwrap_or(0);
    let count = lanes.len();
    let mut states = [C::INITIAL; MAX_LANES];
    let mut runs: [&[Block]; MAX_LANES] = [&[]; MAX_LANES];
    for ((lane, state), run) in lanes.iter().zip(&mut states).zip(&mut runs) {
        *state = lane.state;
        *run = &lane.input.run()[..blocks];
    }
    compress.compress(&mut states[..count], &runs[..count]);
    for (lane, state) in lanes.iter_mut().zip(states) {
        lane.state = state;
        lane.input.advance(blocks);
    }
}

/// What is left of a message and its padding, as runs of whole blocks.
struct Input<'a> {
    slices: slice::Iter<'a, &'a [u8]>,
    /// What is left of the slice being read.
    current: &'a [u8],
    /// A block that crosses slices, or the last one or two with their padding.
    gathered: [u8; 2 * BLOCK_LENGTH],
    /// The blocks of `gathered` that are to be compressed before those of `current`.
    ready: Range<usize>,
    /// Bytes of the message in all slices taken so far.
    length: u64,
    padded: bool,
}

impl<'a> Input<'a> {
    fn new(slices: &'a [&'a [u8]]) -> Self {
        let mut input = Self {
            slices: slices.iter(),
            current: &[],
            gathered: [0; 2 * BLOCK_LENGTH],
            ready: 0..0,
            length: 0,
            padded: false,
        };
        input.prepare();
        input
    }

    /// The next blocks; empty only when the input is finished.
    fn run(&self) -> &[Block] {
        if self.ready.is_empty() {
            self.current.as_chunks().0
        } else {
            &self.gathered.as_chunks().0[self.ready.clone()]
        }
    }

    fn is_finished(&self) -> bool {
        self.padded && self.ready.is_empty()
    }

    /// Leaves the first `blocks` of the run behind.
    fn advance(&mut self, blocks: usize) {
        if self.ready.is_empty() {
            self.current = &self.current[blocks * BLOCK_LENGTH..];
        } else {
            self.ready.start += blocks;
        }
        if self.ready.is_empty() && self.current.len() < BLOCK_LENGTH && !self.padded {
            self.prepare();
        }
    }

    /// Makes the next run: a long one in a slice, else one block gathered from several, else the padded end.
    fn prepare(&mut self) {
        let mut filled = 0;
        while filled > 0 || self.current.len() < BLOCK_LENGTH {
            let taken = self.current.len().min(BLOCK_LENGTH - filled);
            let (head, rest) = self.current.split_at(taken);
            self.gathered[filled..filled + taken].copy_from_slice(head);
            self.current = rest;
            filled += taken;
            if filled == BLOCK_LENGTH {
                self.ready = 0..1;
                return;
            }
            match self.slices.next() {
                Some(slice) => {
                    self.current = slice;
                    self.length += slice.len() as u64;
                }
                None => return self.pad(filled),
            }
        }
    }

    /// Ends the message behind the `filled` bytes of its last block (FIPS 180-4, section 5.1.1).
    fn pad(&mut self, filled: usize) {
        let blocks = (filled + 1 + LENGTH_LENGTH).div_ceil(BLOCK_LENGTH);
        let (padding, length) = self.gathered[filled..blocks * BLOCK_LENGTH]
            .split_last_chunk_mut::<LENGTH_LENGTH>()
            .expect("the blocks were counted with room for the length");
        padding.fill(0);
        padding[0] = 0x80;
        *length = (self.length * 8).to_be_bytes();
        self.ready = 0..blocks;
        self.padded = true;
    }
}
