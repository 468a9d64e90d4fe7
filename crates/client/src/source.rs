//! Where a torrent comes from: a file or a web server.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rarest_metainfo::{DEFAULT_MAX_TORRENT_LENGTH, Metainfo};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::inspect;

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

/// Reads the torrent at a path, or fetches it from an `http:` or `https:` URL.
pub(crate) fn torrent(from: &str, authorities: Option<&Authorities>) -> Result<Metainfo> {
    let is_url = ["http://", "https://"].iter().any(|scheme| {
        from.get(..scheme.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    });
    if !is_url {
        ensure!(
            !from.starts_with("magnet:"),
            "a magnet link cannot be downloaded yet; give the .torrent file, or a URL of it"
        );
        return Ok(inspect::read_torrent(Path::new(from))?);
    }
    let bytes = fetch(from, authorities).with_context(|| format!("cannot fetch {from}"))?;
    Metainfo::parse(bytes).with_context(|| format!("what is at {from} is no torrent"))
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
    let mut answer = agent.get(url).call()?;
    Ok(answer.body_mut().with_config().limit(limit).read_to_vec()?)
}
