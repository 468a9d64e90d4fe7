//! The BitTorrent peer protocol without sockets: handshake, messages, and one connection as a state machine.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod codec;
pub mod connection;
pub mod extension;
mod handshake;
pub mod limits;
mod message;

pub use codec::{Codec, DecodeError};
pub use extension::{Extension, Extensions};
pub use handshake::{Handshake, HandshakeError, Reserved};
pub use message::{HashRange, Message};
