//! rTorrent, as a daemon that reads one file of commands.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::client::{Client, Encryption, Goal, Job, Running, text};
use super::payload::Payload;
use super::process::Process;

pub(crate) struct Rtorrent;

impl Client for Rtorrent {
    fn name(&self) -> &'static str {
        "rtorrent"
    }

    fn needs(&self) -> &'static [(&'static str, &'static str)] {
        &[("rtorrent", "rtorrent")]
    }

    fn can(&self, payload: Payload) -> bool {
        // To it a hybrid is a v1 torrent with padding files.
        payload != Payload::V2
    }

    /// It does not dial the peers that a tracker names on this machine.
    fn dials_loopback(&self) -> bool {
        false
    }

    fn start(&self, job: &Job) -> Result<Box<dyn Running>> {
        let session = job.scratch.join("session");
        fs::create_dir_all(&session)?;
        // It forgets that it finished what was complete from the start, so each goal has its event.
        let mark = job.scratch.join("complete");
        let event = match job.goal {
            Goal::Seed => "hash_done",
            Goal::Download => "finished",
        };
        let encryption = match job.encryption {
            Encryption::Default => "none",
            Encryption::Required => "allow_incoming,try_outgoing,require,require_RC4",
        };
        let ca_file = job
            .ca_file
            .as_ref()
            .map(|file| format!("network.http.cacert.set = {}\n", text(file)))
            .unwrap_or_default();
        let rc = job.scratch.join("rc");
        fs::write(
            &rc,
            format!(
                "log.open_file = events, {log}\nlog.add_output = debug, events\nlog.add_output = torrent_debug, events\n\
                 log.add_output = peer_debug, events\n\
                 directory.default.set = \"{}\"\nsession.path.set = {}\n\
                 network.port_range.set = {port}-{port}\nnetwork.port_random.set = no\n\
                 network.bind_address.set = 127.0.0.1\ndht.mode.set = disable\nprotocol.pex.set = no\n\
                 trackers.use_udp.set = yes\nthrottle.global_up.max_rate.set_kb = {}\n{ca_file}\
                 protocol.encryption.set = {encryption}\nsystem.daemon.set = true\npieces.hash.on_completion.set = no\n\
                 method.set_key = event.download.{event}, interop, \"execute2 = touch, {}\"\n\
                 schedule2 = go, 0, 0, \"load.start={}\"\n",
                text(&job.data),
                text(&session),
                job.upload_limit.unwrap_or(0) / 1024,
                text(&mark),
                text(&job.torrent.path),
                port = job.port,
                // What it prints says nothing.
                log = text(&job.scratch.join("events.log")),
            ),
        )?;
        let mut command = Command::new("rtorrent");
        command
            .arg("-n")
            .arg("-o")
            .arg(format!("import={}", text(&rc)));
        let process = Process::start("rtorrent", &job.scratch, &command)?;
        Ok(Box::new(RunningRtorrent { process, mark }))
    }
}

struct RunningRtorrent {
    process: Process,
    mark: PathBuf,
}

impl Running for RunningRtorrent {
    fn is_complete(&mut self) -> Result<bool> {
        self.process.expect_running()?;
        Ok(self.mark.exists())
    }

    fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }
}
