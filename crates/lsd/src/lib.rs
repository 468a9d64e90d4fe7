//! Local service discovery (BEP 14): peers in the same network.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "driver")]
mod driver;
pub mod limits;
mod packet;
mod schedule;

#[cfg(feature = "driver")]
pub use driver::{Config, Found, Sockets};
pub use packet::{Announce, Cookie, Group, InvalidAnnounce};
pub use schedule::{Hearing, Schedule};
