//! Handshakes of MSE whose every byte is known, those of real peers among them.

use bytes::{Buf, BytesMut};
use rarest_metainfo::InfoHash;
use rarest_peer_wire::mse::{
    Established, Initiator, Method, Methods, MseError, Pad, PrivateKey, PublicKey, Rc4, Responder,
    Secrets, SkeyDigest,
};
use serde_json::{Map, Value};

type Entry = Map<String, Value>;

fn entries(kind: &str) -> Vec<Entry> {
    let corpus: Vec<Entry> = serde_json::from_str(include_str!("../fixtures/mse.json")).unwrap();
    let entries: Vec<_> = corpus
        .into_iter()
        .filter(|entry| entry["kind"].as_str().unwrap().starts_with(kind))
        .collect();
    assert!(!entries.is_empty(), "no entry of kind {kind}");
    entries
}

fn bytes(entry: &Entry, field: &str) -> Vec<u8> {
    let hex = entry[field].as_str().unwrap();
    let digits = (0..hex.len()).step_by(2);
    digits
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn array<const N: usize>(entry: &Entry, field: &str) -> [u8; N] {
    bytes(entry, field).try_into().unwrap()
}

fn pad(entry: &Entry, field: &str) -> Pad {
    Pad::new(bytes(entry, field)).unwrap()
}

fn method(entry: &Entry) -> Method {
    match entry["crypto_select"].as_u64() {
        Some(1) => Method::Plaintext,
        Some(2) => Method::Rc4,
        other => panic!("{other:?}"),
    }
}

/// Both offer all, and one of both prefers what was chosen.
fn methods(entry: &Entry) -> Methods {
    match entry["crypto_provide"].as_u64() {
        Some(3) => Methods::preferring(method(entry)),
        _ => Methods::only(method(entry)),
    }
}

fn initiator(entry: &Entry) -> Initiator {
    let secrets = Secrets {
        private_key: PrivateKey::from_bytes(array(entry, "private_a")),
        open_pad: pad(entry, "pad_a"),
        encrypted_pad: pad(entry, "pad_c"),
    };
    let payload = bytes(entry, "ia");
    Initiator::new(
        InfoHash(array(entry, "skey")),
        methods(entry),
        secrets,
        &mut &payload[..],
    )
}

fn responder(entry: &Entry) -> Responder {
    let secrets = Secrets {
        private_key: PrivateKey::from_bytes(array(entry, "private_b")),
        open_pad: pad(entry, "pad_b"),
        encrypted_pad: pad(entry, "pad_d"),
    };
    Responder::new(methods(entry), secrets)
}

fn drain(output: &mut BytesMut) -> Vec<u8> {
    output.copy_to_bytes(output.len()).into()
}

/// Finds the torrent of an entry among others.
fn finder(entry: &Entry) -> impl Fn(SkeyDigest) -> Option<InfoHash> {
    let known = [InfoHash([1; 20]), InfoHash(array(entry, "skey"))];
    move |digest| {
        known
            .into_iter()
            .find(|&hash| SkeyDigest::of(hash) == digest)
    }
}

/// Reads the parts of a stream one after another, and puts what comes behind the handshake together.
fn read_parts<'a>(
    parts: impl IntoIterator<Item = &'a [u8]>,
    mut read: impl FnMut(&mut BytesMut) -> Option<Established>,
) -> (Established, Vec<u8>) {
    let mut input = BytesMut::new();
    let mut established: Option<Established> = None;
    for part in parts {
        let before = input.len();
        input.extend_from_slice(part);
        match &mut established {
            Some(established) => {
                if let Some(decryptor) = &mut established.decryptor {
                    decryptor.decrypt(&mut input[before..]);
                }
            }
            None => established = read(&mut input),
        }
    }
    (established.expect("the handshake is whole"), input.to_vec())
}

/// The same bytes whole, cut in two at each place, and one by one.
fn cuts(stream: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let pairs = (0..=stream.len()).map(|cut| vec![&stream[..cut], &stream[cut..]]);
    pairs.chain([stream.chunks(1).collect()])
}

#[test]
fn keystreams() {
    for entry in entries("rc4") {
        let key = bytes(&entry, "key");
        let cipher = match key.len() {
            5 => Rc4::new::<5>(&key.try_into().unwrap()),
            7 => Rc4::new::<7>(&key.try_into().unwrap()),
            8 => Rc4::new::<8>(&key.try_into().unwrap()),
            10 => Rc4::new::<10>(&key.try_into().unwrap()),
            16 => Rc4::new::<16>(&key.try_into().unwrap()),
            24 => Rc4::new::<24>(&key.try_into().unwrap()),
            32 => Rc4::new::<32>(&key.try_into().unwrap()),
            other => panic!("RFC 6229 has no key of {other} bytes"),
        };
        for (field, offset) in [("keystream_at_1024", 1024), ("keystream_at_4096", 4096)] {
            let mut cipher = cipher.clone();
            cipher.skip(offset);
            let mut keystream = [0; 16];
            cipher.apply(&mut keystream);
            assert_eq!(keystream, array(&entry, field));
        }
    }
}

