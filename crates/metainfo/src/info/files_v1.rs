//! The file list of v1 torrents (BEP 3), with padding and symlinks (BEP 47).

use std::ops::Range;

use rarest_bencode::{ListIter, ValueRef};
use rarest_hash::Sha1Digest;

use super::{Layout, Reader};
use crate::files::{Attributes, FileKind, FileTableBuilder, Folder, MAX_FILE_LENGTH, NewFile};
use crate::path::{is_navigation, safe_component};
use crate::{Geometry, MetainfoError, Remark};

/// One entry of `files`, or the whole torrent if it has no list.
pub(super) struct FileV1<'input> {
    pub(super) path: Vec<&'input [u8]>,
    /// `path.utf-8`, which some clients write beside a `path` in another encoding.
    pub(super) utf8_path: Option<Vec<&'input [u8]>>,
    pub(super) length: u64,
    pub(super) kind: FileKind,
    pub(super) attributes: Attributes,
    pub(super) target: Option<Vec<&'input [u8]>>,
}

impl<'input> FileV1<'input> {
    /// The path to use.
    pub(super) fn best_path(&self) -> &[&'input [u8]] {
        self.utf8_path.as_deref().unwrap_or(&self.path)
    }
}

/// The files of a v1 torrent: a list, or the one that the dictionary itself describes.
pub(super) enum FilesV1<'doc, 'input> {
    List(ListIter<'doc, 'input>),
    Single(Option<ValueRef<'doc, 'input>>),
}

impl<'doc, 'input> Reader<'doc, 'input> {
    pub(super) fn has_folder_v1(&self) -> bool {
        self.dict.get("files").is_some()
    }

    pub(super) fn files_v1(
        &self,
        remarks: &mut Vec<Remark>,
    ) -> Result<FilesV1<'doc, 'input>, MetainfoError> {
        match (self.dict.get("files"), self.dict.get("length")) {
            (Some(files), length) => {
                let list = files.as_list().ok_or(MetainfoError::Invalid {
                    key: "files",
                    expected: "a list",
                })?;
                if length.is_some() {
                    remarks.push(Remark::LengthAndFiles);
                }
                Ok(FilesV1::List(list.iter()))
            }
            (None, Some(_)) => Ok(FilesV1::Single(Some(self.dict.as_value()))),
            (None, None) => Err(MetainfoError::Missing { key: "length" }),
        }
    }

    /// The name of the file of a torrent without folder, as path.
    pub(super) fn name_as_path(&self) -> Vec<&[u8]> {
        vec![&self.folder.raw]
    }

    pub(super) fn read_v1(&self, remarks: &mut Vec<Remark>) -> Result<Layout, MetainfoError> {
        let mut space = SpaceV1::new(self);
        for file in self.files_v1(remarks)? {
            let file = file?;
            let target = space.safe_target(&file, remarks);
            space.push(file.best_path(), &file, target, None)?;
        }
        self.finish_v1(space)
    }

    pub(super) fn finish_v1(&self, space: SpaceV1) -> Result<Layout, MetainfoError> {
        let geometry = Geometry::contiguous(space.total_length, self.piece_length)?
            .with_padding(space.padding);
        let pieces = self.pieces(&geometry)?;
        Ok(Layout {
            geometry,
            files: space.files.finish(),
            pieces,
        })
    }

    /// Where the SHA-1 digests stand; their number must be that of the pieces.
    fn pieces(&self, geometry: &Geometry) -> Result<Range<usize>, MetainfoError> {
        let value = self
            .dict
            .get("pieces")
            .ok_or(MetainfoError::Missing { key: "pieces" })?;
        let range = self.content_range(value).ok_or(MetainfoError::Invalid {
            key: "pieces",
            expected: "a string",
        })?;
        if range.len() % Sha1Digest::LENGTH != 0 {
            return Err(MetainfoError::RaggedPieces {
                length: range.len(),
            });
        }
        let actual = range.len() / Sha1Digest::LENGTH;
        if actual != geometry.piece_count() as usize {
            return Err(MetainfoError::WrongPieceCount {
                actual,
                expected: geometry.piece_count(),
            });
        }
        Ok(range)
    }
}

/// The piece space of a v1 or hybrid torrent while files are laid out in it, end to end.
pub(super) struct SpaceV1 {
    /// What the file of a torrent without folder is called; taken by that file.
    file_name: Option<Vec<u8>>,
    pub(super) files: FileTableBuilder,
    pub(super) total_length: u64,
    padding: Vec<Range<u64>>,
}

impl SpaceV1 {
    pub(super) fn new(reader: &Reader<'_, '_>) -> Self {
        let Folder { safe, raw } = &reader.folder;
        let (folder, file_name) = if reader.has_folder_v1() {
            (Some(reader.folder.clone()), None)
        } else if safe_component(raw) == **safe {
            (None, Some(raw.to_vec()))
        } else {
            // The name says nothing: the info-hash stands for it, in the path as well.
            (None, Some(safe.as_bytes().to_vec()))
        };
        Self {
            file_name,
            files: FileTableBuilder::new(folder),
            total_length: 0,
            padding: Vec::new(),
        }
    }
}

