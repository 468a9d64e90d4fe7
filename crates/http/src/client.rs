//! The client: careful redirects, connections shared by host, bodies as they come.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use rarest_metainfo::Reach;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{self, ClientConfig};
use url::{Position, Url};

use crate::network::{Families, Network, SystemNetwork};
use crate::pool::{Connection, Pool, Target, Turn};
use crate::tls;
use crate::{Error, RedirectError};

/// Redirects that are followed, one after the other.
pub const MAX_REDIRECTS: usize = 5;

/// How long a request may take when nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// How a client is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sent with every request.
    pub user_agent: String,
    /// Connections to one host over one family at once; further requests wait.
    pub connections_per_host: usize,
    /// Bytes that are read of a connection ahead of whoever wants them, 8 KiB at least. The head of an answer must fit.
    pub read_ahead: usize,
    /// Certificates, in PEM, of authorities that are trusted beside the system's.
    pub extra_roots_pem: Vec<u8>,
    /// Looks hosts up and connects.
    pub network: Arc<dyn Network>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user_agent: concat!("rarest/", env!("CARGO_PKG_VERSION")).to_owned(),
            connections_per_host: 4,
            read_ahead: 32 * 1024,
            extra_roots_pem: Vec::new(),
            network: Arc::new(SystemNetwork::default()),
        }
    }
}

/// Why a client can not be set up like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
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

/// A request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Get {
    /// Where; a user and password in it let us in.
    pub url: Url,
    /// Headers beside `Host`, `User-Agent` and `Authorization`.
    pub headers: HeaderMap,
    /// Over which families of addresses.
    pub families: Families,
    /// The nearest host that the URL may lead to: any, [`Reach::Loopback`], by default.
    pub nearest: Reach,
    /// How long lookup, connection, redirects and the head of the answer may take together, once it is the request's turn at its host. 30 s by
    /// default.
    pub timeout: Duration,
}

impl Get {
    /// A request over any family, without further headers.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            headers: HeaderMap::new(),
            families: Families::Both,
            nearest: Reach::Loopback,
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// Speaks HTTP and HTTPS. Cheap to clone; all clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    user_agent: HeaderValue,
    extra_roots: Vec<CertificateDer<'static>>,
    network: Arc<dyn Network>,
    /// Made when the first HTTPS server is met, as reading the system's roots takes some milliseconds.
    tls: OnceCell<Arc<ClientConfig>>,
    pool: Arc<Pool>,
}

/// An answer whose head is there. Dropping it closes the connection.
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    url: Url,
    connection: Connection,
    turn: Turn,
    pool: Arc<Pool>,
    time_left: Duration,
}

impl Client {
    /// Makes a client. It needs a tokio runtime when it is used, not before.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let user_agent = HeaderValue::from_str(&config.user_agent)
            .map_err(|_| ConfigError::UserAgent(config.user_agent))?;
        let pool = Pool::new(config.connections_per_host, config.read_ahead);
        Ok(Self {
            shared: Arc::new(Shared {
                user_agent,
                extra_roots: tls::read_roots(&config.extra_roots_pem)?,
                network: config.network,
                tls: OnceCell::new(),
                pool: Arc::new(pool),
            }),
        })
    }

    /// Asks, following redirects. Each hop may lead only to hosts that are no nearer to us than those before: a server in the
    /// internet has no business in our network, nor one in our network on our own machine.
    ///
    /// Dropping the future gives the request up.
    ///
    /// # Errors
    /// [`Error`]; whatever the server says with a status is an answer.
    pub async fn get(&self, get: Get) -> Result<Answer, Error> {
        let Get {
            mut url,
            headers,
            families,
            mut nearest,
            timeout: time,
        } = get;
        let mut left = time;
        for hop in 0..=MAX_REDIRECTS {
            let target = Target::of(&url, families).ok_or(Error::NotWeb)?;
            let turn = self.shared.pool.turn(target).await;
            // Only from here: whoever waits for a busy host has not been let down by it.
            let started = Instant::now();
            // Apart from what waits for its turn: thousands may, and only a few are sent at a time.
            let sending = Box::pin(self.shared.send(&url, &headers, &turn, nearest));
            let sent = timeout(left, sending).await;
            let sent = sent.unwrap_or(Err(Error::TimedOut(time)));
            let (response, connection) = sent.map_err(|error| match error {
                Error::TooNear if hop > 0 => RedirectError::Inward.into(),
                error => error,
            })?;
            left = left.saturating_sub(started.elapsed());
            if is_redirect(response.status()) {
                url = redirect_target(&url, response.headers())?;
                nearest = nearest.max(connection.reach());
                continue;
            }
            let (head, body) = response.into_parts();
            return Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
                url,
                connection,
                turn,
                pool: Arc::clone(&self.shared.pool),
                time_left: left,
            });
        }
        Err(Error::Redirect(RedirectError::TooMany {
            limit: MAX_REDIRECTS,
        }))
    }
}

