//! The HTTP and HTTPS client: bounded answers, careful redirects, connections shared by host.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use flate2::write::GzDecoder;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use rarest_metainfo::InfoHash;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use url::{Position, Url};

use super::network::{Network, SystemNetwork};
use super::pool::{Connection, Pool, Target, Turn};
use super::reach::Reach;
use crate::announce::{Announce, AnnounceReply, Family};
use crate::error::{Error, RedirectError, ReplyError};
use crate::http;
use crate::scrape::ScrapeReply;
use crate::url::{Protocol, TrackerUrl};

/// The longest answer that is read, in bytes, as sent and after decompression. 5,000 peers as dictionaries fit.
pub const MAX_BODY_LENGTH: usize = 1024 * 1024;

/// Redirects that are followed, one after the other.
pub const MAX_REDIRECTS: usize = 5;

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

/// Why the HTTP client can not be set up like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpConfigError {
    /// It contains what may not stand in a header.
    #[error("the user agent {0:?} may not stand in an HTTP header")]
    UserAgent(String),
    /// The PEM is broken.
    #[error("the extra root certificates are no PEM: {0}")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// The PEM holds no certificate.
    #[error("there is no certificate among the extra root certificates")]
    NoCertificate,
    /// A certificate can not be trusted as a root.
    #[error("an extra root certificate is malformed: {0}")]
    Certificate(#[source] rustls::Error),
}

/// Speaks to HTTP and HTTPS trackers. Cheap to clone; all clones share connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    user_agent: HeaderValue,
    request_timeout: Duration,
    extra_roots: Vec<CertificateDer<'static>>,
    network: Arc<dyn Network>,
    /// Made when the first HTTPS tracker is met, as reading the system's roots takes some milliseconds.
    tls: OnceCell<Arc<ClientConfig>>,
    pool: Arc<Pool>,
}

