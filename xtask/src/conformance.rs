//! `conformance`: docs/conformance.md against the tests that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{Task, cargo, interop, table};

pub(crate) const TASK: Task = Task {
    name: "conformance",
    flags: "",
    about: "Every row of docs/conformance.md names a test, every test named there exists, rows stand in order.
        Mend: correct the name (as `cargo test -p PACKAGE -- --list` prints it), or write the test.",
    run,
};

/// The tables of the document. Each is there, so that a heading that was renamed hides no row.
const TABLES: &[&str] = &[
    "Requirements",
    "BEPs",
    "Bad input",
    "Defects of other decoders",
];

/// Folder of a crate -> paths of its tests.
type Tests = BTreeMap<String, BTreeSet<String>>;

fn run(parser: lexopt::Parser) -> Result<()> {
    crate::no_more_flags(parser)?;
    let document = fs::read_to_string(cargo::root().join("docs/conformance.md"))?;
    let mut tests = existing_tests()?;
    tests.insert(
        "interop".to_owned(),
        interop::row_names().into_iter().collect(),
    );
    let (rows, failures) = check(&document, TABLES, &tests)?;
    crate::report(
        &crate::count(rows, "row"),
        &failures,
        "correct the name in docs/conformance.md, or write the test",
    )
}

/// The number of rows, and what is wrong with them.
fn check(document: &str, tables: &[&str], tests: &Tests) -> Result<(usize, Vec<String>)> {
    let mut rows = 0;
    let mut failures = Vec::new();
    for title in tables {
        let mut last = 0;
        let table = table::rows_below(document, title);
        if table.is_empty() {
            failures.push(format!("there is no table below `## {title}`"));
        }
        for row in table {
            rows += 1;
            let [number, .., cell] = row[..] else {
                bail!("a row of `{title}` has fewer than two cells");
            };
            let Ok(parsed) = number.parse::<u32>() else {
                failures.push(format!("{title}: `{number}` is no number"));
                continue;
            };
            // Several crates may each have a part in one requirement.
            if parsed < last {
                failures.push(format!("{title}: row {parsed} stands behind row {last}"));
            }
            last = parsed;
            let named: Vec<&str> = table::quoted(cell).collect();
            if named.is_empty() {
                failures.push(format!("{title}: row {number} names no test"));
            }
            for name in named {
                match name.split_once(": ") {
                    None => failures.push(format!(
                        "{title}: row {number}: `{name}` is not written `crate: path`"
                    )),
                    Some((folder, path))
                        if !tests.get(folder).is_some_and(|paths| paths.contains(path)) =>
                    {
                        failures.push(format!("{title}: row {number}: there is no test `{name}`"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    Ok((rows, failures))
}

/// All tests of the workspace, as each test binary lists them.
fn existing_tests() -> Result<Tests> {
    let members = cargo::members()?;
    let mut tests = Tests::new();
    let built = cargo::build(&mut cargo::cargo(&["test", "--workspace", "--no-run"]))?;
    for artifact in built.into_iter().filter(|artifact| artifact.is_test) {
        let Some(member) = members
            .iter()
            .find(|member| member.path.join("Cargo.toml") == artifact.manifest)
        else {
            continue;
        };
        let mut list = Command::new(&artifact.program);
        let list = cargo::output(list.args(["--list", "--format=terse"]))?;
        let paths = list.lines().filter_map(|line| line.strip_suffix(": test"));
        tests
            .entry(member.folder.clone())
            .or_default()
            .extend(paths.map(str::to_owned));
    }
    Ok(tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(rows: &str) -> Vec<String> {
        let document = format!(
            "## Requirements\n\n| # | text | source | tests |\n|---|---|---|---|\n{rows}\n## BEPs\n"
        );
        let tests = Tests::from([("hash".to_owned(), BTreeSet::from(["sha1::abc".to_owned()]))]);
        check(&document, &["Requirements"], &tests).unwrap().1
    }

    #[test]
    fn a_row_names_a_test_that_exists() {
        assert!(failures("| 1 | t | BEP 3 | `hash: sha1::abc` |\n").is_empty());
        assert_eq!(failures("| 1 | t | BEP 3 | `hash: sha1::abd` |\n").len(), 1);
        assert_eq!(failures("| 1 | t | BEP 3 | |\n").len(), 1);
        assert_eq!(failures("| 1 | t | BEP 3 | `sha1::abc` |\n").len(), 1);
    }

    #[test]
    fn a_table_that_is_not_there_is_a_failure() {
        let (rows, failures) = check("## BEPs\n", &["Requirements"], &Tests::new()).unwrap();
        assert_eq!((rows, failures.len()), (0, 1));
    }

    #[test]
    fn rows_stand_in_order() {
        let row = |number: u32| format!("| {number} | t | BEP 3 | `hash: sha1::abc` |\n");
        assert!(failures(&format!("{}{}", row(1), row(2))).is_empty());
        assert_eq!(failures(&format!("{}{}", row(2), row(1))).len(), 1);
    }
}
