//! Whole pieces: hashed side by side, and written if they are right.

use std::sync::PoisonError;

use bytes::Bytes;
use rarest_hash::{Sha1Digest, sha1_many};
use rarest_metainfo::{BLOCK_LENGTH, PieceHash, PieceIndex, verify_pieces};

use super::{PieceStore, runs::Placed};
use crate::{Fault, Operation, Storage, StoreError};

/// All bytes of a piece, not verified yet.
#[derive(Clone, Debug)]
pub struct WholePiece {
    /// Which piece.
    pub piece: PieceIndex,
    /// Its bytes, in order and without gaps.
    pub parts: Vec<Part>,
    /// When to compute digests of the blocks.
    pub block_digests: BlockDigests,
}

/// A run of bytes of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// In memory.
    Memory(Bytes),
    /// Already written by [`PieceStore::spill`].
    Spilled {
        /// Length in bytes.
        length: u32,
    },
    /// Padding, which nobody sends: zeros (BEP 47).
    Padding {
        /// Length in bytes.
        length: u32,
    },
}

impl Part {
    /// Whether two neighbours were spilled, so that one read brings both back.
    fn are_read_together(&self, next: &Self) -> bool {
        matches!((self, next), (Self::Spilled { .. }, Self::Spilled { .. }))
    }

    /// Length in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            &Self::Spilled { length } | &Self::Padding { length } => length as usize,
        }
    }
}

/// When to compute the SHA-1 of each 16 KiB block of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockDigests {
    /// Only when the piece is corrupt, so that it can be told later who sent the wrong blocks.
    #[default]
    OfCorrupt,
    /// Also when it is right: an earlier attempt was corrupt, and its blocks are to be compared with these.
    Always,
}

/// A piece that had the right hash and was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Which piece.
    pub piece: PieceIndex,
    /// SHA-1 of each of its 16 KiB blocks in order, if that was asked for.
    pub block_digests: Option<Vec<Sha1Digest>>,
}

/// Why a piece was not completed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompleteError {
    /// The bytes have another hash. Nothing was written; what was spilled of the piece counts no more.
    #[error("the piece has another hash than it should")]
    Corrupt {
        /// SHA-1 of each 16 KiB block in order, to find out later who sent the wrong ones.
        block_digests: Vec<Sha1Digest>,
    },
    /// The storage failed; the piece is not verified, and its parts in memory are worth another attempt.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was spilled is gone: its blocks must be downloaded again. Those in memory are still good.
    #[error("spilled blocks are gone: {0}")]
    SpillLost(#[source] StoreError),
    /// The hash is not known yet: peers must send the piece layer of the file first (BEP 52).
    #[error("the hash of the piece is not known yet")]
    HashUnknown,
    /// The parts are not as long as the piece: a mistake of the caller.
    #[error("the parts have {actual} bytes, the piece has {expected}")]
    WrongLength {
        /// Length of all parts, in bytes.
        actual: usize,
        /// Length of the piece, in bytes.
        expected: usize,
    },
}

/// A piece of the batch with all its bytes in memory.
struct Gathered<'a> {
    whole: &'a WholePiece,
    hash: PieceHash,
    parts: Vec<Bytes>,
}

impl Gathered<'_> {
    fn slices(&self) -> Vec<&[u8]> {
        self.parts.iter().map(|part| &part[..]).collect()
    }
}

impl<S: Storage> PieceStore<S> {
    /// Verifies whole pieces, all side by side, and writes those that are right, neighbours in one call. What is right
    /// and written is verified from then on.
    ///
    /// Answers one result a piece, in the order of `pieces`. One thread hashes all of them: give several threads
    /// a few pieces each rather than one thread many.
    pub fn complete(&self, pieces: &[WholePiece]) -> Vec<Result<Verified, CompleteError>> {
        let _claim = self.claims.claim(pieces.iter().map(|whole| whole.piece));
        let writing = self.begin_writing();
        let gathered: Vec<_> = pieces.iter().map(|whole| self.gather(whole)).collect();
        let known: Vec<&Gathered<'_>> = gathered.iter().flatten().collect();
        let slices: Vec<_> = known.iter().map(|piece| piece.slices()).collect();
        let hashes = known.iter().map(|piece| piece.hash);
        let batch: Vec<_> = hashes.zip(slices.iter().map(Vec::as_slice)).collect();
        let mut good = verify_pieces(&batch).into_iter();

        let (mut placed, mut corrupt) = (Vec::new(), Vec::new());
        let mut results = Vec::with_capacity(pieces.len());
        for (owner, gathered) in gathered.iter().enumerate() {
            results.push(match gathered {
                Err(error) => Err(error.clone()),
                Ok(piece) if good.next() == Some(true) => {
                    self.place(piece, owner, &mut placed);
                    Ok(Verified {
                        piece: piece.whole.piece,
                        block_digests: (piece.whole.block_digests == BlockDigests::Always)
                            .then(|| block_digests(&piece.slices())),
                    })
                }
                Ok(piece) => {
                    corrupt.push(owner);
                    let block_digests = block_digests(&piece.slices());
                    Err(CompleteError::Corrupt { block_digests })
                }
            });
        }
        for (owner, error) in self.write_runs(placed) {
            self.lose_unnoticed(&error);
            results[owner] = Err(error.into());
        }
        self.note_written(results.iter().flatten().map(|verified| verified.piece));
        for verified in results.iter().flatten() {
            self.spilled().remove(&verified.piece);
            self.verified.insert(verified.piece);
        }
        drop(writing);
        for owner in corrupt {
            if let Err(lost) = self.confirm_spilled(&pieces[owner]) {
                results[owner] = Err(lost);
            }
            self.spilled().remove(&pieces[owner].piece);
        }
        results
    }

