//! Digests as the users of the crate see them.

mod many;
mod reference;
mod vectors;
