//! Torrents of files on disk: the one place of this crate that reads files and starts threads.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use super::plan::{Content, Entry, PieceData, Plan};
use super::{BuildError, Builder, MAX_FOLDER_DEPTH, PieceDigests, hash};
use crate::Metainfo;
use crate::path::{DistinctPaths, safe_component};

/// Most threads that hash. Each holds up to 32 MiB or one piece, and no disk feeds more.
const MAX_THREADS: usize = 16;

/// How far a torrent to be is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are read and hashed, padding included.
    pub hashed_bytes: u64,
    /// Bytes that there are, padding included.
    pub total_bytes: u64,
}

/// Something in a folder that is not shared as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity<'path> {
    /// Neither file nor folder: a pipe, a device, a link to nothing or to a folder elsewhere. It is left out.
    LeftOut(&'path Path),
    /// A link to a file outside of the folder, whose content is taken. A client that follows no links serves it only from a copy.
    LinkElsewhere(&'path Path),
}

/// What is to be shared, and the file on disk behind each entry of the plan.
struct Source {
    content: Content,
    files: Vec<PathBuf>,
}

impl Builder {
    /// Makes a torrent of a file or a folder, with all cores. Its name is that of the file or folder.
    ///
    /// In a folder all files are taken, sorted by path. A link to something inside of the folder becomes a link in the torrent
    /// (BEP 47); of a link to a file elsewhere the content is taken.
    ///
    /// `progress` is called on this thread, every few MiB, and stops the work by giving [`ControlFlow::Break`].
    ///
    /// # Errors
    /// [`BuildError`] when something is no file or folder, cannot be read, changes while it is read, has a name that not every system
    /// can hold, or makes no torrent; or when stopped.
    pub fn build(
        &self,
        source: impl AsRef<Path>,
        progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Metainfo, BuildError> {
        let mut refuse = |oddity: Oddity<'_>| match oddity {
            Oddity::LeftOut(path) => Err(not_a_file(path)),
            Oddity::LinkElsewhere(_) => Ok(()),
        };
        self.build_with(source.as_ref(), &mut refuse, progress)
    }

    /// The same, but what is neither file nor folder is left out. `tell` hears of that, and of links that are followed.
    ///
    /// # Errors
    /// As [`build`](Self::build), but for what is left out.
    pub fn build_leaving_out(
        &self,
        source: impl AsRef<Path>,
        mut tell: impl FnMut(Oddity<'_>),
        progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Metainfo, BuildError> {
        let mut told = |oddity: Oddity<'_>| {
            tell(oddity);
            Ok(())
        };
        self.build_with(source.as_ref(), &mut told, progress)
    }

    fn build_with(
        &self,
        source: &Path,
        meet: &mut dyn FnMut(Oddity<'_>) -> Result<(), BuildError>,
        progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Metainfo, BuildError> {
        // "." and ".." have no name of their own.
        let root = fs::canonicalize(source).map_err(|error| io_error(source, error))?;
        let named = if source.file_name().is_some() {
            source
        } else {
            &root
        };
        let name = named.file_name().ok_or_else(|| not_a_file(source))?;
        let name = name.to_str().ok_or_else(|| not_unicode(source))?;
        let Source { content, files } = scan(&root, meet)?;
        check_names(name, &content)?;
        let plan = self.plan(name, content)?;
        let digests = self.hash_files(&plan, &files, progress)?;
        self.finish(&plan, &digests)
    }

    fn hash_files(
        &self,
        plan: &Plan,
        files: &[PathBuf],
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Vec<PieceDigests>, BuildError> {
        let total_bytes = plan.geometry.total_length();
        let mut digests = vec![PieceDigests::default(); plan.geometry.piece_count() as usize];
        let mut hashed_bytes = 0;
        let batches = Mutex::new(plan.batches(hash::side_by_side(self.version)));
        let is_stopped = AtomicBool::new(false);
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MAX_THREADS);
        thread::scope(|scope| {
            let (sender, results) = mpsc::channel();
            for _ in 0..threads {
                let (batches, is_stopped, sender) = (&batches, &is_stopped, sender.clone());
                scope.spawn(move || {
                    let mut reader = Reader { files, open: None };
                    let mut pieces = Vec::new();
                    while let Some(batch) = next(batches, is_stopped) {
                        let result = self.hash_batch(plan, batch.clone(), &mut pieces, &mut reader);
                        if sender.send((batch, result)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let outcome = results.into_iter().try_for_each(|(batch, result)| {
                let hashed = result?;
                let first = batch.start as usize;
                digests[first..first + hashed.digests.len()].copy_from_slice(&hashed.digests);
                hashed_bytes += hashed.bytes;
                match progress(Progress {
                    hashed_bytes,
                    total_bytes,
                }) {
                    ControlFlow::Continue(()) => Ok(()),
                    ControlFlow::Break(()) => Err(BuildError::Cancelled),
                }
            });
            is_stopped.store(true, Ordering::Relaxed);
            outcome
        })?;
        Ok(digests)
    }

    fn hash_batch(
        &self,
        plan: &Plan,
        batch: Range<u32>,
        pieces: &mut Vec<PieceData>,
        reader: &mut Reader<'_>,
    ) -> Result<HashedBatch, BuildError> {
        plan.read_batch(batch, pieces, |entry, offset, buffer| {
            reader.read(entry, offset, buffer)
        })?;
        let bytes = pieces.iter().map(|piece| piece.bytes.len() as u64).sum();
        Ok(HashedBatch {
            digests: hash::hash_pieces(pieces, self.version),
            bytes,
        })
    }
}

struct HashedBatch {
    digests: Vec<PieceDigests>,
    bytes: u64,
}

/// The next batch for a thread that has nothing to do. Batches go out in order, so that a disk reads nearly in sequence.
fn next(
    batches: &Mutex<impl Iterator<Item = Range<u32>>>,
    is_stopped: &AtomicBool,
) -> Option<Range<u32>> {
    if is_stopped.load(Ordering::Relaxed) {
        return None;
    }
    batches.lock().ok()?.next()
}

/// Reads files, and keeps the last one open.
struct Reader<'files> {
    files: &'files [PathBuf],
    open: Option<(usize, File)>,
}

impl Reader<'_> {
    fn read(&mut self, entry: usize, offset: u64, buffer: &mut [u8]) -> Result<(), BuildError> {
        let path = &self.files[entry];
        self.try_read(entry, offset, buffer)
            .map_err(|error| io_error(path, error))
    }

    fn try_read(&mut self, entry: usize, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut file = match self.open.take() {
            Some((open, file)) if open == entry => file,
            _ => File::open(&self.files[entry])?,
        };
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)?;
        self.open = Some((entry, file));
        Ok(())
    }
}

/// Readers make names safe and tell them apart; one that they change is not found where it lies now.
fn check_names(name: &str, content: &Content) -> Result<(), BuildError> {
    let check = |path: String, kept_as: String| match path == kept_as {
        true => Ok(()),
        false => Err(BuildError::Name { path, kept_as }),
    };
    check(name.to_owned(), safe_component(name.as_bytes()))?;
    let Content::Folder(entries) = content else {
        return Ok(());
    };
    let mut kept = DistinctPaths::new();
    for entry in entries {
        let raw: Vec<&[u8]> = entry.path.iter().map(String::as_bytes).collect();
        check(entry.path.join("/"), kept.add_file(&raw)?)?;
    }
    Ok(())
}

/// `meet` is told what is odd, and may end the work.
fn scan(
    root: &Path,
    meet: &mut dyn FnMut(Oddity<'_>) -> Result<(), BuildError>,
) -> Result<Source, BuildError> {
    let metadata = fs::metadata(root).map_err(|error| io_error(root, error))?;
    if metadata.is_file() {
        let content = Content::File {
            length: metadata.len(),
        };
        return Ok(Source {
            content,
            files: vec![root.to_owned()],
        });
    }
    if !metadata.is_dir() {
        return Err(not_a_file(root));
    }
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), Vec::new())];
    while let Some((folder, path)) = folders.pop() {
        if path.len() > MAX_FOLDER_DEPTH {
            return Err(BuildError::TooDeep {
                path: path.join("/"),
            });
        }
        for entry in fs::read_dir(&folder).map_err(|error| io_error(&folder, error))? {
            let entry = entry.map_err(|error| io_error(&folder, error))?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|_| not_unicode(&entry.path()))?;
            let path: Vec<String> = path.iter().cloned().chain([name]).collect();
            let kind = entry
                .file_type()
                .map_err(|error| io_error(&entry.path(), error))?;
            if kind.is_dir() {
                folders.push((entry.path(), path));
            } else {
                found.extend(read_entry(root, &entry.path(), path, meet)?);
            }
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    let (entries, files) = found.into_iter().unzip();
    Ok(Source {
        content: Content::Folder(entries),
        files,
    })
}

/// `None` for what is left out.
fn read_entry(
    root: &Path,
    file: &Path,
    path: Vec<String>,
    meet: &mut dyn FnMut(Oddity<'_>) -> Result<(), BuildError>,
) -> Result<Option<(Entry, PathBuf)>, BuildError> {
    let entry = |length, target| {
        Some((
            Entry {
                path,
                length,
                target,
            },
            file.to_owned(),
        ))
    };
    let is_link = file.is_symlink();
    if is_link && let Some(target) = target_inside(root, file) {
        return Ok(entry(0, Some(target)));
    }
    let metadata = match fs::metadata(file) {
        Err(error) if is_link && leads_nowhere(&error) => {
            meet(Oddity::LeftOut(file))?;
            return Ok(None);
        }
        metadata => metadata.map_err(|error| io_error(file, error))?,
    };
    if !metadata.is_file() {
        meet(Oddity::LeftOut(file))?;
        return Ok(None);
    }
    if is_link {
        meet(Oddity::LinkElsewhere(file))?;
    }
    Ok(entry(metadata.len(), None))
}

/// Whether a link cannot be followed because there is nothing behind it, or it leads in a circle; what is there but must not be read is
/// somebody's slip.
fn leads_nowhere(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::PermissionDenied
}

/// What a link points to, seen from the folder, if it is inside.
fn target_inside(root: &Path, link: &Path) -> Option<Vec<String>> {
    let target = fs::canonicalize(link).ok()?;
    let inside = target.strip_prefix(root).ok()?;
    let components: Option<Vec<String>> = inside
        .iter()
        .map(|component| component.to_str().map(str::to_owned))
        .collect();
    components.filter(|components| !components.is_empty())
}

fn io_error(path: &Path, source: io::Error) -> BuildError {
    BuildError::Io {
        path: path.to_owned(),
        source,
    }
}

fn not_a_file(path: &Path) -> BuildError {
    BuildError::NotAFile {
        path: path.to_owned(),
    }
}

fn not_unicode(path: &Path) -> BuildError {
    BuildError::NotUnicode {
        path: path.to_owned(),
    }
}
