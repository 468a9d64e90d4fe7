//! Content of files that tests hash.

/// Byte `i` is `i mod 251`, so that neighbouring blocks differ.
pub(crate) fn ramp(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect()
}
