//! Where each file goes in the piece space of a torrent to be, and which bytes each piece needs.

use std::ops::Range;

use super::{BuildError, MAX_FOLDER_DEPTH};
use crate::merkle;
use crate::path::is_navigation;
use crate::{Geometry, MetainfoError, PieceIndex, Version};

/// Bytes that are read and hashed together, where that is not less than as many pieces as are hashed side by side: they are still in the
/// cache when they are hashed.
const BATCH_BYTES: u64 = 4 * 1024 * 1024;

/// Most bytes of several pieces that are hashed together: every core holds as much.
const MAX_BATCH_BYTES: u64 = 32 * 1024 * 1024;

/// Most pieces hashed together; more gain nothing.
const MAX_BATCH_PIECES: u64 = 64;

/// A file or link inside of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Vec<String>,
    pub(super) length: u64,
    /// Of a symlink: what it points to, seen from the folder.
    pub(super) target: Option<Vec<String>>,
}

/// What is to be shared.
pub(super) enum Content {
    File {
        length: u64,
    },
    /// By rising path.
    Folder(Vec<Entry>),
}

impl Content {
    pub(super) fn total_length(&self) -> u64 {
        match self {
            Self::File { length } => *length,
            Self::Folder(entries) => entries.iter().map(|entry| entry.length).sum(),
        }
    }
}

/// Number of pieces of that length that are read and hashed together.
fn pieces_per_batch(piece_length: u32, side_by_side: usize) -> u32 {
    let piece_length = u64::from(piece_length);
    let pieces = (BATCH_BYTES / piece_length)
        .max(side_by_side as u64)
        .min(MAX_BATCH_BYTES / piece_length);
    u32::try_from(pieces.clamp(1, MAX_BATCH_PIECES)).expect("clamped")
}

