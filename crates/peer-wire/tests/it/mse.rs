//! Two peers that encrypt, or one and a script that knows the keys.

use std::sync::Arc;

use bytes::{Buf, BufMut, BytesMut};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rarest_hash::sha1;
use rarest_metainfo::InfoHash;
use rarest_peer_wire::connection::{Connection, Event, LocalTorrent};
use rarest_peer_wire::limits::{MAX_MSE_PAD_LENGTH, MAX_MSE_PAYLOAD_LENGTH};
use rarest_peer_wire::mse::{
    DegenerateKey, Encryptor, Established, Initiator, Method, Methods, MseError, Opening, Pad,
    PrivateKey, PublicKey, Rc4, Responder, Secrets, SharedSecret, SkeyDigest,
};

use crate::pair::{INFO_HASH, LEFT_ID, RIGHT_ID, addr, all, config, geometry, none, start};

const RC4: Methods = Methods::only(Method::Rc4);
const PLAINTEXT: Methods = Methods::only(Method::Plaintext);
const PRIME_END: u8 = 0x63;

fn secrets(seed: u64) -> Secrets {
    Secrets::random(&mut StdRng::seed_from_u64(seed))
}

fn with_pads(seed: u64, open: usize, encrypted: usize) -> Secrets {
    Secrets {
        open_pad: Pad::new(vec![0xaa; open]).unwrap(),
        encrypted_pad: Pad::new(vec![0; encrypted]).unwrap(),
        ..secrets(seed)
    }
}

fn ours(digest: SkeyDigest) -> Option<InfoHash> {
    (digest == SkeyDigest::of(INFO_HASH)).then_some(INFO_HASH)
}

fn take(output: &mut BytesMut) -> BytesMut {
    output.split()
}

/// What both sides settled on, and what each has read behind the handshake.
struct Pair {
    initiator: Established,
    responder: Established,
    payload: BytesMut,
    /// What waits for the initiator.
    answer: BytesMut,
}

fn handshake(mut initiator: Initiator, mut responder: Responder) -> Result<Pair, MseError> {
    let (mut to_responder, mut to_initiator) = (BytesMut::new(), BytesMut::new());
    let (mut left, mut right) = (None, None);
    for _ in 0..4 {
        to_responder.unsplit(take(initiator.output()));
        if right.is_none() {
            right = responder.handle_input(&mut to_responder, ours)?;
        }
        to_initiator.unsplit(take(responder.output()));
        if left.is_none() {
            left = initiator.handle_input(&mut to_initiator)?;
        }
    }
    Ok(Pair {
        initiator: left.expect("the initiator is done"),
        responder: right.expect("the responder is done"),
        payload: to_responder,
        answer: to_initiator,
    })
}

fn initiator(methods: Methods, mut payload: &[u8]) -> Initiator {
    Initiator::new(INFO_HASH, methods, secrets(1), &mut payload)
}

fn responder(methods: Methods) -> Responder {
    Responder::new(methods, secrets(2))
}

/// What one side says behind the handshake, as the other reads it.
fn say(from: &mut Established, to: &mut Established, text: &[u8]) -> Vec<u8> {
    let mut wire = match &mut from.encryptor {
        Some(encryptor) => write_all(encryptor, text, usize::MAX),
        None => text.to_vec(),
    };
    assert_eq!(wire == text, from.method == Method::Plaintext);
    if let Some(decryptor) = &mut to.decryptor {
        decryptor.decrypt(&mut wire);
    }
    wire
}

/// What a socket gets that takes at most `most` bytes at a time.
fn write_all(encryptor: &mut Encryptor, mut text: &[u8], most: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    while text.has_remaining() {
        let chunk = encryptor.chunk(&text);
        let written = chunk.len().min(most);
        wire.extend_from_slice(&chunk[..written]);
        encryptor.advance(written, &mut text);
    }
    wire
}

