//! Packets as clients send them, times, and sockets on this machine.
#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

mod packets;
mod schedule;
mod sockets;
