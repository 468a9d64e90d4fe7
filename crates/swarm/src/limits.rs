//! Every bound on what peers can make a torrent hold or do, and the times of its rounds, with their reasons.

use std::time::Duration;

use crate::torrent::WorkLimit;

/// Requests in flight to a peer before anything is known of its rate.
pub const INITIAL_REQUESTS: usize = 4;

/// Fewest requests in flight to a peer that delivers: one is on its way while the other is served.
pub const MIN_REQUESTS: usize = 2;

/// Most requests in flight to one peer: 64 MiB, 10 Gbit/s at 50 ms. They are promises of memory.
pub const MAX_REQUESTS_PER_PEER: usize = 4096;

/// Requests that a peer holds when it does not say how many (BEP 10, `reqq`, as libtorrent assumes).
pub const DEFAULT_REQUEST_QUEUE: usize = 250;

/// How much work is left waiting at a peer beyond the way there and back: what it may need to read from disk, to
/// serve others, or to be let go by a rate limiter.
pub const REQUEST_SLACK: Duration = Duration::from_millis(500);

/// A peer that became so slow that it would take longer than this for what it was asked for has to give the rest back, when others
/// could send it. Shorter would punish a line for a hiccup.
pub const MAX_WAIT: Duration = Duration::from_secs(10);

/// A peer that owes us blocks and sent none for so long is snubbing us: its blocks are asked of others.
pub const SNUB_AFTER: Duration = Duration::from_secs(20);

/// Requests in a row that a peer may refuse before it is left alone for a while: without a bound, asking and refusing
/// would go round as fast as the network does.
pub const MAX_REFUSALS: usize = 500;

/// How often peers are looked through for snubbing.
pub const SNUB_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Time between two rounds of the choker (BEP 3).
pub const CHOKE_ROUND: Duration = Duration::from_secs(10);

/// How long an optimistic unchoke lasts, and the turn of a leecher at a seed (BEP 3: three rounds).
pub const OPTIMISTIC_ROUND: Duration = Duration::from_secs(30);

/// Slots that are always there with [`UploadSlots::Automatic`](crate::UploadSlots::Automatic): enough to find
/// peers that reciprocate, few enough that a line of 1 Mbit/s gives each 16 KiB/s.
pub const AUTOMATIC_SLOTS_MIN: usize = 8;

/// Bytes a second that justify one slot more with [`UploadSlots::Automatic`](crate::UploadSlots::Automatic).
pub const RATE_PER_SLOT: u64 = 32 * 1024;

/// Pieces that are taken at random before rarest-first begins: something to trade is needed soon (BEP 3).
pub const RANDOM_FIRST_PIECES: u32 = 4;

/// Pieces that may be in the making beyond two a peer and what the requests in flight fill.
pub const SPARE_BEGUN_PIECES: usize = 8;

/// Requests that an idle peer gets for blocks that others were asked for already, unless half of its usual depth is
/// more. What comes twice is wasted.
pub const ENDGAME_REQUESTS: usize = 4;

/// Pieces that a peer suggested and that are remembered; the last ones count.
pub const MAX_SUGGESTED: usize = 16;

/// Pieces that a peer that has fewer may request while it is choked, as BEP 6 proposes.
pub const ALLOWED_FAST: usize = 10;

/// Pieces of the allowed-fast set that are remembered for a peer; BEP 6 proposes 10.
pub const MAX_ALLOWED_FAST: usize = 64;

/// Hash requests in flight to one peer: 64 KiB of piece layer, the hashes of 2,048 pieces. The connection holds more.
pub const MAX_HASH_REQUESTS_PER_PEER: usize = 4;

/// A peer that has not answered a hash request for so long is left waiting, and others are asked. The answer to one request has 16 KiB.
pub const HASH_TIMEOUT: Duration = Duration::from_secs(15);

/// A peer that has not sent the leaves of a piece for so long is left waiting, and another is asked.
pub const LEAVES_TIMEOUT: Duration = Duration::from_secs(5);