#[test]
fn both_sides_settle_on_rc4_and_understand_each_other() {
    let mut pair = handshake(initiator(RC4, b"early"), responder(RC4)).unwrap();
    assert_eq!(pair.payload, b"early"[..]);
    assert_eq!(pair.responder.info_hash, INFO_HASH);
    let text = b"what is said behind the handshake";
    let heard = say(&mut pair.initiator, &mut pair.responder, text);
    assert_eq!(heard, text);
    let heard = say(&mut pair.responder, &mut pair.initiator, text);
    assert_eq!(heard, text);
}

#[test]
fn with_plaintext_only_the_handshake_and_its_payload_are_encrypted() {
    let mut pair = handshake(initiator(PLAINTEXT, b"early"), responder(PLAINTEXT)).unwrap();
    assert_eq!(pair.payload, b"early"[..]);
    assert!(pair.initiator.encryptor.is_none() && pair.initiator.decryptor.is_none());
    assert!(pair.responder.encryptor.is_none() && pair.responder.decryptor.is_none());
    let heard = say(&mut pair.initiator, &mut pair.responder, b"in the clear");
    assert_eq!(heard, b"in the clear");
}

#[test]
fn the_responder_chooses_what_it_likes_best_of_what_is_offered() {
    for (offered, accepted, chosen) in [
        (
            Methods::preferring(Method::Plaintext),
            Methods::preferring(Method::Rc4),
            Method::Rc4,
        ),
        (
            Methods::preferring(Method::Rc4),
            Methods::preferring(Method::Plaintext),
            Method::Plaintext,
        ),
        (RC4, Methods::preferring(Method::Plaintext), Method::Rc4),
        (
            PLAINTEXT,
            Methods::preferring(Method::Rc4),
            Method::Plaintext,
        ),
    ] {
        let pair = handshake(initiator(offered, b""), responder(accepted)).unwrap();
        assert_eq!(pair.initiator.method, chosen);
        assert_eq!(pair.responder.method, chosen);
    }
}

#[test]
fn without_a_common_method_there_is_no_connection() {
    let failed = handshake(initiator(PLAINTEXT, b""), responder(RC4));
    assert_eq!(
        failed.err(),
        Some(MseError::NoCommonMethod { offered: 0b01 })
    );
    let failed = handshake(initiator(RC4, b""), responder(PLAINTEXT));
    assert_eq!(
        failed.err(),
        Some(MseError::NoCommonMethod { offered: 0b10 })
    );
}

#[test]
fn bytes_behind_the_handshake_in_the_same_read_are_not_lost() {
    for methods in [RC4, PLAINTEXT] {
        let mut initiator = initiator(methods, b"early");
        let mut responder = responder(methods);
        let mut to_responder = take(initiator.output());
        responder.handle_input(&mut to_responder, ours).unwrap();
        let mut to_initiator = take(responder.output());
        initiator.handle_input(&mut to_initiator).unwrap();
        to_responder.unsplit(take(initiator.output()));
        let mut right = responder
            .handle_input(&mut to_responder, ours)
            .unwrap()
            .unwrap();
        to_initiator.unsplit(take(responder.output()));
        let said = match &mut right.encryptor {
            Some(encryptor) => write_all(encryptor, b"hello", usize::MAX),
            None => b"hello".to_vec(),
        };
        to_initiator.extend_from_slice(&said);
        let left = initiator.handle_input(&mut to_initiator).unwrap();
        assert!(left.is_some());
        assert_eq!(to_initiator, b"hello"[..]);
    }
}

#[test]
fn a_payload_may_have_any_length() {
    for methods in [RC4, PLAINTEXT] {
        for length in [0, 1, 68, 4096, usize::from(MAX_MSE_PAYLOAD_LENGTH)] {
            let payload: Vec<u8> = (0..=250).cycle().take(length).collect();
            let pair = handshake(initiator(methods, &payload), responder(methods)).unwrap();
            assert_eq!(pair.payload, payload);
            assert!(pair.answer.is_empty());
        }
    }
}

