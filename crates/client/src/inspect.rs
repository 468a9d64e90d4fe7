//! `rarest inspect`: what a torrent or a magnet link says, for people or as JSON.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Result;
use rarest_metainfo::{FileKind, Magnet, Metainfo, Version};
use serde::Serialize;

use crate::args::Inspect;
use crate::source::{self, SourceError};
use crate::{Outcome, printable};

/// What was inspected.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Report {
    /// A `.torrent` file.
    Torrent(TorrentReport),
    /// A magnet link.
    Magnet(MagnetReport),
}

/// What a `.torrent` file says.
#[derive(Debug, Serialize)]
pub(crate) struct TorrentReport {
    name: String,
    version: &'static str,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    magnet: String,
    piece_length: u32,
    num_pieces: u32,
    total_size: u64,
    private: bool,
    files: Vec<FileReport>,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    http_seeds: Vec<String>,
    dht_nodes: Vec<String>,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<i64>,
    has_all_piece_layers: bool,
    remarks: Vec<String>,
}

/// A file of a torrent.
#[derive(Debug, Serialize)]
struct FileReport {
    path: String,
    /// The path on disk, where the torrent's own could not be kept on every platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_as: Option<String>,
    size: u64,
    offset: u64,
    pad: bool,
    symlink: Option<String>,
    executable: bool,
    hidden: bool,
}

/// What a magnet link says.
#[derive(Debug, Serialize)]
pub(crate) struct MagnetReport {
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    name: Option<String>,
    trackers: Vec<String>,
    web_seeds: Vec<String>,
    peers: Vec<String>,
    selected_files: Vec<[u32; 2]>,
    magnet: String,
}

/// Prints what it is.
pub(crate) fn run(arguments: &Inspect) -> Result<Outcome> {
    let report = inspect(&arguments.what)?;
    let text = if arguments.json {
        serde_json::to_string(&report)? + "\n"
    } else {
        report.to_string()
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

/// Reads a magnet link or the `.torrent` file at that path.
fn inspect(what: &Path) -> Result<Report, SourceError> {
    Ok(match source::magnet(what)? {
        Some(magnet) => Report::Magnet(MagnetReport::new(&magnet)),
        None => Report::Torrent(TorrentReport::new(&source::read_torrent(what)?)),
    })
}

impl TorrentReport {
    fn new(torrent: &Metainfo) -> Self {
        let info = torrent.info();
        let hashes = torrent.info_hashes();
        Self {
            name: String::from_utf8_lossy(info.raw_name()).into_owned(),
            version: match info.version() {
                Version::V1 => "v1",
                Version::V2 => "v2",
                Version::Hybrid => "hybrid",
            },
            info_hash_v1: hashes.v1.map(|hash| hash.to_string()),
            info_hash_v2: hashes.v2.map(|hash| hash.to_string()),
            magnet: torrent.magnet().to_string(),
            piece_length: info.geometry().nominal_piece_length(),
            num_pieces: info.geometry().piece_count(),
            total_size: info.total_length(),
            private: info.is_private(),
            files: files(torrent),
            trackers: torrent.trackers().to_vec(),
            web_seeds: torrent.web_seeds().to_vec(),
            http_seeds: torrent.http_seeds().to_vec(),
            dht_nodes: torrent
                .dht_nodes()
                .iter()
                .map(ToString::to_string)
                .collect(),
            comment: torrent.comment().map(str::to_owned),
            created_by: torrent.created_by().map(str::to_owned),
            creation_date: torrent.creation_date(),
            has_all_piece_layers: torrent.has_all_piece_layers(),
            remarks: torrent.remarks().iter().map(ToString::to_string).collect(),
        }
    }
}

fn files(torrent: &Metainfo) -> Vec<FileReport> {
    let own_paths = own_paths(torrent);
    let files = torrent.info().files().enumerate();
    files
        .map(|(index, file)| {
            let own = own_paths.as_ref().map(|paths| paths[index].clone());
            let is_stored = file.kind() != FileKind::Padding;
            let stored_as = own
                .as_ref()
                .filter(|own| is_stored && *own != file.path())
                .map(|_| file.path().to_owned());
            FileReport {
                path: own.unwrap_or_else(|| file.path().to_owned()),
                stored_as,
                size: file.length(),
                offset: file.offset(),
                pad: file.is_padding(),
                symlink: file.symlink_target().map(str::to_owned),
                executable: file.is_executable(),
                hidden: file.is_hidden(),
            }
        })
        .collect()
}

/// The paths as the torrent has them, if they are harmless: each inside the download folder, none twice, nothing that
/// cannot be seen. They may be too long for a disk or reserved on some platform.
fn own_paths(torrent: &Metainfo) -> Option<Vec<String>> {
    let mut seen = HashSet::new();
    torrent
        .info()
        .files()
        .map(|file| {
            if file.is_padding() {
                return Some(file.path().to_owned());
            }
            let raw = file.raw_path();
            let components: Option<Vec<&str>> = raw.into_iter().map(harmless).collect();
            let path = components?.join("/");
            seen.insert(path.clone()).then_some(path)
        })
        .collect()
}

fn harmless(component: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(component).ok()?;
    let is_harmless = !matches!(text, "" | "." | "..")
        && !text.contains(|c: char| c.is_control() || matches!(c, '/' | '\\' | ':'));
    is_harmless.then_some(text)
}

impl MagnetReport {
    fn new(magnet: &Magnet) -> Self {
        let hashes = magnet.info_hashes();
        let ranges = magnet.selected_files.iter();
        Self {
            info_hash_v1: hashes.v1.map(|hash| hash.to_string()),
            info_hash_v2: hashes.v2.map(|hash| hash.to_string()),
            name: magnet.name.clone(),
            trackers: magnet.trackers.clone(),
            web_seeds: magnet.web_seeds.clone(),
            peers: magnet.peers.iter().map(ToString::to_string).collect(),
            selected_files: ranges.map(|range| [*range.start(), *range.end()]).collect(),
            magnet: magnet.to_string(),
        }
    }
}

/// For people: one line a fact.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torrent(report) => report.fmt(f),
            Self::Magnet(report) => report.fmt(f),
        }
    }
}

