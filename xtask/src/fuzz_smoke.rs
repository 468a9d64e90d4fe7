//! `fuzz-smoke`: every fuzz target built and run for some seconds, on the stable toolchain.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use lexopt::ValueExt as _;
use serde_json::Value;

use crate::cargo::{self, Member};
use crate::{Task, table};

pub(crate) const TASK: Task = Task {
    name: "fuzz-smoke",
    flags: "[--seconds N] [TARGET..]",
    about: "Builds all targets of fuzz/ in one go and runs each for N seconds (default 5), from the fixtures of
        the crate that the target is named after. Needs a C++ compiler for libFuzzer.
        Mend: fix the crash, and keep the input that is named as a fixture of the crate, with a test.",
    run,
};

/// What cargo-fuzz passes to rustc with `--sanitizer none`: libFuzzer's coverage counters. All of it is stable, so that
/// one plain `cargo build` makes all targets and no second toolchain is needed.
const COVERAGE_FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks --cfg=fuzzing";

/// Seconds a target when nothing else is said: enough for what a change of some lines broke.
const DEFAULT_SECONDS: u32 = 5;

/// The end of libFuzzer's log, where it says what happened and where, is shown of a target that failed.
const SHOWN_LINES: usize = 25;

/// One input may take this long: what takes longer is quadratic somewhere.
const INPUT_TIMEOUT_SECONDS: u32 = 5;

/// One input may take this much memory: what takes more believed a length that a stranger declared.
const MEMORY_LIMIT_MIB: u32 = 1024;

/// Seeds longer than this slow every mutation down.
const MAX_SEED_BYTES: usize = 64 * 1024;

fn run(mut parser: lexopt::Parser) -> Result<()> {
    let mut seconds = DEFAULT_SECONDS;
    let mut only = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            lexopt::Arg::Long("seconds") => seconds = parser.value()?.parse::<u32>()?,
            lexopt::Arg::Value(target) => only.push(target.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    // To libFuzzer 0 is without end.
    ensure!(seconds > 0, "--seconds must be more than 0");
    let mut targets = build()?;
    if let Some(unknown) = only.iter().find(|name| !targets.contains_key(*name)) {
        bail!("there is no target `{unknown}` in fuzz/Cargo.toml");
    }
    if !only.is_empty() {
        targets.retain(|name, _| only.contains(name));
    }
    let members = cargo::members()?;
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for (name, program) in targets {
        let smoked =
            owner(&name, &members).and_then(|owner| smoke(&name, &program, owner, seconds));
        match smoked {
            Ok(row) => rows.push(row),
            Err(error) => failures.push(format!("{name}: {error:#}")),
        }
    }
    table::print(&["target", "seeds", "runs", "coverage", "seconds"], &rows);
    crate::report(
        &crate::count(rows.len() + failures.len(), "fuzz target"),
        &failures,
        "fix it and keep the input as a fixture of its crate",
    )
}

/// Builds all targets; their programs by their names.
fn build() -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo::cargo(&[
        "build",
        "--release",
        "--bins",
        "--manifest-path=fuzz/Cargo.toml",
    ]);
    // With `--target`, build scripts and macros are built without the flags, which they could not link with.
    command.args(["--target", &host()?]);
    command.env("RUSTFLAGS", COVERAGE_FLAGS);
    let built = cargo::build(&mut command)?;
    Ok(built
        .into_iter()
        .map(|target| (target.name, target.program))
        .collect())
}

/// The triple of this machine.
fn host() -> Result<String> {
    let version = cargo::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// The crate that a target is named after: `peer_wire_message` tries `crates/peer-wire`.
fn owner<'a>(target: &str, members: &'a [Member]) -> Result<&'a Member> {
    let dashed = target.replace('_', "-");
    let is_owner = |member: &&Member| dashed.starts_with(&format!("{}-", member.folder));
    let owner = members.iter().find(is_owner);
    owner.context("the name of a target begins with the folder of its crate")
}

fn smoke(name: &str, program: &Path, owner: &Member, seconds: u32) -> Result<Vec<String>> {
    let work = cargo::root().join("target/fuzz-smoke").join(name);
    let (found, seeds, artifacts) = (
        work.join("found"),
        work.join("seeds"),
        work.join("artifacts"),
    );
    // Each run starts from the seeds alone, so that it says the same everywhere.
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    for folder in [&found, &seeds, &artifacts] {
        fs::create_dir_all(folder)?;
    }
    let planted = plant_seeds(&owner.path.join("tests/fixtures"), &seeds)?;
    let began = Instant::now();
    let output = Command::new(program)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_TIMEOUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_LIMIT_MIB}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([&found, &seeds])
        .stdin(Stdio::null())
        .output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let tail: Vec<&str> = log.lines().rev().take(SHOWN_LINES).collect();
        for line in tail.iter().rev() {
            println!("    {line}");
        }
        bail!(
            "ended with {}; the input lies in {}",
            output.status,
            artifacts.display()
        );
    }
    let runs = log
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("Done ")?.split(' ').next())
        .context("libFuzzer did not say how many runs it did")?;
    let coverage = log
        .lines()
        .rev()
        .find_map(|line| line.split_once(" cov: ")?.1.split(' ').next())
        .unwrap_or("?");
    println!("  {name}: {runs} runs");
    Ok(vec![
        name.to_owned(),
        planted.to_string(),
        runs.to_owned(),
        coverage.to_owned(),
        began.elapsed().as_secs().to_string(),
    ])
}

/// Fills `folder` with seeds: each fixture is one, and so is each text of hex digits in a fixture that is JSON.
fn plant_seeds(fixtures: &Path, folder: &Path) -> Result<usize> {
    let mut seeds = Vec::new();
    collect_fixtures(fixtures, &mut seeds)?;
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(number.to_string()), seed)?;
    }
    Ok(seeds.len())
}

fn collect_fixtures(folder: &Path, seeds: &mut Vec<Vec<u8>>) -> Result<()> {
    // A crate whose inputs have no shape needs none.
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect_fixtures(&path, seeds)?;
            continue;
        }
        let bytes = fs::read(&path)?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => collect_hex(&serde_json::from_slice(&bytes)?, seeds),
            Some("md") => {}
            _ if bytes.len() <= MAX_SEED_BYTES => seeds.push(bytes),
            _ => {}
        }
    }
    Ok(())
}

fn collect_hex(value: &Value, seeds: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => seeds.extend(from_hex(text)),
        Value::Array(items) => items.iter().for_each(|item| collect_hex(item, seeds)),
        Value::Object(fields) => fields.values().for_each(|field| collect_hex(field, seeds)),
        _ => {}
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || text.len() > 2 * MAX_SEED_BYTES {
        return None;
    }
    let nibbles: Vec<u8> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|nibble| u8::try_from(nibble).ok())
        })
        .collect::<Option<_>>()?;
    Some(
        nibbles
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hex_text_of_a_json_fixture_is_a_seed() {
        let mut seeds = Vec::new();
        let fixture =
            serde_json::json!([{ "hex": "00ff", "name": "no hex", "parts": [["0a", 3]] }]);
        collect_hex(&fixture, &mut seeds);
        assert_eq!(seeds, [vec![0x00, 0xff], vec![0x0a]]);
    }
}
