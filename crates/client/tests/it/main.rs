//! The client as its users see it: processes, exit statuses, lines.

#![expect(clippy::unwrap_used, reason = "a test that panics fails")]

mod command_line;
mod dht;
mod errors;
mod files;
mod kill;
mod payload;
mod process;
mod trading;
