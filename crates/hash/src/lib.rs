//! SHA-1 and SHA-256 of one buffer or of many at once.
#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
#![no_std]

extern crate alloc;
#[cfg(feature = "accelerated")]
extern crate std;

mod digest;
#[cfg(all(feature = "accelerated", target_arch = "x86_64"))]
#[expect(unsafe_code, reason = "instructions that only some CPUs have")]
mod lanes;
mod sha1;
mod sha256;

pub use digest::{Sha1Digest, Sha256Digest};
pub use sha1::{Sha1, sha1, sha1_lanes, sha1_many};
pub use sha256::{Sha256, sha256, sha256_many};

/// One message that lies in memory as several slices, hashed as if they were joined.
pub type Slices<'a> = &'a [&'a [u8]];
