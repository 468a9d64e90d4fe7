//! The UDP tracker protocol: its packets, and the exchange of them as a state machine.
//!
//! Source: [BEP 15](https://www.bittorrent.org/beps/bep_0015.html), [BEP 41](https://www.bittorrent.org/beps/bep_0041.html).

mod exchange;
mod options;
mod packet;

pub use exchange::{
    CONNECTION_LIFETIME, Config, FIRST_TIMEOUT, MAX_REQUESTS, MAX_RETRANSMISSIONS, Outcome,
    RequestId, Transmit, UdpExchange,
};
pub use options::{OptionsError, UrlData};
pub use packet::{ConnectionId, PacketError, Request, Response, TransactionId};
