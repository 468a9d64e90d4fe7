//! The piece space of a torrent: which pieces and blocks exist, and how long each is.
//!
//! The space counts bytes from the first byte of the first piece. Piece `i` begins at
//! `i * piece_length`. In v1 and hybrid torrents only the last piece may be shorter; in v2-only
//! torrents every file begins a piece (BEP 52), so the last piece of every file may be.

use std::ops::Range;

/// Length of the blocks that are asked of peers: 16 KiB (BEP 3; every client drops longer ones).
pub const BLOCK_LENGTH: u32 = 16 * 1024;

/// A piece that exists: made only by [`Geometry`] and by iterating a [`Bitfield`](crate::Bitfield).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(u32);

impl PieceIndex {
    pub(crate) fn new(index: u32) -> Self {
        Self(index)
    }

    /// The number of the piece, as it stands in messages.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number of the piece, to index a slice that has one entry a piece.
    #[must_use]
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// A range of bytes inside a piece as somebody named it: not believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRequest {
    /// Number of the piece.
    pub piece: u32,
    /// First byte, counted from the beginning of the piece.
    pub offset: u32,
    /// Length in bytes.
    pub length: u32,
}

/// A range of bytes that lies inside a piece that exists, and is not empty. Only [`Geometry`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    piece: PieceIndex,
    offset: u32,
    length: u32,
}

impl Block {
    /// The piece that holds the block.
    #[must_use]
    pub fn piece(self) -> PieceIndex {
        self.piece
    }

    /// First byte, counted from the beginning of the piece.
    #[must_use]
    pub fn offset(self) -> u32 {
        self.offset
    }

    /// Length in bytes, at least 1.
    #[must_use]
    pub fn length(self) -> u32 {
        self.length
    }

    /// Position among the 16 KiB blocks of its piece.
    #[must_use]
    pub fn index_in_piece(self) -> u32 {
        self.offset / BLOCK_LENGTH
    }
}

impl From<Block> for BlockRequest {
    fn from(block: Block) -> Self {
        Self {
            piece: block.piece.0,
            offset: block.offset,
            length: block.length,
        }
    }
}

/// Why a [`BlockRequest`] names no block of this torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBlock {
    /// There is no such piece.
    #[error("piece {piece} does not exist, there are {count}")]
    NoSuchPiece {
        /// The piece that was named.
        piece: u32,
        /// Number of pieces of the torrent.
        count: u32,
    },
    /// The range is empty or leaves the piece.
    #[error(
        "{length} bytes at {offset} do not lie in piece {piece}, which has {piece_length} bytes"
    )]
    OutsidePiece {
        /// The piece that was named.
        piece: u32,
        /// The offset that was named.
        offset: u32,
        /// The length that was named.
        length: u32,
        /// Length of that piece.
        piece_length: u32,
    },
}

/// Why no geometry has these measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// The torrent holds no bytes.
    #[error("a torrent of no bytes has no pieces")]
    Empty,
    /// The piece length is zero.
    #[error("the piece length is zero")]
    ZeroPieceLength,
    /// There would be more pieces than [`Geometry::MAX_PIECES`].
    #[error("{count} pieces are more than the limit of {limit}", limit = Geometry::MAX_PIECES)]
    TooManyPieces {
        /// The number of pieces there would be.
        count: u64,
    },
}

/// The piece space of one torrent. Cheap to share behind an `Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    piece_length: u32,
    piece_count: u32,
    /// The pieces that are shorter than `piece_length`, by rising index.
    short: Box<[(u32, u32)]>,
    /// Ranges of the space that are zeros by definition (BEP 47), by rising start, disjoint.
    padding: Box<[Range<u64>]>,
}

impl Geometry {
    /// Most pieces a torrent may have. A bitfield of it has 256 KiB, and 2 million pieces of 16 MiB hold 32 TiB.
    pub const MAX_PIECES: u32 = 2_097_152;

