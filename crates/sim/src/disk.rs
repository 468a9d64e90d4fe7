//! What the nodes store, and disks that are slow, full or wrong.

use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use rarest_metainfo::{Block, Builder, FileIndex, Metainfo, Sha256Digest, Version};
use rarest_peer_wire::HashRange;
use rarest_piece_store::{
    BlockDigests, CompleteError, MemoryStorage, Part, PieceStore, Stamp, Storage, StoreError,
    WholePiece,
};
use rarest_swarm::{BlockData, BlockDigest, CompletePiece, Digests, PieceResult, SpillResult};

/// A torrent and its bytes.
#[derive(Clone, Debug)]
pub struct Content {
    pub(crate) metainfo: Arc<Metainfo>,
    bytes: Bytes,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Random,
    Zeros,
}

impl Content {
    /// Random bytes, the same for the same seed.
    ///
    /// # Panics
    /// When there are no bytes, or no torrent has such pieces.
    #[must_use]
    pub fn random(seed: u64, length: usize, piece_length: u32) -> Self {
        let mut bytes = vec![0; length];
        Xoshiro256PlusPlus::seed_from_u64(seed).fill_bytes(&mut bytes);
        Self::new(Version::V1, bytes, piece_length, Kind::Random)
    }

    /// The same, as a torrent of v2 alone (BEP 52).
    ///
    /// # Panics
    /// When there are no bytes, or no torrent has such pieces.
    #[must_use]
    pub fn random_v2(seed: u64, length: usize, piece_length: u32) -> Self {
        let mut bytes = vec![0; length];
        Xoshiro256PlusPlus::seed_from_u64(seed).fill_bytes(&mut bytes);
        Self::new(Version::V2, bytes, piece_length, Kind::Random)
    }

    /// Zeros, which nodes need not store: for long runs over fast lines.
    ///
    /// # Panics
    /// When there are no bytes, or no torrent has such pieces.
    #[must_use]
    pub fn zeros(length: usize, piece_length: u32) -> Self {
        Self::new(Version::V1, vec![0; length], piece_length, Kind::Zeros)
    }

    fn new(version: Version, bytes: Vec<u8>, piece_length: u32, kind: Kind) -> Self {
        let metainfo = Builder::new(version)
            .piece_length(piece_length)
            .build_from_bytes("simulated", &bytes)
            .expect("the caller chose a length and a piece length that fit");
        Self {
            metainfo: Arc::new(metainfo),
            bytes: bytes.into(),
            kind,
        }
    }

    /// The torrent as a node knows it that lacks the piece layers.
    pub(crate) fn without_layers(&self) -> Self {
        let raw = self.metainfo.info().raw().clone();
        let bare = Metainfo::from_info(raw, &self.metainfo.magnet());
        Self {
            metainfo: Arc::new(bare.expect("it is the same torrent")),
            ..self.clone()
        }
    }
}

/// How a disk behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskModel {
    /// Time that an operation takes.
    pub latency: Duration,
    /// Bytes that fit; further writes fail until there is [more room](crate::World::set_disk_room).
    pub room: u64,
    /// What is read back.
    pub reads: Reads,
}

/// What a disk gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// What was written.
    Right,
    /// Something else.
    Wrong,
}

impl DiskModel {
    /// A disk that takes a millisecond and never fails.
    pub const SOUND: Self = Self {
        latency: Duration::from_millis(1),
        room: u64::MAX,
        reads: Reads::Right,
    };

    /// A disk that gives back other bytes than were written.
    pub const ROTTEN: Self = Self {
        reads: Reads::Wrong,
        ..Self::SOUND
    };

    /// A disk on which only so many bytes fit.
    #[must_use]
    pub fn with_room(bytes: u64) -> Self {
        Self {
            room: bytes,
            ..Self::SOUND
        }
    }
}

/// The disk of one node: a real store over simulated storage.
#[derive(Debug)]
pub(crate) struct Disk {
    store: PieceStore<SimStorage>,
    latency: Duration,
    /// When the operation before is done.
    free_at: Instant,
}

impl Disk {
    pub(crate) fn new(content: &Content, model: DiskModel, now: Instant) -> Self {
        let bytes = match content.kind {
            Kind::Random => Backing::Memory(MemoryStorage::new(model.room)),
            Kind::Zeros => Backing::Zeros {
                length: content.bytes.len() as u64,
            },
        };
        let storage = SimStorage {
            bytes,
            is_wrong: AtomicBool::new(model.reads == Reads::Wrong),
        };
        Self {
            store: PieceStore::new(storage, Arc::clone(&content.metainfo)),
            latency: model.latency,
            free_at: now,
        }
    }

