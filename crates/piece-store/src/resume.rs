//! What is kept of a torrent between two runs, as a bencoded file.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use rarest_bencode::{DecodeError, Document, ValueRef, encode_dict};
use rarest_metainfo::{Bitfield, BitfieldError, Block, Metainfo};

use crate::{Operation, Stamp, StoreError};

/// Version of the format that is written. Others are refused, and the torrent is checked again.
const VERSION: u64 = 1;

/// Longest resume file that is read: one of 2 million files and as many pieces has 34 MB.
pub const MAX_RESUME_LENGTH: u64 = 64 * 1024 * 1024;

/// Bytes a file takes in `stamps`: length and time, both big-endian.
const STAMP_LENGTH: usize = 16;

/// What `stamps` has for a file that did not exist. No file has this length.
const NO_FILE: u64 = u64::MAX;

/// Everything that has to be known to go on with a torrent without checking it again.
///
/// Made by [`PieceStore::resume`](crate::PieceStore::resume), used by [`PieceStore::restore`](crate::PieceStore::restore).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    pub(crate) verified: Bitfield,
    /// By file.
    pub(crate) stamps: Vec<Option<Stamp>>,
    /// By file.
    pub(crate) wanted: Vec<bool>,
    /// Blocks of unfinished pieces that are on disk.
    pub(crate) spilled: Vec<Block>,
    pub(crate) totals: Totals,
}

/// Bytes that went over the network for a torrent, in all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of blocks received.
    pub downloaded: u64,
    /// Bytes of blocks sent.
    pub uploaded: u64,
}

/// Why bytes are no resume data of a torrent. The remedy is always to check the torrent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// Longer than [`MAX_RESUME_LENGTH`].
    #[error("the resume data has {length} bytes, more than the limit of {MAX_RESUME_LENGTH}")]
    TooLong {
        /// Its length in bytes.
        length: u64,
    },
    /// Not bencode.
    #[error("the resume data is damaged: {0}")]
    Damaged(#[from] DecodeError),
    /// A key is missing, or its value is of a wrong kind or length.
    #[error("the resume data is damaged: its \"{key}\" is missing or wrong")]
    BadValue {
        /// The key.
        key: &'static str,
    },
    /// The bitfield does not fit the torrent.
    #[error("the resume data is damaged: {0}")]
    BadBitfield(#[from] BitfieldError),
    /// Written in a format of another version.
    #[error("the resume data is of version {version}, this program knows version {VERSION}")]
    OtherVersion {
        /// That version.
        version: u64,
    },
    /// Of another torrent.
    #[error("the resume data is of another torrent")]
    OtherTorrent,
}

/// Why a resume file was not loaded.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file holds something else.
    #[error("{path}: {error}", path = .path.display())]
    Resume {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: ResumeError,
    },
}

/// Writes a file so that after a crash at any moment there is either the whole new one or what was there before.
///
/// # Errors
/// [`StoreError`]; what was there before is still there.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let fail = |error: io::Error| StoreError::new(Operation::Write, path, error);
    let mut file = File::create(&temporary).map_err(fail)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    let written = written.and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What is left of it helps nobody; that it may stay is no second error to report.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_folder(path)).map_err(fail)
}

impl Resume {
    /// The pieces that were verified.
    #[must_use]
    pub fn verified(&self) -> &Bitfield {
        &self.verified
    }

    /// Bytes that went over the network.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The bytes of a resume file for `metainfo`'s torrent.
    ///
    /// # Panics
    /// When this was made for another torrent.
    #[must_use]
    pub fn encode(&self, metainfo: &Metainfo) -> Vec<u8> {
        assert_eq!(
            self.stamps.len(),
            metainfo.info().file_count() as usize,
            "resume data is of one torrent"
        );
        let hashes = metainfo.info_hashes();
        let encoded = encode_dict(|resume| {
            resume.int("rarest resume", VERSION);
            if let Some(v1) = hashes.v1 {
                resume.bytes("info-hash", v1.0.0);
            }
            if let Some(v2) = hashes.v2 {
                resume.bytes("info-hash2", v2.0.0);
            }
            resume.bytes("verified", self.verified.as_bytes());
            resume.bytes("stamps", encode_stamps(&self.stamps));
            resume.bytes("wanted", pack_bits(&self.wanted));
            resume.list("spilled", |spilled| {
                for block in &self.spilled {
                    spilled.int(block.piece().get());
                    spilled.int(block.index_in_piece());
                }
            });
            resume.int("downloaded", self.totals.downloaded);
            resume.int("uploaded", self.totals.uploaded);
        });
        encoded.expect("each key stands once above")
    }

