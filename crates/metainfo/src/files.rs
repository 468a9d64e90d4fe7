//! The files of a torrent, kept small: one record a file, all paths in one text.

use std::ops::Range;

use rarest_hash::Sha256Digest;

use crate::MetainfoError;
use crate::path::{DistinctPaths, named_components, safe_component};

/// Longest file that is accepted, in bytes: 16 TiB, the most that ext4 holds.
pub const MAX_FILE_LENGTH: u64 = 1 << 44;

/// Most bytes that all paths of a torrent may have together. A v2 tree can name 100,000 files through folders with long
/// names, so that paths grow far beyond the torrent; honest torrents with as many files have some 15 MB.
pub const MAX_PATH_BYTES: usize = 64 * 1024 * 1024;

/// The place of a file in its torrent, padding counted. Only [`Info`](crate::Info) makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIndex(u32);

impl FileIndex {
    pub(crate) fn new(index: u32) -> Self {
        Self(index)
    }

    /// The number of the file, as `so` of a magnet link counts.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number of the file, to index a slice that has one entry a file.
    #[must_use]
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// What stands in the torrent as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A file.
    Regular,
    /// Zeros that fill a piece: never written, never asked for, but served (BEP 47).
    Padding,
    /// A symlink; it has no bytes (BEP 47).
    Symlink,
}

/// Bytes of one file that lie in a part of the piece space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileSpan {
    /// The file.
    pub file: FileIndex,
    /// First byte in the file.
    pub offset: u64,
    /// Number of bytes, at least 1.
    pub length: u64,
    /// Whether these are zeros that are in no file on disk.
    pub is_padding: bool,
}

/// A file of a torrent.
#[derive(Clone, Copy)]
pub struct File<'info> {
    pub(crate) files: &'info FileTable,
    pub(crate) raw_info: &'info [u8],
    pub(crate) index: FileIndex,
}

impl<'info> File<'info> {
    fn record(self) -> &'info Record {
        &self.files.records[self.index.as_usize()]
    }

    /// Its place in the torrent.
    #[must_use]
    pub fn index(self) -> FileIndex {
        self.index
    }

    /// Where it belongs, relative to the download folder, with `/` between components; the torrent's name comes first when
    /// the torrent has a folder.
    ///
    /// Safe on every platform and different from every other path of the torrent, also where case does not count.
    /// It can be given to [`std::path::Path::join`] as it is. That of padding means nothing.
    #[must_use]
    pub fn path(self) -> &'info str {
        self.files.path(self.index)
    }

    /// The components of the path exactly as they stand in the torrent; for URLs of web seeds, and for display. Not safe.
    #[must_use]
    pub fn raw_path(self) -> Vec<&'info [u8]> {
        let folder = self.files.folder.as_ref();
        let mut components: Vec<&[u8]> = folder.map(|folder| &*folder.raw).into_iter().collect();
        match self.files.raw_path(self.index) {
            Some(raw) => components.extend(raw.iter().map(AsRef::as_ref)),
            None => {
                let below = &self.path()[folder.map_or(0, |folder| folder.safe.len() + 1)..];
                components.extend(below.split('/').map(str::as_bytes));
            }
        }
        components
    }

    /// Length in bytes.
    #[must_use]
    pub fn length(self) -> u64 {
        self.record().length
    }

    /// Where it begins in the piece space, in bytes.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.record().offset
    }

    /// The part of the piece space that it fills.
    #[must_use]
    pub fn range(self) -> Range<u64> {
        self.offset()..self.offset() + self.length()
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> FileKind {
        self.record().kind
    }

    /// Whether it is padding.
    #[must_use]
    pub fn is_padding(self) -> bool {
        self.kind() == FileKind::Padding
    }

    /// What a symlink points to: a path relative to the root of the torrent (its folder), without `..`.
    #[must_use]
    pub fn symlink_target(self) -> Option<&'info str> {
        let found = self
            .files
            .symlinks
            .binary_search_by_key(&self.index, |(index, _)| *index)
            .ok()?;
        Some(&self.files.symlinks[found].1)
    }

    /// Whether it is to be executable (BEP 47).
    #[must_use]
    pub fn is_executable(self) -> bool {
        self.record().executable
    }

    /// Whether it is to be hidden (BEP 47).
    #[must_use]
    pub fn is_hidden(self) -> bool {
        self.record().hidden
    }

    /// The root of its merkle tree, in v2 and hybrid torrents; empty files have none.
    #[must_use]
    pub fn pieces_root(self) -> Option<Sha256Digest> {
        let start = self.record().root_at? as usize;
        let bytes = self.raw_info.get(start..)?.first_chunk()?;
        Some(Sha256Digest(*bytes))
    }
}

