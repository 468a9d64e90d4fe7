//! Arbitrary values and arbitrary bytes.

use proptest::prelude::*;
use rarest_bencode::{Document, Options};

use crate::agreement;

/// Canonical encodings of arbitrary values.
fn canonical() -> impl Strategy<Value = Vec<u8>> {
    let int = any::<i128>().prop_map(|number| format!("i{number}e").into_bytes());
    let small = any::<i8>().prop_map(|number| format!("i{number}e").into_bytes());
    let leaf = prop_oneof![int, small, bytes().prop_map(|content| string(&content))];
    leaf.prop_recursive(5, 60, 6, |value| {
        prop_oneof![
            prop::collection::vec(value.clone(), 0..6).prop_map(|items| [
                b"l".to_vec(),
                items.concat(),
                b"e".to_vec()
            ]
            .concat()),
            prop::collection::btree_map(bytes(), value, 0..6).prop_map(|entries| {
                let entries = entries.into_iter();
                let entries: Vec<_> = entries
                    .map(|(key, value)| [string(&key), value].concat())
                    .collect();
                [b"d".to_vec(), entries.concat(), b"e".to_vec()].concat()
            }),
        ]
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..12)
}

fn string(content: &[u8]) -> Vec<u8> {
    [content.len().to_string().as_bytes(), b":", content].concat()
}

/// Bytes that look like bencode.
fn nearly_bencode() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec!["i", "l", "d", "e", "0", "1", "2", ":", "-", "x", "\0"]),
        4 => prop::sample::select(vec!["0:", "1:a", "1:b", "2:ab", "i0e", "i-1e", "le", "de", "01:a", "i01e", "i-0e"]),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn arbitrary_values_round_trip(input in canonical()) {
        let document = Document::parse(&input).unwrap();
        prop_assert_eq!(document.root().raw(), &input);
        prop_assert_eq!(agreement::encode(document.root()), input);
    }

    #[test]
    fn every_proper_prefix_is_incomplete(input in canonical()) {
        for length in 0..input.len() {
            for options in [Options::canonical(), Options::lenient()] {
                let error = Document::parse_with(&input[..length], &options).unwrap_err();
                prop_assert!(error.is_incomplete(), "{} in {:?}", error, &input[..length]);
            }
        }
    }

    #[test]
    fn one_changed_byte_changes_the_value_or_is_refused(
        input in canonical(),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let mut changed = input.clone();
        changed[at.index(input.len())] = byte;
        prop_assume!(changed != input);
        if let Ok(document) = Document::parse(&changed) {
            prop_assert_eq!(agreement::encode(document.root()), changed);
        }
    }

    #[test]
    fn what_must_hold_for_any_input_holds(
        input in prop_oneof![canonical(), nearly_bencode(), bytes()],
    ) {
        agreement::decoding_never_panics(&input);
        agreement::strict_is_lenient_without_remarks(&input);
        agreement::encoding_gives_back_canonical_input(&input);
        agreement::reader_and_document_agree(&input);
        agreement::serde_and_document_agree(&input);
    }
}
