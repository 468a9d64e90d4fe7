//! What a torrent is: its identity, its files and the geometry of its pieces.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bitfield;
mod geometry;
mod hash_types;
mod peer_id;

pub use bitfield::{Bitfield, BitfieldError};
pub use geometry::{
    BLOCK_LENGTH, Block, BlockRequest, Geometry, GeometryError, InvalidBlock, PieceIndex,
};
pub use hash_types::{InfoHash, InfoHashV1, InfoHashV2, InfoHashes};
pub use peer_id::PeerId;
