//! Each element of a path is opened relative to the one before, so nobody can swap a folder for a link meanwhile.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, symlinkat,
        unlinkat,
    },
    io::Errno,
};
use std::os::fd::OwnedFd;

use super::{Elements, Entry, Parents};
use crate::Stamp;

/// A folder on the way may be unreadable as long as it can be passed, where the system has a flag for that.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const PASS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Without `NONBLOCK`, opening a pipe would wait for its other end. Plain files ignore it.
const FILE: OFlags = OFlags::CLOEXEC
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK);

fn enter(root: &Path, folders: &[&Path], parents: Parents) -> io::Result<OwnedFd> {
    let mut at = openat(CWD, root, PASS, Mode::empty())?;
    let flags = PASS.union(OFlags::NOFOLLOW);
    for &folder in folders {
        at = match openat(&at, folder, flags, Mode::empty()) {
            Err(Errno::NOENT) if parents == Parents::Create => {
                match mkdirat(&at, folder, Mode::from_raw_mode(0o777)) {
                    // Another thread was faster.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                openat(&at, folder, flags, Mode::empty())?
            }
            result => result?,
        };
    }
    Ok(at)
}

pub(super) fn open_read(root: &Path, folders: &[&Path], name: &Path) -> io::Result<File> {
    let at = enter(root, folders, Parents::MustExist)?;
    Ok(openat(at, name, FILE.union(OFlags::RDONLY), Mode::empty())?.into())
}

pub(super) fn open_write(root: &Path, folders: &[&Path], name: &Path) -> io::Result<File> {
    let at = enter(root, folders, Parents::Create)?;
    let flags = FILE.union(OFlags::RDWR).union(OFlags::CREATE);
    Ok(openat(at, name, flags, Mode::from_raw_mode(0o666))?.into())
}

pub(super) fn entry(root: &Path, folders: &[&Path], name: &Path) -> io::Result<Entry> {
    let at = enter(root, folders, Parents::MustExist)?;
    let stat = statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            // The widths of these fields differ between systems; any of them fits here.
            let (seconds, nanos) = (i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec));
            Entry::File(Stamp {
                length: u64::try_from(stat.st_size).unwrap_or(0),
                modified_ns: i64::try_from(seconds * 1_000_000_000 + nanos).unwrap_or(i64::MAX),
            })
        }
        FileType::Symlink => Entry::Link,
        _ => Entry::Other,
    })
}

pub(super) fn create_link(
    root: &Path,
    folders: &[&Path],
    name: &Path,
    target: &Path,
) -> io::Result<()> {
    let at = enter(root, folders, Parents::Create)?;
    Ok(symlinkat(target, at, name)?)
}

pub(super) fn remove_file(root: &Path, folders: &[&Path], name: &Path) -> io::Result<()> {
    let at = enter(root, folders, Parents::MustExist)?;
    Ok(unlinkat(at, name, AtFlags::empty())?)
}

pub(super) fn remove_folder(root: &Path, folders: &[&Path], name: &Path) -> io::Result<()> {
    let at = enter(root, folders, Parents::MustExist)?;
    Ok(unlinkat(at, name, AtFlags::REMOVEDIR)?)
}

pub(super) fn rename(from: (&Path, Elements<'_>), to: (&Path, Elements<'_>)) -> io::Result<()> {
    let (from_root, (from_folders, from_name)) = from;
    let (to_root, (to_folders, to_name)) = to;
    let from = enter(from_root, &from_folders, Parents::MustExist)?;
    let to = enter(to_root, &to_folders, Parents::Create)?;
    Ok(renameat(from, from_name, to, to_name)?)
}
