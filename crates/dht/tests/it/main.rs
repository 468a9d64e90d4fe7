//! The crate from outside: messages, stories of a few nodes, networks of many.
#![expect(clippy::unwrap_used, reason = "tests")]

mod any;
mod any_input;
mod corpus;
mod limits;
mod messages;
mod network;
mod sockets;
mod stories;
mod thousands;
