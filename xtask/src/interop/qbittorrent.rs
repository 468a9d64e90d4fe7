//! qBittorrent without its window, through its web interface.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde_json::Value;

use super::client::{Client, Encryption, Form, Job, Running, text};
use super::payload::Payload;
use super::process::{Deadline, Process};
use super::{http, port};

pub(crate) struct Qbittorrent;

const START_TIMEOUT: Duration = Duration::from_secs(20);

impl Client for Qbittorrent {
    fn name(&self) -> &'static str {
        "qbittorrent"
    }

    fn needs(&self) -> &'static [(&'static str, &'static str)] {
        &[("qbittorrent-nox", "qbittorrent-nox")]
    }

    fn can(&self, _payload: Payload) -> bool {
        true
    }

    fn start(&self, job: &Job) -> Result<Box<dyn Running>> {
        let web_port = port::free();
        let encryption = match job.encryption {
            Encryption::Default => 2,
            Encryption::Required => 1,
        };
        let configuration = job.scratch.join("qBittorrent/config");
        fs::create_dir_all(&configuration)?;
        fs::write(
            configuration.join("qBittorrent.conf"),
            format!(
                "[LegalNotice]\nAccepted=true\n\
                 [Preferences]\nWebUI\\LocalHostAuth=false\nWebUI\\CSRFProtection=false\nWebUI\\Address=127.0.0.1\n\
                 WebUI\\Port={web_port}\n\
                 [BitTorrent]\nSession\\DHTEnabled=false\nSession\\LSDEnabled=false\nSession\\PeXEnabled=false\n\
                 Session\\Encryption={encryption}\nSession\\Port={}\nSession\\BTProtocol=TCP\nSession\\DefaultSavePath={}\n\
                 Session\\QueueingSystemEnabled=false\nSession\\MultiConnectionsPerIp=true\nSession\\GlobalUPSpeedLimit={}\n\
                 Session\\ValidateHTTPSTrackerCertificate=true\n\
                 [Network]\nPortForwardingEnabled=false\n",
                job.port,
                text(&job.data),
                job.upload_limit.unwrap_or(0) / 1024,
            ),
        )?;
        let mut command = Command::new("qbittorrent-nox");
        command.arg(format!("--profile={}", text(&job.scratch)));
        command.arg(format!("--webui-port={web_port}"));
        // It keeps a socket there by which a second start finds the first.
        command.env("TMPDIR", &job.scratch);
        if let Some(ca_file) = &job.ca_file {
            command.env("SSL_CERT_FILE", ca_file);
        }
        let mut process = Process::start("qbittorrent", &job.scratch, &command)?;
        Deadline::after(START_TIMEOUT).until("qbittorrent answers", || {
            process.expect_running()?;
            Ok(http::request("GET", web_port, "/api/v2/app/version", &[], &[]).is_ok())
        })?;
        let form = form(job)?;
        let kind = "Content-Type: multipart/form-data; boundary=B";
        let answer = http::request("POST", web_port, "/api/v2/torrents/add", &[kind], &form)?;
        if answer.status != 200 || !answer.body.starts_with(b"Ok") {
            bail!(
                "qbittorrent does not take the torrent: status {}",
                answer.status
            );
        }
        Ok(Box::new(RunningQbittorrent { process, web_port }))
    }
}

/// What it is given of the torrent, as its web interface takes it.
fn form(job: &Job) -> Result<Vec<u8>> {
    let (kind, content) = match job.form {
        Form::File | Form::Bare => (
            "name=\"torrents\"; filename=\"t.torrent\"\r\nContent-Type: application/x-bittorrent",
            fs::read(job.what()?)?,
        ),
        Form::Magnet | Form::V2Magnet | Form::TrackerlessMagnet => (
            "name=\"urls\"",
            job.what()?
                .into_string()
                .map_err(|_| anyhow!("a link is text"))?
                .into_bytes(),
        ),
    };
    let head = format!("--B\r\nContent-Disposition: form-data; {kind}\r\n\r\n");
    Ok([head.as_bytes(), &content, b"\r\n--B--\r\n"].concat())
}

struct RunningQbittorrent {
    process: Process,
    web_port: u16,
}

impl Running for RunningQbittorrent {
    fn is_complete(&mut self) -> Result<bool> {
        self.process.expect_running()?;
        let answer = http::request("GET", self.web_port, "/api/v2/torrents/info", &[], &[])?;
        let torrents: Value = serde_json::from_slice(&answer.body)?;
        Ok(torrents[0]["progress"] == 1)
    }

    fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }
}