    /// A space without pieces: all that is known of a torrent before its metadata is there (BEP 9).
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            piece_length: BLOCK_LENGTH,
            piece_count: 0,
            short: Box::default(),
            padding: Box::default(),
        }
    }

    /// One run of `total_length` bytes cut into pieces of `piece_length`: v1 and hybrid torrents, padding included.
    ///
    /// # Errors
    /// [`GeometryError`] when either is zero or there are too many pieces.
    pub fn contiguous(total_length: u64, piece_length: u32) -> Result<Self, GeometryError> {
        Self::aligned([total_length], piece_length)
    }

    /// Files that each begin a piece, in order, with their lengths in bytes: v2-only torrents. Empty files take no piece.
    ///
    /// # Errors
    /// [`GeometryError`] when all files are empty, the piece length is zero or there are too many pieces.
    #[expect(
        clippy::missing_panics_doc,
        reason = "what is left over by a division by a u32 fits one"
    )]
    pub fn aligned(
        file_lengths: impl IntoIterator<Item = u64>,
        piece_length: u32,
    ) -> Result<Self, GeometryError> {
        if piece_length == 0 {
            return Err(GeometryError::ZeroPieceLength);
        }
        let mut piece_count = 0u32;
        let mut short = Vec::new();
        for length in file_lengths {
            let count = u64::from(piece_count).saturating_add(length.div_ceil(piece_length.into()));
            piece_count = u32::try_from(count)
                .ok()
                .filter(|&count| count <= Self::MAX_PIECES)
                .ok_or(GeometryError::TooManyPieces { count })?;
            let rest = u32::try_from(length % u64::from(piece_length)).expect("less than a u32");
            if rest != 0 {
                short.push((piece_count - 1, rest));
            }
        }
        if piece_count == 0 {
            return Err(GeometryError::Empty);
        }
        Ok(Self {
            piece_length,
            piece_count,
            short: short.into(),
            padding: Box::default(),
        })
    }

    /// The same space, in which `padding` holds zeros that are not asked of peers (BEP 47).
    ///
    /// The ranges are offsets in the piece space; they need no order. Empty ones are left out.
    #[must_use]
    pub fn with_padding(mut self, padding: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut sorted: Vec<_> = padding
            .into_iter()
            .filter(|range| !range.is_empty())
            .collect();
        sorted.sort_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        self.padding = joined.into();
        self
    }

    /// Number of pieces, at least 1.
    #[must_use]
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Length in bytes of every piece that is not cut short.
    #[must_use]
    pub fn nominal_piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Length of one piece in bytes, at least 1.
    #[must_use]
    pub fn piece_length(&self, piece: PieceIndex) -> u32 {
        match self
            .short
            .binary_search_by_key(&piece.0, |&(index, _)| index)
        {
            Ok(found) => self.short[found].1,
            Err(_) => self.piece_length,
        }
    }

    /// The piece of that number, if there is one.
    #[must_use]
    pub fn piece(&self, index: u32) -> Option<PieceIndex> {
        (index < self.piece_count).then_some(PieceIndex(index))
    }

    /// All pieces by rising index.
    pub fn pieces(
        &self,
    ) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator + use<> {
        (0..self.piece_count).map(PieceIndex)
    }

    /// The sum of the lengths of all pieces, in bytes.
    #[must_use]
    pub fn total_length(&self) -> u64 {
        let cut: u64 = self
            .short
            .iter()
            .map(|&(_, length)| u64::from(self.piece_length - length))
            .sum();
        u64::from(self.piece_count) * u64::from(self.piece_length) - cut
    }

    /// Where the piece begins in the piece space, in bytes.
    #[must_use]
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// Believes `request`, if it lies inside a piece.
    ///
    /// # Errors
    /// [`InvalidBlock`] when there is no such piece, or the range is empty or leaves it.
    pub fn block(&self, request: BlockRequest) -> Result<Block, InvalidBlock> {
        let BlockRequest {
            piece,
            offset,
            length,
        } = request;
        let index = self.piece(piece).ok_or(InvalidBlock::NoSuchPiece {
            piece,
            count: self.piece_count,
        })?;
        let piece_length = self.piece_length(index);
        let inside = offset
            .checked_add(length)
            .is_some_and(|end| end <= piece_length);
        if length == 0 || !inside {
            return Err(InvalidBlock::OutsidePiece {
                piece,
                offset,
                length,
                piece_length,
            });
        }
        Ok(Block {
            piece: index,
            offset,
            length,
        })
    }

    /// Believes the part of `request` that exists, if it reaches beyond the end of a short piece, but not beyond the 16 KiB
    /// block that holds this end. What is missing are zeros: those that fill the file up to a whole piece (BEP 47, 52).
    #[must_use]
    pub fn block_before_padding(&self, request: BlockRequest) -> Option<Block> {
        let piece = self.piece(request.piece)?;
        let piece_length = self.piece_length(piece);
        let end = request.offset.checked_add(request.length)?;
        let padded = piece_length.checked_next_multiple_of(BLOCK_LENGTH)?;
        let is_over_the_end = request.offset < piece_length && piece_length < end;
        let is_padded = end <= padded && end <= self.piece_length;
        (is_over_the_end && is_padded).then(|| Block {
            piece,
            offset: request.offset,
            length: piece_length - request.offset,
        })
    }

    /// Number of 16 KiB blocks in a piece, the last of which may be shorter.
    #[must_use]
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.piece_length(piece).div_ceil(BLOCK_LENGTH)
    }

    /// The blocks of a piece in order: 16 KiB each, the last one what is left.
    pub fn blocks(
        &self,
        piece: PieceIndex,
    ) -> impl DoubleEndedIterator<Item = Block> + ExactSizeIterator + use<> {
        let piece_length = self.piece_length(piece);
        (0..piece_length.div_ceil(BLOCK_LENGTH)).map(move |index| {
            let offset = index * BLOCK_LENGTH;
            Block {
                piece,
                offset,
                length: BLOCK_LENGTH.min(piece_length - offset),
            }
        })
    }

    /// The `index`th 16 KiB block of a piece, if it has that many.
    #[must_use]
    pub fn block_at(&self, piece: PieceIndex, index: u32) -> Option<Block> {
        let piece_length = self.piece_length(piece);
        let offset = index
            .checked_mul(BLOCK_LENGTH)
            .filter(|&offset| offset < piece_length)?;
        Some(Block {
            piece,
            offset,
            length: BLOCK_LENGTH.min(piece_length - offset),
        })
    }

    /// Where the block lies in the piece space, in bytes.
    #[must_use]
    pub fn range(&self, block: Block) -> Range<u64> {
        let start = self.piece_offset(block.piece) + u64::from(block.offset);
        start..start + u64::from(block.length)
    }

    /// Whether the whole block is padding: zeros that are known without asking (BEP 47).
    #[must_use]
    pub fn is_padding(&self, block: Block) -> bool {
        let range = self.range(block);
        let after = self
            .padding
            .partition_point(|padding| padding.start <= range.start);
        after
            .checked_sub(1)
            .is_some_and(|found| range.end <= self.padding[found].end)
    }

    pub(crate) fn memory_used(&self) -> usize {
        size_of_val(self) + size_of_val(&*self.short) + size_of_val(&*self.padding)
    }
}
