//! `corpus`: `rarest inspect --json` against a corpus of torrents and magnets with expected results.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{Task, cargo};

pub(crate) const TASK: Task = Task {
    name: "corpus",
    flags: "[FOLDER]",
    about: "Runs FOLDER/check_corpus.py (default: $RAREST_CORPUS, else ../shared/corpus) against the client
        ($RAREST_BIN, else one that is built now). Without such a folder there is nothing to check, which is said.
        Mend: run the entry it names with `rarest inspect --json FILE`.",
    run,
};

const DEFAULT_FOLDER: &str = "../shared/corpus";

fn run(mut parser: lexopt::Parser) -> Result<()> {
    let given = match parser.next()? {
        None => None,
        Some(lexopt::Arg::Value(folder)) => Some(folder),
        Some(other) => return Err(other.unexpected().into()),
    };
    crate::no_more_flags(parser)?;
    let folder = given
        .or_else(|| std::env::var_os("RAREST_CORPUS"))
        .map_or_else(|| cargo::root().join(DEFAULT_FOLDER), PathBuf::from);
    let script = folder.join("check_corpus.py");
    if !script.exists() {
        println!(
            "there is no corpus at {}: nothing checked",
            folder.display()
        );
        return Ok(());
    }
    let mut command = Command::new("python3");
    command.arg(script).arg(folder);
    if std::env::var_os("RAREST_BIN").is_none() {
        command.env("RAREST_BIN", cargo::client("dev")?);
    }
    cargo::run(&mut command)
}