impl HttpClient {
    /// Makes a client. It needs a tokio runtime when it is used, not before.
    ///
    /// # Errors
    /// [`HttpConfigError`].
    pub fn new(config: HttpConfig) -> Result<Self, HttpConfigError> {
        let user_agent = HeaderValue::from_str(&config.user_agent)
            .map_err(|_| HttpConfigError::UserAgent(config.user_agent))?;
        Ok(Self {
            shared: Arc::new(Shared {
                user_agent,
                request_timeout: config.request_timeout,
                extra_roots: read_roots(&config.extra_roots_pem)?,
                network: config.network,
                tls: OnceCell::new(),
                pool: Arc::default(),
            }),
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
        let body = self.shared.fetch(tracker, url, family).await?;
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
        let body = self.shared.fetch(tracker, url, family).await?;
        http::parse_scrape(&body)
    }
}

fn read_roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, HttpConfigError> {
    let roots: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(HttpConfigError::Pem)?;
    if roots.is_empty() && !pem.trim_ascii().is_empty() {
        return Err(HttpConfigError::NoCertificate);
    }
    let mut probe = RootCertStore::empty();
    for root in &roots {
        probe
            .add(root.clone())
            .map_err(HttpConfigError::Certificate)?;
    }
    Ok(roots)
}

/// The system's roots, or Mozilla's where the system has none (a bare container), and the extra ones.
fn tls_config(
    extra_roots: Vec<CertificateDer<'static>>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    if roots.add_parsable_certificates(system.certs).0 == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots.add_parsable_certificates(extra_roots);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What came back for one URL.
enum Fetched {
    Body(Vec<u8>),
    Redirect { to: TrackerUrl, from: Reach },
}

impl Shared {
    /// Fetches a body, following redirects. Each hop may lead only to hosts that are no nearer to us than those before: a tracker in the
    /// internet has no business in our network, nor one in our network on our own machine.
    async fn fetch(
        &self,
        tracker: &TrackerUrl,
        page: Url,
        family: Family,
    ) -> Result<Vec<u8>, Error> {
        if tracker.protocol() == Protocol::Udp {
            return Err(Error::NoClient(Protocol::Udp));
        }
        let no_client = Error::NoClient(tracker.protocol());
        let mut url = TrackerUrl::of_web_page(page).ok_or(no_client)?;
        let mut nearest = Reach::Loopback;
        let mut left = self.request_timeout;
        for _ in 0..=MAX_REDIRECTS {
            let turn = self.pool.turn(Target::of(&url, family)).await;
            // Only from here: whoever waits for a busy host has not been let down by it.
            let started = Instant::now();
            let hop = timeout(left, self.fetch_once(&url, turn, nearest));
            match hop
                .await
                .unwrap_or(Err(Error::TimedOut(self.request_timeout)))?
            {
                Fetched::Body(body) => return Ok(body),
                Fetched::Redirect { to, from } => {
                    nearest = nearest.max(from);
                    url = to;
                }
            }
            left = left.saturating_sub(started.elapsed());
        }
        Err(Error::Redirect(RedirectError::TooMany {
            limit: MAX_REDIRECTS,
        }))
    }

    async fn fetch_once(
        &self,
        url: &TrackerUrl,
        turn: Turn,
        nearest: Reach,
    ) -> Result<Fetched, Error> {
        let (response, mut connection) = self.send(url, &turn, nearest).await?;
        let status = response.status();
        if status.is_redirection() {
            let to = redirect_target(url, response.headers())?;
            return Ok(Fetched::Redirect {
                to,
                from: connection.reach(),
            });
        }
        let body = read_body(response).await?;
        if connection.is_reusable().await {
            self.pool.keep(&turn, connection);
        }
        if status == StatusCode::OK {
            return Ok(Fetched::Body(body));
        }
        // Some trackers say why with a status of 4xx.
        Err(match http::failure_in(&body) {
            Some(failure) => Error::Refused(failure),
            None => Error::Status(status.as_u16()),
        })
    }

    /// Sends over a kept connection, or over a new one when there is none or it breaks: the server may just have closed it.
    async fn send(
        &self,
        url: &TrackerUrl,
        turn: &Turn,
        nearest: Reach,
    ) -> Result<(Response<Incoming>, Connection), Error> {
        if let Some(mut connection) = self.pool.take_idle(turn, nearest)
            && let Ok(response) = connection.send(self.request(url)?).await
        {
            return Ok((response, connection));
        }
        let tls = match url.protocol() {
            Protocol::Https => Some(self.tls().await?),
            Protocol::Http | Protocol::Udp => None,
        };
        let mut connection = Connection::open(&*self.network, turn, nearest, tls).await?;
        let response = connection
            .send(self.request(url)?)
            .await
            .map_err(io::Error::other)?;
        Ok((response, connection))
    }

    fn request(&self, url: &TrackerUrl) -> Result<Request<Empty<Bytes>>, Error> {
        let url = url.http_url();
        let target = &url[Position::BeforePath..Position::AfterQuery];
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let target: Uri = target.parse().map_err(io::Error::other)?;
        let mut request = Request::get(target)
            .header(header::HOST, host)
            .header(header::USER_AGENT, self.user_agent.clone())
            .header(header::ACCEPT_ENCODING, "gzip");
        if let Some(authorization) = basic_authorization(url) {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        Ok(request.body(Empty::new()).map_err(io::Error::other)?)
    }

    async fn tls(&self) -> Result<TlsConnector, Error> {
        let config = self.tls.get_or_try_init(|| async {
            let extra_roots = self.extra_roots.clone();
            let made = tokio::task::spawn_blocking(|| tls_config(extra_roots)).await;
            made.map_err(io::Error::other)?.map_err(io::Error::other)
        });
        Ok(TlsConnector::from(Arc::clone(
            config.await.map_err(Error::Network)?,
        )))
    }
}

/// What lets in the user that the URL names, if it names one.
///
/// A redirect to another URL takes it along only where it stays on the host, by a target without one (RFC 3986, 5.2.2).
///
/// Source: [RFC 7617](https://www.rfc-editor.org/rfc/rfc7617), section 2.
fn basic_authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut credentials: Vec<u8> = percent_decode_str(url.username()).collect();
    credentials.push(b':');
    credentials.extend(percent_decode_str(url.password().unwrap_or_default()));
    let text = format!("Basic {}", BASE64_STANDARD.encode(credentials));
    let mut value = HeaderValue::try_from(text).expect("base64 may stand in a header");
    value.set_sensitive(true);
    Some(value)
}

fn redirect_target(from: &TrackerUrl, headers: &HeaderMap) -> Result<TrackerUrl, Error> {
    let target = headers
        .get(header::LOCATION)
        .and_then(|location| std::str::from_utf8(location.as_bytes()).ok())
        .and_then(|location| from.http_url().join(location).ok())
        .and_then(TrackerUrl::of_web_page);
    match target {
        None => Err(Error::Redirect(RedirectError::Nowhere)),
        Some(to) if from.protocol() == Protocol::Https && to.protocol() == Protocol::Http => {
            Err(Error::Redirect(RedirectError::Insecure))
        }
        Some(to) => Ok(to),
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

async fn read_body(response: Response<Incoming>) -> Result<Vec<u8>, Error> {
    let mut decoder = Decoder::of(response.headers())?;
    let mut body = response.into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
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

fn body_error(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Error::TooLong {
            limit: MAX_BODY_LENGTH,
        },
        _ => ReplyError::Compression.into(),
    }
}
