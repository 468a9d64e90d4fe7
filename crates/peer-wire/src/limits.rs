//! Every bound on what a peer can make us hold, do or wait for, with its reason.

use std::time::Duration;

use rarest_metainfo::Geometry;

/// Longest block that is decoded or served, in bytes.
///
/// Clients ask for 16 KiB; longer requests only let one peer hold more of our memory.
pub const MAX_BLOCK_LENGTH: u32 = 128 * 1024;

/// Longest `bitfield` payload while the number of pieces is not known, in bytes: room for 2^21 pieces.
pub const MAX_BITFIELD_LENGTH: u32 = Geometry::MAX_PIECES / 8;

/// Longest payload of an `extended` message, in bytes.
///
/// The longest that is in use carries 16 KiB of metadata; the rest is room for extensions that we do not know.
pub const MAX_EXTENDED_LENGTH: u32 = 1024 * 1024;

/// Entries of `m` in an extension handshake that are kept. No client speaks half as many; the rest is ignored, so that what is kept of a peer stays small.
pub const MAX_EXTENSIONS: usize = 64;

/// Longest name of an extension that is kept, in bytes. See [`MAX_EXTENSIONS`].
pub const MAX_EXTENSION_NAME_LENGTH: usize = 64;

/// Characters of a client's name and version that are kept, as many as somebody would want to read.
pub const MAX_CLIENT_LENGTH: usize = 128;

/// Most hashes in one `hashes` message, without the uncles: a whole layer of 8192 pieces, as libtorrent serves.
pub const MAX_HASHES: u32 = 8192;

/// Most uncle hashes in one `hashes` message: a tree of 2^64 leaves has no more layers.
pub const MAX_PROOF_LAYERS: u32 = 64;

/// Longest message of an unknown kind, in bytes. It is skipped as it arrives and never buffered, so the bound
/// only tells an unknown message from a stream that is not this protocol.
pub const MAX_UNKNOWN_LENGTH: u32 = 1024 * 1024;

/// Time for the remote handshake to arrive, and for the owner to accept an incoming one.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer that is silent for so long is gone. Peers send something every two minutes (BEP 3); a minute is for the way.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(180);

/// We send a keep-alive after so long a silence of ours, well before the two minutes after which peers hang up.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(100);

/// A request is returned when for so long no block came and it was not answered.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A request is returned after so long even while other blocks come: the peer has dropped it without a word.
pub const REQUEST_LIFETIME: Duration = Duration::from_secs(240);

/// After a choke, blocks that were on their way are still taken for so long (a peer without the fast extension
/// drops all requests, but does not take back what it had begun to send).
pub const CHOKE_GRACE: Duration = Duration::from_secs(2);

/// After a choke, a peer with the fast extension has so long to answer or reject each request, as BEP 6 demands.
pub const REJECT_GRACE: Duration = Duration::from_secs(15);

/// Requests that a peer holds when it does not say how many (BEP 10, `reqq`, as libtorrent assumes).
pub const DEFAULT_REQUEST_QUEUE: u32 = 250;

/// Requests of the peer that we hold, as we announce in `reqq`: 64 MiB of 16 KiB blocks, enough for a gigabit at 500 ms, as between
/// continents over a satellite. A gigabit at 300 ms takes 2,289 of them. A request takes 12 bytes, and some 40 more while the peer cancels
/// among them, so a peer can make us hold 250 KiB.
pub const MAX_INCOMING_REQUESTS: u32 = 4096;

/// Requests that we gave up but whose block may still come without being a fault. The oldest are forgotten first.
pub const MAX_FORGIVEN_REQUESTS: usize = 4096;

/// Pieces that a peer may put into our allowed-fast set; BEP 6 proposes 10. More are ignored.
pub const MAX_ALLOWED_FAST: usize = 64;

/// How often each block of an allowed-fast piece is served to a peer that we choke, on average. Without a bound a
/// choked peer could download the same piece for ever.
pub const ALLOWED_FAST_SERVINGS: u32 = 3;

/// `suggest piece` messages of one peer that are passed on. They are hints; a peer that sends more is not heard.
pub const MAX_SUGGESTIONS: u32 = 4096;

/// `have all` messages behind the first word of a peer that are heard while it lacks a piece. Five bytes make us walk over
/// all pieces of the torrent, and a peer that tells us of pieces it lost could send them for ever.
pub const MAX_LATE_HAVE_ALLS: u32 = 16;

/// Hash requests of a peer that wait for an answer. More are rejected at once.
pub const MAX_HASH_REQUESTS: usize = 16;

/// A hash request that the owner has not answered is rejected after so long, so that each is answered (BEP 52).
pub const HASH_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of messages other than blocks that wait to be sent. A peer that lets so much pile up reads nothing:
/// these are some 400,000 `have` or 240,000 `reject request` messages. The `have` messages for what we had when the
/// metadata of a magnet link came are not counted.
pub const MAX_OUTPUT_BACKLOG: usize = 4 * 1024 * 1024;

/// Longest padding in a handshake of MSE, in bytes, and so how far its next part is looked for behind it (MSE: 512).
#[cfg(feature = "mse")]
pub const MAX_MSE_PAD_LENGTH: usize = 512;

/// Longest payload that is sent along with a handshake of MSE, in bytes: its length has 16 bits. Nothing is held because of it; it is read
/// like all that follows.
#[cfg(feature = "mse")]
pub const MAX_MSE_PAYLOAD_LENGTH: u16 = u16::MAX;