#[test]
fn what_is_too_long_to_be_sent_along_stays_where_it_is() {
    let text = vec![7; usize::from(MAX_MSE_PAYLOAD_LENGTH) + 10];
    let mut source = &text[..];
    let initiator = Initiator::new(INFO_HASH, RC4, secrets(1), &mut source);
    assert_eq!(source.len(), 10);
    let pair = handshake(initiator, responder(RC4)).unwrap();
    assert_eq!(pair.payload.len(), usize::from(MAX_MSE_PAYLOAD_LENGTH));
}

#[test]
fn a_payload_that_is_still_coming_is_decrypted_and_what_follows_is_not() {
    let mut initiator = initiator(PLAINTEXT, b"a long payload");
    let mut responder = responder(PLAINTEXT);
    let mut input = take(initiator.output());
    responder.handle_input(&mut input, ours).unwrap();
    initiator
        .handle_input(&mut take(responder.output()))
        .unwrap();
    let mut rest = take(initiator.output());
    rest.extend_from_slice(b" and more");
    let late = rest.split_off(rest.len() - 15);
    input.unsplit(rest);
    let established = responder.handle_input(&mut input, ours).unwrap().unwrap();
    assert_eq!(input, b"a long p"[..]);
    let mut decryptor = established.decryptor.unwrap();
    for mut part in late.chunks(4).map(<[u8]>::to_vec) {
        decryptor.decrypt(&mut part);
        input.extend_from_slice(&part);
    }
    assert!(decryptor.is_finished());
    assert_eq!(input, b"a long payload and more"[..]);
}

#[test]
fn paddings_of_any_allowed_length_are_skipped() {
    for open in [0, 1, 511, MAX_MSE_PAD_LENGTH] {
        for encrypted in [0, 1, MAX_MSE_PAD_LENGTH] {
            let secrets = |seed| with_pads(seed, open, encrypted);
            let initiator = Initiator::new(INFO_HASH, RC4, secrets(1), &mut &b"early"[..]);
            let responder = Responder::new(RC4, secrets(2));
            let pair = handshake(initiator, responder).unwrap();
            assert_eq!(pair.payload, b"early"[..]);
        }
    }
    assert!(Pad::new(vec![0; MAX_MSE_PAD_LENGTH + 1]).is_err());
}

/// The other side, as somebody would write it who does not keep to the rules.
struct Forger {
    key: PrivateKey,
    secret: SharedSecret,
    cipher: Rc4,
}

impl Forger {
    /// One that speaks to a side whose key has come, as the initiator (`keyA`) or the responder (`keyB`).
    fn new(key: PrivateKey, name: &[u8], theirs: &[u8]) -> Self {
        let theirs = theirs[..PublicKey::LENGTH].try_into().unwrap();
        let secret = key.agree(&PublicKey::from_bytes(theirs).unwrap());
        let cipher_key = [name, secret.as_bytes(), INFO_HASH.as_bytes()].concat();
        let mut cipher = Rc4::new(&sha1(&cipher_key).0);
        cipher.skip(1024);
        Self {
            key,
            secret,
            cipher,
        }
    }

    fn encrypt(&mut self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        self.cipher.apply(&mut text);
        text
    }

    fn hash(&self, name: &[u8]) -> [u8; 20] {
        sha1(&[name, self.secret.as_bytes()].concat()).0
    }

    fn masked_skey(&self) -> Vec<u8> {
        let digest = SkeyDigest::of(INFO_HASH).0;
        let mask = self.hash(b"req3");
        digest.iter().zip(mask).map(|(a, b)| a ^ b).collect()
    }
}

/// A responder that has told its key to a forger, and read the forger's.
fn forge_initiator(methods: Methods) -> (Responder, Forger) {
    let mut responder = responder(methods);
    let key = secrets(3).private_key;
    let mut input = BytesMut::from(&key.public_key().as_bytes()[..]);
    assert!(matches!(responder.handle_input(&mut input, ours), Ok(None)));
    let forger = Forger::new(key, b"keyA", responder.output());
    (responder, forger)
}

