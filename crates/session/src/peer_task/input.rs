//! The read buffer of a connection: small for a slow peer, large and pooled for a fast one.

use std::io;

use bytes::{BufMut, BytesMut};
use tokio::net::TcpStream;

use crate::memory::{BufferPool, LARGE_BUFFER};

/// What is read at once from a peer of which nothing is known, in bytes: one block.
const FIRST_READ: usize = 16 * 1024;

/// Short reads in a row after which less is asked for.
const SHORT_READS: u32 = 16;

/// With less room than this a buffer is left for a fresh one, so that no read is needlessly small. What it costs is a copy
/// of the message that is cut in two.
const LEAST_ROOM: usize = 4 * 1024;

/// Bytes that came and were not understood yet.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: BytesMut,
    /// Length of the buffer that `bytes` is a part of.
    buffer: usize,
    next_read: usize,
    short_reads: u32,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            buffer: 0,
            next_read: FIRST_READ,
            short_reads: 0,
        }
    }

    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// How many bytes it would read.
    pub(crate) fn next_read(&self) -> usize {
        self.next_read
    }

    /// Reads at most `most` bytes, at least one, without waiting.
    pub(crate) fn read(
        &mut self,
        stream: &TcpStream,
        most: usize,
        pool: &BufferPool,
    ) -> io::Result<usize> {
        self.make_room(pool);
        let room = self.bytes.capacity() - self.bytes.len();
        let asked = most.min(room).min(self.next_read);
        let read = stream.try_read_buf(&mut (&mut self.bytes).limit(asked))?;
        self.adapt(asked, read);
        Ok(read)
    }

    fn make_room(&mut self, pool: &BufferPool) {
        let room = self.bytes.capacity() - self.bytes.len();
        if room >= LEAST_ROOM && self.buffer >= self.next_read {
            return;
        }
        // A message that is longer than the buffer needs room for itself first.
        let needed = self.next_read.max(self.bytes.len() + LEAST_ROOM);
        if self.buffer >= needed && self.bytes.try_reclaim(self.next_read) {
            return;
        }
        let mut fresh = if needed == LARGE_BUFFER {
            pool.take()
        } else {
            BytesMut::with_capacity(needed)
        };
        fresh.extend_from_slice(&self.bytes);
        let left = std::mem::replace(&mut self.bytes, fresh);
        if std::mem::replace(&mut self.buffer, needed) == LARGE_BUFFER {
            pool.retire(left);
        }
    }

    /// Asks for more when a read was full, and for less when many were not.
    fn adapt(&mut self, asked: usize, read: usize) {
        if read == asked && asked == self.next_read {
            self.next_read = (self.next_read * 4).min(LARGE_BUFFER);
            self.short_reads = 0;
        } else if read < self.next_read / 4 {
            self.short_reads += 1;
            if self.short_reads >= SHORT_READS {
                self.next_read = (self.next_read / 4).max(FIRST_READ);
                self.short_reads = 0;
            }
        } else {
            self.short_reads = 0;
        }
    }
}
