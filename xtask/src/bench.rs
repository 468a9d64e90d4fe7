//! `bench`: the micro benches of all crates, as one table.

use anyhow::Result;

use crate::{Task, cargo, table};

pub(crate) const TASK: Task = Task {
    name: "bench",
    flags: "[FILTER]",
    about: "Runs the divan benches of every crate (those whose name holds FILTER) and prints medians and rates; then
        `rarest` beside other libraries at the same work, with ratios. Nothing to mend: it measures.",
    run,
};

fn run(mut parser: lexopt::Parser) -> Result<()> {
    let filter = match parser.next()? {
        None => None,
        Some(lexopt::Arg::Value(filter)) => Some(filter),
        Some(other) => return Err(other.unexpected().into()),
    };
    crate::no_more_flags(parser)?;
    let mut rows = Vec::new();
    for member in cargo::members()?.iter().filter(|member| member.has_benches) {
        let mut command = cargo::cargo(&["bench", "--package", &member.package, "--benches", "--"]);
        command.args(&filter);
        println!("$ {}", cargo::shown(&command));
        let report = cargo::output(&mut command)?;
        rows.extend(
            medians(&report)
                .into_iter()
                .map(|(bench, median, rate)| vec![member.folder.clone(), bench, median, rate]),
        );
    }
    if !rows.is_empty() {
        table::print(&["crate", "bench", "median", "rate"], &rows);
    }
    let mut contests = cargo::cargo(&["run", "--release", "--package=rarest-bench"]);
    contests.args(["--features=aws-lc", "--bin=contests", "--"]);
    cargo::run(contests.args(&filter))
}

/// Path, median time and median throughput of each bench in divan's tree.
///
/// A line of the tree is `│  ├─ name  fastest │ slowest │ median │ mean │ samples │ iters`, three columns wide a level;
/// the lines of throughput below it have the same columns without a name.
fn medians(report: &str) -> Vec<(String, String, String)> {
    let mut benches: Vec<(String, String, String)> = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    for line in report.lines() {
        let Some(begin) = line.find("─ ") else {
            // A line of throughput, of the bench above it: the third column is the median's.
            let columns: Vec<&str> = line
                .split('│')
                .map(str::trim)
                .filter(|cell| cell.ends_with("/s"))
                .collect();
            if let (Some((_, _, rate)), Some(median)) = (benches.last_mut(), columns.get(2)) {
                rate.clear();
                rate.push_str(median);
            }
            continue;
        };
        let level = line[..begin].chars().count() / 3;
        let rest = &line[begin + "─ ".len()..];
        let name = rest.split("  ").next().unwrap_or(rest).trim();
        path.truncate(level);
        path.push(name);
        let columns: Vec<&str> = rest.split('│').map(str::trim).collect();
        if let Some(median) = columns.get(2).filter(|median| !median.is_empty()) {
            benches.push((path.join("::"), (*median).to_owned(), String::new()));
        }
    }
    benches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_divan_becomes_rows() {
        let report = "Timer precision: 20 ns\n\
            hash           fastest       │ slowest       │ median        │ mean          │ samples │ iters\n\
            ├─ sha1                      │               │               │               │         │\n\
            │  ├─ 16384    9.1 µs        │ 12 µs         │ 9.2 µs        │ 9.3 µs        │ 100     │ 100\n\
            │  │           1.8 GB/s      │ 1.3 GB/s      │ 1.7 GB/s      │ 1.7 GB/s      │         │\n\
            │  ╰─ 64       90 ns         │ 120 ns        │ 95 ns         │ 96 ns         │ 100     │ 100\n\
            ╰─ sha256      1 µs          │ 2 µs          │ 1.5 µs        │ 1.5 µs        │ 100     │ 100\n";
        let expected = [
            ("sha1::16384", "9.2 µs", "1.7 GB/s"),
            ("sha1::64", "95 ns", ""),
            ("sha256", "1.5 µs", ""),
        ];
        let expected = expected
            .map(|(path, median, rate)| (path.to_owned(), median.to_owned(), rate.to_owned()));
        assert_eq!(medians(report), expected);
    }
}
