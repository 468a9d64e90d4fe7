//! The trackers of a row: opentracker over HTTP and UDP, and nginx in front of it with a certificate authority of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::process::{Deadline, Process};
use super::{http, port};

/// The protocol that a row's torrent names its tracker with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Udp,
    Https,
}

/// How long a tracker may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// opentracker, and what stands before it.
#[derive(Debug)]
pub(crate) struct Tracker {
    port: u16,
    url: String,
    ca_file: Option<PathBuf>,
    whitelist: PathBuf,
    folder: PathBuf,
    opentracker: Option<Process>,
    front: Option<Process>,
}

impl Tracker {
    /// Chooses the port and the URL; the torrent needs them before the tracker, which serves only known torrents, starts.
    pub(crate) fn new(scheme: Scheme, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let port = port::free();
        let mut tracker = Self {
            port,
            url: String::new(),
            ca_file: None,
            whitelist: folder.join("whitelist"),
            folder: folder.to_owned(),
            opentracker: None,
            front: None,
        };
        match scheme {
            Scheme::Http => tracker.url = format!("http://127.0.0.1:{port}/announce"),
            Scheme::Udp => tracker.url = format!("udp://127.0.0.1:{port}/announce"),
            Scheme::Https => {
                let tls_port = port::free();
                tracker.url = format!("https://localhost:{tls_port}/announce");
                tracker.ca_file = Some(make_certificates(folder)?);
                tracker.front = Some(start_front(folder, tls_port, port)?);
            }
        }
        Ok(tracker)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of the authority that clients must trust.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Starts serving these torrents. Debian's opentracker serves none but those on its list.
    pub(crate) fn serve(&mut self, info_hashes: &[String]) -> Result<()> {
        fs::write(&self.whitelist, info_hashes.join("\n") + "\n")?;
        // The port of one that runs already must be free again.
        drop(self.opentracker.take());
        let port = self.port.to_string();
        let mut command = Command::new("opentracker");
        // It changes to its folder for good, and refuses to stay root.
        command.args([
            "-i",
            "127.0.0.1",
            "-p",
            &port,
            "-P",
            &port,
            "-u",
            "nobody",
            "-w",
            "whitelist",
            "-d",
        ]);
        command.arg(&self.folder);
        self.opentracker = Some(Process::start("opentracker", &self.folder, &command)?);
        Deadline::after(START_TIMEOUT).until("opentracker listens", || {
            Ok(http::request("GET", self.port, "/stats", &[], &[]).is_ok())
        })
    }

    /// Number of peers that announced this torrent and did not leave.
    pub(crate) fn peers(&self, info_hash: &str) -> Result<u64> {
        let escaped: String = info_hash
            .as_bytes()
            .chunks(2)
            .map(|pair| format!("%{}", String::from_utf8_lossy(pair)))
            .collect();
        let answer = http::request(
            "GET",
            self.port,
            &format!("/scrape?info_hash={escaped}"),
            &[],
            &[],
        )?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let number = |key: &str| -> u64 {
            text.split_once(key)
                .and_then(|(_, rest)| rest.split('e').next()?.parse().ok())
                .unwrap_or(0)
        };
        Ok(number("8:completei") + number("10:incompletei"))
    }
}

/// An authority and a certificate for `localhost` signed by it, made by openssl; the authority's certificate.
fn make_certificates(folder: &Path) -> Result<PathBuf> {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(folder);
        crate::cargo::output(&mut command)
    };
    fs::write(
        folder.join("leaf.ext"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n",
    )?;
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=interop-authority \
         -keyout ca.key -out ca.pem",
    )?;
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout leaf.key -out leaf.csr",
    )?;
    openssl(
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem",
    )?;
    Ok(folder.join("ca.pem"))
}

/// nginx on `tls_port`, which passes requests on to `port`.
fn start_front(folder: &Path, tls_port: u16, port: u16) -> Result<Process> {
    let place = folder.display();
    let configuration = format!(
        "daemon off; master_process off; pid {place}/nginx.pid; error_log {place}/nginx-error.log;\n\
         events {{}}\n\
         http {{\n\
         access_log {place}/nginx-access.log;\n\
         client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;\n\
         uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
         server {{ listen 127.0.0.1:{tls_port} ssl; ssl_certificate {place}/leaf.pem; ssl_certificate_key {place}/leaf.key;\n\
         location / {{ proxy_pass http://127.0.0.1:{port}; }} }}\n\
         }}\n"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, configuration)?;
    let mut command = Command::new("nginx");
    command.args(["-p"]).arg(folder).arg("-c").arg(&path);
    command.arg("-e").arg(folder.join("nginx-error.log"));
    let mut front = Process::start("nginx", folder, &command)?;
    Deadline::after(START_TIMEOUT).until("nginx listens", || {
        front.expect_running()?;
        Ok(std::net::TcpStream::connect(("127.0.0.1", tls_port)).is_ok())
    })?;
    Ok(front)
}
