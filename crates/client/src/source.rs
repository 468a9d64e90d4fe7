//! Where a torrent comes from: a file or a web server.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rarest_metainfo::{
    DEFAULT_MAX_TORRENT_LENGTH, Magnet, MagnetError, Metainfo, MetainfoError, ParseOptions,
};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Schemes of the web.
pub(crate) const WEB: &[&str] = &["http://", "https://"];

/// A web server that takes longer to hand over a .torrent is as good as none.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Certificates of authorities that the user trusts beside the system's.
#[derive(Clone, Debug)]
pub(crate) struct Authorities {
    /// The file as it is.
    pub(crate) pem: Vec<u8>,
}

impl Authorities {
    /// Reads the file that `--ca-file` names, if it was given.
    pub(crate) fn read(file: Option<&Path>) -> Result<Option<Self>> {
        let Some(file) = file else {
            return Ok(None);
        };
        let pem = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let authorities = Self { pem };
        let count = authorities
            .certificates()
            .with_context(|| format!("{} is no PEM file", file.display()))?
            .len();
        ensure!(
            count > 0,
            "{} holds no certificate; it must be in PEM",
            file.display()
        );
        Ok(Some(authorities))
    }

    fn certificates(&self) -> Result<Vec<Certificate<'static>>> {
        let mut certificates = Vec::new();
        for item in parse_pem(&self.pem) {
            if let PemItem::Certificate(certificate) = item? {
                certificates.push(certificate);
            }
        }
        Ok(certificates)
    }
}

/// Why there is no torrent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The file cannot be read.
    #[error("cannot read {}", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is longer than any torrent that is read.
    #[error(
        "{} has more than {DEFAULT_MAX_TORRENT_LENGTH} bytes, the most that is read of a torrent",
        shown(path)
    )]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file is no torrent.
    #[error("{}", shown(path))]
    Torrent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: MetainfoError,
    },
    /// A magnet link where a file was expected.
    #[error("a magnet link does not say what the pieces are; give the .torrent file")]
    IsMagnet,
    /// A URL where a file was expected.
    #[error(
        "{} is a URL, which only `rarest download` fetches; give the .torrent file",
        shown(path)
    )]
    IsUrl {
        /// The URL.
        path: PathBuf,
    },
    /// The link is none.
    #[error(transparent)]
    Magnet(#[from] MagnetError),
}

/// Most characters of a path in a message; a whole link that was mistaken for one is no help.
const MAX_SHOWN_PATH: usize = 300;

fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    match text.char_indices().nth(MAX_SHOWN_PATH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

/// Reads the torrent at a path, or fetches it from an `http:` or `https:` URL.
pub(crate) fn torrent(from: &str, authorities: Option<&Authorities>) -> Result<Metainfo> {
    if !has_scheme(from, WEB) {
        return Ok(read_torrent(Path::new(from))?);
    }
    let bytes = fetch(from, authorities).with_context(|| format!("cannot fetch {from}"))?;
    Metainfo::parse(bytes).with_context(|| from.to_owned())
}

fn fetch(url: &str, authorities: Option<&Authorities>) -> Result<Vec<u8>> {
    let mut agent = ureq::Agent::config_builder().timeout_global(Some(FETCH_TIMEOUT));
    if let Some(authorities) = authorities {
        // Whoever names an authority fetches from their own server.
        let roots = RootCerts::Specific(Arc::new(authorities.certificates()?));
        agent = agent.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    let agent = ureq::Agent::new_with_config(agent.build());
    let limit = DEFAULT_MAX_TORRENT_LENGTH as u64;
    let answer = agent.get(url).call();
    answer
        .and_then(|mut answer| answer.body_mut().with_config().limit(limit).read_to_vec())
        .map_err(explained)
}

/// The error in words for who typed the URL.
fn explained(error: ureq::Error) -> anyhow::Error {
    match error {
        ureq::Error::Io(error) => error.into(),
        ureq::Error::StatusCode(status) => anyhow!("the server answers with status {status}"),
        ureq::Error::HostNotFound => anyhow!("there is no such host"),
        ureq::Error::Timeout(_) => {
            anyhow!("the server took more than {} s", FETCH_TIMEOUT.as_secs())
        }
        ureq::Error::BodyExceedsLimit(limit) => {
            anyhow!("it has more than {limit} bytes, the most that is read of a torrent")
        }
        other => other.into(),
    }
}

/// The magnet link that a word of the command line is, if it is one.
pub(crate) fn magnet(word: &Path) -> Result<Option<Magnet>, SourceError> {
    let link = word
        .to_str()
        .map(str::trim)
        .filter(|text| has_scheme(text, &["magnet:"]));
    Ok(link.map(str::parse).transpose()?)
}

/// Whether a text begins with one of the schemes, in capitals or not.
pub(crate) fn has_scheme(text: &str, schemes: &[&str]) -> bool {
    schemes.iter().any(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    })
}

/// Longest file that is taken for a torrent: other programs make longer ones than are read here.
const MAX_OTHERS_TORRENT_LENGTH: usize = 100_000_000;

/// Whether a file is a torrent, also one that is too long to be used.
pub(crate) fn is_torrent(path: &Path) -> bool {
    let options = ParseOptions::default().max_length(MAX_OTHERS_TORRENT_LENGTH);
    let limit = MAX_OTHERS_TORRENT_LENGTH as u64;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.is_ok() && options.parse(bytes).is_ok()
}

/// Reads a `.torrent` file; never more of it than a torrent may have.
pub(crate) fn read_torrent(path: &Path) -> Result<Metainfo, SourceError> {
    let unreadable = |source| match path.to_string_lossy().trim() {
        // Files may have such names; one that is there was read.
        link if has_scheme(link, &["magnet:"]) => SourceError::IsMagnet,
        url if has_scheme(url, WEB) => SourceError::IsUrl {
            path: path.to_owned(),
        },
        _ => SourceError::Read {
            path: path.to_owned(),
            source,
        },
    };
    let limit = DEFAULT_MAX_TORRENT_LENGTH as u64;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(SourceError::TooLong {
            path: path.to_owned(),
        });
    }
    Metainfo::parse(bytes).map_err(|source| SourceError::Torrent {
        path: path.to_owned(),
        source,
    })
}
