//! The read buffer of a connection: small for a slow peer, large and pooled for a fast one.

use std::io;

use bytes::{BufMut, BytesMut};
use tokio::net::TcpStream;

use crate::memory::{BufferPool, LARGE_BUFFER};

/// Length of the buffer of a peer of which nothing is known, in bytes: one block.
const FIRST_BUFFER: usize = 16 * 1024;

/// From one buffer length to the next.
const STEP: usize = 4;

/// A buffer that took more reads than this to fill was too long: its memory is better used elsewhere.
const MANY_READS: usize = 16;

/// With less room than this a buffer is left for a fresh one, so that no read is needlessly small. What it costs is a copy
/// of the message that is cut in two.
const LEAST_ROOM: usize = 4 * 1024;

/// Bytes that came and were not understood yet.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: BytesMut,
    /// Length of the buffer that `bytes` is a part of.
    buffer: usize,
    /// Length of the next one.
    next_buffer: usize,
    /// Reads into this one.
    reads: usize,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            buffer: 0,
            next_buffer: FIRST_BUFFER,
            reads: 0,
        }
    }

    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// The last bytes that were read.
    pub(crate) fn newest(&mut self, count: usize) -> &mut [u8] {
        let start = self.bytes.len() - count;
        &mut self.bytes[start..]
    }

    /// The most bytes that it would read.
    pub(crate) fn next_read(&self) -> usize {
        self.next_buffer
    }

    /// Reads at most `most` bytes, at least one, without waiting.
    pub(crate) fn read(
        &mut self,
        stream: &TcpStream,
        most: usize,
        pool: &BufferPool,
    ) -> io::Result<usize> {
        self.make_room(pool);
        let asked = most.min(self.room());
        let read = stream.try_read_buf(&mut (&mut self.bytes).limit(asked))?;
        self.reads += 1;
        if read == asked && asked >= self.next_buffer / 2 {
            self.next_buffer = (self.next_buffer * STEP).min(LARGE_BUFFER);
        }
        Ok(read)
    }

    fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    fn make_room(&mut self, pool: &BufferPool) {
        if self.room() >= LEAST_ROOM && self.buffer >= self.next_buffer {
            return;
        }
        if self.reads > MANY_READS {
            self.next_buffer = (self.next_buffer / STEP).max(FIRST_BUFFER);
        }
        self.reads = 0;
        // A message that is longer than the buffer needs room for itself first.
        let needed = self.next_buffer.max(self.bytes.len() + LEAST_ROOM);
        if self.buffer == needed && self.bytes.try_reclaim(self.next_buffer) {
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
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// Reads `bytes` in reads of at most `most`, and is done with them at once.
    async fn read(input: &mut Input, stream: &TcpStream, bytes: usize, most: usize) {
        let pool = BufferPool::new(1 << 20);
        let mut left = bytes;
        while left > 0 {
            stream.readable().await.unwrap();
            match input.read(stream, most.min(left), &pool) {
                Ok(read) => left -= read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            drop(input.bytes().split());
        }
    }

    #[tokio::test]
    async fn the_buffer_is_large_for_a_fast_peer_and_small_for_a_slow_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let sending = async move {
            sender.write_all(&vec![7; 8 * LARGE_BUFFER]).await.unwrap();
            sender
        };
        let reading = async move {
            let mut input = Input::new();
            assert_eq!(input.next_read(), FIRST_BUFFER);
            read(&mut input, &stream, 4 * LARGE_BUFFER, usize::MAX).await;
            assert_eq!(input.next_read(), LARGE_BUFFER);
            // What a socket has ready at a time is less than the buffer: that alone makes no peer a slow one.
            read(&mut input, &stream, 3 * LARGE_BUFFER, 48 * 1024).await;
            assert_eq!(input.next_read(), LARGE_BUFFER);
            read(&mut input, &stream, LARGE_BUFFER, 1024).await;
            assert!(input.next_read() < LARGE_BUFFER);
        };
        tokio::join!(sending, reading);
    }
}
