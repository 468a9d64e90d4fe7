//! Each element of a path is looked at before the path is used. Somebody could swap a folder for a link in between;
//! systems without `openat` have no better way.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use super::{Elements, Entry, Parents, stamp_of};

fn enter(root: &Path, folders: &[&Path], parents: Parents) -> io::Result<PathBuf> {
    let mut path = root.to_path_buf();
    for folder in folders {
        path.push(folder);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && parents == Parents::Create => {
                match fs::create_dir(&path) {
                    // Another thread was faster.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    result => result?,
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

/// Refuses whatever is no plain file; nothing at all is fine.
fn refuse_other(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn open_read(root: &Path, folders: &[&Path], name: &Path) -> io::Result<File> {
    let path = enter(root, folders, Parents::MustExist)?.join(name);
    refuse_other(&path)?;
    File::open(path)
}

pub(super) fn open_write(root: &Path, folders: &[&Path], name: &Path) -> io::Result<File> {
    let path = enter(root, folders, Parents::Create)?.join(name);
    refuse_other(&path)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

pub(super) fn entry(root: &Path, folders: &[&Path], name: &Path) -> io::Result<Entry> {
    let path = enter(root, folders, Parents::MustExist)?.join(name);
    let metadata = fs::symlink_metadata(path)?;
    Ok(if metadata.is_file() {
        Entry::File(stamp_of(&metadata))
    } else if metadata.is_symlink() {
        Entry::Link
    } else {
        Entry::Other
    })
}

pub(super) fn create_link(
    root: &Path,
    folders: &[&Path],
    name: &Path,
    target: &Path,
) -> io::Result<()> {
    let path = enter(root, folders, Parents::Create)?.join(name);
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(target, path);
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, path);
    #[cfg(not(any(windows, unix)))]
    return {
        let _ = (target, path);
        Err(io::ErrorKind::Unsupported.into())
    };
}

pub(super) fn remove_file(root: &Path, folders: &[&Path], name: &Path) -> io::Result<()> {
    fs::remove_file(enter(root, folders, Parents::MustExist)?.join(name))
}

pub(super) fn remove_folder(root: &Path, folders: &[&Path], name: &Path) -> io::Result<()> {
    fs::remove_dir(enter(root, folders, Parents::MustExist)?.join(name))
}

pub(super) fn rename(from: (&Path, Elements<'_>), to: (&Path, Elements<'_>)) -> io::Result<()> {
    let (from_root, (from_folders, from_name)) = from;
    let (to_root, (to_folders, to_name)) = to;
    let from = enter(from_root, &from_folders, Parents::MustExist)?.join(from_name);
    let to = enter(to_root, &to_folders, Parents::Create)?.join(to_name);
    fs::rename(from, to)
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_link_is_followed_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let name = Path::new("file");
        create_link(root.path(), &[], Path::new("link"), outside.path()).unwrap();
        let through = [Path::new("link")];
        assert!(open_write(root.path(), &through, name).is_err());
        assert!(open_read(root.path(), &[], Path::new("link")).is_err());
        assert!(open_write(root.path(), &[], Path::new("link")).is_err());
        assert_eq!(
            entry(root.path(), &[], Path::new("link")).unwrap(),
            Entry::Link
        );
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_created_found_moved_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = [Path::new("a")];
        let (name, other) = (Path::new("file"), Path::new("other"));
        open_write(root.path(), &folder, name)
            .unwrap()
            .write_all(b"abc")
            .unwrap();
        open_read(root.path(), &folder, name).unwrap();
        rename(
            (root.path(), (folder.to_vec(), name)),
            (root.path(), (Vec::new(), other)),
        )
        .unwrap();
        assert!(
            matches!(entry(root.path(), &[], other).unwrap(), Entry::File(stamp) if stamp.length == 3)
        );
        remove_file(root.path(), &[], other).unwrap();
        remove_folder(root.path(), &[], folder[0]).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