impl fmt::Display for TorrentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "name", &self.name)?;
        line(f, "format", self.version)?;
        optional(f, "info-hash v1", self.info_hash_v1.as_ref())?;
        optional(f, "info-hash v2", self.info_hash_v2.as_ref())?;
        line(f, "size", format_args!("{} bytes", self.total_size))?;
        line(
            f,
            "pieces",
            format_args!("{} of {} bytes", self.num_pieces, self.piece_length),
        )?;
        if self.private {
            line(f, "private", "yes")?;
        }
        for (tier, urls) in self.trackers.iter().enumerate() {
            urls.iter().try_for_each(|url| {
                line(f, "tracker", format_args!("{url} (tier {})", tier + 1))
            })?;
        }
        self.web_seeds
            .iter()
            .try_for_each(|url| line(f, "web seed", url))?;
        self.http_seeds
            .iter()
            .try_for_each(|url| line(f, "http seed", url))?;
        self.dht_nodes
            .iter()
            .try_for_each(|node| line(f, "dht node", node))?;
        optional(f, "comment", self.comment.as_ref())?;
        optional(f, "created by", self.created_by.as_ref())?;
        optional(
            f,
            "created at",
            self.creation_date
                .map(|date| format!("{date} (seconds since 1970)"))
                .as_ref(),
        )?;
        self.remarks
            .iter()
            .try_for_each(|remark| line(f, "remark", remark))?;
        // By the numbers that `--files` of a download takes; padding has numbers too.
        for (number, file) in self.files.iter().enumerate().filter(|(_, file)| !file.pad) {
            let path = file.stored_as.as_ref().unwrap_or(&file.path);
            match &file.symlink {
                Some(target) => line(
                    f,
                    &format!("symlink {number}"),
                    format_args!("{path} -> {target}"),
                )?,
                None => line(
                    f,
                    &format!("file {number}"),
                    format_args!("{path} ({} bytes)", file.size),
                )?,
            }
        }
        line(f, "magnet", &self.magnet)
    }
}

impl fmt::Display for MagnetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        optional(f, "name", self.name.as_ref())?;
        optional(f, "info-hash v1", self.info_hash_v1.as_ref())?;
        optional(f, "info-hash v2", self.info_hash_v2.as_ref())?;
        self.trackers
            .iter()
            .try_for_each(|url| line(f, "tracker", url))?;
        self.web_seeds
            .iter()
            .try_for_each(|url| line(f, "web seed", url))?;
        self.peers
            .iter()
            .try_for_each(|peer| line(f, "peer", peer))?;
        for [first, last] in &self.selected_files {
            line(f, "selected files", format_args!("{first}-{last}"))?;
        }
        line(f, "magnet", &self.magnet)
    }
}

/// One line, from which a name of the torrent cannot break out.
fn line(f: &mut fmt::Formatter<'_>, label: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{label:>14}: {}", printable(&value.to_string()))
}

fn optional(f: &mut fmt::Formatter<'_>, label: &str, value: Option<&String>) -> fmt::Result {
    value.map_or(Ok(()), |value| line(f, label, value))
}
