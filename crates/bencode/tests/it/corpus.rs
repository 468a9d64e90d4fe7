//! Inputs that other clients met, with what is to be said of each.

use rarest_bencode::{DecodeErrorKind, Document, Options, Trailing, ValueRef};
use serde_json::Value as Json;

fn entries() -> Vec<(Vec<u8>, Json)> {
    let text = include_str!("../fixtures/bencode.json");
    let entries: Vec<Json> = serde_json::from_str(text).unwrap();
    assert!(entries.len() > 100);
    entries
        .into_iter()
        .map(|entry| (input(&entry), entry))
        .collect()
}

fn input(entry: &Json) -> Vec<u8> {
    match entry["parts"].as_array() {
        None => unhex(&entry["hex"]),
        Some(parts) => parts
            .iter()
            .flat_map(|part| unhex(&part[0]).repeat(part[1].as_u64().unwrap() as usize))
            .collect(),
    }
}

fn unhex(text: &Json) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Whether the grammar allows the input. The corpus counts integers beyond 64 bits as not canonical; BEP 3 sets no size.
fn is_canonical(entry: &Json) -> bool {
    let is_big_integer = (entry["note"].as_str()).is_some_and(|n| n.starts_with("integer outside"));
    entry["canonical"] == true || is_big_integer
}

/// Whether a limit of ours, which may be stricter than the grammar, is why the input was refused.
fn is_limit(kind: DecodeErrorKind) -> bool {
    matches!(kind, DecodeErrorKind::TooDeep { .. })
}

fn assert_value(value: ValueRef<'_, '_>, expected: &Json, context: &Json) {
    if let Some(digits) = expected["i"].as_str() {
        let number = value.as_int().expect("an integer").to_i128();
        assert_eq!(number, Some(digits.parse().unwrap()), "{context}");
    } else if expected["s"].is_string() {
        assert_eq!(value.as_bytes(), Some(&*unhex(&expected["s"])), "{context}");
    } else if let Some(items) = expected["l"].as_array() {
        let found: Vec<_> = value.as_list().expect("a list").iter().collect();
        assert_eq!(found.len(), items.len(), "{context}");
        for (item, expected) in found.into_iter().zip(items) {
            assert_value(item, expected, context);
        }
    } else {
        let entries = expected["d"].as_array().unwrap();
        let found: Vec<_> = value.as_dict().expect("a dictionary").iter().collect();
        assert_eq!(found.len(), entries.len(), "{context}");
        for ((key, value), entry) in found.into_iter().zip(entries) {
            assert_eq!(key, unhex(&entry[0]), "{context}");
            assert_value(value, &entry[1], context);
        }
    }
}

#[test]
fn lenient_decoding_accepts_and_refuses_as_expected() {
    for (input, entry) in entries() {
        let result = Document::parse_with(&input, &Options::lenient());
        if entry["ok"] == true {
            result.as_ref().unwrap_or_else(|e| panic!("{e}: {entry}"));
        } else if entry["ok"] == false {
            assert!(result.is_err(), "{entry}");
        }
        if let Ok(document) = result {
            assert_eq!(document.is_canonical(), is_canonical(&entry), "{entry}");
            if !entry["value"].is_null() {
                assert_value(document.root(), &entry["value"], &entry);
            }
        }
    }
}

#[test]
fn canonical_decoding_accepts_only_the_canonical() {
    for (input, entry) in entries() {
        match Document::parse(&input) {
            Ok(_) => assert!(is_canonical(&entry), "{entry}"),
            Err(error) => assert!(
                !is_canonical(&entry) || is_limit(error.kind),
                "{error}: {entry}"
            ),
        }
    }
}

#[test]
fn a_first_value_ends_where_expected() {
    for (input, entry) in entries() {
        let Some(end) = entry["first_value_ends_at"].as_u64() else {
            continue;
        };
        let options = Options::canonical().trailing(Trailing::Allow);
        let document = Document::parse_with(&input, &options).unwrap();
        assert_eq!(document.end() as u64, end, "{entry}");
        assert_eq!(document.trailing(), &input[end as usize..], "{entry}");
    }
}

#[test]
fn every_prefix_is_incomplete() {
    for (input, entry) in entries() {
        if entry["every_prefix_refused"] != true {
            continue;
        }
        for length in 0..input.len() {
            let error = Document::parse_with(&input[..length], &Options::lenient()).unwrap_err();
            assert!(error.is_incomplete(), "{error} at {length}");
        }
    }
}