    /// Puts all of the content there, as a seed has it.
    pub(crate) fn fill(&self, content: &Content) {
        if content.kind == Kind::Zeros {
            let unknown = self.store.assume_complete();
            assert!(
                unknown.is_ok_and(|pieces| pieces.is_empty()),
                "zeros are always there"
            );
            return;
        }
        let geometry = Arc::clone(content.metainfo.info().geometry());
        for piece in geometry.pieces() {
            let start = usize::try_from(geometry.piece_offset(piece)).expect("it is in memory");
            let end = start + geometry.piece_length(piece) as usize;
            let whole = WholePiece {
                piece,
                parts: vec![Part::Memory(content.bytes.slice(start..end))],
                block_digests: BlockDigests::OfCorrupt,
            };
            let results = self.store.complete(&[whole]);
            assert!(results[0].is_ok(), "the content fits its own torrent");
        }
    }

    pub(crate) fn set_room(&self, bytes: u64) {
        if let Backing::Memory(memory) = &self.store.storage().bytes {
            memory.set_limit(bytes);
        }
    }

    pub(crate) fn store(&self) -> &PieceStore<impl Storage> {
        &self.store
    }

    /// When an operation that begins now is done.
    pub(crate) fn done_at(&mut self, now: Instant) -> Instant {
        self.free_at = self.free_at.max(now) + self.latency;
        self.free_at
    }

    pub(crate) fn complete(&self, piece: CompletePiece) -> PieceResult {
        let whole = WholePiece {
            piece: piece.piece,
            parts: piece
                .parts
                .into_iter()
                .map(|part| match part {
                    BlockData::Memory(bytes) => Part::Memory(bytes),
                    BlockData::Spilled { length } => Part::Spilled { length },
                    BlockData::Padding { length } => Part::Padding { length },
                })
                .collect(),
            block_digests: match piece.digests {
                Digests::Unneeded => BlockDigests::OfCorrupt,
                Digests::Wanted => BlockDigests::Always,
            },
        };
        match self.store.complete(&[whole]).remove(0) {
            Ok(verified) => PieceResult::Verified {
                block_digests: verified
                    .block_digests
                    .into_iter()
                    .flatten()
                    .map(|digest| BlockDigest(digest.0))
                    .collect(),
            },
            Err(CompleteError::Corrupt { block_digests }) => PieceResult::Corrupt {
                block_digests: block_digests
                    .into_iter()
                    .map(|digest| BlockDigest(digest.0))
                    .collect(),
            },
            Err(CompleteError::SpillLost(_)) => PieceResult::SpillLost,
            Err(_) => PieceResult::StoreFailed,
        }
    }

    pub(crate) fn spill(&self, blocks: &[(Block, Bytes)]) -> SpillResult {
        match self.store.spill(blocks) {
            Ok(()) => SpillResult::Written,
            Err(_) => SpillResult::StoreFailed,
        }
    }

    /// Hashes for a peer, or nothing when there are none.
    pub(crate) fn hashes(&self, range: &HashRange) -> Option<Bytes> {
        let root = Sha256Digest(range.pieces_root);
        let hashes = self.store.hashes(&root, &range.request()).ok()?;
        Some(hashes.iter().flat_map(|hash| hash.0).collect())
    }

    /// The bytes of verified blocks, or nothing when they cannot be read.
    pub(crate) fn read(&self, blocks: &[Block]) -> Vec<Bytes> {
        let mut bytes = Vec::new();
        match self.store.read(blocks, &mut bytes) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }
}

#[derive(Debug)]
struct SimStorage {
    bytes: Backing,
    is_wrong: AtomicBool,
}

#[derive(Debug)]
enum Backing {
    Memory(MemoryStorage),
    Zeros { length: u64 },
}

impl Storage for SimStorage {
    fn read_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<(), StoreError> {
        match &self.bytes {
            Backing::Memory(memory) => memory.read_at(file, offset, buffers)?,
            Backing::Zeros { .. } => buffers.iter_mut().for_each(|buffer| buffer.fill(0)),
        }
        if self.is_wrong.load(Ordering::Relaxed)
            && let Some(byte) = buffers.first_mut().and_then(|buffer| buffer.first_mut())
        {
            *byte ^= 1;
        }
        Ok(())
    }

    fn write_at(
        &self,
        file: FileIndex,
        offset: u64,
        buffers: &mut [IoSlice<'_>],
    ) -> Result<(), StoreError> {
        match &self.bytes {
            Backing::Memory(memory) => memory.write_at(file, offset, buffers),
            Backing::Zeros { .. } => Ok(()),
        }
    }

    fn stamp(&self, _file: FileIndex) -> Result<Option<Stamp>, StoreError> {
        match self.bytes {
            Backing::Memory(_) => Ok(None),
            Backing::Zeros { length } => Ok(Some(Stamp {
                length,
                modified_ns: 0,
            })),
        }
    }
}
