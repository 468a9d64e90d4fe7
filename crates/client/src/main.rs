//! The `rarest` binary: flags, progress and exit codes around the libraries.
#![forbid(unsafe_code)]

mod args;
mod byte_bar;
mod create;
mod demo;
mod dht;
mod download;
mod inspect;
mod interrupt;
mod manual;
mod metadata;
mod network;
mod overwriting;
mod place;
mod quantity;
mod report;
mod reporter;
mod scrape;
mod seed;
mod selection;
mod source;
mod torrent_file;
mod verify;
mod watch;

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser as _;
use clap::error::ErrorKind;

use args::{Cli, Command};

/// Exit status of a command line that cannot be understood.
const USAGE: u8 = 2;

/// Exit status of a check that found pieces missing or damaged.
const INCOMPLETE: u8 = 3;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All that was asked for is done.
    Done,
    /// Pieces are missing or damaged.
    Incomplete,
    /// The user stopped it; everything is saved.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Incomplete => Self::from(INCOMPLETE),
            Outcome::Interrupted => Self::from(interrupt::EXIT_STATUS),
        }
    }
}

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage(&error),
    };
    match run(command) {
        Ok(outcome) => outcome.into(),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<Outcome> {
    match command {
        Command::Download(arguments) => download::run(&arguments),
        Command::Seed(arguments) => seed::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Create(arguments) => create::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Metadata(arguments) => metadata::run(&arguments),
        Command::Scrape(arguments) => scrape::run(&arguments),
        Command::Dht(command) => dht::run(&command),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Completions { shell } => manual::print_completions(shell),
        Command::Man => manual::print_page(),
    }
}

/// Prints what was asked for (help, version), or in one line what is wrong with the command line.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nobody can be told that nobody reads.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
    }
    let text = error.render().to_string();
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let said = said.join(" ").replace(" tip: ", "; ");
    complain(&anyhow!(
        "{}; see `rarest --help`",
        said.trim_start_matches("error: ")
    ));
    ExitCode::from(USAGE)
}

/// Whether nobody reads what we print any more (`rarest man | head`), which is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints one line.
///
/// # Errors
/// Those of standard output, where `println!` would panic.
fn say(line: impl fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Writes one line to standard error; if that is closed, nobody listens.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "rarest: {}", printable(&sentence(error)));
}

/// What failed and why, in one line. Many errors name their cause, which is not to be read twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !sentence.contains(&cause) {
            sentence.push_str(": ");
            sentence.push_str(&cause);
        }
    }
    sentence
}

/// The text as one line in which a name of a torrent can do nothing to the terminal, nor to the order in which it is read.
fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        // Marks, embeddings, overrides and isolates of bidirectional text, and what ends a line or a paragraph.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::{printable, sentence};

    #[test]
    fn a_cause_is_told_once() {
        let refused = || std::io::Error::other("the port is taken");
        let error = anyhow::Error::new(refused()).context("cannot listen");
        assert_eq!(sentence(&error), "cannot listen: the port is taken");
        let named: Result<(), _> = Err(refused());
        let named = named.context("cannot listen: the port is taken");
        let error = named.context("no session").unwrap_err();
        assert_eq!(
            sentence(&error),
            "no session: cannot listen: the port is taken"
        );
    }

    #[test]
    fn what_is_printed_neither_moves_the_cursor_nor_turns_around() {
        assert_eq!(
            printable("a\u{1b}[2J\n\u{202e}gpj.exe\u{61c}"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}gpj.exe\u{fffd}"
        );
        assert_eq!(printable("größe/日本"), "größe/日本");
    }
}
