//! A seeded network and disk in virtual time, in which whole BitTorrent swarms run in one process.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod clock;
mod disk;
mod encryption;
mod log;
mod network;
mod swarm;
mod world;

pub use disk::{Content, DiskModel, Reads};
pub use encryption::Encryption;
pub use log::Log;
pub use network::{Link, Network};
pub use swarm::{Dialect, Habit, Introduction, Knowledge, NodeId, NodeModel, Serving};
pub use world::{Unfinished, World};
