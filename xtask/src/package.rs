//! `package`: every crate as it would be published.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

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

/// Removes what cargo keeps of packages that were verified before. It takes a crate of the same name and version for the same crate, and
/// would build what depends on it with the contents that it had the last time.
fn forget_unpacked(members: &[cargo::Member]) -> Result<()> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let Some(home) = home else {
        return Ok(());
    };
    let version = env!("CARGO_PKG_VERSION");
    for member in members {
        let name = format!("{}-{version}", member.package);
        for registry in folder_registries(&home.join("registry/src")) {
            let unpacked = registry.join(&name);
            if unpacked.exists() {
                fs::remove_dir_all(unpacked)?;
            }
        }
        for registry in folder_registries(&home.join("registry/cache")) {
            let package = registry.join(format!("{name}.crate"));
            if package.exists() {
                fs::remove_file(package)?;
            }
        }
    }
    Ok(())
}

/// Has cargo build the crates anew: what comes from a registry is taken for unchanged.
fn forget_built(fingerprints: &Path, members: &[cargo::Member]) -> Result<()> {
    let is_hash = |rest: &str| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit());
    // Where there is no folder, nothing was built.
    for entry in fs::read_dir(fingerprints).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = members.iter().any(|member| {
            let rest = name
                .to_str()
                .and_then(|name| name.strip_prefix(&member.package));
            rest.and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(is_hash)
        });
        if is_ours {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Registries that lie in a folder, as that of `cargo package`, have no host to be named after.
fn folder_registries(kept: &Path) -> Vec<PathBuf> {
    let has_no_host = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with('-');
    // Where there is no folder, nothing is kept.
    let entries = fs::read_dir(kept).into_iter().flatten().flatten();
    entries
        .filter(has_no_host)
        .map(|entry| entry.path())
        .collect()
}

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
    let metadata = cargo::metadata("Cargo.toml")?;
    let target = Path::new(cargo::string(&metadata, "target_directory")?);
    let members = cargo::members()?;
    forget_unpacked(&members)?;
    forget_built(&target.join("debug/.fingerprint"), &members)?;
    cargo::run(&mut command)?;
    let folder = target.join("package");
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
