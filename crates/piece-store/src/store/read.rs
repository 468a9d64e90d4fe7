//! Reading verified blocks for peers.

use std::io::IoSliceMut;

use bytes::Bytes;
use rarest_metainfo::{Block, FileIndex, PieceIndex};

use super::PieceStore;
use crate::{Storage, StoreError, TryRead};

/// Most bytes that are read at once. Blocks share the buffer they were read into, so one that stays in a send queue
/// keeps no more than this in memory.
pub const MAX_READ_LENGTH: usize = 1024 * 1024;

/// Why blocks were not read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A block is of a piece that is not verified, so nobody may see it.
    #[error("piece {piece} is not verified", piece = .piece.get())]
    NotVerified {
        /// The piece.
        piece: PieceIndex,
    },
    /// The storage failed.
    #[error("{error}")]
    Store {
        /// What it said.
        #[source]
        error: StoreError,
        /// The pieces that were verified before and are no longer, because their bytes are gone: peers should be told,
        /// and the pieces checked again.
        lost: Vec<PieceIndex>,
    },
}

/// Why a read ended early.
enum Stop<E> {
    /// Nobody may see the blocks.
    Refused(ReadError),
    /// The storage did not read.
    Failed(E),
}

impl<S: Storage> PieceStore<S> {
    /// Reads blocks of verified pieces and appends them to `out`, in the order of `blocks`.
    ///
    /// Blocks that lie side by side are read in one go, whatever their order, and share one buffer.
    ///
    /// # Errors
    /// [`ReadError`]; `out` is as it was.
    pub fn read(&self, blocks: &[Block], out: &mut Vec<Bytes>) -> Result<(), ReadError> {
        let read = |file, offset, buffers: &mut [IoSliceMut<'_>]| {
            self.storage.read_at(file, offset, buffers)
        };
        self.read_by(blocks, out, read).map_err(|stop| match stop {
            Stop::Refused(error) => error,
            Stop::Failed(error) => {
                let lost = self.lose_by(&error);
                ReadError::Store { error, lost }
            }
        })
    }

    /// The same, if all of it can be read without waiting for a device: for a thread that may not wait.
    ///
    /// # Errors
    /// [`ReadError::NotVerified`]. What the storage has to say is said when it is waited for.
    pub fn try_read(&self, blocks: &[Block], out: &mut Vec<Bytes>) -> Result<TryRead, ReadError> {
        let read = |file, offset, buffers: &mut [IoSliceMut<'_>]| match self
            .storage
            .try_read_at(file, offset, buffers)
        {
            TryRead::Done => Ok(()),
            TryRead::WouldWait => Err(()),
        };
        match self.read_by(blocks, out, read) {
            Ok(()) => Ok(TryRead::Done),
            Err(Stop::Failed(())) => Ok(TryRead::WouldWait),
            Err(Stop::Refused(error)) => Err(error),
        }
    }

    fn read_by<E>(
        &self,
        blocks: &[Block],
        out: &mut Vec<Bytes>,
        mut read: impl FnMut(FileIndex, u64, &mut [IoSliceMut<'_>]) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        self.refuse_unverified(blocks).map_err(Stop::Refused)?;
        let mut order: Vec<_> = (0..blocks.len()).collect();
        order.sort_by_key(|&index| self.geometry.range(blocks[index]).start);
        let mut data = vec![Bytes::new(); blocks.len()];
        let mut rest = &order[..];
        while let Some(&first) = rest.first() {
            let mut run = self.geometry.range(blocks[first]);
            let count = rest
                .iter()
                .take_while(|&&index| {
                    let block = self.geometry.range(blocks[index]);
                    let end = run.end.max(block.end);
                    let joins = block.start <= run.end && end - run.start <= MAX_READ_LENGTH as u64;
                    if joins {
                        run.end = end;
                    }
                    joins || index == first
                })
                .count();
            let length_of_run = length(run.end - run.start);
            let fill = |buffer: &mut [u8]| self.read_run_by(run.start, buffer, &mut read);
            let buffer = self.read_buffers.filled(length_of_run, fill);
            let buffer = buffer.map_err(Stop::Failed)?;
            let (in_run, others) = rest.split_at(count);
            for &index in in_run {
                let block = self.geometry.range(blocks[index]);
                data[index] =
                    buffer.slice(length(block.start - run.start)..length(block.end - run.start));
            }
            rest = others;
        }
        // A piece that was lost while it was read may have been overwritten under our hands.
        self.refuse_unverified(blocks).map_err(Stop::Refused)?;
        out.append(&mut data);
        Ok(())
    }

    fn refuse_unverified(&self, blocks: &[Block]) -> Result<(), ReadError> {
        let piece = blocks
            .iter()
            .map(|block| block.piece())
            .find(|&piece| !self.verified.contains(piece));
        piece.map_or(Ok(()), |piece| Err(ReadError::NotVerified { piece }))
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a run of blocks fits into memory")
}