impl SpaceV1 {
    /// The target of a symlink if it stays inside the torrent.
    pub(super) fn safe_target<'file>(
        &self,
        file: &'file FileV1<'_>,
        remarks: &mut Vec<Remark>,
    ) -> Option<&'file [&'file [u8]]> {
        let target = file.target.as_deref()?;
        if stays_inside(target) {
            return Some(target);
        }
        remarks.push(Remark::SymlinkOutside {
            file: self.files.len(),
        });
        None
    }

    pub(super) fn push(
        &mut self,
        path: &[&[u8]],
        file: &FileV1<'_>,
        target: Option<&[&[u8]]>,
        root_at: Option<u32>,
    ) -> Result<(), MetainfoError> {
        let name = self.file_name.take();
        let name = name.as_deref().map(|name| [name]);
        let offset = self.total_length;
        let kind = match file.kind {
            FileKind::Symlink if target.is_none() => FileKind::Regular,
            kind => kind,
        };
        self.files.push(&NewFile {
            path: name.as_ref().map_or(path, <[_; 1]>::as_slice),
            offset,
            length: file.length,
            kind,
            attributes: file.attributes,
            target,
            root_at,
        })?;
        // No overflow: each length is at most 2^44, and an input has less than 2^20 times as many bytes as that leaves room.
        self.total_length = offset.saturating_add(file.length);
        if kind == FileKind::Padding {
            self.padding.push(offset..self.total_length);
        }
        Ok(())
    }
}

/// Whether the target of a symlink, seen from the torrent's root, leads to something below it (BEP 47).
pub(super) fn stays_inside(target: &[&[u8]]) -> bool {
    !target.is_empty()
        && !target
            .iter()
            .any(|component| is_navigation(component) || component.contains(&b'/'))
}

impl<'doc, 'input> Iterator for FilesV1<'doc, 'input> {
    type Item = Result<FileV1<'input>, MetainfoError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::List(list) => Some(read_entry(list.next()?)),
            Self::Single(info) => Some(read_single(info.take()?)),
        }
    }
}

fn read_single<'input>(info: ValueRef<'_, 'input>) -> Result<FileV1<'input>, MetainfoError> {
    Ok(FileV1 {
        path: Vec::new(),
        utf8_path: None,
        length: read_length(info)?,
        kind: FileKind::Regular,
        attributes: read_attributes(info),
        target: None,
    })
}

fn read_entry<'input>(entry: ValueRef<'_, 'input>) -> Result<FileV1<'input>, MetainfoError> {
    if entry.as_dict().is_none() {
        return Err(MetainfoError::Invalid {
            key: "files",
            expected: "a list of dictionaries",
        });
    }
    let attributes = read_attributes(entry);
    let target = entry
        .get("symlink path")
        .filter(|_| attributes.symlink)
        .and_then(components);
    let kind = match target {
        _ if attributes.padding => FileKind::Padding,
        Some(_) => FileKind::Symlink,
        None => FileKind::Regular,
    };
    // A symlink takes no bytes, whatever stands there: some creators write the length of what it points to.
    let length = if kind == FileKind::Symlink {
        0
    } else {
        read_length(entry)?
    };
    let utf8_path = entry.get("path.utf-8").and_then(components).filter(|path| {
        !path.is_empty()
            && path
                .iter()
                .all(|component| std::str::from_utf8(component).is_ok())
    });
    let path = match entry.get("path") {
        Some(path) => components(path).ok_or(MetainfoError::Invalid {
            key: "path",
            expected: "a list of strings",
        })?,
        None if kind == FileKind::Padding || utf8_path.is_some() => Vec::new(),
        None => return Err(MetainfoError::Missing { key: "path" }),
    };
    if path.is_empty() && utf8_path.is_none() && kind != FileKind::Padding {
        return Err(MetainfoError::Invalid {
            key: "path",
            expected: "a list of at least one name",
        });
    }
    Ok(FileV1 {
        path,
        utf8_path,
        length,
        kind,
        attributes,
        target: target.filter(|_| kind == FileKind::Symlink),
    })
}

/// The items of a list of strings.
pub(super) fn components<'input>(value: ValueRef<'_, 'input>) -> Option<Vec<&'input [u8]>> {
    value.as_list()?.iter().map(ValueRef::as_bytes).collect()
}

fn read_length(entry: ValueRef<'_, '_>) -> Result<u64, MetainfoError> {
    let length = entry
        .get("length")
        .ok_or(MetainfoError::Missing { key: "length" })?;
    checked_length(length)
}

/// A length that is no negative number and no longer than a file can be.
pub(super) fn checked_length(value: ValueRef<'_, '_>) -> Result<u64, MetainfoError> {
    let length = value.as_u64().ok_or(MetainfoError::Invalid {
        key: "length",
        expected: "an integer that is not negative",
    })?;
    if length > MAX_FILE_LENGTH {
        return Err(MetainfoError::FileTooLong { length });
    }
    Ok(length)
}

pub(super) fn read_attributes(entry: ValueRef<'_, '_>) -> Attributes {
    entry
        .get("attr")
        .and_then(ValueRef::as_bytes)
        .map(Attributes::parse)
        .unwrap_or_default()
}
