//! Bytes on their way to the peer: headers gathered in small buffers, blocks as they came from the store.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::Message;
use crate::message::encode::{PIECE_HEADER_LENGTH, piece_header};

/// Room that is made at once for small messages: the headers of some 150 blocks share one allocation.
const GATHER_CAPACITY: usize = 2048;

/// What is to be written to the socket, as a [`Buf`] whose `chunks_vectored` gives many slices for one `writev`.
///
/// Blocks are not copied. Advance it by what the socket took; what is gone is counted as sent.
#[derive(Debug, Default)]
pub struct Output {
    chunks: VecDeque<Chunk>,
    /// Small messages behind all chunks.
    gathering: BytesMut,
    /// Bytes of blocks that wait.
    waiting_payload: usize,
    /// All other bytes that wait.
    waiting_overhead: usize,
    sent_payload: u64,
    sent_overhead: u64,
    /// Part of `sent_payload` that the torrent has not been told of.
    unreported_payload: u64,
}

#[derive(Debug)]
enum Chunk {
    Overhead(Bytes),
    Payload(Bytes),
}

impl Chunk {
    fn bytes(&self) -> &Bytes {
        let (Self::Overhead(bytes) | Self::Payload(bytes)) = self;
        bytes
    }
}

impl Output {
    /// Bytes of blocks that wait to be sent.
    #[must_use]
    pub fn waiting_payload(&self) -> usize {
        self.waiting_payload
    }

    /// Bytes that wait to be sent and are not of blocks.
    #[must_use]
    pub fn waiting_overhead(&self) -> usize {
        self.waiting_overhead
    }

    pub(super) fn sent_payload(&self) -> u64 {
        self.sent_payload
    }

    pub(super) fn sent_overhead(&self) -> u64 {
        self.sent_overhead
    }

    /// Bytes of blocks sent since the last call.
    pub(super) fn take_unreported_payload(&mut self) -> u64 {
        std::mem::take(&mut self.unreported_payload)
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.gathering.put_slice(bytes);
        self.waiting_overhead += bytes.len();
    }

    pub(super) fn push(&mut self, message: &Message) {
        let before = self.gathering.len();
        self.make_room(PIECE_HEADER_LENGTH + 4);
        message.encode(&mut self.gathering);
        self.waiting_overhead += self.gathering.len() - before;
    }

    pub(super) fn push_block(&mut self, piece: u32, offset: u32, data: Bytes) {
        self.push_bytes(&piece_header(piece, offset, data.len()));
        self.chunks
            .push_back(Chunk::Overhead(self.gathering.split().freeze()));
        self.waiting_payload += data.len();
        self.chunks.push_back(Chunk::Payload(data));
    }

    /// Forgets what waits: the connection is closed.
    pub(super) fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.gathering = BytesMut::new();
        self.waiting_payload = 0;
        self.waiting_overhead = 0;
    }

    fn make_room(&mut self, needed: usize) {
        if self.gathering.capacity() - self.gathering.len() < needed {
            self.gathering.reserve(needed.max(GATHER_CAPACITY));
        }
    }

    fn count_overhead(&mut self, sent: usize) {
        self.waiting_overhead -= sent;
        self.sent_overhead += sent as u64;
    }

    fn count_payload(&mut self, sent: usize) {
        self.waiting_payload -= sent;
        self.sent_payload += sent as u64;
        self.unreported_payload += sent as u64;
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.waiting_payload + self.waiting_overhead
    }

    fn chunk(&self) -> &[u8] {
        match self.chunks.front() {
            Some(chunk) => chunk.bytes(),
            None => &self.gathering,
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let waiting = self
            .chunks
            .iter()
            .map(|chunk| &chunk.bytes()[..])
            .chain((!self.gathering.is_empty()).then_some(&self.gathering[..]));
        let mut filled = 0;
        for (slice, bytes) in slices.iter_mut().zip(waiting) {
            *slice = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining(), "advanced behind the end");
        while count > 0 {
            let Some(front) = self.chunks.front_mut() else {
                self.gathering.advance(count);
                self.count_overhead(count);
                return;
            };
            let (Chunk::Overhead(bytes) | Chunk::Payload(bytes)) = front;
            let taken = count.min(bytes.len());
            bytes.advance(taken);
            count -= taken;
            let is_done = bytes.is_empty();
            match front {
                Chunk::Overhead(_) => self.count_overhead(taken),
                Chunk::Payload(_) => self.count_payload(taken),
            }
            if is_done {
                self.chunks.pop_front();
            }
        }
    }
}
