//! Puts the programs of the matrix on this machine: Debian 12, as root.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::client::Client;

/// What the trackers need, whatever client is tried.
const TRACKER_NEEDS: &[(&str, &str)] = &[
    ("opentracker", "opentracker"),
    ("nginx", "nginx-light"),
    ("openssl", "openssl"),
    ("setpriv", "util-linux"),
];

/// Installs what is missing. A client that cannot be had fails the matrix: it is never left out in silence.
pub(crate) fn install(clients: &[&dyn Client]) -> Result<()> {
    let needs = || {
        clients
            .iter()
            .flat_map(|client| client.needs())
            .chain(TRACKER_NEEDS)
    };
    let packages: BTreeSet<&str> = needs()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    apt_get(&["update"])?;
    let mut install = vec!["install", "--no-install-recommends"];
    install.extend(&packages);
    apt_get(&install).context("the matrix needs Debian 12's packages of the other clients")?;
    match needs().find(|(program, _)| !is_there(program)) {
        None => Ok(()),
        Some((program, package)) => {
            bail!("`{package}` was installed, and `{program}` is still missing")
        }
    }
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // RUNLEVEL=1 keeps the packages from starting their daemons.
    command
        .env("RUNLEVEL", "1")
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
        .args(["-y", "-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments);
    crate::cargo::run(&mut command)
}

/// Whether a program, or a file whose name begins as given before `*`, is on this machine.
fn is_there(program: &str) -> bool {
    let is_in = |folder: &Path, name: &str| match name.split_once('*') {
        None => folder.join(name).exists(),
        Some((start, _)) => std::fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(start))
            })
        }),
    };
    if let Some((folder, name)) = program.rsplit_once('/') {
        return is_in(Path::new(folder), name);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_in(&folder, program))
}
