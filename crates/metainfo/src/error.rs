//! Why bytes are no torrent, and what is odd about those that are.

use rarest_bencode::DecodeError;
use rarest_hash::Sha256Digest;

use crate::{GeometryError, InfoHashes};

/// Why bytes are no torrent that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetainfoError {
    /// The bytes are no bencode, or leave its limits.
    #[error("not a torrent: {0}")]
    Bencode(DecodeError),
    /// A value that must be there is missing.
    #[error("the torrent has no `{key}`")]
    Missing {
        /// Its key.
        key: &'static str,
    },
    /// A value is of a type or in a range that its key does not allow.
    #[error("`{key}` is not {expected}")]
    Invalid {
        /// Its key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A key is there twice, in the info dictionary or as `info` itself: two readers could see two torrents.
    #[error("a key that the info-hash depends on is there twice, the second at byte {offset}")]
    DuplicateKey {
        /// Where the second stands, in bytes.
        offset: usize,
    },
    /// The info dictionary of a v2 torrent is not canonical, which BEP 52 demands.
    #[error("the info dictionary of a v2 torrent must be canonical: {0}")]
    NotCanonical(rarest_bencode::Remark),
    /// A later version of the format.
    #[error("meta version {version} is not known")]
    UnknownMetaVersion {
        /// The version.
        version: i64,
    },
    /// The piece length cannot be handled: messages count the bytes of a piece in 32 bits.
    #[error("a piece length of {length} bytes is above the limit of {limit}", limit = u32::MAX)]
    PieceTooLong {
        /// The piece length, in bytes.
        length: u64,
    },
    /// The piece length of a v2 torrent is no power of two or below 16 KiB.
    #[error("a v2 piece length is a power of two of at least 16 KiB, not {length} bytes")]
    V2PieceLength {
        /// The piece length, in bytes.
        length: u32,
    },
    /// A file is longer than any file system we know can hold.
    #[error("a file of {length} bytes is above the limit of {limit}", limit = crate::MAX_FILE_LENGTH)]
    FileTooLong {
        /// Its length, in bytes.
        length: u64,
    },
    /// The torrent has no bytes, or too many pieces.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// `pieces` holds no whole number of SHA-1 digests.
    #[error("`pieces` has {length} bytes, no multiple of 20")]
    RaggedPieces {
        /// Its length, in bytes.
        length: usize,
    },
    /// `pieces` does not fit the files.
    #[error("`pieces` holds {actual} hashes, the files need {expected}")]
    WrongPieceCount {
        /// Hashes in `pieces`.
        actual: usize,
        /// Pieces of the files.
        expected: u32,
    },
    /// Together, the paths are longer than [`MAX_PATH_BYTES`](crate::MAX_PATH_BYTES).
    #[error("the paths of all files together have more than {limit} bytes", limit = crate::MAX_PATH_BYTES)]
    PathsTooLong,
    /// More names than [`MAX_COLLISIONS`](crate::MAX_COLLISIONS) are the same as others.
    #[error("more than {limit} files have the name of another", limit = crate::MAX_COLLISIONS)]
    TooManyCollisions,
    /// The paths name more folders than [`MAX_FOLDERS`](crate::MAX_FOLDERS).
    #[error("the files lie in more than {limit} folders", limit = crate::MAX_FOLDERS)]
    TooManyFolders,
    /// Something in the file tree of a v2 torrent that BEP 52 does not allow.
    #[error("the file tree is wrong: {0}")]
    FileTree(FileTreeError),
    /// The v1 and the v2 half of a hybrid torrent describe different files.
    #[error("the v1 and v2 parts of a hybrid torrent disagree: {0}")]
    HybridMismatch(HybridMismatch),
    /// Something in `piece layers` does not fit the files.
    #[error("the piece layers are wrong: {0}")]
    PieceLayer(PieceLayerError),
    /// The info dictionary is not the one that was asked for.
    #[error("the info dictionary has another hash than {}", expected.swarms().next().map(|hash| hash.to_string()).unwrap_or_default())]
    WrongInfoHash {
        /// The hashes that were asked for.
        expected: Box<InfoHashes>,
    },
}

