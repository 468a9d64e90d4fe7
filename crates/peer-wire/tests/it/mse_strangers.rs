//! What holds whatever a peer does in a handshake of MSE: for the fuzzer, and for the property tests.

use bytes::BytesMut;
use rarest_hash::sha1;
use rarest_metainfo::InfoHash;
use rarest_peer_wire::mse::{
    Initiator, Method, Methods, MseError, Pad, PrivateKey, PublicKey, Rc4, Responder, Secrets,
    SkeyDigest,
};

const SKEY: InfoHash = InfoHash([7; 20]);

/// What is kept of a peer while the handshake is under way: less than a public key, and less than a mark behind the padding.
const MOST_KEPT: usize = PublicKey::LENGTH;

/// A responder that is sent anything. When the first byte says so, by somebody who knows the key: then `script` is what is encrypted.
pub(crate) fn responders_do_no_harm(script: &[u8]) {
    let (choice, script) = script.split_first().unwrap_or((&0, &[]));
    let theirs = PrivateKey::from_bytes([*choice; 20]);
    let stream = if choice & 1 == 0 {
        script.to_vec()
    } else {
        let ours = secrets().private_key.public_key();
        let secret = theirs.agree(&ours);
        let hash = |name: &[u8], rest: &[u8]| sha1(&[name, secret.as_bytes(), rest].concat()).0;
        let mut masked = SkeyDigest::of(SKEY).0;
        for (byte, mask) in masked.iter_mut().zip(hash(b"req3", &[])) {
            *byte ^= mask;
        }
        let mut cipher = Rc4::new(&hash(b"keyA", SKEY.as_bytes()));
        cipher.skip(1024);
        // Most often the verification is right.
        let mut rest = if choice & 2 == 0 {
            vec![0; 8]
        } else {
            Vec::new()
        };
        rest.extend_from_slice(script);
        cipher.apply(&mut rest);
        let key = theirs.public_key();
        [key.as_bytes(), &hash(b"req1", &[])[..], &masked, &rest].concat()
    };
    let read = |parts: &[&[u8]]| {
        let mut responder = Responder::new(methods(*choice), secrets());
        read_parts(parts, |input| {
            let find = |digest| (digest == SkeyDigest::of(SKEY)).then_some(SKEY);
            Ok(responder.handle_input(input, find)?.map(|it| it.method))
        })
    };
    same_however_cut(&stream, read);
}

/// An initiator that is answered anything. When the first byte says so, by somebody who knows the key: then `script` is what is encrypted.
pub(crate) fn initiators_do_no_harm(script: &[u8]) {
    let (choice, script) = script.split_first().unwrap_or((&0, &[]));
    let theirs = PrivateKey::from_bytes([*choice; 20]);
    let stream = if choice & 1 == 0 {
        script.to_vec()
    } else {
        let secret = theirs.agree(&secrets().private_key.public_key());
        let key = [b"keyB", &secret.as_bytes()[..], SKEY.as_bytes()].concat();
        let mut cipher = Rc4::new(&sha1(&key).0);
        cipher.skip(1024);
        let mut rest = vec![0; 8];
        rest.extend_from_slice(script);
        cipher.apply(&mut rest);
        [&theirs.public_key().as_bytes()[..], &rest].concat()
    };
    let read = |parts: &[&[u8]]| {
        let methods = methods(*choice);
        let mut initiator = Initiator::new(SKEY, methods, secrets(), &mut &b"early"[..]);
        read_parts(parts, |input| {
            Ok(initiator.handle_input(input)?.map(|it| it.method))
        })
    };
    same_however_cut(&stream, read);
}

fn secrets() -> Secrets {
    Secrets {
        private_key: PrivateKey::from_bytes([3; 20]),
        open_pad: Pad::EMPTY,
        encrypted_pad: Pad::EMPTY,
    }
}

fn methods(choice: u8) -> Methods {
    match choice >> 2 & 3 {
        0 => Methods::only(Method::Rc4),
        1 => Methods::only(Method::Plaintext),
        _ => Methods::preferring(Method::Rc4),
    }
}

/// What a handshake came to, and what is left behind it.
type Outcome = Result<Option<(Method, usize)>, MseError>;

fn read_parts(
    parts: &[&[u8]],
    mut read: impl FnMut(&mut BytesMut) -> Result<Option<Method>, MseError>,
) -> Outcome {
    let mut input = BytesMut::new();
    let mut done = None;
    for part in parts {
        input.extend_from_slice(part);
        if done.is_none() {
            done = read(&mut input)?;
            assert!(done.is_some() || input.len() < MOST_KEPT);
        }
    }
    Ok(done.map(|method| (method, input.len())))
}

fn same_however_cut(stream: &[u8], read: impl Fn(&[&[u8]]) -> Outcome) {
    let whole = read(&[stream]);
    let halves = stream.split_at(stream.len() / 2);
    assert_eq!(read(&[halves.0, halves.1]), whole);
    let sevenths: Vec<_> = stream.chunks(7).collect();
    assert_eq!(read(&sevenths), whole);
}
