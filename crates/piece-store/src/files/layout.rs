//! What a file storage knows of a torrent: names, lengths and places of its files.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use rarest_metainfo::{self as metainfo, File, FileIndex, Metainfo};

/// The files of a torrent, and the names of the hidden ones.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) piece_length: u32,
    pub(super) piece_count: u32,
    pub(super) files: Box<[FileLayout]>,
    parts: PathBuf,
    /// What the names of hidden files begin with.
    hidden: String,
}

/// One file.
#[derive(Debug)]
pub(super) struct FileLayout {
    pub(super) index: FileIndex,
    pub(super) path: PathBuf,
    pub(super) length: u64,
    /// Where it begins in the piece space.
    pub(super) offset: u64,
    pub(super) kind: FileKind,
}

/// What a file of a torrent is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A file.
    Data,
    /// Zeros that are not stored (BEP 47).
    Padding,
    /// A symbolic link; the target is relative to the folder of the link.
    Link { target: PathBuf },
    /// A symbolic link whose target lies outside the torrent: it is not created.
    Nothing,
}

impl Layout {
    /// Number of the parts file, which is no file of the torrent.
    pub(super) const PARTS: u32 = u32::MAX;

    pub(super) fn new(metainfo: &Metainfo) -> Self {
        let info = metainfo.info();
        let hidden = format!(
            ".{}",
            info.info_hashes()
                .swarms()
                .next()
                .expect("a torrent has a hash")
        );
        let file = |file: File<'_>| {
            let path = PathBuf::from(file.path());
            FileLayout {
                index: file.index(),
                length: file.length(),
                offset: file.offset(),
                kind: match (file.kind(), file.symlink_target()) {
                    (metainfo::FileKind::Padding, _) => FileKind::Padding,
                    (metainfo::FileKind::Regular, _) => FileKind::Data,
                    (metainfo::FileKind::Symlink, Some(target)) => FileKind::Link {
                        target: relative_target(&path, target),
                    },
                    (metainfo::FileKind::Symlink, None) => FileKind::Nothing,
                },
                path,
            }
        };
        Self {
            piece_length: info.geometry().nominal_piece_length(),
            piece_count: info.geometry().piece_count(),
            files: info.files().map(file).collect(),
            parts: format!("{hidden}.parts").into(),
            hidden,
        }
    }

    pub(super) fn file(&self, file: u32) -> &FileLayout {
        &self.files[file as usize]
    }

    /// The path of a file of the torrent, or of the parts file.
    pub(super) fn path(&self, file: u32) -> &Path {
        match file {
            Self::PARTS => &self.parts,
            _ => &self.file(file).path,
        }
    }

    pub(super) fn index(&self, file: u32) -> Option<FileIndex> {
        self.files.get(file as usize).map(|file| file.index)
    }

    /// A name beside a file under which it is made before it gets its own.
    pub(super) fn temporary(&self, file: u32) -> PathBuf {
        let name = format!("{}.{file}.moving", self.hidden);
        self.file(file).path.with_file_name(name)
    }

    /// The pieces that hold bytes of a file.
    pub(super) fn pieces(&self, file: u32) -> Option<std::ops::RangeInclusive<u32>> {
        let file = self.file(file);
        let last = file.length.checked_sub(1)?;
        let piece = |offset: u64| {
            u32::try_from(offset / u64::from(self.piece_length))
                .expect("pieces are counted by a u32")
        };
        Some(piece(file.offset)..=piece(file.offset + last))
    }

    /// The files that have bytes in a piece.
    pub(super) fn files_of_piece(&self, piece: u32) -> impl Iterator<Item = u32> + '_ {
        let start = u64::from(piece) * u64::from(self.piece_length);
        let end = start + u64::from(self.piece_length);
        // Files stand in the order of their offsets.
        let first = self
            .files
            .partition_point(|file| file.offset + file.length <= start);
        (first..)
            .zip(&self.files[first..])
            .take_while(move |(_, file)| file.offset < end)
            .filter(|(_, file)| file.length > 0)
            .map(|(index, _)| u32::try_from(index).expect("files are counted by a u32"))
    }

    /// The folders that only exist for the torrent's files, the deepest first.
    pub(super) fn folders(&self) -> Vec<&Path> {
        let folders: HashSet<&Path> = self
            .files
            .iter()
            .flat_map(|file| file.path.ancestors().skip(1))
            .filter(|folder| !folder.as_os_str().is_empty())
            .collect();
        let mut folders: Vec<_> = folders.into_iter().collect();
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        folders
    }
}

/// A target as the link must hold it: seen from the folder of the link, not from that of the torrent.
///
/// A torrent with links has a folder, and that is the first element of the link's path.
fn relative_target(link: &Path, target: &str) -> PathBuf {
    let above = link.components().count().saturating_sub(2);
    let mut relative: PathBuf = std::iter::repeat_n("..", above).collect();
    relative.push(target);
    relative
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_seen_from_the_folder_of_the_link() {
        let of = |link: &str| relative_target(Path::new(link), "a/b");
        assert_eq!(of("torrent/link"), Path::new("a/b"));
        assert_eq!(of("torrent/c/d/link"), Path::new("../../a/b"));
    }
}
