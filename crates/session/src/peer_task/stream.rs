//! The stream of bytes to and from a peer, in the clear or encrypted.

use std::io::{self, IoSlice};

use bytes::Buf;
use rarest_peer_wire::connection::Output;
use rarest_peer_wire::mse::{Decryptor, Encryptor, Established, Method};
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;

use super::Input;
use crate::memory::BufferPool;

/// Slices that are handed to the kernel in one write: 32 blocks and their headers, half a MiB.
const SLICES_PER_WRITE: usize = 64;

/// A connected socket, and the ciphers on it.
#[derive(Debug)]
pub(crate) struct PeerStream {
    tcp: TcpStream,
    decryptor: Option<Decryptor>,
    encryptor: Option<Encryptor>,
}

impl PeerStream {
    /// A stream in the clear.
    pub(crate) fn new(tcp: TcpStream) -> io::Result<Self> {
        // Requests are small and must not wait for more to send.
        tcp.set_nodelay(true)?;
        Ok(Self {
            tcp,
            decryptor: None,
            encryptor: None,
        })
    }

    /// From here on as both sides have settled on. What was read is decrypted already.
    pub(crate) fn go_on(&mut self, established: Established) {
        self.decryptor = established.decryptor;
        self.encryptor = established.encryptor;
    }

    /// What protects what is written.
    pub(crate) fn method(&self) -> Method {
        match self.encryptor {
            Some(_) => Method::Rc4,
            None => Method::Plaintext,
        }
    }

    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.tcp.ready(interest).await
    }

    /// Reads at most `most` bytes, at least one, without waiting.
    pub(crate) fn read(
        &mut self,
        input: &mut Input,
        most: usize,
        pool: &BufferPool,
    ) -> io::Result<usize> {
        let read = input.read(&self.tcp, most, pool)?;
        if let Some(decryptor) = &mut self.decryptor {
            decryptor.decrypt(input.newest(read));
        }
        Ok(read)
    }

    /// Writes what the socket takes of `output` in one go, without waiting.
    pub(crate) fn write(&mut self, output: &mut Output) -> io::Result<()> {
        if let Some(encryptor) = &mut self.encryptor {
            let written = self.tcp.try_write(encryptor.chunk(output))?;
            encryptor.advance(written, output);
            return Ok(());
        }
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
        let filled = output.chunks_vectored(&mut slices);
        let written = self.tcp.try_write_vectored(&slices[..filled])?;
        output.advance(written);
        Ok(())
    }

    /// Writes what the socket takes of these bytes, past the ciphers, without waiting.
    pub(crate) fn write_raw(&mut self, bytes: &mut impl Buf) -> io::Result<()> {
        let written = self.tcp.try_write(bytes.chunk())?;
        bytes.advance(written);
        Ok(())
    }
}
