//! What is traded: made-up files, the torrent of them, and the comparison byte for byte.

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The kind of torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// v1, one file.
    Single,
    /// v1, files of awkward sizes in folders: pieces that span files, an empty file.
    Multi,
    /// v1 and v2 in one, with padding.
    Hybrid,
    /// v2 alone.
    V2,
}

impl Payload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Multi => "multi",
            Self::Hybrid => "hybrid",
            Self::V2 => "v2",
        }
    }

    /// How torrents of this kind are called by those who create them.
    pub(crate) fn format(self) -> &'static str {
        match self {
            Self::Single | Self::Multi => "v1",
            Self::Hybrid => "hybrid",
            Self::V2 => "v2",
        }
    }

    /// Paths below the torrent's name, and sizes in bytes.
    fn files(self) -> &'static [(&'static str, usize)] {
        const MANY: &[(&str, usize)] = &[
            ("first.bin", 3_000_001),
            ("folder/second.bin", 16_384),
            ("folder/third ü.bin", 1),
            ("folder/deeper/fourth.bin", 9_437_184),
            ("last.txt", 4_999_999),
        ];
        const MANY_WITH_EMPTY: &[(&str, usize)] = &[
            ("empty.txt", 0),
            ("first.bin", 3_000_001),
            ("folder/second.bin", 16_384),
            ("folder/third ü.bin", 1),
            ("folder/deeper/fourth.bin", 9_437_184),
            ("last.txt", 4_999_999),
        ];
        match self {
            Self::Single => &[("", 20_000_003)],
            Self::Multi => MANY_WITH_EMPTY,
            Self::Hybrid | Self::V2 => MANY,
        }
    }
}

/// Length of the pieces of all torrents, in bytes.
pub(crate) const PIECE_LENGTH: usize = 64 * 1024;

/// Whether a download has the empty files of its torrent; not all clients create them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EmptyFiles {
    MustBeThere,
    MayLack,
}

/// The torrent's name: the file, or the folder of the files.
pub(crate) const NAME: &str = "payload";

/// Writes the files of `payload` below `folder`; the total size in bytes. `seed` tells the contents of rows apart.
pub(crate) fn write(payload: Payload, folder: &Path, seed: u64) -> Result<u64> {
    let mut total = 0;
    let mut generator = SplitMix(seed);
    for (name, size) in payload.files() {
        let path = place(folder, name);
        fs::create_dir_all(path.parent().context("a payload lies in a folder")?)?;
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < *size {
            bytes.extend_from_slice(&generator.next().to_le_bytes());
        }
        bytes.truncate(*size);
        File::create(path)?.write_all(&bytes)?;
        total += *size as u64;
    }
    Ok(total)
}

/// Writes the padding of a hybrid in `folder`, which clients of v1 take for files that a seed must have.
pub(crate) fn write_padding(payload: Payload, folder: &Path) -> Result<()> {
    for (_, size) in payload.files() {
        let padding = size.next_multiple_of(PIECE_LENGTH) - size;
        let path = folder.join(NAME).join(".pad").join(padding.to_string());
        fs::create_dir_all(path.parent().context("padding lies in a folder")?)?;
        fs::write(path, vec![0; padding])?;
    }
    Ok(())
}

/// Compares the files of `payload` in two folders byte for byte.
pub(crate) fn compare(
    payload: Payload,
    empty_files: EmptyFiles,
    original: &Path,
    copy: &Path,
) -> Result<()> {
    for (name, size) in payload.files() {
        if *size == 0 && empty_files == EmptyFiles::MayLack {
            continue;
        }
        let (wanted, got) = (place(original, name), place(copy, name));
        let wanted = fs::read(&wanted)?;
        let got = fs::read(&got).with_context(|| format!("cannot read {}", got.display()))?;
        if wanted.len() != got.len() {
            bail!("`{name}` has {} bytes, not {}", got.len(), wanted.len());
        }
        if let Some(offset) = wanted.iter().zip(&got).position(|(a, b)| a != b) {
            bail!("`{name}` differs at byte {offset}");
        }
    }
    Ok(())
}

/// The share of `payload` that is not zero in `folder`: what a client that has not finished wrote there.
pub(crate) fn written(payload: Payload, folder: &Path) -> f64 {
    let mut total = 0;
    let mut there = 0;
    for (name, size) in payload.files() {
        total += size;
        let mut buffer = vec![0; 16 * 1024];
        let Ok(mut file) = File::open(place(folder, name)) else {
            continue;
        };
        while let Ok(length @ 1..) = file.read(&mut buffer) {
            if buffer[..length].iter().any(|byte| *byte != 0) {
                there += length;
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a share of some MB")]
    let share = there as f64 / total as f64;
    share
}

fn place(folder: &Path, name: &str) -> PathBuf {
    match name {
        "" => folder.join(NAME),
        name => folder.join(NAME).join(name),
    }
}

/// A torrent file, and the hashes under which trackers know it.
#[derive(Clone, Debug)]
pub(crate) struct Torrent {
    pub(crate) path: PathBuf,
    /// Hex digits, 20 bytes each; two for a hybrid.
    pub(crate) info_hashes: Vec<String>,
}

/// Has libtorrent create the torrent of the payload in `folder`, so that ours is not its own judge.
pub(crate) fn torrent(
    payload: Payload,
    folder: &Path,
    out: &Path,
    tracker: &str,
) -> Result<Torrent> {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(super::libtorrent::script()).arg("create");
    command.args([
        "--format",
        payload.format(),
        "--tracker",
        tracker,
        "--piece-length",
        &PIECE_LENGTH.to_string(),
        "--output",
    ]);
    command.arg(out).arg(folder.join(NAME));
    let info_hashes = crate::cargo::output(&mut command)?;
    Ok(Torrent {
        path: out.to_owned(),
        info_hashes: info_hashes.split_whitespace().map(str::to_owned).collect(),
    })
}

/// Made-up bytes that no client can compress or guess (SplitMix64, public domain).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
