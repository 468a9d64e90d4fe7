//! libtorrent (the one of qBittorrent and Deluge) through its Python bindings.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::client::{Client, DhtPart, Encryption, Finding, Goal, Job, Running};
use super::payload::Payload;
use super::process::Process;

pub(crate) struct Libtorrent;

/// The script that drives it; it runs with Debian's own Python, which sees the bindings.
pub(crate) fn script() -> PathBuf {
    crate::cargo::root().join("xtask/interop/libtorrent_client.py")
}

impl Client for Libtorrent {
    fn name(&self) -> &'static str {
        "libtorrent"
    }

    fn needs(&self) -> &'static [(&'static str, &'static str)] {
        &[(
            "/usr/lib/python3/dist-packages/libtorrent*.so",
            "python3-libtorrent",
        )]
    }

    fn can(&self, _payload: Payload) -> bool {
        true
    }

    fn start(&self, job: &Job) -> Result<Box<dyn Running>> {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script()).arg(match job.goal {
            Goal::Seed => "seed",
            Goal::Download => "download",
        });
        command.args(["--port", &job.port.to_string()]);
        if job.encryption == Encryption::Required {
            command.arg("--forced-rc4");
        }
        if let DhtPart::From(port) = job.dht {
            command.args(["--dht", &format!("127.0.0.1:{port}")]);
        }
        if let Some(limit) = job.upload_limit {
            command.args(["--upload-limit", &limit.to_string()]);
        }
        if let Some(limit) = job.download_limit {
            command.args(["--download-limit", &limit.to_string()]);
        }
        match job.finding {
            Finding::Tracker => {}
            Finding::LocalNetwork => _ = command.arg("--lsd"),
            Finding::Acquaintance(port) => _ = command.args(["--peer", &port.to_string()]),
        }
        command.arg("--output").arg(&job.data).arg(job.what()?);
        if let Some(ca_file) = &job.ca_file {
            command.env("SSL_CERT_FILE", ca_file);
        }
        let process = Process::start("libtorrent", &job.scratch, &command)?;
        Ok(Box::new(RunningLibtorrent { process }))
    }
}

struct RunningLibtorrent {
    process: Process,
}

impl Running for RunningLibtorrent {
    fn is_complete(&mut self) -> Result<bool> {
        self.process.expect_running()?;
        Ok(self.process.printed()?.contains("DONE"))
    }

    fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }

    fn uploaded(&self) -> Result<Option<u64>> {
        let printed = self.process.printed()?;
        let line = printed
            .lines()
            .find_map(|line| line.strip_prefix("UPLOADED "));
        Ok(line.map(str::parse).transpose()?)
    }
}

/// What libtorrent stores in the DHT.
pub(crate) const ITEM: &str = "from libtorrent";

/// SHA-1 of [`ITEM`], bencoded.
pub(crate) const ITEM_TARGET: &str = "d4d444febdbae7201e49072a94d29bef13d8c29c";

/// Two nodes of the DHT, of which one alone would have nobody to store an item at.
pub(crate) struct DhtNodes {
    process: Process,
}

impl DhtNodes {
    /// Starts them, one at the port of the job. They look for the item `wanted`.
    pub(crate) fn start(job: &Job, wanted: &str) -> Result<Self> {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script()).args(["items", "--port"]);
        command.arg(job.port.to_string());
        command.arg("--output").arg(&job.scratch).arg(wanted);
        let process = Process::start("libtorrent", &job.scratch, &command)?;
        Ok(Self { process })
    }

    pub(crate) fn has_stored(&mut self) -> Result<bool> {
        self.says("READY")
    }

    pub(crate) fn have_got(&mut self) -> Result<bool> {
        self.says("DONE")
    }

    fn says(&mut self, word: &str) -> Result<bool> {
        self.process.expect_running()?;
        Ok(self.process.printed()?.contains(word))
    }
}