    /// Reads the bytes of a resume file.
    ///
    /// # Errors
    /// [`ResumeError`] when they are damaged, of another version, program or torrent.
    pub fn decode(bytes: &[u8], metainfo: &Metainfo) -> Result<Self, ResumeError> {
        if bytes.len() as u64 > MAX_RESUME_LENGTH {
            let length = bytes.len() as u64;
            return Err(ResumeError::TooLong { length });
        }
        let document = Document::parse(bytes)?;
        let root = document.root();
        let version = int(root, "rarest resume")?;
        if version != VERSION {
            return Err(ResumeError::OtherVersion { version });
        }
        let hashes = metainfo.info_hashes();
        let has = |key, expected: Option<&[u8]>| {
            root.get(key)
                .map(|hash| hash.as_bytes().unwrap_or_default())
                == expected
        };
        if !has("info-hash", hashes.v1.as_ref().map(|v1| v1.0.as_ref()))
            || !has("info-hash2", hashes.v2.as_ref().map(|v2| v2.0.as_ref()))
        {
            return Err(ResumeError::OtherTorrent);
        }
        let files = metainfo.info().file_count() as usize;
        Ok(Self {
            verified: Bitfield::from_bytes(
                bytes_of(root, "verified")?,
                metainfo.info().geometry(),
            )?,
            stamps: decode_stamps(bytes_of(root, "stamps")?, files)
                .ok_or(ResumeError::BadValue { key: "stamps" })?,
            wanted: unpack_bits(bytes_of(root, "wanted")?, files)
                .ok_or(ResumeError::BadValue { key: "wanted" })?,
            spilled: decode_spilled(root, metainfo)
                .ok_or(ResumeError::BadValue { key: "spilled" })?,
            totals: Totals {
                downloaded: int(root, "downloaded")?,
                uploaded: int(root, "uploaded")?,
            },
        })
    }

    /// Writes a resume file: all of it or, whenever the process or the system dies, what was there before.
    ///
    /// It is made beside `path`, with `.tmp` behind its name: no two calls may save to one path at a time.
    ///
    /// # Errors
    /// [`StoreError`]; what was there before is untouched.
    pub fn save(&self, path: &Path, metainfo: &Metainfo) -> Result<(), StoreError> {
        replace_file(path, &self.encode(metainfo))
    }

    /// Reads a resume file; `None` when there is none.
    ///
    /// # Errors
    /// [`LoadError`]; the torrent has to be checked again.
    pub fn load(path: &Path, metainfo: &Metainfo) -> Result<Option<Self>, LoadError> {
        let fail = |error: io::Error| StoreError::new(Operation::Read, path, error);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(fail)?,
        };
        let mut bytes = Vec::new();
        // One byte more than allowed tells that there are too many.
        file.take(MAX_RESUME_LENGTH + 1)
            .read_to_end(&mut bytes)
            .map_err(fail)?;
        match Self::decode(&bytes, metainfo) {
            Ok(resume) => Ok(Some(resume)),
            Err(error) => {
                let path = path.to_path_buf();
                Err(LoadError::Resume { path, error })
            }
        }
    }
}

/// Makes a rename survive a power failure.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Other systems cannot open a folder, and order renames by themselves.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn int(root: ValueRef<'_, '_>, key: &'static str) -> Result<u64, ResumeError> {
    let value = root.get(key).and_then(ValueRef::as_u64);
    value.ok_or(ResumeError::BadValue { key })
}

fn bytes_of<'input>(
    root: ValueRef<'_, 'input>,
    key: &'static str,
) -> Result<&'input [u8], ResumeError> {
    let value = root.get(key).and_then(ValueRef::as_bytes);
    value.ok_or(ResumeError::BadValue { key })
}

fn encode_stamps(stamps: &[Option<Stamp>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(stamps.len() * STAMP_LENGTH);
    for stamp in stamps {
        let length = stamp.map_or(NO_FILE, |stamp| stamp.length);
        let modified_ns = stamp.map_or(0, |stamp| stamp.modified_ns);
        bytes.extend(length.to_be_bytes());
        bytes.extend(modified_ns.to_be_bytes());
    }
    bytes
}

fn decode_stamps(bytes: &[u8], files: usize) -> Option<Vec<Option<Stamp>>> {
    let (entries, rest) = bytes.as_chunks::<STAMP_LENGTH>();
    if entries.len() != files || !rest.is_empty() {
        return None;
    }
    let stamps = entries.iter().map(|entry| {
        let (length, modified_ns) = entry.split_first_chunk()?;
        let stamp = Stamp {
            length: u64::from_be_bytes(*length),
            modified_ns: i64::from_be_bytes(*modified_ns.first_chunk()?),
        };
        (stamp.length != NO_FILE).then_some(stamp)
    });
    Some(stamps.collect())
}

fn decode_spilled(root: ValueRef<'_, '_>, metainfo: &Metainfo) -> Option<Vec<Block>> {
    let geometry = metainfo.info().geometry();
    let mut numbers = root.get("spilled")?.as_list()?.iter();
    let mut blocks = Vec::new();
    let number = |value: ValueRef<'_, '_>| u32::try_from(value.as_u64()?).ok();
    while let Some(piece) = numbers.next() {
        let piece = geometry.piece(number(piece)?)?;
        let index = number(numbers.next()?)?;
        blocks.push(geometry.block_at(piece, index)?);
    }
    Some(blocks)
}

fn pack_bits(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8)
        .map(|eight| {
            (0..)
                .zip(eight)
                .fold(0, |byte, (at, &bit)| byte | u8::from(bit) << (7 - at))
        })
        .collect()
}

fn unpack_bits(bytes: &[u8], count: usize) -> Option<Vec<bool>> {
    if bytes.len() != count.div_ceil(8) {
        return None;
    }
    let bits = (0..count).map(|index| bytes[index / 8] & (0x80 >> (index % 8)) != 0);
    Some(bits.collect())
}