impl std::fmt::Debug for File<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File")
            .field("index", &self.index.0)
            .field("path", &self.path())
            .field("range", &self.range())
            .field("kind", &self.kind())
            .finish()
    }
}

/// What BEP 47 says of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) padding: bool,
    pub(crate) symlink: bool,
    pub(crate) executable: bool,
    pub(crate) hidden: bool,
}

impl Attributes {
    pub(crate) fn parse(attr: &[u8]) -> Self {
        Self {
            padding: attr.contains(&b'p'),
            symlink: attr.contains(&b'l'),
            executable: attr.contains(&b'x'),
            hidden: attr.contains(&b'h'),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    offset: u64,
    length: u64,
    path_end: u32,
    /// Where the 32 bytes of `pieces root` stand in the info dictionary.
    root_at: Option<u32>,
    kind: FileKind,
    executable: bool,
    hidden: bool,
}

/// The folder of a torrent of several files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) safe: Box<str>,
    pub(crate) raw: Box<[u8]>,
}

/// The components of a path below the folder as they stand in the torrent.
type RawPath = Box<[Box<[u8]>]>;

/// All files, by rising offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileTable {
    folder: Option<Folder>,
    records: Box<[Record]>,
    paths: Box<str>,
    /// Raw paths below the folder, of those files whose path had to be changed; by rising index.
    changed: Box<[(FileIndex, RawPath)]>,
    /// Targets, by rising index.
    symlinks: Box<[(FileIndex, Box<str>)]>,
}

impl FileTable {
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.records.len()).expect("an input of 4 GiB has fewer files")
    }

    /// Number of files whose path had to be changed. Padding is in no folder, so that its paths do not count.
    pub(crate) fn changed_count(&self) -> u32 {
        let changed = self
            .changed
            .iter()
            .filter(|(index, _)| self.records[index.as_usize()].kind != FileKind::Padding)
            .count();
        u32::try_from(changed).expect("not more than files")
    }

    /// Bytes that the table takes beside itself.
    pub(crate) fn memory_used(&self) -> usize {
        let folder = self
            .folder
            .as_ref()
            .map_or(0, |folder| folder.safe.len() + folder.raw.len());
        let changed: usize = self
            .changed
            .iter()
            .flat_map(|(_, raw)| raw)
            .map(|raw| size_of_val(raw) + raw.len())
            .sum();
        let targets: usize = self.symlinks.iter().map(|(_, target)| target.len()).sum();
        size_of_val(&*self.records)
            + self.paths.len()
            + folder
            + size_of_val(&*self.changed)
            + changed
            + size_of_val(&*self.symlinks)
            + targets
    }

    fn path(&self, index: FileIndex) -> &str {
        let start = match index.as_usize().checked_sub(1) {
            Some(before) => self.records[before].path_end,
            None => 0,
        };
        &self.paths[start as usize..self.records[index.as_usize()].path_end as usize]
    }

    fn raw_path(&self, index: FileIndex) -> Option<&[Box<[u8]>]> {
        let found = self
            .changed
            .binary_search_by_key(&index, |(index, _)| *index)
            .ok()?;
        Some(&self.changed[found].1)
    }

    /// The file that holds the byte at `offset` of the piece space.
    pub(crate) fn at(&self, offset: u64) -> Option<FileIndex> {
        let index = self.first_ending_after(offset);
        let record = self.records.get(index)?;
        (record.offset <= offset)
            .then(|| FileIndex(u32::try_from(index).expect("an index of a record")))
    }

    fn first_ending_after(&self, offset: u64) -> usize {
        self.records
            .partition_point(|record| record.offset + record.length <= offset)
    }

    /// The files' bytes in a part of the piece space, in order.
    pub(crate) fn spans(&self, range: Range<u64>) -> impl Iterator<Item = FileSpan> + '_ {
        let first = self.first_ending_after(range.start);
        (first..self.records.len())
            .map(|index| (index, &self.records[index]))
            .take_while(move |(_, record)| record.offset < range.end)
            .filter_map(move |(index, record)| {
                let start = range.start.max(record.offset);
                let end = range.end.min(record.offset + record.length);
                (start < end).then(|| FileSpan {
                    file: FileIndex(u32::try_from(index).expect("an index of a record")),
                    offset: start - record.offset,
                    length: end - start,
                    is_padding: record.kind == FileKind::Padding,
                })
            })
    }
}

