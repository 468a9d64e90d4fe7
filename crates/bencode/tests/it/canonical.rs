//! What lenient decoding remarks, and where.

use rarest_bencode::{Departure, Document, Options, Reader, Remark};

fn remarks(input: &str) -> Vec<(u32, Departure)> {
    let document = Document::parse_with(input.as_bytes(), &Options::lenient()).unwrap();
    let pair = |remark: &Remark| (remark.offset, remark.departure);
    document.remarks().iter().map(pair).collect()
}

#[test]
fn canonical_input_has_no_remarks() {
    assert_eq!(remarks("d0:0:1:ali0ei-1ee2:aad1:b0:ee"), []);
}

#[test]
fn each_departure_has_its_place() {
    assert_eq!(
        remarks("d1:bi00e1:ai-0e02:cc0:e"),
        [
            (4, Departure::LeadingZeros),
            (8, Departure::UnsortedKey),
            (11, Departure::NegativeZero),
            (15, Departure::LeadingZerosInLength),
        ]
    );
}

#[test]
fn a_repeated_key_is_found_far_from_its_twin() {
    assert_eq!(
        remarks("d1:ai1e1:bi2e1:ai3ee"),
        [(13, Departure::UnsortedKey), (13, Departure::DuplicateKey)]
    );
    assert_eq!(
        remarks("d1:b0:1:a0:1:b0:1:b0:e"),
        [
            (6, Departure::UnsortedKey),
            (11, Departure::DuplicateKey),
            (16, Departure::DuplicateKey),
        ]
    );
}

#[test]
fn the_same_key_in_different_dictionaries_is_no_repetition() {
    assert_eq!(
        remarks("d1:bd1:a0:e1:ad1:a0:1:bd1:a0:eee"),
        [(11, Departure::UnsortedKey)]
    );
}

#[test]
fn a_dictionary_is_unsorted_around_an_unsorted_one() {
    // The inner one is found unsorted between two finds in the outer one.
    assert_eq!(
        remarks("d1:c0:1:bd1:y0:1:x0:1:y0:e1:a0:1:c0:e"),
        [
            (6, Departure::UnsortedKey),
            (15, Departure::UnsortedKey),
            (20, Departure::DuplicateKey),
            (26, Departure::UnsortedKey),
            (31, Departure::DuplicateKey),
        ]
    );
}

#[test]
fn keys_are_ordered_as_unsigned_bytes() {
    let document = Document::parse(b"d1:\x7f0:1:\x800:2:\x80a0:1:\xff0:e").unwrap();
    assert!(document.is_canonical());
}

#[test]
fn a_value_knows_whether_it_is_canonical_itself() {
    let input = b"d1:ad1:bi01ee1:ci1ee";
    let document = Document::parse_with(input, &Options::lenient()).unwrap();
    assert!(!document.is_canonical());
    assert!(!document.root().get("a").unwrap().is_canonical());
    assert!(document.root().get("c").unwrap().is_canonical());
    assert_eq!(
        document.root().get("a").unwrap().remarks(),
        document.remarks()
    );
}

#[test]
fn remarks_and_errors_are_sentences() {
    let document = Document::parse_with(b"i01e", &Options::lenient()).unwrap();
    let remark = document.remarks()[0];
    assert_eq!(
        remark.to_string(),
        "an integer has leading zeros, at byte 0"
    );
    let error = |input: &[u8]| Document::parse(input).unwrap_err().to_string();
    assert_eq!(
        error(b"li01ee"),
        "not canonical: an integer has leading zeros, at byte 1"
    );
    assert_eq!(
        error(b"lx"),
        "expected a value or the end of the list, found the byte 0x78, at byte 1"
    );
    assert_eq!(
        error(b"d1:ai1"),
        "the input ends before the value does, at byte 6"
    );
    assert_eq!(
        error(b"l5:foo"),
        "a byte string of 5 bytes is declared, but only 3 follow, at byte 1"
    );
    assert_eq!(error(b"le\n"), "1 bytes follow the value, at byte 2");
}

#[test]
fn a_reader_remarks_as_it_goes() {
    let mut reader = Reader::with_options(b"d1:bi01e1:a0:e", &Options::lenient());
    while reader.next_event().unwrap().is_some() {}
    assert_eq!(
        reader.remarks(),
        [
            Remark {
                offset: 4,
                departure: Departure::LeadingZeros
            },
            Remark {
                offset: 8,
                departure: Departure::UnsortedKey
            },
        ]
    );
}
