//! `cargo xtask NAME`: the checks that people and CI run alike.
#![forbid(unsafe_code)]

mod alone;
mod bench;
mod budget;
mod cargo;
mod conformance;
mod corpus;
mod fuzz_smoke;
mod interop;
mod layers;
mod package;
mod style;
mod table;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use lexopt::ValueExt as _;

/// One `cargo xtask NAME`.
struct Task {
    name: &'static str,
    /// The flags it takes, as shown in the help.
    flags: &'static str,
    /// What it checks, and how a failure is mended.
    about: &'static str,
    run: fn(lexopt::Parser) -> Result<()>,
}

impl Task {
    fn help(&self) -> String {
        let about = self
            .about
            .lines()
            .map(|line| format!("      {}\n", line.trim()));
        format!(
            "  {} {}\n{}",
            self.name,
            self.flags,
            about.collect::<String>()
        )
    }
}

const TASKS: &[Task] = &[
    layers::TASK,
    alone::TASK,
    style::TASK,
    conformance::TASK,
    corpus::TASK,
    fuzz_smoke::TASK,
    package::TASK,
    interop::TASK,
    budget::TASK,
    bench::TASK,
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut parser = lexopt::Parser::from_env();
    let name = match parser.next()? {
        None | Some(lexopt::Arg::Short('h') | lexopt::Arg::Long("help")) => {
            print!("{}", help());
            return Ok(());
        }
        Some(lexopt::Arg::Value(name)) => name.string()?,
        Some(flag) => return Err(flag.unexpected().into()),
    };
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        bail!("there is no task `{name}`; `cargo xtask --help` lists them");
    };
    if std::env::args()
        .skip(2)
        .any(|flag| flag == "--help" || flag == "-h")
    {
        print!("cargo xtask\n{}", task.help());
        return Ok(());
    }
    (task.run)(parser).with_context(|| format!("{name} failed"))
}

fn help() -> String {
    let tasks: String = TASKS.iter().map(Task::help).collect();
    format!("cargo xtask NAME [FLAGS]\n\n{tasks}")
}

/// Refuses whatever is left on the command line of a task that takes no (more) flags.
fn no_more_flags(mut parser: lexopt::Parser) -> Result<()> {
    match parser.next()? {
        None => Ok(()),
        Some(arg) => Err(arg.unexpected().into()),
    }
}

/// Ends a check: prints each failure, and fails when there is one.
fn report(checked: &str, failures: &[String], mend: &str) -> Result<()> {
    for failure in failures {
        println!("  {failure}");
    }
    if failures.is_empty() {
        println!("{checked}: ok");
        return Ok(());
    }
    bail!("{} of {checked}; {mend}", count(failures.len(), "failure"))
}

/// `1 failure`, `2 failures`.
fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
