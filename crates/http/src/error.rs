//! Why there is no answer.

use std::io;
use std::time::Duration;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL leads to no web server: another protocol, no host, or port 0.
    #[error("the URL leads to no web server")]
    NotWeb,
    /// The host could not be looked up.
    #[error("the host could not be looked up: {0}")]
    Lookup(#[source] io::Error),
    /// The host has no address of the family that was asked for.
    #[error("the host has no address of this family")]
    NoAddress,
    /// The connection could not be made, or broke.
    #[error("the connection failed: {0}")]
    Network(#[from] io::Error),
    /// No answer came in time.
    #[error("no answer came within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// All addresses of the host are nearer to us than [asked for](crate::Get::nearest).
    #[error("the host is in our own network, where this URL may not lead")]
    TooNear,
    /// The server redirected to where we do not go.
    #[error("the server redirects {0}")]
    Redirect(#[from] RedirectError),
}

/// Where a redirect leads that is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// Too many, one after the other.
    #[error("more than {limit} times")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The target is missing or malformed.
    #[error("to nowhere")]
    Nowhere,
    /// From HTTPS to HTTP, which would show to everybody on the way what was meant for one.
    #[error("from HTTPS to HTTP")]
    Insecure,
    /// To an address that is nearer to us than the server: strangers have no business there.
    #[error("into our own network")]
    Inward,
}
