//! One connection to a peer: what came in becomes [`Event`]s, [`Command`]s become what goes out.

mod command;
mod event;

pub use command::Command;
pub use event::Event;