/// One file as the torrent describes it.
pub(crate) struct NewFile<'a> {
    /// Components under the torrent's folder; none for the file of a torrent without one.
    pub(crate) path: &'a [&'a [u8]],
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) kind: FileKind,
    pub(crate) attributes: Attributes,
    pub(crate) target: Option<&'a [&'a [u8]]>,
    pub(crate) root_at: Option<u32>,
}

/// Collects files, giving each its path.
pub(crate) struct FileTableBuilder {
    folder: Option<Folder>,
    records: Vec<Record>,
    paths: String,
    distinct: DistinctPaths,
    changed: Vec<(FileIndex, RawPath)>,
    symlinks: Vec<(FileIndex, Box<str>)>,
    raw_path_bytes: usize,
}

impl FileTableBuilder {
    /// For a torrent whose files lie in a folder, or one of a single file without one.
    pub(crate) fn new(folder: Option<Folder>) -> Self {
        Self {
            folder,
            records: Vec::new(),
            paths: String::new(),
            distinct: DistinctPaths::new(),
            changed: Vec::new(),
            symlinks: Vec::new(),
            raw_path_bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.records.len()).expect("an input of 4 GiB has fewer files")
    }

    pub(crate) fn push(&mut self, file: &NewFile<'_>) -> Result<(), MetainfoError> {
        let folder = self
            .folder
            .as_ref()
            .map_or(0, |folder| folder.safe.len() + 1);
        self.raw_path_bytes += file
            .path
            .iter()
            .map(|component| component.len() + 1)
            .sum::<usize>();
        if self.raw_path_bytes > MAX_PATH_BYTES {
            return Err(MetainfoError::PathsTooLong);
        }
        let path = if file.kind == FileKind::Padding {
            safe_path(file.path)
        } else {
            self.distinct.add_file(file.path)?
        };
        if self.paths.len() + folder + path.len() > MAX_PATH_BYTES {
            return Err(MetainfoError::PathsTooLong);
        }
        let index = FileIndex(self.len());
        self.note_raw_path(index, file.path, &path);
        if let Some(folder) = &self.folder {
            self.paths.push_str(&folder.safe);
            self.paths.push('/');
        }
        self.paths.push_str(&path);
        if let Some(target) = file.target {
            self.symlinks.push((index, safe_path(target).into()));
        }
        self.records.push(Record {
            offset: file.offset,
            length: file.length,
            path_end: u32::try_from(self.paths.len()).expect("at most MAX_PATH_BYTES"),
            root_at: file.root_at,
            kind: file.kind,
            executable: file.attributes.executable,
            hidden: file.attributes.hidden,
        });
        Ok(())
    }

    fn note_raw_path(&mut self, index: FileIndex, raw: &[&[u8]], safe: &str) {
        if !raw.iter().copied().eq(safe.split('/').map(str::as_bytes)) {
            self.changed.push((
                index,
                raw.iter().map(|&component| component.into()).collect(),
            ));
        }
    }

    pub(crate) fn finish(self) -> FileTable {
        FileTable {
            folder: self.folder,
            records: self.records.into(),
            paths: self.paths.into(),
            changed: self.changed.into(),
            symlinks: self.symlinks.into(),
        }
    }
}

/// The components made safe and joined, for paths that need not differ from others.
fn safe_path(raw: &[&[u8]]) -> String {
    let components: Vec<_> = named_components(raw).map(safe_component).collect();
    if components.is_empty() {
        return safe_component(b"");
    }
    components.join("/")
}
