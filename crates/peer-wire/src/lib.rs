//! The BitTorrent peer protocol without sockets: handshake, messages, and one connection as a state machine.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod allowed_fast;
mod codec;
#[cfg(feature = "codec")]
mod codec_adaptor;
pub mod connection;
pub mod extension;
mod handshake;
pub mod limits;
mod message;
#[cfg(feature = "mse")]
pub mod mse;
mod peer_priority;

pub use allowed_fast::allowed_fast_set;
pub use codec::{Codec, DecodeError};
pub use extension::{Extension, Extensions};
pub use handshake::{Handshake, HandshakeError, Reserved};
pub use message::{HashRange, Message};
pub use peer_priority::peer_priority;