/// A path with `/` as its components.
pub(super) fn components(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

/// The layout of a torrent to be.
pub(super) struct Plan {
    pub(super) name: String,
    /// Whether the files lie in a folder.
    pub(super) is_folder: bool,
    pub(super) entries: Vec<Entry>,
    /// Where each entry begins in the piece space.
    offsets: Vec<u64>,
    last_with_bytes: usize,
    pub(super) geometry: Geometry,
}

/// A piece with its bytes.
#[derive(Default)]
pub(super) struct PieceData {
    /// The bytes of files, and behind them the padding.
    pub(super) bytes: Vec<u8>,
    /// How many of them are of files: those that v2 hashes cover.
    pub(super) data_length: usize,
    /// Height of the piece in the merkle tree of its file.
    pub(super) height: u32,
}

impl Plan {
    pub(super) fn new(
        version: Version,
        name: &str,
        content: Content,
        piece_length: u32,
    ) -> Result<Self, BuildError> {
        check_component(name, name)?;
        let (is_folder, entries) = match content {
            Content::File { length } => (
                false,
                vec![Entry {
                    path: vec![name.to_owned()],
                    length,
                    target: None,
                }],
            ),
            Content::Folder(entries) => (true, entries),
        };
        check_paths(&entries)?;
        let aligned = version != Version::V1;
        let mut offsets = Vec::with_capacity(entries.len());
        let mut next = 0u64;
        let mut end_of_data = 0;
        let mut last_with_bytes = 0;
        for (index, entry) in entries.iter().enumerate() {
            if aligned {
                next = next.next_multiple_of(piece_length.into());
            }
            offsets.push(next);
            next += entry.length;
            if entry.length > 0 {
                end_of_data = next;
                last_with_bytes = index;
            }
        }
        let geometry = match version {
            Version::V2 => {
                Geometry::aligned(entries.iter().map(|entry| entry.length), piece_length)
            }
            Version::V1 | Version::Hybrid => Geometry::contiguous(end_of_data, piece_length),
        };
        let geometry = geometry.map_err(MetainfoError::from)?;
        Ok(Self {
            name: name.to_owned(),
            is_folder,
            entries,
            offsets,
            last_with_bytes,
            geometry,
        })
    }

    /// Zeros between the end of an entry and the beginning of the next one that has bytes; none behind the last.
    pub(super) fn padding_after(&self, entry: usize) -> u64 {
        if self.entries[entry].length == 0 || entry == self.last_with_bytes {
            return 0;
        }
        self.offsets[entry + 1] - (self.offsets[entry] + self.entries[entry].length)
    }

    /// The pieces of an entry.
    pub(super) fn pieces_of(&self, entry: usize) -> Range<usize> {
        let piece_length = u64::from(self.geometry.nominal_piece_length());
        let start = self.offsets[entry] / piece_length;
        let count = self.entries[entry].length.div_ceil(piece_length);
        let narrow =
            |index| usize::try_from(index).expect("a geometry has at most MAX_PIECES pieces");
        narrow(start)..narrow(start + count)
    }

    /// Runs of pieces to read and hash together, in order, of which so many are hashed side by side.
    pub(super) fn batches(&self, side_by_side: usize) -> impl Iterator<Item = Range<u32>> + use<> {
        let count = self.geometry.piece_count();
        let step = pieces_per_batch(self.geometry.nominal_piece_length(), side_by_side);
        (0..count)
            .step_by(step as usize)
            .map(move |first| first..count.min(first + step))
    }

    /// The pieces of a batch with their bytes, which `read` fills in: given the entry, the offset in it and the buffer.
    ///
    /// They are put into `pieces`, whose buffers are used again: fresh memory costs as much as hashing.
    pub(super) fn read_batch<E>(
        &self,
        batch: Range<u32>,
        pieces: &mut Vec<PieceData>,
        mut read: impl FnMut(usize, u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        pieces.resize_with(batch.len(), PieceData::default);
        batch
            .zip(pieces)
            .try_for_each(|(index, data)| self.read_piece(PieceIndex::new(index), data, &mut read))
    }

    fn read_piece<E>(
        &self,
        piece: PieceIndex,
        data: &mut PieceData,
        read: &mut impl FnMut(usize, u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.geometry.piece_offset(piece);
        let length = self.geometry.piece_length(piece);
        let end = start + u64::from(length);
        data.bytes.resize(length as usize, 0);
        (data.data_length, data.height) = (0, 0);
        // The last entry that begins at or before the piece; of several that begin there, all but the last are empty.
        let first = self.offsets.partition_point(|&offset| offset <= start) - 1;
        for (entry, &offset) in self
            .offsets
            .iter()
            .enumerate()
            .skip(first)
            .take_while(|&(_, &offset)| offset < end)
        {
            let entry_length = self.entries[entry].length;
            let from = start.max(offset);
            let to = end.min(offset + entry_length);
            if from >= to {
                continue;
            }
            let place = |position: u64| usize::try_from(position - start).expect("inside a piece");
            let buffer = &mut data.bytes[place(from)..place(to)];
            read(entry, from - offset, buffer)?;
            data.data_length = place(to);
            data.height =
                merkle::height(entry_length.min(self.geometry.nominal_piece_length().into()));
        }
        // Files without padding between them lie side by side, so what is left of the earlier content is at the end.
        data.bytes[data.data_length..].fill(0);
        Ok(())
    }
}

/// `path` is what an error names.
fn check_component(component: &str, path: &str) -> Result<(), BuildError> {
    if is_navigation(component.as_bytes()) || component.contains(['/', '\0']) {
        return Err(BuildError::Path {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// The paths are sorted, so that a repeat, or a file that is also a folder, stands right before what it clashes with.
fn check_paths(entries: &[Entry]) -> Result<(), BuildError> {
    for (index, entry) in entries.iter().enumerate() {
        let path = entry.path.join("/");
        for component in &entry.path {
            check_component(component, &path)?;
        }
        if entry.path.len() > MAX_FOLDER_DEPTH {
            return Err(BuildError::TooDeep { path });
        }
        let before = index.checked_sub(1).map(|before| &entries[before].path);
        if before.is_some_and(|before| entry.path.starts_with(before)) {
            return Err(BuildError::DuplicatePath { path });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 1024;
    const MIB: u32 = 1024 * KIB;

    #[test]
    fn a_batch_has_as_many_pieces_as_are_hashed_side_by_side_but_no_more_than_memory_allows() {
        assert_eq!(pieces_per_batch(16 * KIB, 8), 64);
        assert_eq!(pieces_per_batch(256 * KIB, 8), 16);
        assert_eq!(pieces_per_batch(MIB, 8), 8);
        assert_eq!(pieces_per_batch(MIB, 1), 4);
        assert_eq!(pieces_per_batch(8 * MIB, 8), 4);
        assert_eq!(pieces_per_batch(256 * MIB, 8), 1);
    }
}
