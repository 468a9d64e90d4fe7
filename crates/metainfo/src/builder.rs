//! Making torrents: v1, v2 and hybrid, from memory or (feature `create`) from files.

mod encode;
#[cfg(feature = "create")]
mod files;
mod hash;
mod plan;

#[cfg(feature = "create")]
pub use files::{Oddity, Progress};

use rarest_hash::{Sha1Digest, Sha256Digest};

use crate::url_list::UrlList;
use crate::{DEFAULT_MAX_TORRENT_LENGTH, Metainfo, MetainfoError, Version};
use plan::{Content, Plan};

/// Longest piece that is chosen without being asked for: 16 MiB. Longer ones are slow to share on, and some clients refuse them.
pub const MAX_DEFAULT_PIECE_LENGTH: u32 = 16 * 1024 * 1024;

/// Longest piece that a torrent is made with: 256 MiB. Each thread that hashes holds a whole one, and libtorrent reads no torrent
/// with pieces of 512 MiB.
pub const MAX_BUILD_PIECE_LENGTH: u32 = 256 * 1024 * 1024;

/// Most pieces a torrent gets while pieces are not yet the longest: some 40 KiB of hashes.
const TARGET_PIECE_COUNT: u64 = 2048;

/// Folders inside each other that a torrent can have: readers stop at about 100 nested values, and each folder of a v2 tree is one.
const MAX_FOLDER_DEPTH: usize = 90;

/// Says what torrent is to be made.
///
/// ```
/// use rarest_metainfo::{Builder, Version};
///
/// let torrent = Builder::new(Version::Hybrid)
///     .tracker("udp://tracker.example:6969")
///     .comment("two files")
///     .build_from_files("folder", [("a.txt", &b"hello"[..]), ("b/c.txt", &b"world"[..])])?;
/// assert_eq!(torrent.info().files().filter(|file| !file.is_padding()).count(), 2);
/// # Ok::<(), rarest_metainfo::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    version: Version,
    piece_length: Option<u32>,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    is_private: bool,
    source: Option<String>,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<i64>,
}

/// Why no torrent was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is nothing to share.
    #[error("there are no bytes to share")]
    Empty,
    /// The format does not allow this piece length, or it is above [`MAX_BUILD_PIECE_LENGTH`].
    #[error(
        "{length} bytes is no piece length: v1 needs at least 1, v2 and hybrid a power of two of at least 16 KiB, and none more than 256 MiB"
    )]
    PieceLength {
        /// The piece length that was asked for, in bytes.
        length: u32,
    },
    /// A path is empty, absolute or leads out of its folder.
    #[error("{path:?} is no path inside of a folder")]
    Path {
        /// The path.
        path: String,
    },
    /// The same path twice, or a file where a folder must be.
    #[error("{path:?} is there twice, or is both a file and a folder")]
    DuplicatePath {
        /// The path.
        path: String,
    },
    /// More folders inside each other than a reader of the torrent would accept.
    #[error("{path:?} lies more than {MAX_FOLDER_DEPTH} folders deep")]
    TooDeep {
        /// The path.
        path: String,
    },
    /// It would be a longer torrent than [`Metainfo::parse`] reads; longer pieces are fewer.
    #[error(
        "the torrent would have {length} bytes, and no more than {DEFAULT_MAX_TORRENT_LENGTH} are read; longer pieces make it shorter"
    )]
    TooLong {
        /// Its length in bytes, or that of its hashes alone where these are too many already.
        length: u64,
    },
    /// Readers of the torrent would drop the URL, or find no host in it.
    #[error("{url:?} is no URL that readers of the torrent can use")]
    Url {
        /// The URL.
        url: String,
    },
    /// Not every system can hold a name, or tell it from another of the torrent, so that readers keep the file under a changed one:
    /// who shares it could not serve it.
    #[cfg(feature = "create")]
    #[error(
        "{path:?} cannot be shared under its name: everyone would keep it as {kept_as:?}; rename it"
    )]
    Name {
        /// The path in the folder.
        path: String,
        /// The path under which it would be kept.
        kept_as: String,
    },
    /// The torrent would leave the limits of those who read it.
    #[error("the torrent would be refused: {0}")]
    Unreadable(MetainfoError),
    /// A file or folder could not be read.
    #[cfg(feature = "create")]
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A name is no Unicode, so that other systems could not write it.
    #[cfg(feature = "create")]
    #[error("the name of {} is not Unicode", path.display())]
    NotUnicode {
        /// The file or folder.
        path: std::path::PathBuf,
    },
    /// Neither file nor folder, or a link to a folder elsewhere.
    #[cfg(feature = "create")]
    #[error("{} is neither a file nor a folder nor a link to something beside it", path.display())]
    NotAFile {
        /// What it is.
        path: std::path::PathBuf,
    },
    /// The caller's progress function asked to stop.
    #[error("making the torrent was cancelled")]
    Cancelled,
}

