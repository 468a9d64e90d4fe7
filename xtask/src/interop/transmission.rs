//! Transmission's daemon, through its remote control.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::client::{Client, Encryption, Goal, Job, Running, text};
use super::payload::Payload;
use super::process::{Deadline, Process};
use super::{http, port};

pub(crate) struct Transmission;

const START_TIMEOUT: Duration = Duration::from_secs(20);

impl Client for Transmission {
    fn name(&self) -> &'static str {
        "transmission"
    }

    fn needs(&self) -> &'static [(&'static str, &'static str)] {
        &[("transmission-daemon", "transmission-daemon")]
    }

    fn can(&self, payload: Payload) -> bool {
        // 3.00 refuses the empty keys of a v2 file tree.
        matches!(payload, Payload::Single | Payload::Multi)
    }

    /// It takes 127.0.0.0/8 for no address of a peer.
    fn dials_loopback(&self) -> bool {
        false
    }

    fn start(&self, job: &Job) -> Result<Box<dyn Running>> {
        let rpc_port = port::free();
        fs::create_dir_all(&job.scratch)?;
        let settings = json!({
            "bind-address-ipv4": "127.0.0.1",
            "cache-size-mb": 0,
            "dht-enabled": false,
            // Preferred, and required.
            "encryption": match job.encryption {
                Encryption::Default => 1,
                Encryption::Required => 2,
            },
            "download-dir": text(&job.data),
            "lpd-enabled": false,
            "message-level": 3,
            "peer-port": job.port,
            "pex-enabled": false,
            "port-forwarding-enabled": false,
            "ratio-limit-enabled": false,
            "rename-partial-files": false,
            "rpc-bind-address": "127.0.0.1",
            "rpc-port": rpc_port,
            "speed-limit-up": job.upload_limit.unwrap_or(0) / 1000,
            "speed-limit-up-enabled": job.upload_limit.is_some(),
            "utp-enabled": false,
        });
        fs::write(job.scratch.join("settings.json"), settings.to_string())?;
        let mut command = Command::new("transmission-daemon");
        command
            .args(["--foreground", "--config-dir"])
            .arg(&job.scratch);
        if let Some(ca_file) = &job.ca_file {
            command.env("CURL_CA_BUNDLE", ca_file);
        }
        let process = Process::start("transmission", &job.scratch, &command)?;
        let mut running = RunningTransmission {
            process,
            rpc_port,
            session_id: String::new(),
            goal: job.goal,
        };
        Deadline::after(START_TIMEOUT).until("transmission answers", || {
            running.process.expect_running()?;
            Ok(running.call("session-get", &json!({})).is_ok())
        })?;
        let added = running.call(
            "torrent-add",
            &json!({ "filename": job.what()?.to_string_lossy(), "download-dir": text(&job.data), "paused": false }),
        )?;
        if added["result"] != "success" {
            bail!("transmission does not take the torrent: {added}");
        }
        Ok(Box::new(running))
    }
}

struct RunningTransmission {
    process: Process,
    rpc_port: u16,
    session_id: String,
    goal: Goal,
}

impl RunningTransmission {
    fn call(&mut self, method: &str, arguments: &Value) -> Result<Value> {
        let body = json!({ "method": method, "arguments": arguments }).to_string();
        // The first answer is a 409 that tells the session id.
        for _ in 0..2 {
            let header = format!("X-Transmission-Session-Id: {}", self.session_id);
            let answer = http::request(
                "POST",
                self.rpc_port,
                "/transmission/rpc",
                &[&header],
                body.as_bytes(),
            )?;
            if answer.status == 409 {
                let id = answer
                    .header("X-Transmission-Session-Id")
                    .context("a 409 without an id")?;
                self.session_id = id.to_owned();
                continue;
            }
            return Ok(serde_json::from_slice(&answer.body)?);
        }
        bail!("transmission refuses its own session id")
    }
}

/// `TR_STATUS_SEED`.
const SEEDING: u64 = 6;

impl Running for RunningTransmission {
    fn is_complete(&mut self) -> Result<bool> {
        self.process.expect_running()?;
        let fields = json!({ "fields": ["status", "leftUntilDone", "sizeWhenDone"] });
        let answer = self.call("torrent-get", &fields)?;
        let torrent = &answer["arguments"]["torrents"][0];
        let has_all = torrent["leftUntilDone"] == 0 && torrent["sizeWhenDone"] != 0;
        Ok(has_all && (self.goal == Goal::Download || torrent["status"] == SEEDING))
    }

    fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }
}
