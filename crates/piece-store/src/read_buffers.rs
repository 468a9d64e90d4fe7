//! Buffers that blocks are read into, used again once the last block in them is gone.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Length of the shortest buffer: one block.
const SHORTEST: usize = 16 * 1024;

/// Lengths that are kept: from [`SHORTEST`] on, each twice the one before. The longest is [`MAX_READ_LENGTH`](crate::MAX_READ_LENGTH).
const LENGTHS: usize = 7;

/// Memory for blocks that are read, shared by any number of stores.
///
/// A fresh buffer for each read costs about as much as the read: the system has to find its pages and to clear them. What is
/// kept here goes out again first that came back last, and is still in the CPU's cache.
pub struct ReadBuffers {
    /// Most bytes that are kept while nobody uses them.
    limit: usize,
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    by_length: [Vec<Box<[u8]>>; LENGTHS],
    bytes: usize,
}

impl ReadBuffers {
    /// Keeps at most `limit` bytes that nobody uses.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            free: Mutex::default(),
        })
    }

    /// Gives back all memory that nobody uses.
    pub fn clear(&self) {
        *self.lock() = Free::default();
    }

    /// Bytes that are kept and that nobody uses.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// A buffer of `length` bytes with any content, which `fill` gives its own.
    pub(crate) fn filled<E>(
        self: &Arc<Self>,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Bytes, E> {
        let mut buffer = Buffer {
            bytes: self.take(length),
            length,
            home: Arc::clone(self),
        };
        fill(&mut buffer.bytes[..length])?;
        Ok(Bytes::from_owner(buffer))
    }

    fn take(&self, length: usize) -> Box<[u8]> {
        let class = class_of(length);
        if class < LENGTHS {
            let mut free = self.lock();
            if let Some(bytes) = free.by_length[class].pop() {
                free.bytes -= bytes.len();
                return bytes;
            }
        }
        vec![0; SHORTEST << class].into()
    }

    fn put_back(&self, bytes: Box<[u8]>) {
        let class = class_of(bytes.len());
        let mut free = self.lock();
        if class < LENGTHS && free.bytes + bytes.len() <= self.limit {
            free.bytes += bytes.len();
            free.by_length[class].push(bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of the lengths holds `length` bytes.
fn class_of(length: usize) -> usize {
    let blocks = length.div_ceil(SHORTEST).max(1).next_power_of_two();
    blocks.trailing_zeros() as usize
}

impl fmt::Debug for ReadBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadBuffers({} bytes free)", self.free_bytes())
    }
}

/// A buffer in use, which goes home when its last reader drops it.
struct Buffer {
    bytes: Box<[u8]>,
    length: usize,
    home: Arc<ReadBuffers>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.put_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn filled(buffers: &Arc<ReadBuffers>, length: usize, byte: u8) -> Bytes {
        let fill = |bytes: &mut [u8]| {
            bytes.fill(byte);
            Ok::<_, Infallible>(())
        };
        buffers.filled(length, fill).unwrap()
    }

    #[test]
    fn a_buffer_is_used_again_when_its_last_block_is_gone() {
        let buffers = ReadBuffers::new(1 << 20);
        let run = filled(&buffers, 40_000, 1);
        let block = run.slice(20_000..40_000);
        let address = run.as_ptr();
        drop(run);
        assert_eq!(buffers.free_bytes(), 0, "a block is still in use");
        assert_ne!(filled(&buffers, 40_000, 2).as_ptr(), address);
        assert!(block.iter().all(|&byte| byte == 1));
        drop(block);
        let again = filled(&buffers, 33_000, 3);
        assert_eq!(again.as_ptr(), address);
        assert_eq!(again, vec![3; 33_000]);
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let buffers = ReadBuffers::new(100_000);
        let runs: Vec<_> = (0..10).map(|_| filled(&buffers, 30_000, 1)).collect();
        drop(runs);
        assert_eq!(buffers.free_bytes(), 98_304, "three buffers of 32 KiB");
        buffers.clear();
        assert_eq!(buffers.free_bytes(), 0);
    }

    #[test]
    fn a_buffer_of_any_length_can_be_had() {
        let buffers = ReadBuffers::new(usize::MAX);
        for length in [0, 1, 16_384, 16_385, 1 << 20, (1 << 20) + 1, 5 << 20] {
            assert_eq!(filled(&buffers, length, 7), vec![7; length]);
        }
        assert!(buffers.free_bytes() < 3 << 20, "longer ones are not kept");
    }

    #[test]
    fn a_buffer_that_could_not_be_filled_is_not_lost() {
        let buffers = ReadBuffers::new(1 << 20);
        assert_eq!(buffers.filled(10, |_| Err("gone")), Err("gone"));
        assert_eq!(buffers.free_bytes(), SHORTEST);
    }
}
