//! What the demonstration trades: made-up bytes that nothing can compress or guess.

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rarest_metainfo::Version;

/// Bytes that are compared, or made, at a time.
const CHUNK: usize = 1024 * 1024;

/// The two kinds of torrents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// v1, one file.
    SingleFile,
    /// A hybrid of files of awkward sizes.
    Folder,
}

impl Content {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SingleFile => "single-file.bin",
            Self::Folder => "folder-of-files",
        }
    }

    pub(super) fn version(self) -> Version {
        match self {
            Self::SingleFile => Version::V1,
            Self::Folder => Version::Hybrid,
        }
    }

    /// Paths and lengths in bytes, `total` in all.
    fn files(self, total: u64) -> Vec<(PathBuf, u64)> {
        let name = Path::new(self.name());
        match self {
            Self::SingleFile => vec![(name.to_owned(), total)],
            Self::Folder => {
                let parts = [
                    ("a small one.txt", 1),
                    ("half/of it.bin", total / 2),
                    ("odd.bin", total / 7 + 3),
                ];
                let rest = total.saturating_sub(parts.iter().map(|(_, length)| length).sum());
                let parts = parts.into_iter().chain([("the/rest/of it.bin", rest)]);
                parts
                    .map(|(path, length)| (name.join(path), length))
                    .collect()
            }
        }
    }

    /// Writes the files below `folder`.
    pub(super) fn write(self, folder: &Path, total: u64) -> Result<()> {
        let mut bytes = SplitMix(total ^ u64::from(self == Self::Folder));
        for (path, length) in self.files(total) {
            let path = folder.join(path);
            let context = || format!("cannot write {}", path.display());
            fs::create_dir_all(path.parent().context("a file lies in a folder")?)
                .with_context(context)?;
            let mut file =
                BufWriter::with_capacity(CHUNK, File::create(&path).with_context(context)?);
            for _ in 0..length / 8 {
                file.write_all(&bytes.next().to_le_bytes())
                    .with_context(context)?;
            }
            let odd = usize::try_from(length % 8).expect("less than 8");
            file.write_all(&bytes.next().to_le_bytes()[..odd])
                .with_context(context)?;
            file.flush().with_context(context)?;
        }
        Ok(())
    }

    /// Fails when a file in `copy` differs from the one in `original`.
    pub(super) fn compare(self, original: &Path, copy: &Path) -> Result<()> {
        // The total does not matter for the paths.
        for (path, _) in self.files(0) {
            let (mut left, mut right) = (open(&original.join(&path))?, open(&copy.join(&path))?);
            let mut offset = 0;
            loop {
                let (wanted, got) = (chunk(&mut left)?, chunk(&mut right)?);
                ensure!(
                    wanted == got,
                    "{} differs between byte {offset} and the next MiB",
                    path.display()
                );
                if wanted.is_empty() {
                    break;
                }
                offset += wanted.len();
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

fn chunk(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(CHUNK);
    file.take(CHUNK as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// SplitMix64, which is in the public domain.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_add_up() {
        for total in [100, 384 * 1024 * 1024] {
            let sum: u64 = Content::Folder
                .files(total)
                .iter()
                .map(|(_, length)| length)
                .sum();
            assert_eq!(sum, total);
        }
    }
}
