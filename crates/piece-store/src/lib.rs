//! Where the bytes of a torrent live: files or memory, verified piece by piece, resumed after any stop.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod files;
mod memory;
mod read_buffers;
mod resume;
mod storage;
mod store;

pub use error::{Fault, Operation, Remedy, StoreError};
pub use files::{Allocation, DEFAULT_OPEN_FILES, FileStorage, OpenFiles};
pub use memory::MemoryStorage;
pub use read_buffers::ReadBuffers;
pub use resume::{LoadError, MAX_RESUME_LENGTH, Resume, ResumeError, Totals, replace_file};
pub use storage::{Presence, Stamp, Storage, TryRead};
pub use store::{
    BlockDigests, Check, CheckEnd, Checked, CompleteError, HashesError, MAX_HASHED_PIECE_LENGTH,
    MAX_KEPT_TREES, MAX_READ_LENGTH, Part, PieceStore, Progress, ReadError, Restored, SyncError,
    Verified, WholePiece, WholeTorrent,
};
