//! Sessions over real sockets on the loopback interface.
#![expect(
    clippy::unwrap_used,
    reason = "a test that meets something unexpected fails"
)]

mod dht;
mod download;
mod encryption;
mod exchange;
mod hashes;
mod hostile;
mod lifecycle;
mod limits;
mod local_discovery;
mod magnets;
mod marks;
mod resume;
mod storage;
mod trackers;
mod web_seeds;
mod world;
