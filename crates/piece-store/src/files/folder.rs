//! The download folder, entered without ever following a symbolic link.
//!
//! A torrent names its files, and what already stands in the folder may have been put there by another torrent or
//! another user: a link `Music -> /etc` must not let a torrent write to `/etc`. So each element of a path is
//! opened by itself, and a link is refused. Only the folder itself, which the user chose, may be reached through links.

use std::{
    fs::{self, File, Metadata},
    io,
    path::{Component, Path, PathBuf},
    time::UNIX_EPOCH,
};

use crate::Stamp;

#[cfg(any(not(unix), test))]
mod portable;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use portable as system;
#[cfg(unix)]
use unix as system;

/// The folder that all paths of a torrent begin in.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

/// What stands at a path, links not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    File(Stamp),
    Link,
    Other,
}

/// Whether folders on the way are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parents {
    Create,
    MustExist,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The path for people and error messages.
    pub(super) fn path(&self, relative: &Path) -> PathBuf {
        self.root.join(relative)
    }

    /// Opens a file for reading.
    pub(super) fn open(&self, relative: &Path) -> io::Result<File> {
        let (folders, name) = elements(relative)?;
        plain(system::open_read(&self.root, &folders, name)?)
    }

    /// Opens a file for reading and writing; creates it and the folders on the way.
    pub(super) fn open_or_create(&self, relative: &Path) -> io::Result<File> {
        let (folders, name) = elements(relative)?;
        fs::create_dir_all(&self.root)?;
        plain(system::open_write(&self.root, &folders, name)?)
    }

    /// What stands at the path; `None` for nothing.
    pub(super) fn entry(&self, relative: &Path) -> io::Result<Option<Entry>> {
        use io::ErrorKind::{NotADirectory, NotFound};
        let (folders, name) = elements(relative)?;
        match system::entry(&self.root, &folders, name) {
            Ok(entry) => Ok(Some(entry)),
            // Below a link or a file stands nothing of ours.
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a symbolic link, and the folders on the way. Does nothing if there is a link already.
    pub(super) fn create_link(&self, relative: &Path, target: &Path) -> io::Result<()> {
        let (folders, name) = elements(relative)?;
        fs::create_dir_all(&self.root)?;
        match system::create_link(&self.root, &folders, name, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match self.entry(relative)? {
                    Some(Entry::Link) => Ok(()),
                    _ => Err(error),
                }
            }
            result => result,
        }
    }

    /// Removes a file or a link.
    pub(super) fn remove_file(&self, relative: &Path) -> io::Result<()> {
        let (folders, name) = elements(relative)?;
        system::remove_file(&self.root, &folders, name)
    }

    /// Removes a folder that is empty.
    pub(super) fn remove_folder(&self, relative: &Path) -> io::Result<()> {
        let (folders, name) = elements(relative)?;
        system::remove_folder(&self.root, &folders, name)
    }

    /// Gives what stands at `from` the path `to` in another folder, or in this one; creates folders on the way.
    pub(super) fn rename(&self, from: &Path, other: &Self, to: &Path) -> io::Result<()> {
        fs::create_dir_all(&other.root)?;
        system::rename((&self.root, elements(from)?), (&other.root, elements(to)?))
    }
}

/// A file's length and time, as they are now.
pub(super) fn stamp(file: &File) -> io::Result<Stamp> {
    Ok(stamp_of(&file.metadata()?))
}

fn stamp_of(metadata: &Metadata) -> Stamp {
    let modified_ns = match metadata
        .modified()
        .map(|time| time.duration_since(UNIX_EPOCH))
    {
        Ok(Ok(after)) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Ok(Err(before)) => {
            i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)
        }
        // No system that this runs on lacks the time of files.
        Err(_) => 0,
    };
    Stamp {
        length: metadata.len(),
        modified_ns,
    }
}

/// A pipe or a device in the place of a file could block for ever.
fn plain(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::IsADirectory.into()),
    }
}

/// The folders on the way and the name of a path that leads nowhere but down.
fn elements(relative: &Path) -> io::Result<Elements<'_>> {
    let mut folders = Vec::new();
    for component in relative.components() {
        match component {
            Component::Normal(name) => folders.push(Path::new(name)),
            _ => return Err(io::ErrorKind::InvalidFilename.into()),
        }
    }
    let name = folders.pop().ok_or(io::ErrorKind::InvalidFilename)?;
    Ok((folders, name))
}

type Elements<'a> = (Vec<&'a Path>, &'a Path);

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().join("downloads"));
        for path in ["", "..", "../x", "a/../x", "/x", "."] {
            let error = folder.open_or_create(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidFilename, "{path}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_nowhere() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        symlink(outside.path(), root.path().join("folder")).unwrap();
        symlink(outside.path().join("secret"), root.path().join("file")).unwrap();
        symlink(outside.path().join("new"), root.path().join("dangling")).unwrap();
        let folder = Folder::new(root.path().to_path_buf());
        for path in [
            "folder/secret",
            "folder/new",
            "folder/sub/new",
            "file",
            "dangling",
        ] {
            let path = Path::new(path);
            assert!(folder.open(path).is_err());
            assert!(folder.open_or_create(path).is_err());
        }
        assert!(folder.remove_file(Path::new("folder/secret")).is_err());
        assert_eq!(folder.entry(Path::new("file")).unwrap(), Some(Entry::Link));
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_file_does_not_block() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let folder = Folder::new(root.path().to_path_buf());
        assert!(folder.open(Path::new("pipe")).is_err());
        assert!(folder.open_or_create(Path::new("pipe")).is_err());
    }

    #[test]
    fn the_folder_that_the_user_chose_is_created() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().join("a/b"));
        let path = Path::new("c/d/file");
        assert_eq!(folder.entry(path).unwrap(), None);
        folder
            .open_or_create(path)
            .unwrap()
            .write_all(b"abc")
            .unwrap();
        let Some(Entry::File(stamp)) = folder.entry(path).unwrap() else {
            panic!("a file was created");
        };
        assert_eq!(stamp.length, 3);
        assert_eq!(stamp, super::stamp(&folder.open(path).unwrap()).unwrap());
    }
}
