//! Where a torrent's files lie: which folder to name, and what a seed that failed must not leave there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rarest_metainfo::Info;

/// What to add to a message that nothing was found below `folder`, where that is the torrent's own folder rather than the one it lies in.
pub(crate) fn hint(info: &Info, folder: &Path) -> Option<String> {
    let (own, _) = info.files().next()?.path().split_once('/')?;
    let real = fs::canonicalize(folder).ok()?;
    if real.file_name()? != own {
        return None;
    }
    let parent = match folder.parent() {
        Some(parent) if folder.file_name().is_some_and(|name| name == own) => {
            let is_here = parent == Path::new("");
            if is_here { Path::new(".") } else { parent }.to_owned()
        }
        _ if folder == Path::new(".") => PathBuf::from(".."),
        _ => folder.join(".."),
    };
    Some(format!(
        "{} seems to be the torrent's own folder; name the one that it lies in: --output {}",
        folder.display(),
        parent.display()
    ))
}

/// Whether nothing has that path, not even a link that leads nowhere.
pub(crate) fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    })
}

/// Empty files and links of a torrent that are not there yet, and their folders: they are made when a torrent is added.
#[derive(Debug)]
pub(crate) struct Traces {
    files: Vec<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Traces {
    /// What adding the torrent may make below `folder`.
    pub(crate) fn before_adding(info: &Info, folder: &Path) -> Self {
        let empty = info
            .files()
            .filter(|file| file.length() == 0 && !file.is_padding());
        let files: Vec<PathBuf> = empty
            .map(|file| folder.join(file.path()))
            .filter(|path| is_absent(path))
            .collect();
        let mut folders = BTreeSet::new();
        for file in &files {
            let above = file.ancestors().skip(1);
            let absent = above.take_while(|&above| above != folder && is_absent(above));
            folders.extend(absent.map(Path::to_owned));
        }
        Self { files, folders }
    }

    /// Removes what was made since. What cannot be removed, or holds something now, stays.
    pub(crate) fn remove(self) {
        for file in self.files {
            let metadata = fs::symlink_metadata(&file);
            if metadata.is_ok_and(|metadata| metadata.is_symlink() || metadata.len() == 0) {
                let _ = fs::remove_file(file);
            }
        }
        // What lies in a folder comes behind it.
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}