/// An initiator that has told its key to a forger, and read the forger's.
fn forge_responder(methods: Methods) -> (Initiator, Forger) {
    let mut initiator = initiator(methods, b"early");
    let key = secrets(3).private_key;
    let forger = Forger::new(key, b"keyB", initiator.output());
    let mut input = BytesMut::from(&forger.key.public_key().as_bytes()[..]);
    assert!(matches!(initiator.handle_input(&mut input), Ok(None)));
    (initiator, forger)
}

/// What a responder says to an offer with this head (verification, methods, length of the padding).
fn offer(verification: u64, methods: u32, pad: u16) -> Result<Option<Established>, MseError> {
    let (mut responder, mut forger) = forge_initiator(RC4);
    let mut head = Vec::new();
    head.put_u64(verification);
    head.put_u32(methods);
    head.put_u16(pad);
    head.put_bytes(0, pad.into());
    head.put_u16(0);
    let mut input = BytesMut::new();
    input.put_slice(&forger.hash(b"req1"));
    input.put_slice(&forger.masked_skey());
    input.put_slice(&forger.encrypt(&head));
    responder.handle_input(&mut input, ours)
}

/// What an initiator says to a selection with this head.
fn selection(methods: Methods, selected: u32, pad: u16) -> Result<Option<Established>, MseError> {
    let (mut initiator, mut forger) = forge_responder(methods);
    let mut head = Vec::new();
    head.put_u64(0);
    head.put_u32(selected);
    head.put_u16(pad);
    head.put_bytes(0, pad.into());
    let mut input = BytesMut::from(&forger.encrypt(&head)[..]);
    initiator.handle_input(&mut input)
}

#[test]
fn a_wrong_verification_is_refused() {
    assert!(offer(0, 2, 0).unwrap().is_some());
    for verification in [1, 1 << 63, u64::MAX] {
        let failed = offer(verification, 2, 0);
        assert_eq!(failed.err(), Some(MseError::WrongVerification));
    }
}

#[test]
fn a_torrent_with_another_key_is_found_out_by_its_verification() {
    let mut initiator = initiator(RC4, b"");
    let mut responder = responder(RC4);
    let mut input = take(initiator.output());
    let wrong = |_| Some(InfoHash([9; 20]));
    responder.handle_input(&mut input, wrong).unwrap();
    initiator
        .handle_input(&mut take(responder.output()))
        .unwrap();
    input.unsplit(take(initiator.output()));
    let failed = responder.handle_input(&mut input, wrong);
    assert_eq!(failed.err(), Some(MseError::WrongVerification));
}

#[test]
fn an_encrypted_padding_above_the_limit_is_refused() {
    let limit = u16::try_from(MAX_MSE_PAD_LENGTH).unwrap();
    assert!(offer(0, 2, limit).unwrap().is_some());
    assert!(selection(RC4, 2, limit).unwrap().is_some());
    for length in [limit + 1, u16::MAX] {
        let error = Some(MseError::PadTooLong { length });
        assert_eq!(offer(0, 2, length).err(), error);
        assert_eq!(selection(RC4, 2, length).err(), error);
    }
}

#[test]
fn what_was_chosen_is_one_of_what_was_offered() {
    let both = Methods::preferring(Method::Plaintext);
    assert!(selection(both, 1, 0).unwrap().is_some());
    assert!(selection(both, 2, 0).unwrap().is_some());
    for (methods, selected) in [
        (RC4, 1),
        (PLAINTEXT, 2),
        (both, 0),
        (both, 3),
        (both, 4),
        (both, 0x8000_0002),
    ] {
        let error = Some(MseError::MethodNotOffered { selected });
        assert_eq!(selection(methods, selected, 0).err(), error);
    }
}

#[test]
fn methods_that_nobody_knows_are_no_hindrance_in_an_offer() {
    let established = offer(0, 0xffff_fffe, 0).unwrap().unwrap();
    assert_eq!(established.method, Method::Rc4);
    let error = Some(MseError::NoCommonMethod { offered: 0xfc });
    assert_eq!(offer(0, 0xfc, 0).err(), error);
}

