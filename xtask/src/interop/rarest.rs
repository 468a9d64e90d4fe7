//! Our own client.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::client::{Client, DhtPart, Encryption, Finding, Goal, Job, Running};
use super::payload::{self, Payload};
use super::process::Process;

pub(crate) struct Rarest {
    /// The binary.
    pub(crate) program: PathBuf,
}

impl Client for Rarest {
    fn name(&self) -> &'static str {
        "rarest"
    }

    fn needs(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn can(&self, _payload: Payload) -> bool {
        true
    }

    fn create(&self, payload: Payload, path: &Path, out: &Path) -> Option<Command> {
        let mut command = Command::new(&self.program);
        command.arg("create").arg(path).arg("-o").arg(out);
        command.args(["--format", payload.format(), "--piece-length"]);
        command.arg(payload::PIECE_LENGTH.to_string());
        Some(command)
    }

    fn ask_dht(&self, bootstrap: &str, arguments: &[&str]) -> Option<Command> {
        let mut command = Command::new(&self.program);
        command.arg("dht").args(arguments);
        command.args(["--bootstrap", bootstrap, "--bind", "127.0.0.1"]);
        Some(command)
    }

    fn start(&self, job: &Job) -> Result<Box<dyn Running>> {
        let mut command = Command::new(&self.program);
        command.arg(match job.goal {
            Goal::Seed => "seed",
            Goal::Download => "download",
        });
        command.arg(job.what()?).arg("--output").arg(&job.data);
        command.args(["--listen-port", &job.port.to_string()]);
        if job.encryption == Encryption::Required {
            command.args(["--encryption", "require"]);
        }
        match job.dht {
            DhtPart::None => command.arg("--no-dht"),
            DhtPart::From(port) => command.args(["--dht-bootstrap", &format!("127.0.0.1:{port}")]),
        };
        if let Some(limit) = job.upload_limit {
            command.args(["--limit-up", &limit.to_string()]);
        }
        if let Some(limit) = job.download_limit {
            command.args(["--limit-down", &limit.to_string()]);
        }
        if job.finding != Finding::LocalNetwork {
            command.arg("--no-local-discovery");
        }
        if let Finding::Acquaintance(port) = job.finding {
            command.args(["--peer", &format!("127.0.0.1:{port}")]);
        }
        if let Some(ca_file) = &job.ca_file {
            command.arg("--ca-file").arg(ca_file);
        }
        let process = Process::start("rarest", &job.scratch, &command)?;
        Ok(Box::new(RunningRarest {
            process,
            goal: job.goal,
        }))
    }
}

struct RunningRarest {
    process: Process,
    goal: Goal,
}

impl Running for RunningRarest {
    fn is_complete(&mut self) -> Result<bool> {
        match self.goal {
            Goal::Seed => {
                self.process.expect_running()?;
                Ok(self.process.printed()?.contains("READY"))
            }
            Goal::Download => match self.process.ended()? {
                None => Ok(false),
                Some(status) if status.success() => Ok(true),
                Some(status) => bail!("rarest ended with {status}; {}", self.process.last_line()),
            },
        }
    }

    fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }
}
