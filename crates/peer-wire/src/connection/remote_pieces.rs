//! What the peer has: said once after the handshake, then piece by piece.

use bytes::Bytes;
use rarest_metainfo::{Bitfield, Geometry, PieceIndex};

use super::ProtocolViolation;

/// What a peer says of its pieces right after the handshake.
#[derive(Debug)]
pub(super) enum FirstWord {
    Bitfield(Bytes),
    All,
    None,
}

#[derive(Debug)]
pub(super) enum RemotePieces {
    /// Nothing was said yet.
    Silent,
    /// Something was said that cannot be judged before the metadata is known.
    Unchecked(Unchecked),
    /// What the torrent was told.
    Known(Bitfield),
}

#[derive(Debug)]
pub(super) struct Unchecked {
    first_word: FirstWord,
    /// Bits of the `have` messages, no more than of a torrent with the most pieces.
    haves: Vec<u8>,
}

impl RemotePieces {
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Silent)
    }

    pub(super) fn has(&self, piece: PieceIndex) -> bool {
        matches!(self, Self::Known(pieces) if pieces.contains(piece))
    }

    pub(super) fn has_all(&self) -> bool {
        matches!(self, Self::Known(pieces) if pieces.is_full())
    }

    /// Takes the first word; returns the pieces when the geometry is known.
    pub(super) fn begin(
        &mut self,
        first_word: FirstWord,
        geometry: Option<&Geometry>,
    ) -> Result<Option<Bitfield>, ProtocolViolation> {
        let Some(geometry) = geometry else {
            *self = Self::Unchecked(Unchecked::new(first_word));
            return Ok(None);
        };
        Ok(Some(self.know(first_word.into_pieces(geometry)?)))
    }

    /// Takes the same once more, later; returns the pieces that are news to the torrent.
    pub(super) fn extend(
        &mut self,
        word: FirstWord,
        geometry: Option<&Geometry>,
    ) -> Result<Vec<PieceIndex>, ProtocolViolation> {
        match (self, geometry) {
            (Self::Known(pieces), Some(geometry)) => {
                let said = word.into_pieces(geometry)?;
                Ok(said.iter().filter(|piece| pieces.insert(*piece)).collect())
            }
            (Self::Unchecked(unchecked), _) => {
                unchecked.first_word = Unchecked::new(word).first_word;
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Judges what was said before the metadata was known; returns the pieces if anything was.
    pub(super) fn resolve(
        &mut self,
        geometry: &Geometry,
    ) -> Result<Option<Bitfield>, ProtocolViolation> {
        let Self::Unchecked(unchecked) = std::mem::replace(self, Self::Silent) else {
            return Ok(None);
        };
        Ok(Some(self.know(unchecked.into_pieces(geometry)?)))
    }

    fn know(&mut self, pieces: Bitfield) -> Bitfield {
        *self = Self::Known(pieces.clone());
        pieces
    }

    /// The peer has one more piece; returns it when that is news to the torrent.
    pub(super) fn insert(
        &mut self,
        piece: u32,
        geometry: Option<&Geometry>,
    ) -> Result<Option<PieceIndex>, ProtocolViolation> {
        match (self, geometry) {
            (Self::Known(pieces), Some(geometry)) => {
                let piece = known_piece(piece, geometry)?;
                Ok(pieces.insert(piece).then_some(piece))
            }
            (Self::Unchecked(unchecked), _) => unchecked.insert(piece).map(|()| None),
            _ => Ok(None),
        }
    }

    /// The peer lost a piece; returns it when that is news to the torrent.
    pub(super) fn remove(
        &mut self,
        piece: u32,
        geometry: Option<&Geometry>,
    ) -> Result<Option<PieceIndex>, ProtocolViolation> {
        match (self, geometry) {
            (Self::Known(pieces), Some(geometry)) => {
                let piece = known_piece(piece, geometry)?;
                Ok(pieces.remove(piece).then_some(piece))
            }
            // Believing that it still has the piece costs a request that it rejects.
            _ => Ok(None),
        }
    }
}

impl Unchecked {
    fn new(first_word: FirstWord) -> Self {
        let first_word = match first_word {
            // A slice would keep the whole read buffer alive until the metadata is there.
            FirstWord::Bitfield(bytes) => FirstWord::Bitfield(Bytes::copy_from_slice(&bytes)),
            other => other,
        };
        Self {
            first_word,
            haves: Vec::new(),
        }
    }

    fn insert(&mut self, piece: u32) -> Result<(), ProtocolViolation> {
        if piece >= Geometry::MAX_PIECES {
            return Err(ProtocolViolation::NoSuchPiece {
                piece,
                count: Geometry::MAX_PIECES,
            });
        }
        let byte = (piece / 8) as usize;
        if self.haves.len() <= byte {
            self.haves.resize(byte + 1, 0);
        }
        self.haves[byte] |= 0x80 >> (piece % 8);
        Ok(())
    }

    fn into_pieces(self, geometry: &Geometry) -> Result<Bitfield, ProtocolViolation> {
        let mut pieces = self.first_word.into_pieces(geometry)?;
        for (byte, bits) in (0u32..).zip(self.haves) {
            for bit in (0..8).filter(|bit| bits & (0x80 >> bit) != 0) {
                pieces.insert(known_piece(byte * 8 + bit, geometry)?);
            }
        }
        Ok(pieces)
    }
}

impl FirstWord {
    fn into_pieces(self, geometry: &Geometry) -> Result<Bitfield, ProtocolViolation> {
        Ok(match self {
            Self::Bitfield(bytes) => Bitfield::from_bytes(&bytes, geometry)?,
            Self::All => Bitfield::full(geometry),
            Self::None => Bitfield::empty(geometry),
        })
    }
}

/// The piece of that number, or the fault of a peer that names one that is not there.
pub(super) fn known_piece(
    piece: u32,
    geometry: &Geometry,
) -> Result<PieceIndex, ProtocolViolation> {
    geometry.piece(piece).ok_or(ProtocolViolation::NoSuchPiece {
        piece,
        count: geometry.piece_count(),
    })
}
