//! The URL of a tracker, parsed once.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use url::Url;

/// The longest tracker URL that is accepted, in bytes. URLs with a pass key stay below 200; a longer one
/// than this would not fit into the request line that servers read.
pub const MAX_URL_LENGTH: usize = 4096;

/// How a tracker is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// BEP 3.
    Http,
    /// BEP 3 over TLS.
    Https,
    /// BEP 15.
    Udp,
}

/// An announce URL with a protocol that this crate speaks and a host.
///
/// Its text may contain a pass key, by which a private tracker knows its user: think before logging it. Cheap to clone.
#[derive(Clone)]
pub struct TrackerUrl(Arc<Parts>);

struct Parts {
    text: Box<str>,
    protocol: Protocol,
    port: u16,
    /// With `http` in place of `udp`, so that all hosts are read by the same rules.
    url: Url,
}

/// Why a text is no tracker URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerUrlError {
    /// Longer than [`MAX_URL_LENGTH`].
    #[error("the tracker URL has {length} bytes, above the limit of {MAX_URL_LENGTH}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Neither `http`, `https` nor `udp`.
    #[error("the tracker URL begins with neither http:, https: nor udp:")]
    UnknownProtocol,
    /// The rest is malformed.
    #[error("the tracker URL is malformed: {0}")]
    Malformed(#[from] url::ParseError),
    /// There is nobody to connect to.
    #[error("the tracker URL has port 0")]
    PortZero,
}

impl TrackerUrl {
    /// How the tracker is spoken to.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    /// The host: a name in ASCII, or an address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.0.url.host_str().unwrap_or_default();
        host.trim_matches(['[', ']'])
    }

    /// The port; when the URL has none, 443 for HTTPS and 80 else.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The URL as it was given, with white space around it cut.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Path and query as BEP 41 sends them to UDP trackers; empty when the URL ends with the port.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        match (self.0.url.path(), self.0.url.query()) {
            ("/" | "", None) => String::new(),
            (path, None) => path.to_owned(),
            (path, Some(query)) => format!("{path}?{query}"),
        }
    }

    fn from_parts(text: &str, protocol: Protocol, mut url: Url) -> Result<Self, TrackerUrlError> {
        url.set_fragment(None);
        if !url.has_host() {
            return Err(url::ParseError::EmptyHost.into());
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if port == 0 {
            return Err(TrackerUrlError::PortZero);
        }
        Ok(Self(Arc::new(Parts {
            text: text.into(),
            protocol,
            port,
            url,
        })))
    }

    /// Host, port, path and query; for UDP with `http` in place of the scheme.
    pub(crate) fn http_url(&self) -> &Url {
        &self.0.url
    }
}

impl FromStr for TrackerUrl {
    type Err = TrackerUrlError;

    fn from_str(text: &str) -> Result<Self, TrackerUrlError> {
        let text = text.trim();
        if text.len() > MAX_URL_LENGTH {
            return Err(TrackerUrlError::TooLong { length: text.len() });
        }
        let (scheme, rest) = text
            .split_once(':')
            .ok_or(TrackerUrlError::UnknownProtocol)?;
        let (protocol, http_scheme) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Protocol::Http, "http"),
            "https" => (Protocol::Https, "https"),
            "udp" => (Protocol::Udp, "http"),
            _ => return Err(TrackerUrlError::UnknownProtocol),
        };
        let url = Url::parse(&format!("{http_scheme}:{rest}"))?;
        Self::from_parts(text, protocol, url)
    }
}

/// Two URLs are equal when they lead to the same place, however they are written.
impl PartialEq for TrackerUrl {
    fn eq(&self, other: &Self) -> bool {
        (self.0.protocol, &self.0.url) == (other.0.protocol, &other.0.url)
    }
}

impl Eq for TrackerUrl {}

impl Hash for TrackerUrl {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.protocol.hash(state);
        self.0.url.hash(state);
    }
}

impl fmt::Display for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> TrackerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn host_and_port_are_read_for_every_protocol() {
        for (text, protocol, host, port) in [
            ("http://t.example/announce", Protocol::Http, "t.example", 80),
            (" HTTPS://T.example/a \n", Protocol::Https, "t.example", 443),
            ("udp://t.example:6969", Protocol::Udp, "t.example", 6969),
            ("udp://t.example/announce", Protocol::Udp, "t.example", 80),
            ("udp://[::1]:1/", Protocol::Udp, "::1", 1),
            ("http://127.1:80/announce", Protocol::Http, "127.0.0.1", 80),
            (
                "udp://bücher.example:7",
                Protocol::Udp,
                "xn--bcher-kva.example",
                7,
            ),
        ] {
            let url = parsed(text);
            assert_eq!(
                (url.protocol(), url.host(), url.port()),
                (protocol, host, port),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_tracker_url_is_refused() {
        use TrackerUrlError as E;
        assert_eq!(TrackerUrl::from_str(""), Err(E::UnknownProtocol));
        assert_eq!(
            TrackerUrl::from_str("wss://t.example/"),
            Err(E::UnknownProtocol)
        );
        assert_eq!(
            TrackerUrl::from_str("http://t.example:0/"),
            Err(E::PortZero)
        );
        assert!(matches!(
            TrackerUrl::from_str("http://"),
            Err(E::Malformed(_))
        ));
        assert!(matches!(
            TrackerUrl::from_str("udp://t.example:99999"),
            Err(E::Malformed(_))
        ));
        let long = format!("http://t.example/{}", "x".repeat(MAX_URL_LENGTH));
        assert_eq!(
            TrackerUrl::from_str(&long),
            Err(E::TooLong { length: long.len() })
        );
    }

    #[test]
    fn equality_is_by_place() {
        assert_eq!(
            parsed("http://T.example:80/a"),
            parsed("http://t.example/a")
        );
        assert_ne!(parsed("http://t.example/a"), parsed("udp://t.example/a"));
        assert_eq!(parsed("udp://T.example/a").to_string(), "udp://T.example/a");
    }

    #[test]
    fn path_and_query_of_a_bare_host_are_empty() {
        assert_eq!(parsed("udp://t.example:80").path_and_query(), "");
        assert_eq!(parsed("udp://t.example:80/").path_and_query(), "");
        assert_eq!(
            parsed("udp://t.example:80/dir?a=b&c=d").path_and_query(),
            "/dir?a=b&c=d"
        );
        assert_eq!(
            parsed("udp://t.example:80/?k=1#top").path_and_query(),
            "/?k=1"
        );
    }
}
