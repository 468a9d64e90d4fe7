//! `counted NAME TIMES`: prepares as much whatever TIMES is, and then does one operation so often. What two runs differ by, in counted
//! instructions, is what the operations cost; `cargo xtask budget` takes that difference. Without arguments: the names.
#![forbid(unsafe_code)]

mod codec;
mod swarm;

use std::env;
use std::hint::black_box;
use std::process::ExitCode;

use rarest_bench::inputs::{self, DhtMessage};
use rarest_bencode::{Document, encode_dict};
use rarest_hash::{Slices, sha1_many, sha256_many};

/// Operations that are prepared, where they use something up.
const MOST_TIMES: usize = 200;

/// What prepares an operation and does it as many times.
type Operation = fn(usize);

/// What can be counted.
const COUNTED: &[(&str, Operation)] = &[
    ("bencode-document-of-message", document_of_message),
    ("bencode-struct-of-message", struct_of_message),
    ("bencode-message-written", message_written),
    ("wire-16-blocks-decoded", codec::sixteen_blocks_decoded),
    ("swarm-16-blocks-picked", swarm::sixteen_blocks_picked),
    ("hash-sha1-of-64-kib-by-8", sha1_of_pieces),
    ("hash-sha256-of-16-kib-by-8", sha256_of_leaves),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, times] = &arguments[..] else {
        COUNTED.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let run = COUNTED.iter().find(|(known, _)| known == name);
    let times = times.parse().ok().filter(|&times| times <= MOST_TIMES);
    let (Some((_, run)), Some(times)) = (run, times) else {
        eprintln!("there is no `{name}`, or {MOST_TIMES} times are not enough");
        return ExitCode::FAILURE;
    };
    run(times);
    ExitCode::SUCCESS
}

fn document_of_message(times: usize) {
    for _ in 0..times {
        black_box(Document::parse(black_box(inputs::DHT_REPLY)).is_ok());
    }
}

fn struct_of_message(times: usize) {
    for _ in 0..times {
        let message = rarest_bencode::from_bytes::<DhtMessage<'_>>(black_box(inputs::DHT_REPLY));
        black_box(message.is_ok());
    }
}

fn message_written(times: usize) {
    for _ in 0..times {
        let message = encode_dict(|message| {
            message.bytes("t", black_box(b"aa")).bytes("y", b"r");
            message.dict("r", |reply| {
                reply
                    .bytes("id", black_box(b"abcdefghij0123456789"))
                    .bytes("nodes", black_box(&[0; 208]));
            });
        });
        black_box(message.is_ok());
    }
}

fn sha1_of_pieces(times: usize) {
    let pieces = vec![0xa5; 8 << 16];
    let parts: Vec<[&[u8]; 1]> = pieces.chunks(1 << 16).map(|piece| [piece]).collect();
    let slices: Vec<Slices<'_>> = parts.iter().map(|piece| &piece[..]).collect();
    for _ in 0..times {
        black_box(sha1_many(black_box(&slices)));
    }
}

fn sha256_of_leaves(times: usize) {
    let leaves = vec![0xa5; 8 << 14];
    let parts: Vec<[&[u8]; 1]> = leaves.chunks(1 << 14).map(|leaf| [leaf]).collect();
    let slices: Vec<Slices<'_>> = parts.iter().map(|leaf| &leaf[..]).collect();
    for _ in 0..times {
        black_box(sha256_many(black_box(&slices)));
    }
}