    /// What was spilled of a corrupt piece was read as it had been written, as far as the system tells.
    fn confirm_spilled(&self, whole: &WholePiece) -> Result<(), CompleteError> {
        let is_spilled = |part: &Part| matches!(part, Part::Spilled { .. });
        if !whole.parts.iter().any(is_spilled) {
            return Ok(());
        }
        // A sync under way may have dropped bytes before they were read, and takes the marks once nobody writes.
        let _no_sync = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut start = self.geometry.piece_offset(whole.piece);
        for part in &whole.parts {
            let length = part.length();
            if is_spilled(part) {
                self.refuse_unspilled(whole.piece, start, length)?;
            }
            start += length as u64;
        }
        Ok(())
    }

    /// Brings what was spilled of a piece back into memory.
    fn gather<'a>(&self, whole: &'a WholePiece) -> Result<Gathered<'a>, CompleteError> {
        let expected = self.geometry.piece_length(whole.piece) as usize;
        let actual = whole.parts.iter().map(Part::length).sum();
        if actual != expected {
            return Err(CompleteError::WrongLength { actual, expected });
        }
        let hash = self
            .metainfo()
            .piece_hash(whole.piece)
            .ok_or(CompleteError::HashUnknown)?;
        let mut start = self.geometry.piece_offset(whole.piece);
        let mut parts = Vec::with_capacity(whole.parts.len());
        for run in whole.parts.chunk_by(Part::are_read_together) {
            let length = run.iter().map(Part::length).sum();
            match &run[0] {
                Part::Memory(bytes) => parts.push(bytes.clone()),
                Part::Padding { .. } => parts.push(Bytes::from(vec![0; length])),
                Part::Spilled { .. } => {
                    let mut bytes = self.read_spilled(whole.piece, start, length)?;
                    parts.extend(run.iter().map(|part| bytes.split_to(part.length())));
                }
            }
            start += length as u64;
        }
        Ok(Gathered { whole, hash, parts })
    }

    /// Reads what was spilled back, in one go.
    fn read_spilled(
        &self,
        piece: PieceIndex,
        start: u64,
        length: usize,
    ) -> Result<Bytes, CompleteError> {
        self.refuse_unspilled(piece, start, length)?;
        let fill = |buffer: &mut [u8]| self.read_run(start, buffer);
        let bytes = self.read_buffers.filled(length, fill);
        bytes.map_err(|error| self.spill_error(piece, error))
    }

    /// What a failed sync took, or a check could not find, is not to be read as if it were there: the piece would be taken for corrupt.
    fn refuse_unspilled(
        &self,
        piece: PieceIndex,
        start: u64,
        length: usize,
    ) -> Result<(), CompleteError> {
        let begin = start - self.geometry.piece_offset(piece);
        let end = begin + length as u64;
        let block_length = u64::from(BLOCK_LENGTH);
        let mut blocks = begin / block_length..end.div_ceil(block_length);
        let spilled = self.spilled();
        let of_piece = spilled.get(&piece);
        let is_spilled = |block| {
            let block = u32::try_from(block).ok();
            block.is_some_and(|block| of_piece.is_some_and(|blocks| blocks.contains(&block)))
        };
        if blocks.all(is_spilled) {
            return Ok(());
        }
        let metainfo = self.metainfo();
        let name = metainfo.info().name();
        let error = StoreError::new(Operation::Read, name, Fault::Missing);
        Err(CompleteError::SpillLost(error))
    }

    fn spill_error(&self, piece: PieceIndex, error: StoreError) -> CompleteError {
        match error.remedy() {
            crate::Remedy::Recheck => {
                self.lose_unnoticed(&error);
                self.spilled().remove(&piece);
                CompleteError::SpillLost(error)
            }
            _ => CompleteError::Store(error),
        }
    }

    /// What of a piece is still to be written.
    fn place<'a>(&self, piece: &'a Gathered<'_>, owner: usize, placed: &mut Vec<Placed<'a>>) {
        let mut start = self.geometry.piece_offset(piece.whole.piece);
        for (part, bytes) in piece.whole.parts.iter().zip(&piece.parts) {
            // What is padding indeed is left out span by span. Where a caller errs, zeros that were hashed are written.
            if !matches!(part, Part::Spilled { .. }) && !bytes.is_empty() {
                placed.push(Placed {
                    start,
                    bytes,
                    owner,
                });
            }
            start += bytes.len() as u64;
        }
    }
}

/// SHA-1 of each 16 KiB of a piece.
fn block_digests(slices: &[&[u8]]) -> Vec<Sha1Digest> {
    let mut blocks: Vec<Vec<&[u8]>> = Vec::new();
    let mut room = 0;
    for &slice in slices {
        let mut rest = slice;
        while !rest.is_empty() {
            if room == 0 {
                blocks.push(Vec::with_capacity(1));
                room = BLOCK_LENGTH as usize;
            }
            let (head, tail) = rest.split_at(room.min(rest.len()));
            blocks.last_mut().expect("pushed above").push(head);
            room -= head.len();
            rest = tail;
        }
    }
    let messages: Vec<&[&[u8]]> = blocks.iter().map(Vec::as_slice).collect();
    sha1_many(&messages)
}
