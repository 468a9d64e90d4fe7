//! What a torrent is: its identity, its files and the geometry of its pieces.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bitfield;
mod builder;
mod error;
mod files;
mod geometry;
mod hash_types;
mod host_addr;
mod info;
mod layers;
mod magnet;
pub mod merkle;
mod partial_layer;
mod path;
mod peer_id;
mod piece_hash;
mod piece_leaves;
mod reach;
mod torrent;
mod url_list;

pub use bitfield::{Bitfield, BitfieldError};
pub use builder::{BuildError, Builder, MAX_BUILD_PIECE_LENGTH, MAX_DEFAULT_PIECE_LENGTH};
#[cfg(feature = "create")]
pub use builder::{Oddity, Progress};
pub use error::{FileTreeError, HybridMismatch, MetainfoError, PieceLayerError, Remark};
pub use files::{File, FileIndex, FileKind, FileSpan, MAX_FILE_LENGTH, MAX_PATH_BYTES};
pub use geometry::{
    BLOCK_LENGTH, Block, BlockRequest, Geometry, GeometryError, InvalidBlock, PieceIndex,
};
pub use hash_types::{InfoHash, InfoHashV1, InfoHashV2, InfoHashes, InvalidInfoHash};
pub use host_addr::{HostAddr, InvalidHostAddr};
pub use info::{Info, Version};
pub use magnet::{MAX_MAGNET_LENGTH, MAX_MAGNET_PEERS, MAX_MAGNET_RANGES, Magnet, MagnetError};
pub use partial_layer::{PartialLayer, ProvenLayer};
pub use path::{MAX_COLLISIONS, MAX_COMPONENT_LENGTH, MAX_FOLDERS, safe_component};
pub use peer_id::PeerId;
pub use piece_hash::{PieceHash, SubtreeHash, pieces_side_by_side, verify_pieces};
pub use piece_leaves::PieceLeaves;
pub use rarest_hash::{Sha1Digest, Sha256Digest};
pub use reach::Reach;
pub use torrent::{DEFAULT_MAX_TORRENT_LENGTH, Metainfo, ParseOptions};
pub use url_list::{MAX_URL_LENGTH, MAX_URLS};