#[test]
fn degenerate_keys_are_refused() {
    let prime: [u8; 96] = {
        let mut prime = [0; 96];
        // The two keys of the corpus and what lies beside them: the prime less one, and the prime.
        let hex = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563";
        for (index, byte) in prime.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap();
        }
        prime
    };
    let beside = |last: u8| {
        let mut key = prime;
        key[95] = last;
        key
    };
    let small = |value: u8| {
        let mut key = [0; 96];
        key[95] = value;
        key
    };
    for key in [
        small(0),
        small(1),
        beside(PRIME_END - 1),
        prime,
        beside(PRIME_END + 1),
        [0xff; 96],
    ] {
        let mut input = BytesMut::from(&key[..]);
        let failed = responder(RC4).handle_input(&mut input, ours);
        assert_eq!(failed.err(), Some(MseError::DegenerateKey(DegenerateKey)));
        let mut input = BytesMut::from(&key[..]);
        let failed = initiator(RC4, b"").handle_input(&mut input);
        assert_eq!(failed.err(), Some(MseError::DegenerateKey(DegenerateKey)));
    }
    for key in [small(2), beside(PRIME_END - 2)] {
        assert!(PublicKey::from_bytes(key).is_ok());
    }
}

#[test]
fn a_responder_looks_no_further_than_the_longest_padding() {
    let (mut responder, forger) = forge_initiator(RC4);
    let mut input = BytesMut::from(&[0xaa; MAX_MSE_PAD_LENGTH][..]);
    assert!(matches!(responder.handle_input(&mut input, ours), Ok(None)));
    assert!(input.len() < 20, "what is skipped is not kept");
    input.put_slice(&forger.hash(b"req1"));
    assert!(matches!(responder.handle_input(&mut input, ours), Ok(None)));

    let (mut responder, forger) = forge_initiator(RC4);
    let mut input = BytesMut::from(&[0xaa; MAX_MSE_PAD_LENGTH + 1][..]);
    input.put_slice(&forger.hash(b"req1"));
    let failed = responder.handle_input(&mut input, ours);
    assert_eq!(failed.err(), Some(MseError::NotSynchronized));
}

#[test]
fn an_initiator_looks_no_further_than_the_longest_padding() {
    let answer = |pad: usize| {
        let (mut initiator, mut forger) = forge_responder(RC4);
        let mut input = BytesMut::from(&vec![0xaa; pad][..]);
        input.put_slice(&forger.encrypt(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0]));
        initiator.handle_input(&mut input)
    };
    assert!(answer(MAX_MSE_PAD_LENGTH).unwrap().is_some());
    let failed = answer(MAX_MSE_PAD_LENGTH + 1);
    assert_eq!(failed.err(), Some(MseError::NotSynchronized));
}

#[test]
fn an_endless_padding_ends_after_628_bytes_however_it_comes() {
    let mut responder = responder(RC4);
    let mut input = BytesMut::new();
    let failed = (1..).find_map(|sent: usize| {
        input.extend_from_slice(&[0x42]);
        let failed = responder.handle_input(&mut input, ours).err();
        assert!(input.len() <= PublicKey::LENGTH);
        failed.map(|error| (sent, error))
    });
    let limit = PublicKey::LENGTH + MAX_MSE_PAD_LENGTH + 20;
    assert_eq!(failed, Some((limit, MseError::NotSynchronized)));
}

#[test]
fn who_has_failed_stays_so() {
    let (mut responder, _) = forge_initiator(RC4);
    let mut input = BytesMut::from(&[0xaa; 1000][..]);
    for _ in 0..2 {
        let failed = responder.handle_input(&mut input, ours);
        assert_eq!(failed.err(), Some(MseError::NotSynchronized));
    }
    let (mut initiator, _) = forge_responder(RC4);
    let mut input = BytesMut::from(&[0xaa; 1000][..]);
    for _ in 0..2 {
        let failed = initiator.handle_input(&mut input);
        assert_eq!(failed.err(), Some(MseError::NotSynchronized));
    }
}

