//! Web seeds (BEP 19): ranges to ask for, answers to judge.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod head;
mod job;
pub mod limits;
mod location;
mod seed;

pub use error::{Fault, InvalidWebSeed, Verdict};
pub use head::{ContentRange, Head};
pub use location::Location;
pub use seed::{Action, Get, GetId, WebSeed};
