//! Runs the client, and reads what it prints line by line.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Nothing that is tested takes this long; what does, hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Words of a command line: texts and paths.
macro_rules! words {
    ($($word:expr),* $(,)?) => { [$(std::ffi::OsString::from($word)),*] };
}
pub(crate) use words;

fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rarest"));
    let mut arguments = arguments.into_iter();
    if let Some(first) = arguments.next() {
        let trades = ["download", "seed"]
            .map(OsStr::new)
            .contains(&first.as_ref());
        command.arg(first);
        if trades {
            // Tests that run side by side are not to help each other.
            command.arg("--no-local-discovery");
        }
    }
    command.args(arguments).stdin(Stdio::null());
    // Tests stay on this machine.
    let words: Vec<_> = command.get_args().map(OsStr::to_owned).collect();
    let trades = ["download", "seed", "metadata"].map(OsStr::new);
    let is_told = words.iter().any(|word| word == "--dht-bootstrap");
    if words.first().is_some_and(|word| trades.contains(&&**word)) && !is_told {
        command.arg("--no-dht");
    }
    command
}

/// Runs the client to its end.
pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    command(arguments).output().expect("the client starts")
}

/// Runs the client, which must fail with this status and one line on standard error; the line.
pub(crate) fn fails<A: AsRef<OsStr>>(
    status: i32,
    arguments: impl IntoIterator<Item = A>,
) -> String {
    let output = run(arguments);
    let line = String::from_utf8(output.stderr).expect("an error is text");
    assert_eq!(output.status.code(), Some(status), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with("rarest: "), "{line}");
    line
}

/// Runs the client with a reader of its standard output that has left.
pub(crate) fn run_unread<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = command(arguments);
    command.stdout(writer).output().expect("the client starts")
}

/// Runs the client, which must succeed; what it prints.
pub(crate) fn succeeds<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> String {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout).expect("what is printed is text")
}

/// A client that runs with `--json`. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stderr: Option<ChildStderr>,
    events: Receiver<Value>,
}

impl Running {
    pub(crate) fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self::start_command(command(arguments))
    }

    fn start_command(mut command: Command) -> Self {
        command
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the client starts");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The last line of a client that was killed may be cut.
                let Ok(event) = serde_json::from_str(&line) else {
                    break;
                };
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        let stderr = child.stderr.take();
        Self {
            child,
            stderr,
            events,
        }
    }

    /// The next event; `None` when the client printed its last.
    pub(crate) fn next(&self) -> Option<Value> {
        match self.events.recv_timeout(PATIENCE) {
            Ok(event) => Some(event),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the client hangs"),
        }
    }

    /// Waits for an event of that name.
    pub(crate) fn wait_for(&mut self, name: &str) -> Value {
        while let Some(event) = self.next() {
            if event["event"] == name {
                return event;
            }
        }
        panic!("the client ended before `{name}`: {}", self.complaint());
    }

    /// The port it listens on, as an address for `--peer`.
    pub(crate) fn address(&mut self) -> String {
        format!("127.0.0.1:{}", self.wait_for("listening")["port"])
    }

    /// Starts it where no file can grow beyond so many bytes, as if the disk were full.
    pub(crate) fn start_on_full_disk(bytes: u64, arguments: &[OsString]) -> Self {
        // Blocks of the shell have 512 bytes; the signal that would kill is ignored, as it is not sent for a real disk.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_rarest")]);
        shell.args(arguments).stdin(Stdio::null());
        Self::start_command(shell)
    }

    /// Sends it a signal, by its name: `INT`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill starts").success());
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        while self.next().is_some() {}
        self.child.wait().expect("it was started")
    }

    /// What it said on standard error, once it has ended.
    pub(crate) fn complaint(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.stderr.take() {
            // What could be read is shown.
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
