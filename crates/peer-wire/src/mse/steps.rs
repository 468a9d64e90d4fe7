//! What both sides of a handshake read off the front of their input.

use bytes::{Buf, BytesMut};

use super::{Established, MseError, Rc4};
use crate::limits::MAX_MSE_PAD_LENGTH;

/// Zeros by which both sides see that they have the same key (`VC`).
pub(super) const VERIFICATION: [u8; 8] = [0; 8];

/// The ciphers of both directions.
#[derive(Debug)]
pub(super) struct Ciphers {
    pub(super) incoming: Rc4,
    pub(super) outgoing: Rc4,
}

/// What a state comes to with the input there is.
pub(super) enum Step<S> {
    /// More input is needed to leave it.
    Wait(S),
    Next(S),
    Done(Established),
}

/// Whether what follows the padding was found.
pub(super) enum Synchronized {
    Yes,
    NotYet,
}

/// Takes the padding off, and the mark behind it. What cannot be the beginning of the mark is not kept.
pub(super) fn skip_to<const N: usize>(
    mark: &[u8; N],
    input: &mut BytesMut,
    skipped: &mut usize,
) -> Result<Synchronized, MseError> {
    while let Some(window) = input.first_chunk::<N>() {
        if window == mark {
            input.advance(N);
            return Ok(Synchronized::Yes);
        }
        if *skipped == MAX_MSE_PAD_LENGTH {
            return Err(MseError::NotSynchronized);
        }
        input.advance(1);
        *skipped += 1;
    }
    Ok(Synchronized::NotYet)
}

/// Takes bytes of fixed number off the front.
pub(super) fn take<const N: usize>(input: &mut BytesMut) -> Option<[u8; N]> {
    let bytes = *input.first_chunk::<N>()?;
    input.advance(N);
    Some(bytes)
}

/// The length of a padding that is encrypted.
pub(super) fn pad_length(bytes: [u8; 2]) -> Result<usize, MseError> {
    let length = u16::from_be_bytes(bytes);
    if usize::from(length) > MAX_MSE_PAD_LENGTH {
        return Err(MseError::PadTooLong { length });
    }
    Ok(length.into())
}

/// Takes what there is of a padding off the front.
pub(super) fn skip_pad(cipher: &mut Rc4, input: &mut BytesMut, left: &mut usize) {
    let length = input.len().min(*left);
    cipher.skip(length);
    input.advance(length);
    *left -= length;
}
