//! The HTTP and HTTPS client: bounded answers, careful redirects, connections shared by host.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use flate2::write::GzDecoder;
use rarest_http::hyper::StatusCode;
use rarest_http::hyper::header::{self, HeaderMap, HeaderValue};
use rarest_http::{Answer, Client, Config, Get, Network, SystemNetwork};
pub use rarest_http::{ConfigError as HttpConfigError, MAX_REDIRECTS};
use rarest_metainfo::InfoHash;
use tokio::time::timeout;
use url::Url;

use crate::announce::{Announce, AnnounceReply, Family};
use crate::error::{Error, ReplyError};
use crate::http;
use crate::scrape::ScrapeReply;
use crate::url::{Protocol, TrackerUrl};

/// The longest answer that is read, in bytes, as sent and after decompression. 5,000 peers as dictionaries fit.
pub const MAX_BODY_LENGTH: usize = 1024 * 1024;

/// Connections to one host over one family at once; further requests wait. Enough to announce thousands of torrents in a minute, too few
/// to look like an attack.
const MAX_CONNECTIONS_PER_HOST: usize = 4;

/// Bytes of an answer that are read ahead. Its head must fit.
const READ_AHEAD: usize = 32 * 1024;

/// How the HTTP client is set up.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Sent with every request; private trackers admit clients by it.
    pub user_agent: String,
    /// How long lookup, connection, redirects and answer may take together, once it is a request's turn at its host.
    pub request_timeout: Duration,
    /// Certificates, in PEM, of authorities that are trusted beside the system's.
    pub extra_roots_pem: Vec<u8>,
    /// Looks hosts up and connects.
    pub network: Arc<dyn Network>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            user_agent: concat!("rarest/", env!("CARGO_PKG_VERSION")).to_owned(),
            request_timeout: Duration::from_secs(30),
            extra_roots_pem: Vec::new(),
            network: Arc::new(SystemNetwork::default()),
        }
    }
}

/// Speaks to HTTP and HTTPS trackers. Cheap to clone; all clones share connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    http: Client,
    request_timeout: Duration,
}

impl HttpClient {
    /// Makes a client. It needs a tokio runtime when it is used, not before.
    ///
    /// # Errors
    /// [`HttpConfigError`].
    pub fn new(config: HttpConfig) -> Result<Self, HttpConfigError> {
        let http = Client::new(Config {
            user_agent: config.user_agent,
            connections_per_host: MAX_CONNECTIONS_PER_HOST,
            read_ahead: READ_AHEAD,
            extra_roots_pem: config.extra_roots_pem,
            network: config.network,
        })?;
        Ok(Self {
            http,
            request_timeout: config.request_timeout,
        })
    }

    /// Announces over one family. Dropping the future gives the request up.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn announce(
        &self,
        tracker: &TrackerUrl,
        family: Family,
        announce: &Announce,
    ) -> Result<AnnounceReply, Error> {
        let url = http::announce_page(tracker, announce);
        let body = self.fetch(tracker, url, family).await?;
        http::parse_announce(&body)
    }

    /// Asks about swarms, at most [`MAX_HASHES_PER_SCRAPE`](crate::MAX_HASHES_PER_SCRAPE) of them.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotScrapable`] when the tracker's URL does not say where.
    pub async fn scrape(
        &self,
        tracker: &TrackerUrl,
        family: Family,
        info_hashes: &[InfoHash],
    ) -> Result<ScrapeReply, Error> {
        let url = http::scrape_page(tracker, info_hashes).ok_or(Error::NotScrapable)?;
        let body = self.fetch(tracker, url, family).await?;
        http::parse_scrape(&body)
    }

    /// Fetches a body, following redirects.
    async fn fetch(
        &self,
        tracker: &TrackerUrl,
        page: Url,
        family: Family,
    ) -> Result<Vec<u8>, Error> {
        if tracker.protocol() == Protocol::Udp {
            return Err(Error::NoClient(Protocol::Udp));
        }
        let failed = |error| Error::of_http(error, tracker.protocol(), family);
        let mut get = Get::new(page);
        get.families = family.into();
        get.timeout = self.request_timeout;
        let gzip = HeaderValue::from_static("gzip");
        get.headers.insert(header::ACCEPT_ENCODING, gzip);
        let mut answer = self.http.get(get).await.map_err(failed)?;
        let body = timeout(answer.time_left(), read_body(&mut answer)).await;
        let body = body.unwrap_or(Err(Error::TimedOut(self.request_timeout)))?;
        let status = answer.status();
        answer.keep_connection().await;
        if status == StatusCode::OK {
            return Ok(body);
        }
        // Some trackers say why with a status of 4xx.
        Err(match http::failure_in(&body) {
            Some(failure) => Error::Refused(failure),
            None => Error::Status(status.as_u16()),
        })
    }
}

/// Keeps what is written, up to [`MAX_BODY_LENGTH`].
#[derive(Debug, Default)]
struct BoundedBody(Vec<u8>);

impl io::Write for BoundedBody {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MAX_BODY_LENGTH - self.0.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body as it arrives: as it is, or compressed.
enum Decoder {
    Plain(BoundedBody),
    Gzip(Box<GzDecoder<BoundedBody>>),
}

impl Decoder {
    fn of(headers: &HeaderMap) -> Result<Self, ReplyError> {
        // RFC 9110, 8.4.1: the names of codings have no case.
        let coding = headers
            .get(header::CONTENT_ENCODING)
            .map(|value| value.as_bytes().to_ascii_lowercase());
        match coding.as_deref() {
            None | Some(b"" | b"identity") => Ok(Self::Plain(BoundedBody::default())),
            Some(b"gzip" | b"x-gzip") => {
                Ok(Self::Gzip(Box::new(GzDecoder::new(BoundedBody::default()))))
            }
            Some(_) => Err(ReplyError::Compression),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(body) => body.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(body) => Ok(body.0),
            Self::Gzip(decoder) => Ok(decoder.finish()?.0),
        }
    }
}

async fn read_body(answer: &mut Answer) -> Result<Vec<u8>, Error> {
    let mut decoder = Decoder::of(answer.headers())?;
    let mut received = 0;
    while let Some(data) = answer.part().await.map_err(broken)? {
        received += data.len();
        if received > MAX_BODY_LENGTH {
            return Err(Error::TooLong {
                limit: MAX_BODY_LENGTH,
            });
        }
        decoder.write(&data).map_err(|error| body_error(&error))?;
    }
    decoder.finish().map_err(|error| body_error(&error))
}

/// Why the connection broke in the middle of an answer.
fn broken(error: rarest_http::Error) -> Error {
    Error::Network(match error {
        rarest_http::Error::Network(error) => error,
        other => io::Error::other(other),
    })
}

fn body_error(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Error::TooLong {
            limit: MAX_BODY_LENGTH,
        },
        _ => ReplyError::Compression.into(),
    }
}
