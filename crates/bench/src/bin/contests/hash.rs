//! SHA-1 and SHA-256 of one piece, and of several that came together.

use rarest_bench::contest::Contest;
use rarest_hash::{Slices, sha1_many, sha256_many};
use sha1::Digest as _;

/// Bytes of a piece.
const PIECE_LENGTH: usize = 1 << 20;

/// Runs all contests of this module.
pub(crate) fn contests(run: &mut dyn FnMut(Contest<'_>, usize)) {
    let counts = [
        ("a piece of 1 MiB", 1),
        ("four pieces of 1 MiB", 4),
        ("eight pieces of 1 MiB", 8),
        ("sixteen pieces of 1 MiB", 16),
    ];
    for (name, count) in counts {
        let data = vec![0xa5; count * PIECE_LENGTH];
        let pieces: Vec<[&[u8]; 1]> = data.chunks(PIECE_LENGTH).map(|piece| [piece]).collect();
        run(sha1_of(name, &pieces), data.len());
        run(sha256_of(name, &pieces), data.len());
    }
}

fn sha1_of<'a>(name: &str, pieces: &'a [[&'a [u8]; 1]]) -> Contest<'a> {
    let contest = Contest::new(format!("SHA-1 of {name}"))
        .of("rarest", || sha1_many(&slices(pieces)))
        .of("sha1", || each(pieces, sha1::Sha1::digest))
        .of("sha1_smol", || {
            each(pieces, |piece| sha1_smol::Sha1::from(piece).digest())
        });
    #[cfg(feature = "aws-lc")]
    let contest = contest.of("aws-lc-rs", || {
        use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
        each(pieces, |piece| digest(&SHA1_FOR_LEGACY_USE_ONLY, piece))
    });
    contest
}

fn sha256_of<'a>(name: &str, pieces: &'a [[&'a [u8]; 1]]) -> Contest<'a> {
    let contest = Contest::new(format!("SHA-256 of {name}"))
        .of("rarest", || sha256_many(&slices(pieces)))
        .of("sha2", || each(pieces, sha2::Sha256::digest));
    #[cfg(feature = "aws-lc")]
    let contest = contest.of("aws-lc-rs", || {
        use aws_lc_rs::digest::{SHA256, digest};
        each(pieces, |piece| digest(&SHA256, piece))
    });
    contest
}

fn slices<'a>(pieces: &'a [[&'a [u8]; 1]]) -> Vec<Slices<'a>> {
    pieces.iter().map(|piece| &piece[..]).collect()
}

fn each<'a, T>(pieces: &[[&'a [u8]; 1]], hash: impl Fn(&'a [u8]) -> T) -> Vec<T> {
    pieces.iter().map(|&[piece]| hash(piece)).collect()
}
