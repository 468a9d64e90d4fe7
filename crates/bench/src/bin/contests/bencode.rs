//! Bencode into a document of any shape, and into structs that borrow.

use std::io;

use bip_bencode::{BDecodeOpt, BencodeRef};
use librqbit_bencode::{BencodeValueBorrowed, dyn_from_bytes};
use rarest_bench::contest::Contest;
use rarest_bench::inputs::{self, DhtMessage, Torrent};
use rarest_bench::libtorrent::Libtorrent;
use rarest_bencode::Document;
use serde::Deserialize;

/// All contestants can read all inputs.
const DECODES: &str = "the input is well formed";

/// Runs all contests of this module.
pub(crate) fn contests(
    libtorrent: Option<&Libtorrent>,
    run: &mut dyn FnMut(Contest<'_>, usize),
) -> io::Result<()> {
    let large = inputs::torrent(inputs::MANY_FILES);
    let small = inputs::torrent(inputs::SOME_FILES);
    let inputs = [
        ("a .torrent of 16 MB", &large[..]),
        ("a .torrent of 16 KB", &small[..]),
        ("a DHT message", inputs::DHT_REPLY),
    ];
    for (name, input) in inputs {
        run(documents(name, input, libtorrent)?, input.len());
    }
    run(
        structs::<Torrent<'_>>(inputs[0].0, inputs[0].1),
        large.len(),
    );
    run(
        structs::<Torrent<'_>>(inputs[1].0, inputs[1].1),
        small.len(),
    );
    run(
        structs::<DhtMessage<'_>>(inputs[2].0, inputs[2].1),
        inputs[2].1.len(),
    );
    Ok(())
}

fn documents<'a>(
    name: &str,
    input: &'a [u8],
    libtorrent: Option<&Libtorrent>,
) -> io::Result<Contest<'a>> {
    let mut contest = Contest::new(format!("{name} into a document"))
        .of("rarest", || Document::parse(input).expect(DECODES))
        .of("bip_bencode", || {
            BencodeRef::decode(input, BDecodeOpt::default()).expect(DECODES)
        })
        .of("bt_bencode", || {
            bt_bencode::from_slice::<bt_bencode::Value>(input).expect(DECODES)
        })
        .of("librqbit-bencode", || {
            let value: BencodeValueBorrowed<'_> = dyn_from_bytes(input).expect(DECODES);
            value
        });
    if let Some(libtorrent) = libtorrent {
        contest = contest.that_times_itself("libtorrent (C++)", libtorrent.decoding(input)?);
    }
    Ok(contest)
}

fn structs<'a, T: Deserialize<'a>>(name: &str, input: &'a [u8]) -> Contest<'a> {
    Contest::new(format!("{name} into a borrowed struct"))
        .of("rarest", || {
            rarest_bencode::from_bytes::<T>(input).expect(DECODES)
        })
        .of("librqbit-bencode", || {
            librqbit_bencode::from_bytes::<T>(input).expect(DECODES)
        })
        .of("bt_bencode", || {
            bt_bencode::from_slice::<T>(input).expect(DECODES)
        })
}