// Its message is in ours, so that it is no `source` besides: chains would say it twice.
impl From<MetainfoError> for BuildError {
    fn from(error: MetainfoError) -> Self {
        Self::Unreadable(error)
    }
}

/// What was computed of one piece.
#[derive(Clone, Copy, Debug, Default)]
struct PieceDigests {
    v1: Sha1Digest,
    v2: Sha256Digest,
}

impl Builder {
    /// A torrent of that format, with nothing but its files in it.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self {
            version,
            piece_length: None,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            is_private: false,
            source: None,
            comment: None,
            created_by: None,
            creation_date: None,
        }
    }

    /// Sets the length of pieces in bytes. Without, one is chosen by the size: a power of two up to [`MAX_DEFAULT_PIECE_LENGTH`].
    ///
    /// In v1 torrents it may be any number, in v2 and hybrid ones a power of two of at least 16 KiB; none may be above
    /// [`MAX_BUILD_PIECE_LENGTH`].
    #[must_use]
    pub fn piece_length(mut self, bytes: u32) -> Self {
        self.piece_length = Some(bytes);
        self
    }

    /// Adds a tracker as a tier of its own: it is for when those before it fail.
    #[must_use]
    pub fn tracker(self, url: impl Into<String>) -> Self {
        self.tier([url])
    }

    /// Adds trackers that are as good as each other (BEP 12); nothing if there are none.
    #[must_use]
    pub fn tier<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        let tier: Vec<String> = urls.into_iter().map(Into::into).collect();
        if !tier.is_empty() {
            self.trackers.push(tier);
        }
        self
    }

    /// Adds a web seed (BEP 19).
    #[must_use]
    pub fn web_seed(mut self, url: impl Into<String>) -> Self {
        self.web_seeds.push(url.into());
        self
    }

    /// Lets peers be learnt from the trackers only (BEP 27).
    #[must_use]
    pub fn private(mut self) -> Self {
        self.is_private = true;
        self
    }

    /// Names the tracker that the torrent is for, inside the info dictionary: the same files get another info-hash there.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says something about the torrent.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Names the program that makes the torrent.
    #[must_use]
    pub fn created_by(mut self, program: impl Into<String>) -> Self {
        self.created_by = Some(program.into());
        self
    }

    /// Says when the torrent was made, in seconds since 1970.
    #[must_use]
    pub fn creation_date(mut self, seconds: i64) -> Self {
        self.creation_date = Some(seconds);
        self
    }

    /// Makes a torrent of one file that is in memory.
    ///
    /// # Errors
    /// [`BuildError`] when there are no bytes, or the name or the piece length cannot be used.
    pub fn build_from_bytes(&self, name: &str, data: &[u8]) -> Result<Metainfo, BuildError> {
        let length = data.len() as u64;
        let plan = self.plan(name, Content::File { length })?;
        self.build_in_memory(&plan, &[data])
    }

    /// Makes a torrent of a folder of files that are in memory: their paths inside of the folder, with `/`, and their bytes.
    ///
    /// The order does not matter; the torrent has the files sorted.
    ///
    /// # Errors
    /// [`BuildError`] when there are no bytes, or a path or the piece length cannot be used.
    pub fn build_from_files<'data>(
        &self,
        name: &str,
        files: impl IntoIterator<Item = (&'data str, &'data [u8])>,
    ) -> Result<Metainfo, BuildError> {
        let mut files: Vec<_> = files
            .into_iter()
            .map(|(path, data)| (plan::components(path), data))
            .collect();
        files.sort();
        let (paths, data): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        let entries = paths
            .into_iter()
            .zip(&data)
            .map(|(path, data)| plan::Entry {
                path,
                length: data.len() as u64,
                target: None,
            });
        let plan = self.plan(name, Content::Folder(entries.collect()))?;
        self.build_in_memory(&plan, &data)
    }

    fn build_in_memory(&self, plan: &Plan, files: &[&[u8]]) -> Result<Metainfo, BuildError> {
        let (mut digests, mut pieces) = (Vec::new(), Vec::new());
        for batch in plan.batches(hash::side_by_side(self.version)) {
            plan.read_batch(batch, &mut pieces, |file, offset, buffer| {
                let start = usize::try_from(offset).expect("an offset in memory");
                buffer.copy_from_slice(&files[file][start..start + buffer.len()]);
                Ok::<_, BuildError>(())
            })?;
            digests.extend(hash::hash_pieces(&pieces, self.version));
        }
        self.finish(plan, &digests)
    }

    fn plan(&self, name: &str, content: Content) -> Result<Plan, BuildError> {
        let total = content.total_length();
        if total == 0 {
            return Err(BuildError::Empty);
        }
        let length = self
            .piece_length
            .unwrap_or_else(|| default_piece_length(total));
        let is_allowed = match self.version {
            Version::V1 => length > 0,
            Version::V2 | Version::Hybrid => {
                length.is_power_of_two() && length >= crate::BLOCK_LENGTH
            }
        };
        if !is_allowed || length > MAX_BUILD_PIECE_LENGTH {
            return Err(BuildError::PieceLength { length });
        }
        self.check_urls()?;
        let plan = Plan::new(self.version, name, content, length)?;
        // Of v1 it is known before hours are spent on hashing; in v2 files with the same content share their hashes.
        if self.version != Version::V2 {
            let pieces = u64::from(plan.geometry.piece_count());
            check_length(pieces * Sha1Digest::LENGTH as u64)?;
        }
        Ok(plan)
    }

    /// What a reader would drop is not written.
    fn check_urls(&self) -> Result<(), BuildError> {
        let trackers = self.trackers.iter().flatten();
        check_urls(UrlList::of_trackers(), trackers)?;
        check_urls(UrlList::of_web_seeds(), &self.web_seeds)
    }

    /// The torrent as its own reader sees it: what could not be read back is not handed out.
    fn finish(&self, plan: &Plan, digests: &[PieceDigests]) -> Result<Metainfo, BuildError> {
        let bytes = encode::encode(self, plan, digests);
        check_length(bytes.len() as u64)?;
        Ok(Metainfo::parse(bytes)?)
    }
}

fn check_length(length: u64) -> Result<(), BuildError> {
    match length > DEFAULT_MAX_TORRENT_LENGTH as u64 {
        true => Err(BuildError::TooLong { length }),
        false => Ok(()),
    }
}

fn check_urls<'url>(
    mut kept: UrlList,
    urls: impl IntoIterator<Item = &'url String>,
) -> Result<(), BuildError> {
    for url in urls {
        kept.accept(url.as_bytes());
        let has_host = url
            .split_once("://")
            .is_some_and(|(_, rest)| !rest.starts_with(['/', '?', '#', ':']));
        if kept.dropped() > 0 || !has_host {
            return Err(BuildError::Url { url: url.clone() });
        }
    }
    Ok(())
}

/// The shortest power of two of at least 16 KiB with which so many bytes have no more than some 2,000 pieces.
fn default_piece_length(total_length: u64) -> u32 {
    let ideal = total_length
        .div_ceil(TARGET_PIECE_COUNT)
        .checked_next_power_of_two()
        .unwrap_or(u64::MAX);
    let capped = u32::try_from(ideal)
        .unwrap_or(u32::MAX)
        .min(MAX_DEFAULT_PIECE_LENGTH);
    capped.max(crate::BLOCK_LENGTH)
}
