//! aria2.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::client::{Client, Encryption, Goal, Job, Running, text};
use super::payload::Payload;
use super::process::Process;

pub(crate) struct Aria2;

impl Client for Aria2 {
    fn name(&self) -> &'static str {
        "aria2"
    }

    fn needs(&self) -> &'static [(&'static str, &'static str)] {
        &[("aria2c", "aria2")]
    }

    fn can(&self, payload: Payload) -> bool {
        // It hashes what it writes again, not the bytes of the file, and so gets a hybrid wrong.
        matches!(payload, Payload::Single | Payload::Multi)
    }

    fn announces_over_udp(&self) -> bool {
        false
    }

    fn start(&self, job: &Job) -> Result<Box<dyn Running>> {
        fs::create_dir_all(&job.scratch)?;
        // It exits at a tick of a second only; the hook runs at once.
        let mark = job.scratch.join("complete");
        let hook = job.scratch.join("hook");
        fs::write(&hook, format!("#!/bin/sh\n: > '{}'\n", mark.display()))?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
        let mut command = Command::new("aria2c");
        command.args([
            "--no-conf",
            "--enable-dht=false",
            "--enable-dht6=false",
            "--bt-enable-lpd=false",
            "--enable-peer-exchange=false",
            "--disable-ipv6",
            "--file-allocation=none",
            "--summary-interval=1",
            "--allow-overwrite=true",
            "--check-integrity=true",
            "--seed-ratio=0",
            "--bt-tracker-interval=2",
        ]);
        command.arg(format!("--listen-port={}", job.port));
        command.arg(format!(
            "--max-upload-limit={}",
            job.upload_limit.unwrap_or(0)
        ));
        command.arg(format!("--dir={}", job.data.display()));
        command.arg(format!("--on-bt-download-complete={}", hook.display()));
        if job.encryption == Encryption::Required {
            command.args(["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"]);
        }
        if let Some(ca_file) = &job.ca_file {
            command.arg(format!("--ca-certificate={}", text(ca_file)));
        }
        command.arg(&job.torrent.path);
        let process = Process::start("aria2", &job.scratch, &command)?;
        Ok(Box::new(RunningAria2 {
            process,
            mark,
            goal: job.goal,
            port: job.port,
        }))
    }
}

struct RunningAria2 {
    process: Process,
    mark: PathBuf,
    goal: Goal,
    port: u16,
}

impl Running for RunningAria2 {
    fn is_complete(&mut self) -> Result<bool> {
        self.process.expect_running()?;
        match self.goal {
            Goal::Download => Ok(self.mark.exists()),
            // It listens only after it has checked the files.
            Goal::Seed => Ok(std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()),
        }
    }

    fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }
}
