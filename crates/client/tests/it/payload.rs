//! Made-up files and torrents of them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process;

/// A folder with `content/` in it, and room for torrents and downloads.
pub(crate) struct Folder {
    place: TempDir,
}

impl Folder {
    /// With one file of that many bytes.
    pub(crate) fn with_file(length: usize) -> Self {
        let folder = Self {
            place: TempDir::new().expect("a temporary folder"),
        };
        fs::create_dir(folder.seed()).unwrap();
        fs::write(folder.seed().join("content"), bytes(length)).unwrap();
        folder
    }

    /// With several files, one of them empty.
    pub(crate) fn with_files() -> Self {
        let folder = Self {
            place: TempDir::new().expect("a temporary folder"),
        };
        for (path, length) in [
            ("a.bin", 100_000),
            ("b/c.bin", 1),
            ("b/empty", 0),
            ("d.bin", 70_001),
        ] {
            let path = folder.seed().join("content").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes(length)).unwrap();
        }
        folder
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Where the files are.
    pub(crate) fn seed(&self) -> PathBuf {
        self.path("seed")
    }

    /// Where they are downloaded to.
    pub(crate) fn copy(&self) -> PathBuf {
        self.path("copy")
    }

    /// Has the client create a torrent of the content; where it is.
    pub(crate) fn torrent(&self, flags: &[&str]) -> PathBuf {
        let (content, out) = (self.seed().join("content"), self.path("content.torrent"));
        let (content, out_text) = (content.to_str().unwrap(), out.to_str().unwrap());
        let mut arguments = vec!["create", content, "-o", out_text, "--piece-length", "16KiB"];
        arguments.extend(flags);
        process::succeeds(arguments);
        out
    }
}

/// Fails when a file below `copy` is not as the one below `original`.
pub(crate) fn assert_same(original: &Path, copy: &Path) {
    if !original.is_dir() {
        assert!(
            fs::read(original).unwrap() == fs::read(copy).unwrap(),
            "{} differs",
            copy.display()
        );
        return;
    }
    for entry in fs::read_dir(original).unwrap() {
        let name = entry.unwrap().file_name();
        assert_same(&original.join(&name), &copy.join(&name));
    }
}

/// Bytes of which no two pieces are alike.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut state = length as u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
