//! The BitTorrent peer protocol without sockets: handshake, messages, and one connection as a state machine.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod connection;
mod message;

pub use message::{HashRange, Message};
