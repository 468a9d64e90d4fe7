//! Whom to trust: the system's roots, and those that the caller names.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::ConfigError;

pub(crate) fn read_roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let roots: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(ConfigError::Pem)?;
    if roots.is_empty() && !pem.trim_ascii().is_empty() {
        return Err(ConfigError::NoCertificate);
    }
    let mut probe = RootCertStore::empty();
    for root in &roots {
        probe.add(root.clone()).map_err(ConfigError::Certificate)?;
    }
    Ok(roots)
}

/// The system's roots, or Mozilla's where the system has none (a bare container), and the extra ones.
pub(crate) fn config(
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
