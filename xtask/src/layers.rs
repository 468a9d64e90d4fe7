//! `layers`: the table of docs/architecture.md against `cargo metadata` and `cargo tree`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Result, bail};

use crate::cargo::{self, Member};
use crate::{Task, table};

pub(crate) const TASK: Task = Task {
    name: "layers",
    flags: "",
    about:
        "Every edge between crates stands in the table of docs/architecture.md, and no crate below
        `session` has a runtime or sockets in its tree without default features (`never`: with any).
        Mend: remove the dependency, or change the table on purpose and say why in the commit.",
    run,
};

/// What must not be in the tree of a protocol crate.
const RUNTIMES: &[&str] = &["tokio", "mio", "socket2", "hyper", "reqwest"];

/// When a crate may have one of [`RUNTIMES`] in its tree: the last column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runtime {
    /// `never`: with no set of features.
    Never,
    /// `only ..`: not without default features.
    BehindFeatures,
    /// `yes`.
    Always,
}

/// One row of the table.
struct Layer<'a> {
    folder: &'a str,
    package: &'a str,
    may_use: BTreeSet<&'a str>,
    runtime: Runtime,
}

fn run(parser: lexopt::Parser) -> Result<()> {
    crate::no_more_flags(parser)?;
    let document = fs::read_to_string(cargo::root().join("docs/architecture.md"))?;
    let layers = parse(&document)?;
    let members = cargo::members()?;
    let mut failures = order(&layers);
    failures.extend(edges(&layers, &members));
    for layer in &layers {
        failures.extend(runtimes(layer)?);
    }
    crate::report(
        &crate::count(layers.len(), "layer"),
        &failures,
        "remove the dependency, or change the table of docs/architecture.md on purpose",
    )
}

fn parse(document: &str) -> Result<Vec<Layer<'_>>> {
    let rows = table::rows_below(document, "Layers");
    if rows.is_empty() {
        bail!("docs/architecture.md has no table below `## Layers`");
    }
    rows.into_iter()
        .map(|row| {
            let [folder, package, _owns, may_use, runtime] = row[..] else {
                bail!(
                    "a row of the table of layers has {} cells, not 5",
                    row.len()
                );
            };
            let runtime = match runtime.split([' ', '(']).next() {
                Some("never") => Runtime::Never,
                Some("only") => Runtime::BehindFeatures,
                Some("yes") => Runtime::Always,
                _ => {
                    bail!("`{runtime}` in the table of layers begins with none of never, only, yes")
                }
            };
            Ok(Layer {
                folder: folder.trim_matches('`'),
                package: package.trim_matches('`'),
                may_use: may_use
                    .split(", ")
                    .filter(|name| !name.is_empty())
                    .collect(),
                runtime,
            })
        })
        .collect()
}

/// Rows stand from the bottom up: each names only rows above itself, so that the table has no circle.
fn order(layers: &[Layer<'_>]) -> Vec<String> {
    let mut below = BTreeSet::new();
    let mut failures = Vec::new();
    for layer in layers {
        for name in layer.may_use.difference(&below) {
            failures.push(format!(
                "the row of `{}` names `{name}`, which is no row above it",
                layer.folder
            ));
        }
        below.insert(layer.folder);
    }
    failures
}

fn edges(layers: &[Layer<'_>], members: &[Member]) -> Vec<String> {
    let rows: BTreeMap<&str, &Layer<'_>> =
        layers.iter().map(|layer| (layer.package, layer)).collect();
    let mut failures = Vec::new();
    for member in members {
        let Some(layer) = rows.get(member.package.as_str()) else {
            failures.push(format!("`{}` has no row in the table", member.package));
            continue;
        };
        if layer.folder != member.folder {
            failures.push(format!(
                "`{}` lies in `{}`, the table says `{}`",
                member.package, member.folder, layer.folder
            ));
        }
        for used in member
            .dependencies
            .iter()
            .filter_map(|name| rows.get(name.as_str()))
        {
            if !layer.may_use.contains(used.folder) {
                failures.push(format!(
                    "`{}` uses `{}`, which its row does not allow",
                    layer.folder, used.folder
                ));
            }
        }
    }
    for layer in layers {
        if !members.iter().any(|member| member.package == layer.package) {
            failures.push(format!(
                "the table names `{}`, which is no crate of the workspace",
                layer.package
            ));
        }
    }
    failures
}

fn runtimes(layer: &Layer<'_>) -> Result<Vec<String>> {
    let features = match layer.runtime {
        Runtime::Never => "--all-features",
        Runtime::BehindFeatures => "--no-default-features",
        Runtime::Always => return Ok(Vec::new()),
    };
    let tree = cargo::output(&mut cargo::cargo(&[
        "tree",
        "--package",
        layer.package,
        features,
        "--edges=normal,build",
        "--prefix=none",
        "--format={p}",
    ]))?;
    let names: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    Ok(RUNTIMES
        .iter()
        .filter(|name| names.contains(*name))
        .map(|name| format!("`{}` with {features} has {name} in its tree", layer.folder))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "## Layers\n\n| crate | package | owns | may use | tokio? |\n|---|---|---|---|---|
| `a` | `p-a` | x | | never |\n| `b` | `p-b` | x | a | only the codec |\n| `c` | `p-c` | x | b | yes |\n";

    fn member(folder: &str, dependencies: &[&str]) -> Member {
        Member {
            package: format!("p-{folder}"),
            folder: folder.to_owned(),
            path: folder.into(),
            features: Vec::new(),
            dependencies: dependencies.iter().map(ToString::to_string).collect(),
            has_benches: false,
        }
    }

    #[test]
    fn an_edge_outside_the_table_is_a_failure() {
        let layers = parse(DOCUMENT).unwrap();
        let good = [
            member("a", &["serde"]),
            member("b", &["p-a"]),
            member("c", &["p-b"]),
        ];
        assert_eq!(edges(&layers, &good), Vec::<String>::new());
        let bad = [member("a", &[]), member("b", &[]), member("c", &["p-a"])];
        assert_eq!(
            edges(&layers, &bad),
            ["`c` uses `a`, which its row does not allow"]
        );
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_failures() {
        let layers = parse(DOCUMENT).unwrap();
        let failures = edges(
            &layers,
            &[member("a", &[]), member("b", &[]), member("d", &[])],
        );
        assert_eq!(failures.len(), 2, "{failures:?}");
    }

    #[test]
    fn rows_stand_from_the_bottom_up() {
        let mut layers = parse(DOCUMENT).unwrap();
        assert!(order(&layers).is_empty());
        layers.reverse();
        assert_eq!(order(&layers).len(), 2);
    }
}
