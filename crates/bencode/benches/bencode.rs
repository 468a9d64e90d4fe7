//! Decoding and encoding: `cargo bench -p rarest-bencode`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use rarest_bencode::{Document, Raw, Reader, encode_dict};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

fn main() {
    divan::main();
}

/// A torrent of as many files; about 16 MB for 160,000.
fn torrent(files: u32) -> Vec<u8> {
    encode_dict(|torrent| {
        torrent.bytes("announce", "http://tracker.example/announce");
        torrent.dict("info", |info| {
            info.bytes("name", "many files")
                .int("piece length", 1 << 20);
            info.bytes("pieces", vec![0xa5; 20 * files as usize]);
            info.list("files", |list| {
                for file in 0..files {
                    list.dict(|entry| {
                        entry.int("length", 1_000_000 + file).list("path", |path| {
                            path.bytes(format!("folder {:03}", file / 1000));
                            path.bytes(format!("a file of some name {file:06}.bin"));
                        });
                    });
                }
            });
        });
    })
    .expect("the keys differ")
}

/// An answer to `get_peers`, as DHT nodes send it.
const DHT_REPLY: &[u8] = b"d1:rd2:id20:abcdefghij01234567895:nodes208:\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:v4:LT\x01\x021:y1:re";

#[derive(Serialize, Deserialize)]
struct DhtMessage<'a> {
    t: &'a Bytes,
    y: &'a str,
    #[serde(borrow)]
    r: Reply<'a>,
}

#[derive(Serialize, Deserialize)]
struct Reply<'a> {
    id: &'a Bytes,
    nodes: &'a Bytes,
    token: &'a Bytes,
    #[serde(borrow)]
    values: Vec<&'a Bytes>,
}

#[derive(Deserialize)]
struct Torrent<'a> {
    #[expect(dead_code, reason = "deserialized, and not looked at")]
    announce: &'a str,
    #[serde(borrow)]
    info: Raw<'a>,
}

#[divan::bench(args = [160, 160_000])]
fn document_of_torrent(bencher: Bencher<'_, '_>, files: u32) {
    let input = torrent(files);
    bencher
        .counter(BytesCount::of_slice(&input))
        .bench_local(|| Document::parse(black_box(&input)));
}

#[divan::bench(args = [160, 160_000])]
fn reader_skips_torrent(bencher: Bencher<'_, '_>, files: u32) {
    let input = torrent(files);
    bencher
        .counter(BytesCount::of_slice(&input))
        .bench_local(|| {
            Reader::new(black_box(&input))
                .skip()
                .map(|raw| raw.is_some())
        });
}

#[divan::bench(args = [160, 160_000])]
fn serde_of_torrent_with_raw_info(bencher: Bencher<'_, '_>, files: u32) {
    let input = torrent(files);
    bencher
        .counter(BytesCount::of_slice(&input))
        .bench_local(|| {
            let torrent: Torrent<'_> =
                rarest_bencode::from_bytes(black_box(&input)).expect("valid");
            torrent.info.as_bytes().len()
        });
}

#[divan::bench(args = [160, 160_000])]
fn writer_of_torrent(bencher: Bencher<'_, '_>, files: u32) {
    bencher
        .counter(BytesCount::of_slice(&torrent(files)))
        .bench_local(|| torrent(black_box(files)));
}

#[divan::bench]
fn document_of_dht_reply(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_slice(DHT_REPLY))
        .bench_local(|| Document::parse(black_box(DHT_REPLY)));
}

#[divan::bench]
fn document_of_dht_reply_and_lookups(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        let document = Document::parse(black_box(DHT_REPLY)).expect("valid");
        let root = document.root();
        let reply = root.get("r").expect("present");
        let length = |value: Option<rarest_bencode::ValueRef<'_, '_>>| {
            value
                .and_then(rarest_bencode::ValueRef::as_bytes)
                .map(<[u8]>::len)
        };
        (
            length(root.get("t")),
            length(root.get("y")),
            length(reply.get("id")),
            length(reply.get("nodes")),
        )
    });
}

#[divan::bench]
fn serde_of_dht_reply(bencher: Bencher<'_, '_>) {
    bencher
        .counter(BytesCount::of_slice(DHT_REPLY))
        .bench_local(|| {
            let message: DhtMessage<'_> =
                rarest_bencode::from_bytes(black_box(DHT_REPLY)).expect("valid");
            (message.t.len(), message.y.len(), message.r.values.len())
        });
}

#[divan::bench]
fn writer_of_dht_reply(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        encode_dict(|message| {
            message
                .bytes("t", black_box(b"aa"))
                .bytes("y", b"r")
                .bytes("v", b"LT\x01\x02");
            message.dict("r", |reply| {
                reply
                    .bytes("id", b"abcdefghij0123456789")
                    .bytes("nodes", black_box(&DHT_REPLY[43..251]));
                reply.bytes("token", b"aoeusnth");
                reply.list("values", |values| {
                    values.bytes(b"axje.u").bytes(b"idhtnm");
                });
            });
        })
    });
}
