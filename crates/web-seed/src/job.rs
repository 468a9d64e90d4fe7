//! Blocks in a row that are fetched together: the requests that it takes, and the bytes until they are blocks.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use rarest_metainfo::{Block, FileIndex, Geometry, Info};

use crate::GetId;

/// Blocks in a row, and how far they are.
#[derive(Debug)]
pub(crate) struct Job {
    /// Those that have not come, in order.
    blocks: VecDeque<Block>,
    /// Those among them that are no longer wanted.
    cancelled: BTreeSet<Block>,
    steps: VecDeque<Step>,
    /// What has come of the first block.
    partial: BytesMut,
    pub(crate) phase: Phase,
    /// Where it ends in the piece space.
    end: u64,
}

/// Where bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Get { file: FileIndex, range: Range<u64> },
    Zeros(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is asked for yet.
    Between,
    /// The head of the answer has not come.
    Asked {
        get: GetId,
        file: FileIndex,
        range: Range<u64>,
    },
    /// The body is coming.
    Reading {
        get: GetId,
        file: FileIndex,
        /// Bytes in front that nobody asked for.
        skip: u64,
        /// The part of the file that is still to come.
        range: Range<u64>,
        ending: Ending,
    },
}

/// What comes behind the bytes that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The end.
    Exact,
    /// The rest of the file: it may be wanted as well.
    RestOfFile,
}

/// What has become of a block.
#[derive(Debug)]
pub(crate) enum Cut {
    Block(Block, Bytes),
    Cancelled(Block),
}

impl Job {
    /// `blocks` lie next to each other, and there is one.
    pub(crate) fn new(geometry: &Geometry, info: &Info, blocks: VecDeque<Block>) -> Self {
        let start = blocks
            .front()
            .map_or(0, |&block| geometry.range(block).start);
        let end = blocks.back().map_or(0, |&block| geometry.range(block).end);
        Self {
            blocks,
            cancelled: BTreeSet::new(),
            steps: steps(info, start..end),
            partial: BytesMut::new(),
            phase: Phase::Between,
            end,
        }
    }

    /// Cancels a block of the job; says whether it is one.
    pub(crate) fn cancel(&mut self, block: Block) -> bool {
        self.blocks.binary_search(&block).is_ok() && {
            self.cancelled.insert(block);
            true
        }
    }

    /// Whether nothing that is still to come is wanted.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.cancelled.len() == self.blocks.len()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Takes those that have not come.
    pub(crate) fn give_up(&mut self) -> VecDeque<Block> {
        std::mem::take(&mut self.blocks)
    }

    /// The request that it waits for.
    pub(crate) fn get(&self) -> Option<GetId> {
        match self.phase {
            Phase::Between => None,
            Phase::Asked { get, .. } | Phase::Reading { get, .. } => Some(get),
        }
    }

    /// What is to be done next. Zeros have been taken care of.
    pub(crate) fn next_step(&mut self, cut: &mut Vec<Cut>) -> Option<Step> {
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Zeros(count) => self.feed_zeros(count, cut),
                get @ Step::Get { .. } => return Some(get),
            }
        }
        None
    }

    /// Asks once more for what did not come of a range.
    pub(crate) fn push_front(&mut self, step: Step) {
        self.steps.push_front(step);
    }

    /// Blocks behind the last one come as well, though they were not asked for: those of the same file, which has so many bytes behind the last one.
    pub(crate) fn extend(&mut self, geometry: &Geometry, block: Block) {
        self.end = geometry.range(block).end;
        self.blocks.push_back(block);
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Whether all files of it are asked for.
    pub(crate) fn is_in_last_step(&self) -> bool {
        self.steps.is_empty()
    }

    /// Pieces of padding have no more than 16 KiB in a block, and blocks without any other byte are not asked for; so this is bounded by the job.
    fn feed_zeros(&mut self, mut count: u64, cut: &mut Vec<Cut>) {
        static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
        while count > 0 {
            let part = usize::try_from(count).map_or(ZEROS.len(), |count| count.min(ZEROS.len()));
            self.feed(Bytes::from_static(&ZEROS[..part]), cut);
            count -= part as u64;
        }
    }

    /// Cuts bytes that follow those before into blocks.
    pub(crate) fn feed(&mut self, mut data: Bytes, cut: &mut Vec<Cut>) {
        while !data.is_empty()
            && let Some(&block) = self.blocks.front()
        {
            let length = block.length() as usize;
            let whole = if self.partial.is_empty() && data.len() >= length {
                data.split_to(length)
            } else {
                if self.partial.is_empty() {
                    self.partial.reserve(length);
                }
                let missing = length - self.partial.len();
                let part = data.split_to(missing.min(data.len()));
                self.partial.extend_from_slice(&part);
                if self.partial.len() < length {
                    return;
                }
                self.partial.split().freeze()
            };
            self.blocks.pop_front();
            cut.push(match self.cancelled.remove(&block) {
                true => Cut::Cancelled(block),
                false => Cut::Block(block, whole),
            });
        }
    }
}

/// The parts of files in a part of the piece space, neighbours of one file joined.
fn steps(info: &Info, range: Range<u64>) -> VecDeque<Step> {
    let spans = info.spans(range).map(|span| match span.is_padding {
        true => Step::Zeros(span.length),
        false => Step::Get {
            file: span.file,
            range: span.offset..span.offset + span.length,
        },
    });
    spans.collect()
}
