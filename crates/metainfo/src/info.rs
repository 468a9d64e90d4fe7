//! The info dictionary: what a torrent's hash stands for, read once into compact indexes over its raw bytes.

mod files_v1;
mod hybrid;
mod tree_v2;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rarest_bencode::{Departure, Dict, ValueRef};
use rarest_hash::{Sha1Digest, sha1, sha256};

use crate::files::{File, FileIndex, FileSpan, FileTable, Folder};
use crate::path::{is_navigation, safe_component};
use crate::{
    BLOCK_LENGTH, Geometry, InfoHashV1, InfoHashV2, InfoHashes, MetainfoError, PieceIndex, Remark,
};

/// Which formats a torrent has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// SHA-1 of pieces (BEP 3).
    V1,
    /// Merkle trees of files (BEP 52).
    V2,
    /// Both, for clients of either kind.
    Hybrid,
}

/// The info dictionary of a torrent: names, files, pieces.
///
/// Keeps the raw bytes, which are what is hashed and what peers ask for; hashes are read out of them, not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    raw: Bytes,
    hashes: InfoHashes,
    name: Box<str>,
    raw_name: Range<usize>,
    version: Version,
    is_private: bool,
    geometry: Arc<Geometry>,
    files: FileTable,
    /// The SHA-1 digests in `raw`; empty in v2 torrents.
    pieces: Range<usize>,
}

/// What the files of one or the other version come to.
struct Layout {
    geometry: Geometry,
    files: FileTable,
    pieces: Range<usize>,
}

impl Info {
    /// Reads `value`, which stands in `source`; odd things go to `remarks`.
    pub(crate) fn read(
        source: &Bytes,
        value: ValueRef<'_, '_>,
        remarks: &mut Vec<Remark>,
    ) -> Result<Self, MetainfoError> {
        let dict = value.as_dict().ok_or(MetainfoError::Invalid {
            key: "info",
            expected: "a dictionary",
        })?;
        let duplicate = value
            .remarks()
            .iter()
            .find(|remark| remark.departure == Departure::DuplicateKey);
        if let Some(remark) = duplicate {
            return Err(MetainfoError::DuplicateKey {
                offset: remark.offset as usize,
            });
        }
        let start = value.range().start;
        let raw = source.slice(value.range());
        let version = version(dict, remarks)?;
        if let (Version::V2 | Version::Hybrid, Some(remark)) = (version, value.remarks().first()) {
            return Err(MetainfoError::NotCanonical(*remark));
        }
        let hashes = InfoHashes {
            v1: (version != Version::V2).then(|| InfoHashV1(sha1(&raw))),
            v2: (version != Version::V1).then(|| InfoHashV2(sha256(&raw))),
        };
        let raw_name = raw_name(dict)?;
        let name = safe_name(&raw_name, hashes, remarks);
        let folder = Folder {
            safe: name.clone(),
            raw: raw_name.as_bytes().unwrap_or_default().into(),
        };
        let reader = Reader {
            dict,
            start,
            piece_length: piece_length(dict, version)?,
            folder,
        };
        let layout = match version {
            Version::V1 => reader.read_v1(remarks)?,
            Version::V2 => reader.read_v2()?,
            Version::Hybrid => reader.read_hybrid(remarks)?,
        };
        if layout.files.changed_count() > 0 {
            remarks.push(Remark::ChangedPaths {
                count: layout.files.changed_count(),
            });
        }
        let raw_name = raw_name.content_range().expect("the name is a byte string");
        Ok(Self {
            hashes,
            name,
            raw_name: raw_name.start - start..raw_name.end - start,
            version,
            is_private: is_private(dict, remarks),
            geometry: Arc::new(layout.geometry),
            files: layout.files,
            pieces: layout.pieces,
            raw,
        })
    }

