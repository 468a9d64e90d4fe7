//! `package`: every crate as it would be published.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::{Task, cargo};

pub(crate) const TASK: Task = Task {
    name: "package",
    flags: "[--no-verify]",
    about: "`cargo package` of all crates from a clean tree, each built from its own package; each has a README,
        its licence, every file its tests read, and is small.
        Mend: commit what is changed; move a file that a crate needs into the crate; leave large fixtures out.",
    run,
};

/// A crate above this size holds something that its users do not need.
const MAX_PACKAGE_BYTES: u64 = 1024 * 1024;

fn run(mut parser: lexopt::Parser) -> Result<()> {
    let mut command = cargo::cargo(&["package", "--workspace"]);
    for package in cargo::unpublished()? {
        command.arg(format!("--exclude={package}"));
    }
    match parser.next()? {
        None => {}
        Some(lexopt::Arg::Long("no-verify")) => {
            command.arg("--no-verify");
        }
        Some(other) => return Err(other.unexpected().into()),
    }
    crate::no_more_flags(parser)?;
    cargo::run(&mut command)?;
    let metadata = cargo::metadata("Cargo.toml")?;
    let folder = Path::new(cargo::string(&metadata, "target_directory")?).join("package");
    let members = cargo::members()?;
    let mut failures = Vec::new();
    for member in &members {
        let listed = cargo::output(&mut cargo::cargo(&[
            "package",
            "--list",
            "--allow-dirty",
            "--package",
            &member.package,
        ]))?;
        for needed in ["README.md", "LICENSE", "Cargo.toml", "src/lib.rs"] {
            let is_there = listed
                .lines()
                .any(|file| file == needed || (needed == "src/lib.rs" && file == "src/main.rs"));
            if !is_there {
                failures.push(format!("{} lacks {needed}", member.package));
            }
        }
        let package = folder.join(format!(
            "{}-{}.crate",
            member.package,
            env!("CARGO_PKG_VERSION")
        ));
        let Ok(about) = fs::metadata(&package) else {
            bail!("cargo made no {}", package.display());
        };
        if about.len() > MAX_PACKAGE_BYTES {
            failures.push(format!(
                "{} has {} bytes, above {MAX_PACKAGE_BYTES}",
                member.package,
                about.len()
            ));
        }
    }
    crate::report(
        &crate::count(members.len(), "package"),
        &failures,
        "mend what each line says",
    )
}
