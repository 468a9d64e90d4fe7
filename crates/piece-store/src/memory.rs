//! A torrent that is kept in memory: for streaming, tests and simulations.

use std::{
    collections::BTreeMap,
    io::{IoSlice, IoSliceMut},
    ops::Range,
    path::PathBuf,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rarest_metainfo::FileIndex;

use crate::{Fault, Operation, Presence, Storage, StoreError, TryRead};

/// Memory is taken in chunks of this size when the first byte of one is written.
const CHUNK_LENGTH: usize = 256 * 1024;

/// Keeps the bytes in memory, and no more of them than a limit. What was never written reads as zeros.
#[derive(Debug)]
pub struct MemoryStorage {
    chunks: RwLock<Chunks>,
    limit: AtomicU64,
}

impl MemoryStorage {
    /// Holds at most `limit` bytes, rounded up to chunks of 256 KiB; a write beyond is answered by [`Fault::Full`].
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self {
            chunks: RwLock::default(),
            limit: AtomicU64::new(limit),
        }
    }

    /// Changes the limit. What is held already stays.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes of memory that are in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        (chunks.len() * CHUNK_LENGTH) as u64
    }
}

/// By file and number of the chunk.
type Chunks = BTreeMap<(FileIndex, u64), Box<[u8]>>;

/// Where a byte lies: number of its chunk, and place in there.
fn place(offset: u64) -> (u64, usize) {
    let length = CHUNK_LENGTH as u64;
    let within = usize::try_from(offset % length).expect("less than the length of a chunk");
    (offset / length, within)
}

impl Storage for MemoryStorage {
    fn read_at(
        &self,
        file: FileIndex,
        mut offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<(), StoreError> {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        for buffer in buffers {
            let mut rest = &mut buffer[..];
            while !rest.is_empty() {
                let (chunk, within) = place(offset);
                let length = rest.len().min(CHUNK_LENGTH - within);
                let (head, tail) = rest.split_at_mut(length);
                match chunks.get(&(file, chunk)) {
                    Some(bytes) => head.copy_from_slice(&bytes[within..within + length]),
                    None => head.fill(0),
                }
                offset += length as u64;
                rest = tail;
            }
        }
        Ok(())
    }

    fn try_read_at(&self, file: FileIndex, offset: u64, buffers: &mut [IoSliceMut<'_>]) -> TryRead {
        match self.read_at(file, offset, buffers) {
            Ok(()) => TryRead::Done,
            Err(_) => TryRead::WouldWait,
        }
    }

    fn write_at(
        &self,
        file: FileIndex,
        mut offset: u64,
        buffers: &mut [IoSlice<'_>],
    ) -> Result<(), StoreError> {
        let limit = self.limit.load(Ordering::Relaxed);
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        for buffer in buffers {
            let mut rest = &buffer[..];
            while !rest.is_empty() {
                let (chunk, within) = place(offset);
                let length = rest.len().min(CHUNK_LENGTH - within);
                if !chunks.contains_key(&(file, chunk)) {
                    if (chunks.len() * CHUNK_LENGTH) as u64 >= limit {
                        let path = PathBuf::from("memory");
                        return Err(
                            StoreError::new(Operation::Write, path, Fault::Full).in_file(file)
                        );
                    }
                    chunks.insert((file, chunk), vec![0; CHUNK_LENGTH].into());
                }
                let bytes = chunks
                    .get_mut(&(file, chunk))
                    .expect("inserted when it was missing");
                bytes[within..within + length].copy_from_slice(&rest[..length]);
                offset += length as u64;
                rest = &rest[length..];
            }
        }
        Ok(())
    }

    fn presence(&self, file: FileIndex, range: Range<u64>) -> Result<Presence, StoreError> {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let (first, _) = place(range.start);
        let (last, _) = place(range.end.saturating_sub(1));
        Ok(match chunks.range((file, first)..=(file, last)).next() {
            Some(_) => Presence::Data,
            None => Presence::Hole,
        })
    }

    fn delete(&self) -> Result<(), StoreError> {
        self.chunks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        Ok(())
    }
}