/// `304 Not Modified` is no answer to what we ask, and others of its kind lead nowhere: both are found out by their missing target.
fn is_redirect(status: StatusCode) -> bool {
    status.is_redirection()
}

impl Shared {
    /// Sends over a kept connection, or over a new one when there is none or it breaks: the server may just have closed it.
    async fn send(
        &self,
        url: &Url,
        headers: &HeaderMap,
        turn: &Turn,
        nearest: Reach,
    ) -> Result<(Response<Incoming>, Connection), Error> {
        if let Some(mut connection) = self.pool.take_idle(turn, nearest)
            && let Ok(response) = connection.send(self.request(url, headers)?).await
        {
            return Ok((response, connection));
        }
        let tls = match url.scheme() {
            "https" => Some(self.tls().await?),
            _ => None,
        };
        let mut connection = self
            .pool
            .connect(&*self.network, turn, nearest, tls)
            .await?;
        let response = connection
            .send(self.request(url, headers)?)
            .await
            .map_err(io::Error::other)?;
        Ok((response, connection))
    }

    fn request(&self, url: &Url, headers: &HeaderMap) -> Result<Request<Empty<Bytes>>, Error> {
        let target = &url[Position::BeforePath..Position::AfterQuery];
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let target: Uri = target.parse().map_err(io::Error::other)?;
        let mut request = Request::get(target)
            .header(header::HOST, host)
            .header(header::USER_AGENT, self.user_agent.clone());
        if let Some(authorization) = basic_authorization(url) {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Ok(request.body(Empty::new()).map_err(io::Error::other)?)
    }

    async fn tls(&self) -> Result<TlsConnector, Error> {
        let config = self.tls.get_or_try_init(|| async {
            let extra_roots = self.extra_roots.clone();
            let made = tokio::task::spawn_blocking(|| tls::config(extra_roots)).await;
            made.map_err(io::Error::other)?.map_err(io::Error::other)
        });
        Ok(TlsConnector::from(Arc::clone(
            config.await.map_err(Error::Network)?,
        )))
    }
}

impl Answer {
    /// What the server says of the request.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Where the answer comes from, behind all redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What is left of the time that the request had.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.time_left
    }

    /// The next part of the body; `None` at its end. Nothing is read of the socket beyond what was [set up](Config::read_ahead) while nobody
    /// waits for it.
    ///
    /// # Errors
    /// [`Error::Network`] when the connection breaks before the body's end.
    pub async fn part(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(io::Error::other)?;
            // Trailers say nothing that we want to know.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Keeps the connection for the next request, when the body was read to its end and the server agrees.
    pub async fn keep_connection(mut self) {
        if self.connection.is_reusable().await {
            self.pool.keep(&self.turn, self.connection);
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .finish_non_exhaustive()
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

fn redirect_target(from: &Url, headers: &HeaderMap) -> Result<Url, RedirectError> {
    let target = headers
        .get(header::LOCATION)
        .and_then(|location| std::str::from_utf8(location.as_bytes()).ok())
        .and_then(|location| from.join(location).ok())
        .filter(|url| Target::of(url, Families::Both).is_some());
    match target {
        None => Err(RedirectError::Nowhere),
        Some(to) if from.scheme() == "https" && to.scheme() == "http" => {
            Err(RedirectError::Insecure)
        }
        Some(to) => Ok(to),
    }
}