// The messages above hold those of what they wrap, so that it is no `source` besides: chains would say all twice.
macro_rules! wraps {
    ($($variant:ident: $wrapped:ty;)*) => {$(
        impl From<$wrapped> for MetainfoError {
            fn from(error: $wrapped) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

wraps! {
    Bencode: DecodeError;
    FileTree: FileTreeError;
    HybridMismatch: HybridMismatch;
    PieceLayer: PieceLayerError;
}

/// What is wrong in the file tree of a v2 torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileTreeError {
    /// It has no file.
    #[error("it holds no file")]
    Empty,
    /// A node of the tree is no dictionary.
    #[error("a node is no dictionary")]
    NotADictionary,
    /// A node is a file and a folder at once, or the root is a file.
    #[error("a file stands where only a folder can")]
    FileBesideFolder,
    /// A name is `.` or `..`.
    #[error("a name leads to another folder")]
    Navigation,
    /// Padding, which v2 torrents have no need of.
    #[error("it holds a padding file")]
    Padding,
    /// A file that is not empty has no valid `pieces root`.
    #[error("a file has no pieces root of 32 bytes that are not all zero")]
    BadRoot,
    /// An empty file has a `pieces root`.
    #[error("an empty file has a pieces root")]
    RootOfNothing,
    /// A file has no length.
    #[error("a file has no length")]
    BadLength,
    /// A symlink points out of the torrent, or holds bytes.
    #[error("a symlink is not empty or points out of the torrent")]
    BadSymlink,
}

/// Where the two halves of a hybrid torrent disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HybridMismatch {
    /// One half has a file that the other has not.
    #[error("one has more files")]
    FileCount,
    /// The files in the same place have other names.
    #[error("file {file} has two names")]
    Name {
        /// Position among the files that are no padding.
        file: usize,
    },
    /// The files in the same place have other lengths.
    #[error("file {file} has two lengths")]
    Length {
        /// Position among the files that are no padding.
        file: usize,
    },
    /// One of the two is a symlink, or both are but with other targets.
    #[error("file {file} is a symlink in one only")]
    Symlink {
        /// Position among the files that are no padding.
        file: usize,
    },
    /// A file does not begin at the next piece: padding is missing, or there is too much.
    #[error("file {file} does not begin at the piece that follows the file before it")]
    Alignment {
        /// Position among the files that are no padding.
        file: usize,
    },
    /// The padding behind the last file does not end with the piece.
    #[error("the padding behind the last file does not end with its piece")]
    TailPadding,
}

/// What is wrong with a piece layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PieceLayerError {
    /// No file of more than one piece has this root.
    #[error("no file has the root {root}")]
    UnknownRoot {
        /// The root.
        root: Sha256Digest,
    },
    /// The layer does not have one hash a piece.
    #[error("the layer of {root} has {actual} bytes, its file needs {expected}")]
    WrongLength {
        /// The root.
        root: Sha256Digest,
        /// Bytes of the layer.
        actual: usize,
        /// 32 bytes for each piece of the file.
        expected: u64,
    },
    /// The hashes lead to another root.
    #[error("the layer of {root} does not hash to it")]
    WrongRoot {
        /// The root.
        root: Sha256Digest,
    },
}

/// What is odd about a torrent that was accepted all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Remark {
    /// The bencoding is not canonical; the info-hash is that of the bytes as they stand.
    #[error("the bencoding is not canonical; faults: {count}, first: {first}")]
    NotCanonical {
        /// The first departure.
        first: rarest_bencode::Remark,
        /// Number of departures.
        count: usize,
    },
    /// Bytes follow the torrent.
    #[error("{length} bytes follow the torrent")]
    TrailingBytes {
        /// How many.
        length: usize,
    },
    /// Both `length` and `files` are there; `files` counts.
    #[error("both `length` and `files` are there, `files` counts")]
    LengthAndFiles,
    /// A file tree without `meta version` 2, which does not count.
    #[error("a file tree without meta version 2 does not count")]
    FileTreeWithoutVersion,
    /// The torrent has no usable name; its info-hash stands for it.
    #[error("the name is empty, the info-hash stands for it")]
    NoName,
    /// Names of files had to be changed, to be safe on every platform or to be told apart.
    #[error("files whose paths are changed to be safe: {count}")]
    ChangedPaths {
        /// How many files.
        count: u32,
    },
    /// A symlink of a v1 torrent that points out of it is an empty file instead.
    #[error("symlink {file} points out of the torrent, an empty file stands for it")]
    SymlinkOutside {
        /// Position among the files.
        file: u32,
    },
    /// `private` is neither 0 nor 1; what is not 0 counts as private.
    #[error("`private` is neither 0 nor 1")]
    OddPrivate,
    /// A field is of another type than it should be, and was ignored.
    #[error("`{key}` is of a wrong type and ignored")]
    WrongType {
        /// Its key.
        key: &'static str,
    },
    /// `announce-list` holds URLs instead of lists of URLs; each is its own tier.
    #[error("`announce-list` is not a list of lists")]
    FlatAnnounceList,
    /// URLs that cannot be used were dropped.
    #[error("URLs of `{key}` that cannot be used: {count}")]
    DroppedUrls {
        /// Key that held them.
        key: &'static str,
        /// How many.
        count: u32,
    },
    /// Piece layers are missing; they can be asked of peers.
    #[error("missing piece layers: {count}")]
    MissingPieceLayers {
        /// How many. Files of the same content share one.
        count: u32,
    },
}