/// A corrupt piece waits so long for its leaves, with all of its blocks. Then all of it is fetched again, of one peer.
pub const DISPUTE_TIME: Duration = Duration::from_secs(12);

/// Corrupt pieces that wait for their leaves: they hold memory. All of any others is fetched again at once.
pub const MAX_DISPUTES: usize = 4;

/// Peers that are asked for the leaves of one piece.
pub const MAX_LEAF_ATTEMPTS: usize = 4;

/// Pieces that must be right in a row after a corrupt one, until leaves are no longer asked for in advance. They cost 32 bytes a block on the
/// line, and a hash more of each block.
pub const WATCHED_PIECES: u32 = 256;

/// Files whose hashes a peer would not give, until it is asked for none any more for a while: it most likely has none at all.
pub const MAX_REFUSED_LAYERS: usize = 32;

/// After so long a peer is asked again for hashes that it would not give. It may have learnt them.
pub const HASH_REST: Duration = Duration::from_secs(30);

/// Shortest time between two rounds in which the driver is told of new piece layers. What it does with them takes time in proportion to all
/// layers of the torrent, of which there may be a hundred thousand.
pub const LAYERS_INTERVAL: Duration = Duration::from_millis(250);

/// Hash requests of one peer that are being answered; more are rejected. Clients have one or two under way.
pub const MAX_HASH_ANSWERS_PER_PEER: usize = 8;

/// Hash requests of all peers that are being answered; more are rejected. An answer has up to 256 KiB.
pub const MAX_HASH_ANSWERS: usize = 64;

/// What a hash request costs at least: 256 KiB of answer, or a search through all files for a root that is none. In bytes hashed.
pub const HASH_REQUEST_COST: u64 = 256 * 1024;

/// Reading and hashing that one peer may cause with hash requests. Who was sent a corrupt piece asks for the leaves of one piece, which is
/// read for that; who lacks the layers of a torrent asks for the layers of all files, 512 hashes at a time.
pub const HASH_WORK_PER_PEER: WorkLimit = WorkLimit {
    burst: 64 * 1024 * 1024,
    rate: 16 * 1024 * 1024,
};

/// Reading and hashing that all peers of a torrent may cause with hash requests: a tenth of what a core hashes in a second.
pub const HASH_WORK_PER_TORRENT: WorkLimit = WorkLimit {
    burst: 256 * 1024 * 1024,
    rate: 64 * 1024 * 1024,
};

/// Files of which it is believed that the store need not hash the layer anew, as their hashes were asked for last.
pub const KEPT_HASH_TREES: usize = 4;

/// Corrupt pieces whose block digests are kept until the good copy comes.
pub const MAX_SUSPECT_PIECES: usize = 64;

/// Corrupt copies of one piece whose digests are kept.
pub const MAX_BAD_COPIES: usize = 4;

/// Messages on pieces that are gone, or were found, that are put into the outboxes of all peers at once: 64 bytes each. When there would
/// be more, as after a whole torrent was deleted, peers are connected again instead and told with one bitfield.
pub const MAX_NEWS_AT_ONCE: usize = 65_536;

/// Shortest time between two rounds in which peers are told of new pieces. The first piece is told at once; at thousands of pieces a second,
/// each peer hears of many with one batch of commands.
pub const HAVE_INTERVAL: Duration = Duration::from_millis(25);

/// Addresses that a torrent remembers. Trackers and peers can name any number.
pub const MAX_KNOWN_PEERS: usize = 4000;

/// Shortest time between two messages to one peer that tell it of others (BEP 11).
pub const PEER_EXCHANGE_INTERVAL: Duration = Duration::from_secs(60);

/// When a peer is first told of others: after a moment in which there may be more of them, as the next message is a minute away.
pub const PEER_EXCHANGE_DELAY: Duration = Duration::from_secs(5);

