//! The info dictionary, for who has only a magnet link: fetched from peers, and served to them.
//!
//! Both halves are machines of their own: [`Fetch`] for who lacks it, [`Serving`] for who has it. A
//! [`Torrent`](crate::Torrent) holds one or the other; they can be used alone by a program that wants the metadata and
//! nothing else. `P` is how the program names a connection.
//!
//! Source: [BEP 9](https://www.bittorrent.org/beps/bep_0009.html).

mod copy;
mod fetch;
mod serving;

pub use fetch::{Arrived, Fetch};
pub use serving::{Answer, Serving};

use rarest_peer_wire::extension::metadata::METADATA_PIECE_LENGTH;

/// Number of parts of an info dictionary of `size` bytes.
fn part_count(size: u32) -> u32 {
    size.div_ceil(METADATA_PIECE_LENGTH)
}

/// Length of a part of an info dictionary of `size` bytes; `None` when there is no such part.
fn part_length(size: u32, part: u32) -> Option<u32> {
    let start = part.checked_mul(METADATA_PIECE_LENGTH)?;
    let rest = size.checked_sub(start).filter(|&rest| rest > 0)?;
    Some(rest.min(METADATA_PIECE_LENGTH))
}
