//! Every bound on what a web server can make us hold or do, with its reason.

use std::time::Duration;

/// Requests to one server at a time: while one ends another is under way, and a server far away is not bound by one connection's window.
pub const MAX_REQUESTS: usize = 4;

/// Bytes of the torrent that one request asks for at most. Long enough that the request costs nothing beside it, short enough that
/// little is lost when it breaks.
pub const MAX_RUN_LENGTH: u64 = 8 * 1024 * 1024;

/// Bytes in a row that must wait before another request is made beside one that is under way: a few blocks are better joined
/// with those that come next.
pub const MIN_RUN_BESIDE: u64 = 1024 * 1024;

/// An answer that is cut below so many bytes is a scrap. Servers may cut long ranges, some of them at boundaries of their own.
pub const MIN_PART: u64 = 16 * 1024;

/// Scraps in a row until a server is given up: one that gives a byte at a time would be asked without end.
pub const MAX_SCRAPS: usize = 4;

/// Bytes of a file that are read for nothing on the way to those that are wanted, when a server cannot begin in the middle.
pub const MAX_SKIPPED: u64 = 16 * 1024 * 1024;

/// Files in a row that a server may lack until it is taken for one that has nothing of the torrent.
pub const MAX_LACKING: usize = 16;

/// Longest wait that a server may ask for with `Retry-After`; a longer one is cut to this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// Longest value of a header that is looked at, in bytes.
pub const MAX_HEADER_LENGTH: usize = 256;

/// Longest URL of a web seed, in bytes, as in torrents.
pub const MAX_URL_LENGTH: usize = rarest_metainfo::MAX_URL_LENGTH;