#[test]
fn public_keys() {
    for entry in entries("public key") {
        let key = PublicKey::from_bytes(array(&entry, "key"));
        assert_eq!(key.is_ok(), entry["ok"].as_bool().unwrap(), "{entry:?}");
    }
}

#[test]
fn shared_secrets() {
    for entry in entries("handshake") {
        let [a, b] =
            ["private_a", "private_b"].map(|key| PrivateKey::from_bytes(array(&entry, key)));
        assert_eq!(*a.public_key().as_bytes(), array(&entry, "ya"));
        assert_eq!(*b.public_key().as_bytes(), array(&entry, "yb"));
        for secret in [a.agree(&b.public_key()), b.agree(&a.public_key())] {
            assert_eq!(*secret.as_bytes(), array(&entry, "secret"));
        }
    }
}

#[test]
fn initiators_say_what_they_should_however_the_answer_is_cut() {
    for entry in entries("handshake") {
        let stream = [
            bytes(&entry, "b_sends_1"),
            bytes(&entry, "b_sends_2"),
            bytes(&entry, "b_then_says_on_the_wire"),
        ]
        .concat();
        for parts in cuts(&stream) {
            let mut initiator = initiator(&entry);
            assert_eq!(drain(initiator.output()), bytes(&entry, "a_sends_1"));
            let (established, rest) = read_parts(parts, |input| {
                initiator.handle_input(input).expect("a good answer")
            });
            assert_eq!(drain(initiator.output()), bytes(&entry, "a_sends_2"));
            assert_eq!(established.method, method(&entry));
            assert_eq!(rest, bytes(&entry, "b_then_says"));
        }
    }
}

#[test]
fn responders_say_what_they_should_however_the_request_is_cut() {
    for entry in entries("handshake") {
        let stream = [bytes(&entry, "a_sends_1"), bytes(&entry, "a_sends_2")].concat();
        for parts in cuts(&stream) {
            let mut responder = responder(&entry);
            let (mut established, rest) = read_parts(parts, |input| {
                let read = responder.handle_input(input, finder(&entry));
                read.expect("a good request")
            });
            let expected = [bytes(&entry, "b_sends_1"), bytes(&entry, "b_sends_2")].concat();
            assert_eq!(drain(responder.output()), expected);
            assert_eq!(established.method, method(&entry));
            assert_eq!(established.info_hash.0, array(&entry, "skey"));
            assert_eq!(rest, bytes(&entry, "ia"));
            let mut said = &bytes(&entry, "b_then_says")[..];
            if let Some(encryptor) = &mut established.encryptor {
                let wire = bytes(&entry, "b_then_says_on_the_wire");
                assert_eq!(encryptor.chunk(&said), wire);
                encryptor.advance(wire.len(), &mut said);
            }
        }
    }
}

#[test]
fn recorded_initiators_are_understood() {
    for entry in entries("recorded, we are B") {
        let key = array(&entry, "private_b");
        let stream = [bytes(&entry, "a_sends_1"), bytes(&entry, "then_a_sends")].concat();
        for parts in cuts(&stream) {
            let secrets = Secrets {
                private_key: PrivateKey::from_bytes(key),
                open_pad: Pad::EMPTY,
                encrypted_pad: Pad::EMPTY,
            };
            let mut responder = Responder::new(Methods::only(Method::Rc4), secrets);
            let (established, rest) = read_parts(parts, |input| {
                let read = responder.handle_input(input, finder(&entry));
                read.expect("a real peer")
            });
            assert_eq!(established.method, Method::Rc4);
            let expected = [bytes(&entry, "ia"), bytes(&entry, "behind_ia")].concat();
            assert_eq!(rest, expected);
        }
    }
}

#[test]
fn a_prefix_of_a_request_is_not_yet_one() {
    for entry in entries("handshake") {
        let payload = bytes(&entry, "ia").len();
        let stream = [bytes(&entry, "a_sends_1"), bytes(&entry, "a_sends_2")].concat();
        // The payload need not be whole.
        for end in 0..stream.len() - payload {
            let mut input = BytesMut::from(&stream[..end]);
            let read = responder(&entry).handle_input(&mut input, finder(&entry));
            assert!(matches!(read, Ok(None)), "{end}: {read:?}");
        }
    }
}

#[test]
fn a_torrent_that_nobody_serves_is_refused() {
    let entry = &entries("handshake")[0];
    let stream = [bytes(entry, "a_sends_1"), bytes(entry, "a_sends_2")].concat();
    let read = responder(entry).handle_input(&mut BytesMut::from(&stream[..]), |_| None);
    assert_eq!(read.unwrap_err(), MseError::UnknownTorrent);
}
