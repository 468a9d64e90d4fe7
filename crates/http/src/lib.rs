//! HTTP requests to hosts that nobody vouches for.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "client")]
mod client;
mod error;
#[cfg(feature = "network")]
mod network;
#[cfg(feature = "client")]
mod pool;
#[cfg(feature = "client")]
mod tls;

#[cfg(feature = "client")]
pub use client::{Answer, Client, Config, ConfigError, Get, MAX_REDIRECTS};
pub use error::{Error, RedirectError};
#[cfg(feature = "client")]
pub use hyper;
#[cfg(feature = "network")]
pub use network::{BoxFuture, Families, Network, SystemNetwork};
