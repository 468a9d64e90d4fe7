//! Defects that were seen in widely used bencode decoders, one test each.

use rarest_bencode::{
    DecodeError, DecodeErrorKind, Departure, Document, Expected, Options, Reader, Trailing,
};

/// Refuses `input` by document, reader and serde, and gives the error that all agree on.
fn refused(input: &[u8], options: &Options) -> DecodeErrorKind {
    let error = Document::parse_with(input, options).unwrap_err();
    let mut reader = Reader::with_options(input, options);
    assert_eq!(read_to_end(&mut reader), Err(error));
    assert_eq!(
        rarest_bencode::from_bytes_with::<serde::de::IgnoredAny>(input, options).unwrap_err(),
        rarest_bencode::DeserializeError::Decode(error)
    );
    error.kind
}

fn read_to_end(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    while reader.next_event()?.is_some() {}
    Ok(())
}

fn refused_in_both_modes(input: &[u8]) -> DecodeErrorKind {
    let kind = refused(input, &Options::canonical());
    assert_eq!(refused(input, &Options::lenient()), kind);
    kind
}

#[test]
fn a_declared_length_is_neither_allocated_nor_overflowed() {
    for (input, expected) in [
        ("18446744073709551615:", DecodeErrorKind::LengthTooLarge),
        ("18446744073709551616:a", DecodeErrorKind::LengthTooLarge),
        ("9223372036854775807:a", DecodeErrorKind::LengthTooLarge),
        (
            "9999999999:a",
            DecodeErrorKind::StringCutShort {
                declared: 9_999_999_999,
                available: 1,
            },
        ),
        (
            "4294967295:a",
            DecodeErrorKind::StringCutShort {
                declared: u32::MAX.into(),
                available: 1,
            },
        ),
    ] {
        assert_eq!(refused_in_both_modes(input.as_bytes()), expected, "{input}");
        let as_key = format!("d{input}");
        assert_eq!(
            refused_in_both_modes(as_key.as_bytes()),
            expected,
            "{as_key}"
        );
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for opening in ["l", "d0:", "ld0:"] {
        let input = opening.repeat(1_000_000);
        let kind = refused_in_both_modes(input.as_bytes());
        assert_eq!(kind, DecodeErrorKind::TooDeep { limit: 100 });
    }
    // Nor where the depth is allowed, also when the document is walked and dropped.
    let input = ["l".repeat(60_000), "e".repeat(60_000)].concat();
    let options = Options::canonical().max_depth(u16::MAX);
    let document = Document::parse_with(input.as_bytes(), &options).unwrap();
    assert_eq!(document.root().range(), 0..120_000);
    let mut reader = Reader::with_options(input.as_bytes(), &options);
    assert_eq!(read_to_end(&mut reader), Ok(()));
}

#[test]
fn integers_do_not_wrap() {
    for (text, i64, u64) in [
        (
            "9223372036854775807",
            Some(i64::MAX),
            Some(1 << 63).map(|n: u64| n - 1),
        ),
        ("9223372036854775808", None, Some(1 << 63)),
        ("18446744073709551615", None, Some(u64::MAX)),
        ("18446744073709551616", None, None),
        ("18446744073709551617", None, None),
        ("-9223372036854775809", None, None),
        ("-1", Some(-1), None),
        ("184467440737095516154", None, None),
    ] {
        let input = format!("i{text}e");
        let document = Document::parse(input.as_bytes()).unwrap();
        let int = document.root().as_int().unwrap();
        assert_eq!((int.to_i64(), int.to_u64()), (i64, u64), "{text}");
        assert_eq!(int.to_i128(), text.parse().ok(), "{text}");
        assert_eq!(int.to_string(), text);
    }
}

#[test]
fn an_integer_without_digits_is_refused() {
    for (input, byte) in [("i-e", b'e'), ("ie", b'e'), ("i--1e", b'-')] {
        let expected = Expected::Digit;
        let kind = DecodeErrorKind::UnexpectedByte { byte, expected };
        assert_eq!(refused_in_both_modes(input.as_bytes()), kind, "{input}");
    }
}

#[test]
fn a_plus_sign_is_refused() {
    let kind = refused_in_both_modes(b"i+3e");
    let expected = Expected::Digit;
    let byte = b'+';
    assert_eq!(kind, DecodeErrorKind::UnexpectedByte { byte, expected });
}

#[test]
fn strict_decoding_refuses_leading_zeros_and_negative_zero() {
    for (input, departure) in [
        ("i03e", Departure::LeadingZeros),
        ("i-03e", Departure::LeadingZeros),
        ("i00e", Departure::LeadingZeros),
        ("i-0e", Departure::NegativeZero),
        ("01:a", Departure::LeadingZerosInLength),
        ("00:", Departure::LeadingZerosInLength),
    ] {
        let kind = refused(input.as_bytes(), &Options::canonical());
        assert_eq!(kind, DecodeErrorKind::NotCanonical(departure), "{input}");
        let document = Document::parse_with(input.as_bytes(), &Options::lenient()).unwrap();
        assert_eq!(document.remarks()[0].departure, departure, "{input}");
    }
}

#[test]
fn the_smallest_i64_is_accepted() {
    let document = Document::parse(b"i-9223372036854775808e").unwrap();
    assert_eq!(document.root().as_i64(), Some(i64::MIN));
    assert_eq!(
        rarest_bencode::from_bytes(b"i-9223372036854775808e"),
        Ok(i64::MIN)
    );
}

#[test]
fn trailing_data_is_refused_or_pointed_out() {
    assert_eq!(
        refused_in_both_modes(b"i1ei2e"),
        DecodeErrorKind::TrailingData { length: 3 }
    );
    let options = Options::canonical().trailing(Trailing::Allow);
    let document = Document::parse_with(b"i1ei2e", &options).unwrap();
    assert_eq!((document.end(), document.trailing()), (3, &b"i2e"[..]));
}

#[test]
fn a_string_shorter_than_declared_is_refused() {
    let kind = refused_in_both_modes(b"5:four");
    let (declared, available) = (5, 4);
    assert_eq!(
        kind,
        DecodeErrorKind::StringCutShort {
            declared,
            available
        }
    );
    // Nor may it reach over the end of its list.
    assert_eq!(
        refused_in_both_modes(b"l5:foure"),
        DecodeErrorKind::UnexpectedEnd
    );
}

#[test]
fn a_repeated_key_is_refused_or_remarked() {
    let input = b"d1:ai1e1:ai2ee";
    let kind = refused(input, &Options::canonical());
    assert_eq!(kind, DecodeErrorKind::NotCanonical(Departure::DuplicateKey));
    let document = Document::parse_with(input, &Options::lenient()).unwrap();
    assert_eq!(document.remarks()[0].departure, Departure::DuplicateKey);
    assert_eq!(document.remarks()[0].offset, 7);
}

#[test]
fn a_raw_span_is_the_bytes_as_they_stand() {
    // Encoded again, both the order and the zeros would be lost, and with them the info-hash.
    let input = b"d4:infod1:bi007e1:ai1eee";
    let document = Document::parse_with(input, &Options::lenient()).unwrap();
    let info = document.root().get("info").unwrap();
    assert_eq!(info.raw(), b"d1:bi007e1:ai1ee");
    assert_eq!(&input[info.range()], info.raw());
}

#[test]
fn every_kind_of_growth_has_a_limit() {
    let items = ["l", &"0:".repeat(50), "e"].concat();
    let options = Options::canonical();
    for (options, expected) in [
        (
            options.max_items(50),
            DecodeErrorKind::TooManyItems { limit: 50 },
        ),
        (
            options.max_input_length(101),
            DecodeErrorKind::InputTooLong {
                length: 102,
                limit: 101,
            },
        ),
        (options.max_depth(0), DecodeErrorKind::TooDeep { limit: 0 }),
    ] {
        assert_eq!(refused(items.as_bytes(), &options), expected);
    }
    let digits = ["i", &"1".repeat(100_000), "e"].concat();
    assert_eq!(
        refused_in_both_modes(digits.as_bytes()),
        DecodeErrorKind::IntegerTooLarge
    );
}
