//! The file tree of v2 torrents (BEP 52).

use rarest_bencode::{DictIter, ValueRef};

use super::files_v1::{checked_length, components, read_attributes, stays_inside};
use super::{Layout, Reader};
use crate::error::FileTreeError;
use crate::files::{Attributes, FileKind, FileTableBuilder, NewFile};
use crate::path::is_navigation;
use crate::{Geometry, MetainfoError};

/// One file of a tree.
pub(super) struct FileV2<'doc, 'input> {
    pub(super) length: u64,
    pub(super) kind: FileKind,
    pub(super) attributes: Attributes,
    pub(super) target: Option<Vec<&'input [u8]>>,
    /// The 32 bytes of `pieces root`, of files that are not empty.
    pub(super) root: Option<ValueRef<'doc, 'input>>,
}

/// Walks a file tree in the order of its keys, without recursion.
pub(super) struct TreeWalk<'doc, 'input> {
    /// The folders that are open, from the root.
    open: Vec<DictIter<'doc, 'input>>,
    /// Names of the open folders below the root, and of the file.
    path: Vec<&'input [u8]>,
}

impl<'doc, 'input> TreeWalk<'doc, 'input> {
    /// The components of the path of the file that [`next_file`](Self::next_file) gave.
    pub(super) fn path(&self) -> &[&'input [u8]] {
        &self.path
    }

    pub(super) fn next_file(&mut self) -> Result<Option<FileV2<'doc, 'input>>, MetainfoError> {
        loop {
            self.path.truncate(self.open.len().saturating_sub(1));
            let Some(folder) = self.open.last_mut() else {
                return Ok(None);
            };
            let Some((name, node)) = folder.next() else {
                self.open.pop();
                continue;
            };
            if name.is_empty() {
                return Err(FileTreeError::FileBesideFolder.into());
            }
            if is_navigation(name) {
                return Err(FileTreeError::Navigation.into());
            }
            self.path.push(name);
            let mut entries = node.as_dict().ok_or(FileTreeError::NotADictionary)?.iter();
            match entries.clone().next() {
                // The empty key sorts first, and is alone in the node of a file.
                Some((b"", file)) => {
                    entries.next();
                    if entries.next().is_some() {
                        return Err(FileTreeError::FileBesideFolder.into());
                    }
                    return Ok(Some(read_file(file)?));
                }
                _ => self.open.push(entries),
            }
        }
    }
}

fn read_file<'doc, 'input>(
    file: ValueRef<'doc, 'input>,
) -> Result<FileV2<'doc, 'input>, MetainfoError> {
    if file.as_dict().is_none() {
        return Err(FileTreeError::NotADictionary.into());
    }
    let attributes = read_attributes(file);
    if attributes.padding {
        return Err(FileTreeError::Padding.into());
    }
    let target = file.get("symlink path").filter(|_| attributes.symlink);
    let length = match (file.get("length"), target) {
        (Some(length), _) => checked_length(length)?,
        (None, Some(_)) => 0,
        (None, None) => return Err(FileTreeError::BadLength.into()),
    };
    let target = match target {
        Some(target) => {
            let target = components(target).filter(|target| stays_inside(target) && length == 0);
            Some(target.ok_or(FileTreeError::BadSymlink)?)
        }
        None => None,
    };
    let root = file.get("pieces root");
    let has_root = root
        .and_then(ValueRef::as_bytes)
        .is_some_and(|root| root.len() == 32 && root != [0; 32]);
    if length > 0 && !has_root {
        return Err(FileTreeError::BadRoot.into());
    }
    if length == 0 && root.is_some() {
        return Err(FileTreeError::RootOfNothing.into());
    }
    Ok(FileV2 {
        length,
        kind: if target.is_some() {
            FileKind::Symlink
        } else {
            FileKind::Regular
        },
        attributes,
        target,
        root,
    })
}

impl<'doc, 'input> Reader<'doc, 'input> {
    pub(super) fn walk_tree(&self) -> Result<TreeWalk<'doc, 'input>, MetainfoError> {
        let tree = self
            .dict
            .get("file tree")
            .ok_or(MetainfoError::Missing { key: "file tree" })?;
        let root = tree.as_dict().ok_or(FileTreeError::NotADictionary)?.iter();
        Ok(TreeWalk {
            open: vec![root],
            path: Vec::new(),
        })
    }

    pub(super) fn root_at(&self, root: Option<ValueRef<'_, '_>>) -> Option<u32> {
        let range = self.content_range(root?)?;
        Some(u32::try_from(range.start).expect("inputs have at most 4 GiB"))
    }

    /// Whether the tree has more than one file at its top, which is then named as it says there, whatever the torrent's name.
    fn has_folder_v2(&self) -> bool {
        let Some(tree) = self.dict.get("file tree").and_then(ValueRef::as_dict) else {
            return false;
        };
        let mut entries = tree.iter();
        let only = entries.next().filter(|_| entries.next().is_none());
        only.is_none_or(|(_, node)| node.get("").is_none())
    }

    pub(super) fn read_v2(&self) -> Result<Layout, MetainfoError> {
        let mut files = FileTableBuilder::new(self.has_folder_v2().then(|| self.folder.clone()));
        let mut lengths = Vec::new();
        let mut offset = 0u64;
        let mut walk = self.walk_tree()?;
        while let Some(file) = walk.next_file()? {
            files.push(&NewFile {
                path: walk.path(),
                offset,
                length: file.length,
                kind: file.kind,
                attributes: file.attributes,
                target: file.target.as_deref(),
                root_at: self.root_at(file.root),
            })?;
            lengths.push(file.length);
            // No overflow: each length is at most 2^44, and a file takes some bytes of an input of at most 2^32.
            offset = (offset + file.length).next_multiple_of(self.piece_length.into());
        }
        if files.len() == 0 {
            return Err(FileTreeError::Empty.into());
        }
        let geometry = Geometry::aligned(lengths, self.piece_length)?;
        Ok(Layout {
            geometry,
            files: files.finish(),
            pieces: 0..0,
        })
    }
}
