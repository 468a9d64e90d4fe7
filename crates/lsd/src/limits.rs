//! Every bound on what neighbours can make us do, and the times between announces, with their reasons.

use std::time::Duration;

/// Torrents that one packet tells of, and is heard on: they fit into 1,200 bytes, which no network cuts.
pub const MAX_INFO_HASHES: usize = 20;

/// Longest packet that is looked at, in bytes: what an Ethernet carries.
pub const MAX_PACKET_LENGTH: usize = 1500;

/// Lines of a packet that are looked at.
pub const MAX_LINES: usize = 64;

/// Longest cookie that is kept, in bytes. It is compared with our own, and no more.
pub const MAX_COOKIE_LENGTH: usize = 32;

/// Time between two announces of one torrent (BEP 14).
pub const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Shortest time between two announces of a torrent that is stopped and started again and again (BEP 14).
pub const MIN_ANNOUNCE_INTERVAL: Duration = Duration::from_secs(60);

/// Shortest time between two packets: 20 torrents a second are 6,000 in five minutes; those of more come later rather than in a storm.
pub const PACKET_INTERVAL: Duration = Duration::from_secs(1);

/// Packets that are heard at once, and then a second. A network of a hundred clients with twenty torrents sends less than one.
pub const MAX_PACKETS_PER_SECOND: u32 = 20;
