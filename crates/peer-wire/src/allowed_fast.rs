//! The pieces that a peer may request while it is choked: the same for all who compute it.

use std::net::Ipv4Addr;

use rarest_hash::sha1;
use rarest_metainfo::{Geometry, InfoHash, PieceIndex};

use crate::limits::MAX_ALLOWED_FAST;

/// The allowed-fast set of the peer at `ip`: up to `count` pieces, at most
/// [`MAX_ALLOWED_FAST`](crate::limits::MAX_ALLOWED_FAST), in the order they are found.
///
/// The last byte of the address counts for nothing, so that many peers of one network get the same pieces. There is no
/// such set for IPv6.
///
/// Source: [BEP 6](https://www.bittorrent.org/beps/bep_0006.html), "allowed fast set generation".
#[must_use]
pub fn allowed_fast_set(
    ip: Ipv4Addr,
    info_hash: InfoHash,
    geometry: &Geometry,
    count: usize,
) -> Vec<PieceIndex> {
    let piece_count = geometry.piece_count();
    let count = count.min(MAX_ALLOWED_FAST).min(piece_count as usize);
    let [a, b, c, _] = ip.octets();
    let mut seed = vec![a, b, c, 0];
    seed.extend_from_slice(info_hash.as_bytes());
    let mut set = Vec::with_capacity(count);
    while set.len() < count {
        seed = sha1(&seed).as_bytes().to_vec();
        for word in seed.as_chunks::<4>().0 {
            let piece = geometry.piece(u32::from_be_bytes(*word) % piece_count);
            let news = piece.filter(|piece| set.len() < count && !set.contains(piece));
            set.extend(news);
        }
    }
    set
}
