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
        test, no `#[allow]` (an `#[expect(.., reason = ..)]` says why and ends when the reason does), no path of
        somebody's machine. Mend: what the line says.",
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
            .args(["ls-files"])
            .current_dir(cargo::root()),
    )?;
    let mut failures = Vec::new();
    let mut checked = 0;
    for name in files.lines() {
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

fn faults(text: &str) -> impl Iterator<Item = String> {
    // Split here, so that this file does not hold what it looks for.
    let banned = [
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
        (concat!("\"/", "root/"), "a path of somebody's machine"),
        (concat!("\"/", "home/"), "a path of somebody's machine"),
    ];
    let opening = (!text.starts_with("//!")).then(|| "does not open with a `//!` line".to_owned());
    let lines = text
        .lines()
        .enumerate()
        .flat_map(move |(index, line)| {
            banned
                .into_iter()
                .filter(move |(pattern, _)| line.contains(pattern))
                .map(move |(pattern, why)| format!("line {}: `{pattern}`: {why}", index + 1))
        })
        .collect::<Vec<_>>();
    opening.into_iter().chain(lines)
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
    }
}
