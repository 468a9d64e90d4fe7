//! Encrypted connections: Message Stream Encryption (MSE), also known as Protocol Encryption (PE).
//!
//! Before the handshake of BitTorrent both sides exchange keys and settle on a [`Method`]. To who does not know the info-hash, all that
//! goes over the wire looks random. It hides the protocol from those who would slow it down; who the peer is, it does not prove.
//!
//! The owner of the socket has an [`Initiator`] (who dialled) or a [`Responder`] between it and the
//! [`Connection`](crate::connection::Connection):
//!
//! 1. Of an incoming connection, [`Opening::of`] tells from the first bytes whether it is encrypted.
//! 2. Write what is in `output` of the handshake, read into a `BytesMut` and call `handle_input`, until it is [`Established`]. What is
//!    left in the input then is the stream that `Connection` reads, decrypted: bytes behind the handshake are not lost.
//! 3. From then on what is read goes through the [`Decryptor`] in place, and what is written comes from the [`Encryptor`].
//!
//! Time-outs are the owner's, as is a bound on how many handshakes are under way: each costs two exponentiations of 768-bit numbers.
//!
//! There is no BEP. Source: the specification
//! ["Message Stream Encryption"](https://wiki.vuze.com/w/Message_Stream_Encryption) of 2006.

mod ciphers;
mod error;
mod initiator;
mod key_exchange;
mod method;
mod opening;
mod pad;
mod rc4;
mod responder;
mod secrets;
mod session_keys;
mod steps;

use rarest_metainfo::InfoHash;

pub use ciphers::{Decryptor, Encryptor};
pub use error::MseError;
pub use initiator::Initiator;
pub use key_exchange::{DegenerateKey, PrivateKey, PublicKey, SharedSecret};
pub use method::{Method, Methods};
pub use opening::Opening;
pub use pad::{Pad, PadTooLong};
pub use rc4::Rc4;
pub use responder::Responder;
pub use secrets::Secrets;
pub use session_keys::SkeyDigest;

/// What both sides have settled on.
#[derive(Debug)]
pub struct Established {
    /// The swarm whose info-hash was the shared key.
    pub info_hash: InfoHash,
    /// How the stream goes on.
    pub method: Method,
    /// For what is read, if it is encrypted; with [`Method::Plaintext`], what is left of the payload that the initiator sent with its
    /// handshake.
    pub decryptor: Option<Decryptor>,
    /// For what is written, with [`Method::Rc4`].
    pub encryptor: Option<Encryptor>,
}
