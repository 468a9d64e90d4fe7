//! The `rarest` binary.
#![forbid(unsafe_code)]

mod inspect;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// Exit status of a call that cannot be understood.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    let (what, as_json) = match arguments.as_slice() {
        [command, flag, what] if *command == "inspect" && *flag == "--json" => (*what, true),
        [command, what] if *command == "inspect" => (*what, false),
        _ => {
            complain("usage: rarest inspect [--json] FILE|MAGNET");
            return ExitCode::from(USAGE);
        }
    };
    let text = match inspect::inspect(Path::new(what)) {
        Ok(report) if as_json => serde_json::to_string(&report).map(|json| json + "\n"),
        Ok(report) => Ok(report.to_string()),
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    match text
        .map_err(io::Error::from)
        .and_then(|text| io::stdout().write_all(text.as_bytes()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Writes one line to standard error; if that is closed, nobody listens.
fn complain(message: &str) {
    let line: String = message
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let _ = writeln!(io::stderr(), "rarest: {line}");
}
