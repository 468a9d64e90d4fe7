//! Runs cargo and other programs from the root of the workspace, and asks cargo what the workspace holds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    // The manifest folder of xtask lies directly below the root.
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

/// The cargo that started us, run in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    // `cargo run` sets these for us alone; inherited, they would rebuild what depends on them.
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command whose output people want to see.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command for its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` ended with {}: {}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).context("the output is not UTF-8")
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![
        program
            .file_name()
            .unwrap_or(program.as_os_str())
            .to_string_lossy(),
    ];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

/// A crate of the workspace.
pub(crate) struct Member {
    /// Package name: `rarest-bencode`.
    pub(crate) package: String,
    /// Name of its folder: `bencode`.
    pub(crate) folder: String,
    pub(crate) path: PathBuf,
    pub(crate) features: Vec<String>,
    /// Package names of its dependencies; dev-dependencies left out.
    pub(crate) dependencies: Vec<String>,
    /// Whether it has a `[[bench]]`.
    pub(crate) has_benches: bool,
}

/// All crates that are published, by folder name.
pub(crate) fn members() -> Result<Vec<Member>> {
    let metadata = metadata("Cargo.toml")?;
    let mut members: Vec<Member> = array(&metadata, "packages")?
        .iter()
        .filter(|package| is_published(package))
        .map(member)
        .collect::<Result<_>>()?;
    members.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(members)
}

/// The names of the packages that only this repository uses.
pub(crate) fn unpublished() -> Result<Vec<String>> {
    let metadata = metadata("Cargo.toml")?;
    array(&metadata, "packages")?
        .iter()
        .filter(|package| !is_published(package))
        .map(|package| string(package, "name").map(str::to_owned))
        .collect()
}

/// Whether it may go to some registry: `publish = false` is a list of none.
fn is_published(package: &Value) -> bool {
    package["publish"] != Value::Array(Vec::new())
}

/// The answer of `cargo metadata` for one manifest, without its dependencies.
pub(crate) fn metadata(manifest: &str) -> Result<Value> {
    let text = output(&mut cargo(&[
        "metadata",
        "--no-deps",
        "--format-version=1",
        "--manifest-path",
        manifest,
    ]))?;
    Ok(serde_json::from_str(&text)?)
}

fn member(package: &Value) -> Result<Member> {
    let manifest = Path::new(string(package, "manifest_path")?);
    let path = manifest.parent().context("a manifest lies in a folder")?;
    let folder = path.file_name().context("a crate has a folder")?;
    let features = package["features"].as_object().context("features")?;
    let dependencies = array(package, "dependencies")?
        .iter()
        .filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| string(dependency, "name").map(str::to_owned))
        .collect::<Result<_>>()?;
    let has_benches = array(package, "targets")?
        .iter()
        .any(|target| target["kind"][0] == "bench");
    Ok(Member {
        package: string(package, "name")?.to_owned(),
        folder: folder.to_string_lossy().into_owned(),
        path: path.to_owned(),
        features: features.keys().cloned().collect(),
        dependencies,
        has_benches,
    })
}

/// A field of cargo's JSON that is a string.
pub(crate) fn string<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("cargo's JSON has no text `{field}`"))
}

/// A field of cargo's JSON that is a list.
pub(crate) fn array<'a>(value: &'a Value, field: &str) -> Result<&'a [Value]> {
    Ok(value[field]
        .as_array()
        .with_context(|| format!("cargo's JSON has no list `{field}`"))?)
}

/// A program that cargo built.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// Name of its target.
    pub(crate) name: String,
    /// The manifest of its crate.
    pub(crate) manifest: PathBuf,
    pub(crate) program: PathBuf,
    /// Whether it runs tests.
    pub(crate) is_test: bool,
}

/// Runs a build, whose errors and progress people see, for the programs it makes.
pub(crate) fn build(command: &mut Command) -> Result<Vec<Artifact>> {
    command
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    println!("$ {}", shown(command));
    let mut artifacts = Vec::new();
    for line in output(command)?.lines() {
        let message: Value = serde_json::from_str(line).context("cargo's answer is no JSON")?;
        let Some(program) = message["executable"].as_str() else {
            continue;
        };
        artifacts.push(Artifact {
            name: string(&message["target"], "name")?.to_owned(),
            manifest: string(&message, "manifest_path")?.into(),
            program: program.into(),
            is_test: message["profile"]["test"] == true,
        });
    }
    Ok(artifacts)
}

/// Builds the client with a profile (`dev`, `release`) and says where it stands.
pub(crate) fn client(profile: &str) -> Result<PathBuf> {
    program("rarest", "rarest", profile)
}

/// Builds a program of a package with a profile and says where it stands.
pub(crate) fn program(package: &str, name: &str, profile: &str) -> Result<PathBuf> {
    let mut command = cargo(&[
        "build",
        "--package",
        package,
        "--bin",
        name,
        "--profile",
        profile,
    ]);
    let program = build(&mut command)?
        .into_iter()
        .find(|artifact| artifact.name == name);
    Ok(program
        .with_context(|| format!("cargo built no binary `{name}`"))?
        .program)
}
