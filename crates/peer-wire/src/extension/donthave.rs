//! `lt_donthave`: a piece that the sender had is gone.
//!
//! Source: [BEP 54](https://www.bittorrent.org/beps/bep_0054.html).

/// The payload has another length than 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a lt_donthave payload has 4 bytes, not {length}")]
pub struct DontHaveError {
    /// Its length in bytes.
    pub length: usize,
}

/// The number of the piece that is gone.
///
/// # Errors
/// [`DontHaveError`] unless `payload` has 4 bytes.
pub fn decode(payload: &[u8]) -> Result<u32, DontHaveError> {
    let bytes = payload.try_into().map_err(|_| DontHaveError {
        length: payload.len(),
    })?;
    Ok(u32::from_be_bytes(bytes))
}

/// The payload that says that `piece` is gone.
#[must_use]
pub fn encode(piece: u32) -> [u8; 4] {
    piece.to_be_bytes()
}
