//! Ranges of the piece space, read from and written to the files they lie in.

use std::{
    io::{IoSlice, IoSliceMut},
    ops::Range,
};

use rarest_metainfo::FileIndex;

use super::PieceStore;
use crate::{Storage, StoreError};

/// Bytes and where they go, on behalf of one entry of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    /// Where they begin in the piece space.
    pub(super) start: u64,
    pub(super) bytes: &'a [u8],
    /// Whom an error concerns.
    pub(super) owner: usize,
}

impl Placed<'_> {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl<S: Storage> PieceStore<S> {
    /// Fills `buffer` from `start` in the piece space on. Padding is zeros.
    pub(super) fn read_run(&self, start: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.read_run_by(start, buffer, |file, offset, buffers| {
            self.storage.read_at(file, offset, buffers)
        })
    }

    /// The same with another way to read from a file.
    pub(super) fn read_run_by<E>(
        &self,
        start: u64,
        buffer: &mut [u8],
        mut read: impl FnMut(FileIndex, u64, &mut [IoSliceMut<'_>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let metainfo = self.metainfo();
        let mut rest = buffer;
        for span in metainfo.info().spans(start..start + rest.len() as u64) {
            let length = usize::try_from(span.length).expect("no longer than the buffer");
            let (head, tail) = rest.split_at_mut(length);
            rest = tail;
            if span.is_padding {
                head.fill(0);
            } else {
                let mut slices = [IoSliceMut::new(head)];
                read(span.file, span.offset, &mut slices)?;
            }
        }
        Ok(())
    }

    /// Writes all of `placed`: what lies side by side in a file goes there in one call. Returns what failed, by owner.
    pub(super) fn write_runs(&self, mut placed: Vec<Placed<'_>>) -> Vec<(usize, StoreError)> {
        placed.sort_unstable_by_key(|placed| placed.start);
        let mut failed = Vec::new();
        for run in placed.chunk_by(|left, right| left.end() == right.start) {
            self.write_run(run, &mut failed);
        }
        failed
    }

    fn write_run(&self, run: &[Placed<'_>], failed: &mut Vec<(usize, StoreError)>) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return;
        };
        let metainfo = self.metainfo();
        for span in metainfo.info().spans(first.start..last.end()) {
            if span.is_padding {
                continue;
            }
            let file = metainfo.info().file(span.file);
            let start = file.offset() + span.offset;
            let range = start..start + span.length;
            let inside = parts_in(run, &range);
            let mut slices: Vec<IoSlice<'_>> = inside
                .iter()
                .map(|placed| IoSlice::new(cut(placed, &range)))
                .collect();
            self.forget_stamp(span.file);
            if let Err(error) = self.storage.write_at(span.file, span.offset, &mut slices) {
                let mut owners: Vec<_> = inside.iter().map(|placed| placed.owner).collect();
                owners.dedup();
                failed.extend(owners.into_iter().map(|owner| (owner, error.clone())));
            }
        }
    }
}

/// The parts of a run, which has no gaps, that have bytes in a range.
fn parts_in<'a, 'b>(run: &'a [Placed<'b>], range: &Range<u64>) -> &'a [Placed<'b>] {
    let first = run.partition_point(|placed| placed.end() <= range.start);
    let end = run.partition_point(|placed| placed.start < range.end);
    &run[first..end]
}

/// The bytes of a part that lie in a range.
fn cut<'a>(placed: &Placed<'a>, range: &Range<u64>) -> &'a [u8] {
    let within = |offset: u64| {
        let offset = offset.clamp(placed.start, placed.end()) - placed.start;
        usize::try_from(offset).expect("no longer than the part")
    };
    &placed.bytes[within(range.start)..within(range.end)]
}
