//! What can go wrong with the place where the bytes live, sorted by what helps.

use std::{fmt, io, path::PathBuf, sync::Arc};

use rarest_metainfo::FileIndex;

/// An operation on a file or folder that did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {operation} {path}: {fault}", path = .path.display())]
#[non_exhaustive]
pub struct StoreError {
    /// What was tried.
    pub operation: Operation,
    /// The file or folder it was tried on.
    pub path: PathBuf,
    /// The file of the torrent, when it was one.
    pub file: Option<FileIndex>,
    /// Why it failed.
    pub fault: Fault,
}

impl StoreError {
    /// An operation on `path` that failed because of `fault`.
    pub fn new(operation: Operation, path: impl Into<PathBuf>, fault: impl Into<Fault>) -> Self {
        Self {
            operation,
            path: path.into(),
            file: None,
            fault: fault.into(),
        }
    }

    /// The same, about this file of the torrent.
    #[must_use]
    pub fn in_file(mut self, file: FileIndex) -> Self {
        self.file = Some(file);
        self
    }

    /// One error for two of one sync: the first that lost something, about all files if both did.
    pub(crate) fn beside(mut self, other: Self) -> Self {
        match (self.operation, other.operation) {
            (Operation::Sync, Operation::Sync) => self.file = None,
            (_, Operation::Sync) => return other,
            _ => {}
        }
        self
    }

    /// What a torrent can still do after this error.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match self.fault {
            Fault::Full
            | Fault::FileTooLarge
            | Fault::ReadOnly
            | Fault::Denied
            | Fault::Obstructed
            | Fault::BadName
            | Fault::Panicked { .. } => Remedy::UploadOnly,
            Fault::InUse | Fault::TooManyOpenFiles => Remedy::Retry,
            Fault::Missing | Fault::Truncated { .. } | Fault::Changed => Remedy::Recheck,
            Fault::Device(_) => Remedy::UploadOnly,
        }
    }
}

/// What helps after a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Nothing can be written until somebody helps: go on serving what is verified, try again from time to time.
    UploadOnly,
    /// The same will soon succeed: try again.
    Retry,
    /// Data that was there is gone or changed: check the file again.
    Recheck,
}

/// What was tried when a [`StoreError`] occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a file or a folder.
    Open,
    /// Creating a file, a folder or a symbolic link.
    Create,
    /// Reserving the space of a file.
    Allocate,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making what was written survive a power failure.
    Sync,
    /// Asking for size and time.
    Inspect,
    /// Moving.
    Move,
    /// Deleting.
    Delete,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Allocate => "reserve space for",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Inspect => "inspect",
            Self::Move => "move",
            Self::Delete => "delete",
        })
    }
}

/// Why an operation on a file failed. Each message says what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No space left, or the user's quota is used up.
    #[error("the disk is full, free some space")]
    Full,
    /// The file system or a limit of the process allows no file of that size.
    #[error("the file system does not allow so large a file, use another one")]
    FileTooLarge,
    /// The file system is mounted read-only.
    #[error("the file system is read-only, remount it or use another folder")]
    ReadOnly,
    /// The process lacks the permission.
    #[error("permission denied, change the permissions or use another folder")]
    Denied,
    /// It is not there.
    #[error("it does not exist, put it back or check the torrent again")]
    Missing,
    /// The file ends too early.
    #[error("it ends at byte {actual} but should reach byte {expected}, check the torrent again")]
    Truncated {
        /// Where the bytes that were asked for end.
        expected: u64,
        /// Where the file ends.
        actual: u64,
    },
    /// Somebody else wrote to the file.
    #[error("another program changed it, check the torrent again")]
    Changed,
    /// Something that is no plain file or folder stands there; symbolic links are not followed.
    #[error(
        "something else is in its place (a link, or a folder instead of a file), move that away"
    )]
    Obstructed,
    /// Another program holds it.
    #[error("another program uses it, close that program")]
    InUse,
    /// The process or the system has no descriptor left.
    #[error("too many files are open, lower the limit of open files or raise the system's")]
    TooManyOpenFiles,
    /// The file system cannot store a file of that name.
    #[error("the file system does not allow this name, use another folder")]
    BadName,
    /// The code of the storage panicked, which is a mistake in it. Said by whoever caught that.
    #[error("the storage's code panicked, which is a mistake in it: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
    /// Anything else that the system said.
    #[error("{0}")]
    Device(Arc<io::Error>),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        #[cfg(unix)]
        match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                return Self::TooManyOpenFiles;
            }
            Some(rustix::io::Errno::LOOP) => return Self::Obstructed,
            _ => {}
        }
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Self::Full,
            Kind::FileTooLarge => Self::FileTooLarge,
            Kind::ReadOnlyFilesystem => Self::ReadOnly,
            Kind::PermissionDenied => Self::Denied,
            Kind::NotFound => Self::Missing,
            Kind::NotADirectory | Kind::IsADirectory | Kind::AlreadyExists => Self::Obstructed,
            Kind::ResourceBusy | Kind::ExecutableFileBusy => Self::InUse,
            Kind::InvalidFilename => Self::BadName,
            _ => Self::Device(Arc::new(error)),
        }
    }
}
