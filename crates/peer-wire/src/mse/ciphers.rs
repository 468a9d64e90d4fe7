//! The two directions of an encrypted stream.

use std::io::IoSlice;
use std::ops::Range;

use bytes::Buf;

use super::Rc4;

/// Bytes that are encrypted at a time, at most. They stay in the cache of a core until the socket takes them.
const RUN_LENGTH: usize = 64 * 1024;

/// A buffer that is longer than this is given back when everything is sent, so that a connection at rest does not hold it.
const KEPT_LENGTH: usize = 1024;

/// Slices that are gathered at a time: as many headers and blocks as fit into a run.
const SLICES_PER_RUN: usize = 16;

/// Decrypts what is read.
#[derive(Debug)]
pub struct Decryptor {
    cipher: Box<Rc4>,
    extent: Extent,
}

/// How far a stream is encrypted.
#[derive(Debug)]
enum Extent {
    Endless,
    /// The payload of the handshake, of which so many bytes are to come. What is behind it is in the clear.
    Payload(usize),
}

impl Decryptor {
    pub(super) fn endless(cipher: Rc4) -> Self {
        Self {
            cipher: Box::new(cipher),
            extent: Extent::Endless,
        }
    }

    pub(super) fn of_payload(cipher: Rc4, length: usize) -> Self {
        Self {
            cipher: Box::new(cipher),
            extent: Extent::Payload(length),
        }
    }

    /// Decrypts the next bytes of the stream in place.
    pub fn decrypt(&mut self, bytes: &mut [u8]) {
        match &mut self.extent {
            Extent::Endless => self.cipher.apply(bytes),
            Extent::Payload(left) => {
                let length = bytes.len().min(*left);
                self.cipher.apply(&mut bytes[..length]);
                *left -= length;
            }
        }
    }

    /// Whether nothing more is to be decrypted.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.extent, Extent::Payload(0))
    }
}

/// Encrypts what is written, in runs: what waits to be written is often shared and cannot be encrypted in its place.
///
/// It goes between a [`Buf`] of what is to be written, like [`Output`](crate::connection::Output), and the socket. The `Buf` is advanced
/// when the socket has taken the bytes, and not before, so that what waits and what was sent is counted as without encryption.
#[derive(Debug)]
pub struct Encryptor {
    cipher: Box<Rc4>,
    /// The front of the source, encrypted; what was written of it, and room.
    ahead: Vec<u8>,
    /// Where in `ahead` stands what is to be written.
    waiting: Range<usize>,
}

impl Encryptor {
    pub(super) fn new(cipher: Rc4) -> Self {
        Self {
            cipher: Box::new(cipher),
            ahead: Vec::new(),
            waiting: 0..0,
        }
    }

    /// What is to be written next; empty when `source` is.
    ///
    /// `source` is the same at each call: bytes may join its end, and its front only goes by [`Self::advance`].
    pub fn chunk(&mut self, source: &impl Buf) -> &[u8] {
        if self.waiting.is_empty() {
            self.encrypt_run(source);
        }
        &self.ahead[self.waiting.clone()]
    }

    /// So many bytes of the [chunk](Self::chunk) were written.
    ///
    /// # Panics
    /// If the chunk has fewer.
    pub fn advance(&mut self, count: usize, source: &mut impl Buf) {
        assert!(count <= self.waiting.len(), "advanced behind the end");
        self.waiting.start += count;
        source.advance(count);
        if !source.has_remaining() && self.ahead.len() > KEPT_LENGTH {
            self.ahead = Vec::new();
            self.waiting = 0..0;
        }
    }

    fn encrypt_run(&mut self, source: &impl Buf) {
        let run = source.remaining().min(RUN_LENGTH);
        if self.ahead.len() < run {
            self.ahead.resize(run, 0);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_PER_RUN];
        let filled = source.chunks_vectored(&mut slices);
        let mut end = 0;
        for slice in &slices[..filled] {
            let length = slice.len().min(run - end);
            let place = &mut self.ahead[end..end + length];
            self.cipher.copy(&slice[..length], place);
            end += length;
        }
        self.waiting = 0..end;
    }
}
