//! The examples of NIST for FIPS 180-4.

use rarest_hash::{
    Sha1, Sha1Digest, Sha256, Sha256Digest, Slices, sha1, sha1_many, sha256, sha256_many,
};

const TWO_BLOCKS: &str = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
const LONG: &str = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";

const VECTORS: [(&str, &str, &str); 4] = [
    (
        "",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    (
        "abc",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ),
    (
        TWO_BLOCKS,
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
    (
        LONG,
        "a49b2446a02c645bf419f995b67091253a04a259",
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
    ),
];

#[test]
fn one_message() {
    for (message, expected_sha1, expected_sha256) in VECTORS {
        assert_eq!(sha1(message.as_bytes()).to_string(), expected_sha1);
        assert_eq!(sha256(message.as_bytes()).to_string(), expected_sha256);
    }
}

#[test]
fn all_at_once_and_byte_by_byte() {
    let bytes: Vec<Vec<&[u8]>> = VECTORS
        .iter()
        .map(|(message, ..)| message.as_bytes().chunks(1).collect())
        .collect();
    let messages: Vec<Slices<'_>> = bytes.iter().map(Vec::as_slice).collect();
    let found = sha1_many(&messages).into_iter().zip(sha256_many(&messages));
    for ((found_sha1, found_sha256), (_, expected_sha1, expected_sha256)) in found.zip(VECTORS) {
        assert_eq!(found_sha1.to_string(), expected_sha1);
        assert_eq!(found_sha256.to_string(), expected_sha256);
    }
}

#[test]
fn a_million_bytes_in_parts() {
    let (mut sha1, mut sha256) = (Sha1::new(), Sha256::new());
    for _ in 0..1000 {
        sha1.update(&[b'a'; 1000]);
        sha256.update(&[b'a'; 1000]);
    }
    assert_eq!(
        sha1.finish().to_string(),
        "34aa973cd4c4daa4f61eeb2bdbad27316534016f"
    );
    assert_eq!(
        sha256.finish().to_string(),
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    );
}

#[test]
fn digests_are_shown_as_hex_and_compared_by_their_bytes() {
    let digest = Sha1Digest::from([0x0a; 20]);
    assert_eq!(digest.to_string(), "0a".repeat(20));
    assert_eq!(format!("{digest:?}"), digest.to_string());
    assert_eq!(digest.as_bytes(), digest.as_ref());
    assert!(Sha256Digest([1; 32]) > Sha256Digest::default());
}