    /// The bytes of the dictionary exactly as they stand in the torrent, which is what is hashed and what peers exchange (BEP 9).
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The hashes of the raw bytes: the torrent's identity.
    #[must_use]
    pub fn info_hashes(&self) -> InfoHashes {
        self.hashes
    }

    /// The name of the torrent, made safe to be the name of a file or folder; the info-hash in hex, if nothing else is left.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name exactly as it stands in the torrent.
    #[must_use]
    pub fn raw_name(&self) -> &[u8] {
        &self.raw[self.raw_name.clone()]
    }

    /// Whether peers may only be learnt from the torrent's trackers.
    ///
    /// Source: [BEP 27](https://www.bittorrent.org/beps/bep_0027.html).
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.is_private
    }

    /// The formats that the torrent has.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The pieces. Those of v1 and hybrid torrents run through all files, padding included; in v2 torrents each file begins a piece.
    #[must_use]
    pub fn geometry(&self) -> &Arc<Geometry> {
        &self.geometry
    }

    /// Number of files, padding included.
    #[must_use]
    pub fn file_count(&self) -> u32 {
        self.files.len()
    }

    /// All files in the order of the torrent, padding included.
    pub fn files(&self) -> impl DoubleEndedIterator<Item = File<'_>> + ExactSizeIterator {
        (0..self.file_count()).map(|index| self.file(FileIndex::new(index)))
    }

    /// The file at that place, if there are so many.
    #[must_use]
    pub fn file_at(&self, index: u32) -> Option<File<'_>> {
        (index < self.file_count()).then(|| self.file(FileIndex::new(index)))
    }

    /// A file.
    ///
    /// Its methods panic if the index is of another torrent, with more files.
    #[must_use]
    pub fn file(&self, index: FileIndex) -> File<'_> {
        File {
            files: &self.files,
            raw_info: &self.raw,
            index,
        }
    }

    /// The sum of the lengths of all files that are no padding, in bytes.
    #[must_use]
    pub fn total_length(&self) -> u64 {
        self.files()
            .filter(|file| !file.is_padding())
            .map(File::length)
            .sum()
    }

    /// The bytes of files that lie in `range` of the piece space, in order.
    ///
    /// Together the spans cover the range, as far as it lies in pieces; nothing lies between the files of a v2 torrent.
    pub fn spans(&self, range: Range<u64>) -> impl Iterator<Item = FileSpan> + '_ {
        self.files.spans(range)
    }

    /// The pieces that hold bytes of a file; none for an empty one.
    ///
    /// # Panics
    /// When the file is of another torrent, with more files.
    pub fn pieces_of(
        &self,
        file: FileIndex,
    ) -> impl DoubleEndedIterator<Item = PieceIndex> + ExactSizeIterator + use<> {
        let Range { start, end } = self.file(file).range();
        let piece_length = u64::from(self.geometry.nominal_piece_length());
        let pieces = if start == end {
            0..0
        } else {
            start / piece_length..end.div_ceil(piece_length)
        };
        let narrow =
            |index| u32::try_from(index).expect("a geometry has at most MAX_PIECES pieces");
        (narrow(pieces.start)..narrow(pieces.end)).map(PieceIndex::new)
    }

    /// Bytes that the indexes take beside the raw dictionary: what a torrent costs on top of its file.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.files.memory_used() + self.geometry.memory_used()
    }

    /// The file whose merkle tree covers a piece, in v2 and hybrid torrents.
    pub(crate) fn file_of_piece(&self, piece: PieceIndex) -> Option<File<'_>> {
        Some(self.file(self.files.at(self.geometry.piece_offset(piece))?))
    }

    /// The SHA-1 of a piece.
    pub(crate) fn v1_hash(&self, piece: PieceIndex) -> Option<Sha1Digest> {
        let digest = self.raw[self.pieces.clone()]
            .get(piece.as_usize() * Sha1Digest::LENGTH..)?
            .first_chunk()?;
        Some(Sha1Digest(*digest))
    }
}

