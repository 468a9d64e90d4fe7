//! `style`: the rules of CONTRIBUTING.md that a program can see.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{Task, cargo};

pub(crate) const TASK: Task = Task {
    name: "style",
    flags: "",
    about: "Every Rust file opens with a `//!` line; no file or folder has a name that says nothing; no ignored
        test, no `#[allow]` (an `#[expect(.., reason = ..)]` says why and ends when the reason does). No file names
        a path of somebody's machine. Mend: what the line says.",
    run,
};

/// Names under which anything could stand.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "misc", "manager",
];

/// Above this many lines a file is named, as a question, not as a failure.
const LONG_FILE_LINES: usize = 600;

fn run(parser: lexopt::Parser) -> Result<()> {
    crate::no_more_flags(parser)?;
    let files = cargo::output(
        Command::new("git")
            // Without -z, names beyond ASCII come quoted and would be passed over.
            .args(["ls-files", "-z"])
            .current_dir(cargo::root()),
    )?;
    let mut failures = Vec::new();
    let mut checked = 0;
    for name in files.split_terminator('\0') {
        let path = Path::new(name);
        if let Some(part) = path.iter().find(|part| {
            EMPTY_NAMES
                .iter()
                .any(|empty| Path::new(part).file_stem() == Some(empty.as_ref()))
        }) {
            failures.push(format!(
                "{name}: `{}` does not say what it holds",
                part.display()
            ));
        }
        let Ok(text) = fs::read_to_string(cargo::root().join(path)) else {
            // Deleted but not yet committed, or a binary fixture.
            continue;
        };
        failures.extend(banned(&text, HOMES).map(|fault| format!("{name}: {fault}")));
        if path.extension().is_some_and(|extension| extension == "rs") {
            checked += 1;
            failures.extend(faults(&text).map(|fault| format!("{name}: {fault}")));
            let lines = text.lines().count();
            if lines > LONG_FILE_LINES {
                println!("  {name} has {lines} lines: which second idea lives there?");
            }
        }
    }
    crate::report(
        &crate::count(checked, "file"),
        &failures,
        "mend what each line says",
    )
}

// In parts, so that this file does not hold what it looks for.
const HOMES: &[(&str, &str)] = &[
    (concat!("/ro", "ot/"), "a path of somebody's machine"),
    (concat!("/ho", "me/"), "a path of somebody's machine"),
];

const ATTRIBUTES: &[(&str, &str)] = &[
    (
        concat!("#[", "allow("),
        "say why with #[expect(.., reason = ..)]",
    ),
    (
        concat!("#![", "allow("),
        "say why with #![expect(.., reason = ..)]",
    ),
    (
        concat!("#[", "ignore"),
        "a test that does not run shows nothing",
    ),
];

/// What is wrong with a Rust file.
fn faults(text: &str) -> impl Iterator<Item = String> {
    let opening = (!text.starts_with("//!")).then(|| "does not open with a `//!` line".to_owned());
    opening.into_iter().chain(banned(text, ATTRIBUTES))
}

/// The lines that hold one of the patterns, each of which comes with the reason.
fn banned(text: &str, patterns: &[(&str, &str)]) -> impl Iterator<Item = String> {
    text.lines().enumerate().flat_map(|(index, line)| {
        patterns
            .iter()
            .filter(|(pattern, _)| line.contains(pattern))
            .map(move |(pattern, why)| format!("line {}: `{pattern}`: {why}", index + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_named_with_its_line() {
        assert_eq!(faults("//! A file.\nfn f() {}\n").count(), 0);
        let text = format!("fn f() {{}}\n#[{}(dead_code)]\n#[{}]\n", "allow", "ignore");
        let found: Vec<String> = faults(&text).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[1].starts_with("line 2: "), "{found:?}");
        let homes = format!("see\nfile:/{}/somebody/notes\n", "home");
        assert_eq!(banned(&homes, HOMES).count(), 1);
    }
}
