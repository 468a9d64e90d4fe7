//! HTTPS with a private authority.

use std::net::SocketAddr;
use std::sync::Arc;

use rarest_tracker::client::HttpClient;
use rarest_tracker::{Error, RedirectError, TrackerUrl};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::scripted::{ok, read_head, redirect};
use super::{REPLY, announce_to, client, client_with};

struct TlsServer {
    address: SocketAddr,
    ca_pem: String,
    _tasks: JoinSet<()>,
}

impl TlsServer {
    /// A server for `localhost`, certified by an authority that nobody knows.
    async fn start(answer: Vec<u8>) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca_params = CertificateParams::new([]).unwrap();
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca_params.self_signed(&ca_key).unwrap().pem();
        let ca = Issuer::new(ca_params, ca_key);
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await
                    && read_head(&mut stream).await.is_some()
                {
                    stream.write_all(&answer).await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            }
        });
        Self {
            address,
            ca_pem,
            _tasks: tasks,
        }
    }

    fn url(&self, host: &str) -> TrackerUrl {
        format!("https://{host}:{}/announce", self.address.port())
            .parse()
            .unwrap()
    }

    fn trusting_client(&self) -> HttpClient {
        client_with(|config| config.extra_roots_pem = self.ca_pem.clone().into_bytes())
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_configured() {
    let server = TlsServer::start(ok(REPLY)).await;
    let client = server.trusting_client();
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(
            announce_to(&client, &server.url(host)).await.unwrap().len(),
            1
        );
    }
}

#[tokio::test]
async fn an_unknown_authority_and_a_wrong_name_are_refused() {
    let server = TlsServer::start(ok(REPLY)).await;
    let outcome = announce_to(&client(), &server.url("localhost")).await;
    assert!(matches!(outcome, Err(Error::Network(_))), "{outcome:?}");
    let outcome = announce_to(&server.trusting_client(), &server.url("127.0.0.2")).await;
    assert!(matches!(outcome, Err(Error::Network(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_redirect_does_not_lead_from_https_to_http() {
    let server = TlsServer::start(redirect("http://127.0.0.1:1/")).await;
    let outcome = announce_to(&server.trusting_client(), &server.url("localhost")).await;
    assert!(
        matches!(outcome, Err(Error::Redirect(RedirectError::Insecure))),
        "{outcome:?}"
    );
}