/// The parts of the dictionary that all readers of files need.
struct Reader<'doc, 'input> {
    dict: Dict<'doc, 'input>,
    /// Where the dictionary begins in the document.
    start: usize,
    piece_length: u32,
    folder: Folder,
}

impl Reader<'_, '_> {
    /// Where a byte string of the dictionary stands in the raw info.
    fn content_range(&self, value: ValueRef<'_, '_>) -> Option<Range<usize>> {
        let range = value.content_range()?;
        Some(range.start - self.start..range.end - self.start)
    }
}

/// `meta version` comes first: what the rest means depends on it (BEP 52).
fn version(dict: Dict<'_, '_>, remarks: &mut Vec<Remark>) -> Result<Version, MetainfoError> {
    let has_pieces = dict.get("pieces").is_some();
    let Some(value) = dict.get("meta version") else {
        if dict.get("file tree").is_some() && has_pieces {
            remarks.push(Remark::FileTreeWithoutVersion);
        }
        return Ok(Version::V1);
    };
    match value.as_i64() {
        Some(1) => Ok(Version::V1),
        Some(2) if has_pieces => Ok(Version::Hybrid),
        Some(2) => Ok(Version::V2),
        Some(version) => Err(MetainfoError::UnknownMetaVersion { version }),
        None => Err(MetainfoError::Invalid {
            key: "meta version",
            expected: "an integer",
        }),
    }
}

fn piece_length(dict: Dict<'_, '_>, version: Version) -> Result<u32, MetainfoError> {
    let value = dict.get("piece length").ok_or(MetainfoError::Missing {
        key: "piece length",
    })?;
    let length = value
        .as_u64()
        .filter(|&length| length > 0)
        .ok_or(MetainfoError::Invalid {
            key: "piece length",
            expected: "a positive integer",
        })?;
    let length = u32::try_from(length).map_err(|_| MetainfoError::PieceTooLong { length })?;
    let is_v2 = version != Version::V1;
    if is_v2 && (!length.is_power_of_two() || length < BLOCK_LENGTH) {
        return Err(MetainfoError::V2PieceLength { length });
    }
    Ok(length)
}

/// `name.utf-8` if some client wrote one beside a `name` in another encoding, else `name`.
fn raw_name<'doc, 'input>(
    dict: Dict<'doc, 'input>,
) -> Result<ValueRef<'doc, 'input>, MetainfoError> {
    if let Some(name) = dict
        .get("name.utf-8")
        .filter(|name| name.as_str().is_some_and(|name| !name.is_empty()))
    {
        return Ok(name);
    }
    let name = dict
        .get("name")
        .ok_or(MetainfoError::Missing { key: "name" })?;
    match name.as_bytes() {
        Some(_) => Ok(name),
        None => Err(MetainfoError::Invalid {
            key: "name",
            expected: "a string",
        }),
    }
}

fn safe_name(raw: &ValueRef<'_, '_>, hashes: InfoHashes, remarks: &mut Vec<Remark>) -> Box<str> {
    let raw = raw.as_bytes().unwrap_or_default();
    let name = safe_component(raw);
    let says_nothing = is_navigation(raw) || name == safe_component(b"") && raw != name.as_bytes();
    if !says_nothing {
        return name.into();
    }
    remarks.push(Remark::NoName);
    match (hashes.v1, hashes.v2) {
        (Some(v1), _) => v1.to_string().into(),
        (None, Some(v2)) => v2.to_string().into(),
        (None, None) => name.into(),
    }
}

fn is_private(dict: Dict<'_, '_>, remarks: &mut Vec<Remark>) -> bool {
    let Some(value) = dict.get("private") else {
        return false;
    };
    let number = value.as_i64();
    if !matches!(number, Some(0 | 1)) {
        remarks.push(Remark::OddPrivate);
    }
    number.is_some_and(|number| number != 0)
}
