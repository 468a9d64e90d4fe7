//! What encryption costs: a handshake, and each byte behind it.
#![expect(clippy::unwrap_used, reason = "a failure of the set-up ends the bench")]

use bytes::{Buf, Bytes, BytesMut};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rarest_metainfo::InfoHash;
use rarest_peer_wire::mse::{
    Established, Initiator, Method, Methods, PublicKey, Rc4, Responder, Secrets, SkeyDigest,
};

const RUN_LENGTH: usize = 256 * 1024;
const SKEY: InfoHash = InfoHash([7; 20]);

fn main() {
    divan::main();
}

fn secrets(seed: u64) -> Secrets {
    Secrets::random(&mut StdRng::seed_from_u64(seed))
}

/// The cipher alone, in a buffer that stays in the cache.
#[divan::bench]
fn rc4(bencher: Bencher<'_, '_>) {
    let mut cipher = Rc4::new(b"a key of twenty byte");
    let mut bytes = vec![0; RUN_LENGTH];
    bencher
        .counter(BytesCount::new(RUN_LENGTH))
        .bench_local(|| cipher.apply(black_box(&mut bytes)));
}

/// Blocks that are gathered and encrypted on their way to a socket that takes all.
#[divan::bench]
fn encrypt_blocks(bencher: Bencher<'_, '_>) {
    let mut encryptor = established().encryptor.unwrap();
    let block = Bytes::from_static(&[0x5a; RUN_LENGTH]);
    bencher
        .counter(BytesCount::new(RUN_LENGTH))
        .bench_local(|| {
            let mut source = block.clone();
            while source.has_remaining() {
                let written = black_box(encryptor.chunk(&source)).len();
                encryptor.advance(written, &mut source);
            }
        });
}

/// What a stranger makes us compute with 96 bytes: a key of our own, and the secret.
#[divan::bench]
fn two_exponentiations(bencher: Bencher<'_, '_>) {
    let key = secrets(1).private_key.public_key();
    let key = PublicKey::from_bytes(*key.as_bytes()).unwrap();
    bencher.bench_local(|| {
        let ours = black_box(secrets(2).private_key);
        (ours.public_key(), ours.agree(&key))
    });
}

/// What a torrent adds to the search for the one that a peer came for, where its digest is not kept.
#[divan::bench]
fn digest_of_one_torrent() -> SkeyDigest {
    SkeyDigest::of(black_box(SKEY))
}

/// Both sides of a handshake.
#[divan::bench]
fn handshake() -> Established {
    established()
}

fn established() -> Established {
    let methods = Methods::only(Method::Rc4);
    let mut initiator = Initiator::new(SKEY, methods, secrets(1), &mut &[0; 68][..]);
    let mut responder = Responder::new(methods, secrets(2));
    let mut input = BytesMut::new();
    input.unsplit(initiator.output().split());
    responder.handle_input(&mut input, |_| Some(SKEY)).unwrap();
    initiator
        .handle_input(&mut responder.output().split())
        .unwrap();
    input.unsplit(initiator.output().split());
    let established = responder.handle_input(&mut input, |_| Some(SKEY)).unwrap();
    established.unwrap()
}
