//! What can go wrong between us and a tracker, by whose fault it is.

use std::io;
use std::time::Duration;

use crate::announce::{Failure, Family};
use crate::url::Protocol;

pub use rarest_http::RedirectError;

/// Why an announce or a scrape gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tracker understood and said no.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// The answer makes no sense.
    #[error("the tracker's answer makes no sense: {0}")]
    Reply(#[from] ReplyError),
    /// The tracker's host has no address of this family.
    #[error("the tracker has no {0:?} address")]
    NoAddress(Family),
    /// The host could not be looked up.
    #[error("the tracker's host could not be looked up: {0}")]
    Lookup(#[source] io::Error),
    /// The connection could not be made, or broke.
    #[error("the connection to the tracker failed: {0}")]
    Network(#[from] io::Error),
    /// No answer came in time.
    #[error("the tracker gave no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// An HTTP answer other than 200 without a tracker's message in it.
    #[error("the tracker's web server answered with status {0}")]
    Status(u16),
    /// The answer is longer than we are willing to keep, before or after decompression.
    #[error("the tracker's answer is longer than the limit of {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The tracker redirected to where we do not go.
    #[error("the tracker redirects {0}")]
    Redirect(RedirectError),
    /// The tracker's URL does not say where to scrape.
    #[error("the tracker can not be scraped: its URL does not end with `announce`")]
    NotScrapable,
    /// The client does not speak the tracker's protocol, or this build has no client that does.
    #[error("there is no client for {0:?} trackers")]
    NoClient(Protocol),
    /// More requests are waiting than we are willing to keep.
    #[error("too many requests are waiting for trackers")]
    Busy,
    /// The client was shut down.
    #[error("the tracker client was shut down")]
    Closed,
}

#[cfg(any(feature = "http", feature = "udp"))]
impl Error {
    /// What became of looking up or asking a tracker over a family.
    pub(crate) fn of_http(error: rarest_http::Error, protocol: Protocol, family: Family) -> Self {
        match error {
            rarest_http::Error::NotWeb => Self::NoClient(protocol),
            rarest_http::Error::Lookup(error) => Self::Lookup(error),
            rarest_http::Error::NoAddress => Self::NoAddress(family),
            rarest_http::Error::Network(error) => Self::Network(error),
            rarest_http::Error::TimedOut(time) => Self::TimedOut(time),
            rarest_http::Error::Redirect(error) => Self::Redirect(error),
            other => Self::Network(io::Error::other(other)),
        }
    }
}

/// What is wrong with an answer's bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The body is no bencode.
    #[error("it is no bencoded dictionary: {0}")]
    Bencode(#[from] rarest_bencode::DecodeError),
    /// The body is bencode, but no dictionary.
    #[error("it is no dictionary")]
    NotADictionary,
    /// A key that must be there is not, or has another type.
    #[error("it has no `{0}`")]
    Missing(&'static str),
    /// The compressed body is damaged.
    #[error("its compression is damaged")]
    Compression,
    /// The answer ends early.
    #[error("it is incomplete")]
    Incomplete,
}
