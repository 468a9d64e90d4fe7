//! `budget`: what hot paths may cost, in counted instructions, which unlike seconds are the same on a busy machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{Task, cargo, table};

pub(crate) const TASK: Task = Task {
    name: "budget",
    flags: "[--set]",
    about: "Counts the instructions of each operation of crates/bench/src/bin/counted, with valgrind, and compares them
        with crates/bench/budget.txt. Mend: find what became dearer; where that is worth it, or after a gain or with a new
        compiler, `--set` writes what was counted, and the commit says why. Needs valgrind on x86-64.",
    run,
};

const BUDGETS: &str = "crates/bench/budget.txt";

/// By how many percent a count may differ from its budget: another version of the compiler moves most counts by less.
const TOLERANCE_PERCENT: u64 = 10;

/// Operations that are counted together. The counts are the same each time, so that more would tell no more.
const TIMES: u64 = 100;

/// How a count stands beside its budget.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Within,
    Above,
    /// So far below that a regression would go unseen.
    Below,
    /// The budget names no such operation.
    Unknown,
}

fn run(mut parser: lexopt::Parser) -> Result<()> {
    let set = match parser.next()? {
        None => false,
        Some(lexopt::Arg::Long("set")) => true,
        Some(other) => return Err(other.unexpected().into()),
    };
    crate::no_more_flags(parser)?;
    if !cfg!(target_arch = "x86_64") {
        println!("budget: the instructions of {BUDGETS} are those of x86-64; nothing was counted");
        return Ok(());
    }
    let program = cargo::program("rarest-bench", "counted", "release")?;
    let names = cargo::output(&mut Command::new(&program))?;
    let counts = names
        .lines()
        .map(|name| Ok((name.to_owned(), count(&program, name)?)))
        .collect::<Result<Vec<(String, u64)>>>()?;
    let path = cargo::root().join(BUDGETS);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {BUDGETS}"))?;
    if set {
        fs::write(&path, rewritten(&text, &counts))?;
        println!(
            "budget: {} written to {BUDGETS}",
            crate::count(counts.len(), "count")
        );
        return Ok(());
    }
    compare(&parse(&text)?, &counts)
}

fn compare(budgets: &[(&str, u64)], counts: &[(String, u64)]) -> Result<()> {
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for (name, count) in counts {
        let budget = budgets.iter().find(|(known, _)| known == name);
        let budget = budget.map(|&(_, budget)| budget);
        let verdict = match judge(*count, budget) {
            Verdict::Within => "within",
            Verdict::Above => {
                failures.push(format!("{name} takes {count} instructions, more than {TOLERANCE_PERCENT} % above its budget"));
                "ABOVE"
            }
            Verdict::Below => "far below: lower it with --set",
            Verdict::Unknown => {
                failures.push(format!("{name} has no budget"));
                "UNKNOWN"
            }
        };
        let budget = budget.map_or_else(String::new, |budget| budget.to_string());
        rows.push(vec![
            name.clone(),
            count.to_string(),
            budget,
            verdict.to_owned(),
        ]);
    }
    for (name, _) in budgets {
        if !counts.iter().any(|(counted, _)| counted == name) {
            failures.push(format!("{name} has a budget, but is not counted"));
        }
    }
    table::print(&["operation", "instructions", "budget", ""], &rows);
    crate::report(
        &crate::count(rows.len(), "budget"),
        &failures,
        "find what became dearer, or set the budget with `cargo xtask budget --set` and say why",
    )
}

fn judge(count: u64, budget: Option<u64>) -> Verdict {
    let Some(budget) = budget else {
        return Verdict::Unknown;
    };
    if count * 100 > budget * (100 + TOLERANCE_PERCENT) {
        Verdict::Above
    } else if count * 100 < budget * (100 - TOLERANCE_PERCENT) {
        Verdict::Below
    } else {
        Verdict::Within
    }
}

/// Instructions of one operation: what a run with [`TIMES`] of them executes more than a run with none.
fn count(program: &Path, name: &str) -> Result<u64> {
    let more = collected(program, name, TIMES)?;
    let start = collected(program, name, 0)?;
    let difference = more.checked_sub(start);
    Ok(difference.with_context(|| format!("{name} costs less than nothing"))? / TIMES)
}

fn collected(program: &Path, name: &str, times: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .arg(name)
        .arg(times.to_string())
        .output()
        .context("cannot start valgrind: install the package `valgrind`")?;
    let report = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("`counted {name}` failed: {}", report.trim());
    }
    instructions(&report).with_context(|| {
        format!("callgrind did not say how many instructions it counted: {report}")
    })
}

/// The number behind callgrind's `Collected :`.
fn instructions(report: &str) -> Option<u64> {
    let line = report
        .lines()
        .find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

/// Lines of a name and a number; `#` begins a comment.
fn parse(text: &str) -> Result<Vec<(&str, u64)>> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (name, budget) = line.split_once(' ').unwrap_or((line, ""));
            let budget = budget.trim().parse();
            Ok((
                name,
                budget.with_context(|| format!("`{line}` has no number"))?,
            ))
        })
        .collect()
}

/// The same comments with other numbers.
fn rewritten(text: &str, counts: &[(String, u64)]) -> String {
    let comments = text.lines().filter(|line| line.starts_with('#'));
    let budgets = counts.iter().map(|(name, count)| format!("{name} {count}"));
    let lines: Vec<String> = comments.map(str::to_owned).chain(budgets).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_beyond_the_tolerance_fails() {
        let counts = |count| [("hash".to_owned(), count)];
        assert!(compare(&[("hash", 1000)], &counts(1100)).is_ok());
        assert!(compare(&[("hash", 1000)], &counts(1101)).is_err());
    }

    #[test]
    fn a_count_far_below_is_told_and_is_no_failure() {
        assert_eq!(judge(900, Some(1000)), Verdict::Within);
        assert_eq!(judge(899, Some(1000)), Verdict::Below);
        assert!(compare(&[("hash", 1000)], &[("hash".to_owned(), 1)]).is_ok());
    }

    #[test]
    fn operations_and_budgets_belong_together() {
        let counts = [("hash".to_owned(), 1)];
        assert!(compare(&[], &counts).is_err());
        assert!(compare(&[("hash", 1), ("gone", 1)], &counts).is_err());
    }

    #[test]
    fn what_was_set_is_read_again() {
        let counts = [("a".to_owned(), 1), ("b".to_owned(), 20)];
        let text = rewritten("# why\nold 7\n", &counts);
        assert_eq!(text, "# why\na 1\nb 20\n");
        assert_eq!(parse(&text).unwrap(), [("a", 1), ("b", 20)]);
        assert!(parse("a\n").is_err());
    }

    #[test]
    fn the_count_is_found_in_the_report() {
        let report = "==7== Events    : Ir\n==7== Collected : 291107\n==7== \n";
        assert_eq!(instructions(report), Some(291_107));
        assert_eq!(instructions("==7== Killed"), None);
    }
}