#[test]
fn plaintext_and_encrypted_openings_are_told_apart_by_the_first_byte_that_differs() {
    let protocol = b"\x13BitTorrent protocol";
    for length in 0..protocol.len() {
        assert_eq!(Opening::of(&protocol[..length]), None);
        let mut other = protocol[..=length].to_vec();
        other[length] ^= 1;
        assert_eq!(Opening::of(&other), Some(Opening::Encrypted));
    }
    assert_eq!(Opening::of(protocol), Some(Opening::Plaintext));
    let long = [&protocol[..], &[0; 48]].concat();
    assert_eq!(Opening::of(&long), Some(Opening::Plaintext));
}

#[test]
fn two_connections_trade_a_handshake_and_their_pieces_through_it() {
    let now = start();
    let mut left = Connection::outgoing(Arc::new(config(LEFT_ID)), addr(), INFO_HASH, now);
    let mut right = Connection::incoming(Arc::new(config(RIGHT_ID)), addr(), now);
    let initiator = Initiator::new(INFO_HASH, RC4, secrets(1), left.output());
    assert!(!left.has_output(), "the handshake travels along");
    let mut pair = handshake(initiator, responder(RC4)).unwrap();

    let mut input = pair.payload;
    right.handle_input(now, &mut input).unwrap();
    assert_eq!(right.awaiting_accept().unwrap().peer_id, LEFT_ID);
    right.accept(now, LocalTorrent::new(INFO_HASH, geometry(), all()));
    let encryptor = pair.responder.encryptor.as_mut().unwrap();
    let mut wire = BytesMut::new();
    while right.has_output() {
        let chunk = encryptor.chunk(right.output());
        let written = chunk.len().min(5);
        wire.extend_from_slice(&chunk[..written]);
        encryptor.advance(written, right.output());
    }
    pair.initiator.decryptor.unwrap().decrypt(&mut wire);
    left.handle_input(now, &mut wire).unwrap();
    left.accept(now, LocalTorrent::new(INFO_HASH, geometry(), none()));
    left.handle_input(now, &mut wire).unwrap();
    let has = std::iter::from_fn(|| left.poll_event())
        .find_map(|event| match event {
            Event::Has(pieces) => Some(pieces),
            _ => None,
        })
        .unwrap();
    assert_eq!(has, all());
}

#[test]
fn an_encryptor_gives_the_same_however_much_the_socket_takes() {
    let text: Vec<u8> = (0..=250).cycle().take(200_000).collect();
    let mut whole = handshake(initiator(RC4, b""), responder(RC4)).unwrap();
    let expected = write_all(
        whole.initiator.encryptor.as_mut().unwrap(),
        &text,
        usize::MAX,
    );
    for most in [1, 1000, 65_536, 65_537] {
        let mut pair = handshake(initiator(RC4, b""), responder(RC4)).unwrap();
        let wire = write_all(pair.initiator.encryptor.as_mut().unwrap(), &text, most);
        assert!(wire == expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_two_sides_understand_each_other(
        seeds: (u64, u64),
        is_rc4: bool,
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        text in proptest::collection::vec(any::<u8>(), 20..300),
    ) {
        let method = if is_rc4 { Method::Rc4 } else { Method::Plaintext };
        let initiator = Initiator::new(
            INFO_HASH,
            Methods::preferring(Method::Rc4),
            secrets(seeds.0),
            &mut &payload[..],
        );
        let responder = Responder::new(Methods::preferring(method), secrets(seeds.1));
        let mut pair = handshake(initiator, responder).unwrap();
        prop_assert_eq!(&pair.payload[..], &payload);
        prop_assert_eq!(pair.initiator.method, method);
        prop_assert_eq!(say(&mut pair.initiator, &mut pair.responder, &text), &text[..]);
        prop_assert_eq!(say(&mut pair.responder, &mut pair.initiator, &text), &text[..]);
    }

    #[test]
    fn handshakes_do_no_harm(script in proptest::collection::vec(any::<u8>(), 0..900)) {
        crate::mse_strangers::responders_do_no_harm(&script);
        crate::mse_strangers::initiators_do_no_harm(&script);
    }
}
