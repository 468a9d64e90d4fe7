//! `alone`: each crate checked by itself with each of its sets of features.

use anyhow::Result;

use crate::{Task, cargo};

pub(crate) const TASK: Task = Task {
    name: "alone",
    flags: "",
    about: "Every crate builds alone: with no features, with each feature by itself, with the default ones.
        A build of the whole workspace unifies features and hides a missing one.
        Mend: add the feature of the dependency that the crate needs to its own Cargo.toml.",
    run,
};

fn run(parser: lexopt::Parser) -> Result<()> {
    crate::no_more_flags(parser)?;
    let mut failures = Vec::new();
    let mut checked = 0;
    for member in cargo::members()? {
        let mut sets = vec![vec!["--no-default-features".to_owned()], vec![]];
        let named = member
            .features
            .iter()
            .filter(|feature| *feature != "default");
        sets.extend(named.map(|feature| {
            vec![
                "--no-default-features".to_owned(),
                format!("--features={feature}"),
            ]
        }));
        for features in sets {
            let mut command = cargo::cargo(&["check", "--quiet", "--package", &member.package]);
            command.args(&features);
            checked += 1;
            if let Err(error) = cargo::run(&mut command) {
                failures.push(error.to_string());
            }
        }
    }
    crate::report(
        &crate::count(checked, "build"),
        &failures,
        "add the missing feature to the crate's own Cargo.toml",
    )
}
