//! Where a writer puts its bytes.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;

/// Takes encoded bytes in order.
///
/// Implemented for `Vec<u8>`; for a type of another crate wrap a closure in [`FnSink`], for a
/// `std::io::Write` use `IoSink` (feature `std`).
pub trait Sink {
    /// Why bytes could not be taken.
    type Error;

    /// Takes all of `bytes`.
    ///
    /// # Errors
    /// What kept the sink from taking them.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

impl Sink for Vec<u8> {
    type Error = Infallible;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    type Error = S::Error;

    fn write(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        (**self).write(bytes)
    }
}

/// A closure that takes the bytes and cannot fail, for instance
/// `FnSink(|bytes: &[u8]| buffer.extend_from_slice(bytes))` for a `bytes::BytesMut`.
#[derive(Clone, Copy)]
pub struct FnSink<F>(pub F);

impl<F: FnMut(&[u8])> Sink for FnSink<F> {
    type Error = Infallible;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        (self.0)(bytes);
        Ok(())
    }
}

impl<F> fmt::Debug for FnSink<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnSink").finish_non_exhaustive()
    }
}

/// A [`std::io::Write`] as a sink.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub struct IoSink<W>(pub W);

#[cfg(feature = "std")]
impl<W: std::io::Write> Sink for IoSink<W> {
    type Error = std::io::Error;

    fn write(&mut self, bytes: &[u8]) -> Result<(), std::io::Error> {
        self.0.write_all(bytes)
    }
}