/// Peers of each kind, met and lost, that one message tells of or is heard on (BEP 11).
pub const MAX_EXCHANGED: usize = 50;

/// Messages beyond one a minute that a peer may send: clocks differ, and some clients send two at the beginning. What is beyond is not read.
pub const MAX_EARLY_EXCHANGES: u32 = 2;

/// Peers that left and that others may still have to be told of. Who is not told finds out when it dials.
pub const MAX_LOST_REMEMBERED: usize = 1000;

/// Addresses that were told by peers at one address, and where nobody has been reached yet, that a torrent remembers: four messages.
pub const MAX_TOLD_BY_ONE: usize = 200;

/// Web seeds that a torrent remembers. Torrents name a dozen at most.
pub const MAX_WEB_SEEDS: usize = 100;

/// Web seeds that are asked at a time, each with a few connections: one fills most lines.
pub const MAX_OPEN_WEB_SEEDS: usize = 8;

/// Addresses remembered as our own. There are few ways to reach oneself; who makes us believe in more, by answering
/// with our id, is dialled again.
pub const MAX_OWN_ADDRESSES: usize = 16;

/// Addresses banned at a time; the oldest ban ends when there are more.
pub const MAX_BANNED: usize = 10_000;

/// Pause before a peer is dialled again after its first failure; doubles with each.
pub const FIRST_BACK_OFF: Duration = Duration::from_secs(15);

/// Longest pause before a peer is dialled again.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(30 * 60);

/// Failures in a row after which an address is forgotten.
pub const MAX_FAILURES: u8 = 8;

/// Two connections of one peer that began within this time come from both ends dialling at once; later ones are a
/// mistake or an attack of somebody who took the peer's id.
pub const SIMULTANEOUS: Duration = Duration::from_secs(30);

/// A peer may be replaced when for so long neither side wanted anything of the other.
pub const USELESS_AFTER: Duration = Duration::from_secs(60);

/// Longest info dictionary that is fetched, in bytes: the longest torrent that is read.
pub const MAX_METADATA_LENGTH: u32 = 10_000_000;

/// Copies of the info dictionary that are made at a time while nobody knows which peers lie: one for each length that they name, or one for each
/// of them. It bounds the memory that liars take.
pub const MAX_METADATA_COPIES: usize = 3;

/// Parts of the info dictionary that a peer is asked for at a time. Some clients hold no more.
pub const METADATA_REQUESTS: usize = 4;

/// A peer that owes parts of the info dictionary and sent none for so long is left alone for a while.
pub const METADATA_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a copy of the info dictionary may take while other peers wait for their turn; doubles for who had one before. The longest dictionary
/// comes in it at 170 kB/s.
pub const METADATA_TURN: Duration = Duration::from_secs(60);

/// How long a peer is left alone that did not send, or refused, what it offers; doubles each time.
pub const METADATA_REST: Duration = Duration::from_secs(15);

/// Longest time that a peer is left alone that offers the info dictionary.
pub const MAX_METADATA_REST: Duration = Duration::from_secs(10 * 60);

/// Requests for the info dictionary that wait for one peer: 2 MiB of answers, of which so much lies in its connection at worst. More are refused.
pub const MAX_METADATA_WAITING: usize = 128;

/// How often a peer may say of the info dictionary that it has it, how long it is, or that it has it no more. Clients say it once, or twice
/// when they began with a magnet link; each time, work is found anew for all peers.
pub const MAX_METADATA_OFFERS: u32 = 32;

/// How often one connection is served the whole info dictionary, or as many parts. Who still lacks it is not looking for it.
pub const METADATA_COPIES_SERVED: u32 = 8;

/// Bytes of the info dictionary that a torrent serves a second, to all peers together: few have more than one MiB.
pub const METADATA_SERVED_PER_SECOND: u32 = 1024 * 1024;

/// Parts of 16 KiB that may be served at once after a silence: 1 MiB.
pub const METADATA_BURST: u32 = 64;
