//! Types from and to bencode.

use std::collections::{BTreeMap, HashMap};

use rarest_bencode::{
    DecodeErrorKind, DeserializeError, Options, Raw, RawBuf, SerializeError, from_bytes,
    from_bytes_with, to_vec,
};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Torrent<'a> {
    #[serde(borrow)]
    info: Info<'a>,
    announce: Option<&'a str>,
    #[serde(rename = "creation date", default)]
    creation_date: Option<i64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Info<'a> {
    name: &'a str,
    #[serde(borrow)]
    pieces: &'a Bytes,
    private: bool,
    #[serde(rename = "piece length")]
    piece_length: u32,
}

const TORRENT: &[u8] =
    b"d8:announce3:abc4:infod4:name1:x12:piece lengthi16384e6:pieces3:\xff\x00\x017:privatei1eee";

#[test]
fn a_struct_is_borrowed_and_written_sorted() {
    let torrent: Torrent<'_> = from_bytes(TORRENT).unwrap();
    assert_eq!(torrent.info.pieces, Bytes::new(b"\xff\x00\x01"));
    assert_eq!(torrent.announce, Some("abc"));
    assert_eq!(torrent.creation_date, None);
    assert!(torrent.info.private);
    assert_eq!(to_vec(&torrent).unwrap(), TORRENT);
}

#[test]
fn unknown_keys_are_passed_over() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Only {
        b: u8,
    }
    assert_eq!(from_bytes(b"d1:ald1:xi1eee1:bi7e1:cdee"), Ok(Only { b: 7 }));
}

#[test]
fn a_raw_value_is_captured_and_put_back_as_it_stands() {
    #[derive(Serialize, Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        info: Raw<'a>,
        copy: RawBuf,
        #[serde(borrow)]
        list: Vec<Raw<'a>>,
    }
    let input = b"d4:copyi05e4:infod1:b0:1:a0:e4:listli1e2:abdeee";
    let outer: Outer<'_> = from_bytes_with(input, &Options::lenient()).unwrap();
    assert_eq!(outer.info.as_bytes(), b"d1:b0:1:a0:e");
    assert_eq!(outer.copy.as_ref(), b"i05e");
    assert_eq!(outer.list[1].as_bytes(), b"2:ab");
    assert_eq!(to_vec(&outer).unwrap(), input);
}

#[test]
fn a_raw_value_is_never_garbage() {
    use serde::de::value::{BorrowedBytesDeserializer, Error};
    let garbage = BorrowedBytesDeserializer::<Error>::new(b"i1");
    assert!(Raw::deserialize(garbage).is_err());
}

#[test]
fn integers_fit_their_types_or_are_refused() {
    assert_eq!(from_bytes(b"i255e"), Ok(255_u8));
    assert!(from_bytes::<u8>(b"i256e").is_err());
    assert!(from_bytes::<u64>(b"i-1e").is_err());
    assert_eq!(from_bytes(b"i18446744073709551615e"), Ok(u64::MAX));
    assert!(from_bytes::<u64>(b"i18446744073709551616e").is_err());
    assert_eq!(from_bytes(b"i-9223372036854775808e"), Ok(i64::MIN));
    assert_eq!(from_bytes(b"i18446744073709551616e"), Ok(1_i128 << 64));
    assert_eq!(from_bytes(b"i0e"), Ok(false));
    assert!(from_bytes::<bool>(b"i2e").is_err());
    assert_eq!(
        to_vec(&i128::MIN).unwrap(),
        format!("i{}e", i128::MIN).as_bytes()
    );
    assert!(to_vec(&u128::MAX).is_err());
}

#[test]
fn text_has_to_be_utf8_and_bytes_need_not() {
    assert_eq!(from_bytes(b"2:\xc3\xa4"), Ok("ä"));
    assert_eq!(from_bytes(b"2:\xc3\xa4"), Ok('ä'));
    assert!(from_bytes::<String>(b"1:\xff").is_err());
    assert_eq!(from_bytes(b"1:\xff"), Ok(ByteBuf::from([0xff])));
    assert_eq!(to_vec(&'ä').unwrap(), b"2:\xc3\xa4");
}

#[test]
fn maps_have_keys_of_text_or_bytes() {
    let map: HashMap<&str, Vec<u8>> = from_bytes(b"d1:ali1ei2ee1:blee").unwrap();
    assert_eq!(map["a"], [1, 2]);
    let map: BTreeMap<ByteBuf, i8> = from_bytes(b"d1:\xffi-1ee").unwrap();
    assert_eq!(map[&ByteBuf::from([0xff])], -1);
    assert_eq!(to_vec(&map).unwrap(), b"d1:\xffi-1ee");
    let numbers = BTreeMap::from([(1, 2)]);
    assert!(matches!(
        to_vec(&numbers),
        Err(SerializeError::Unsupported { .. })
    ));
}

#[test]
fn enums_are_names_or_dictionaries_of_one_entry() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Message {
        Ping,
        Port(u16),
        Range(u8, u8),
        Find { target: String },
    }
    for (message, bytes) in [
        (Message::Ping, &b"4:Ping"[..]),
        (Message::Port(6881), b"d4:Porti6881ee"),
        (Message::Range(1, 2), b"d5:Rangeli1ei2eee"),
        (
            Message::Find { target: "x".into() },
            b"d4:Findd6:target1:xee",
        ),
    ] {
        assert_eq!(to_vec(&message).unwrap(), bytes);
        assert_eq!(from_bytes(bytes), Ok(message));
    }
    for wrong in [
        "4:Port",
        "d4:Ping0:e",
        "de",
        "i1e",
        "d4:Porti1e5:Rangelee",
        "d5:Rangeli1ei2ei3eee",
    ] {
        assert!(from_bytes::<Message>(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn untagged_and_flattened_types_work() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        #[serde(rename = "url-list")]
        urls: OneOrMany,
        #[serde(flatten)]
        others: BTreeMap<String, i64>,
    }
    let outer: Outer = from_bytes(b"d1:ai1e1:bi2e8:url-list1:xe").unwrap();
    assert_eq!(outer.urls, OneOrMany::One("x".into()));
    assert_eq!(
        outer.others,
        BTreeMap::from([("a".into(), 1), ("b".into(), 2)])
    );
    let outer: Outer = from_bytes(b"d8:url-listl1:x1:yee").unwrap();
    assert_eq!(outer.urls, OneOrMany::Many(vec!["x".into(), "y".into()]));
}

#[test]
fn what_bencode_lacks_is_refused() {
    assert!(to_vec(&1.5).is_err());
    assert!(to_vec(&()).is_err());
    assert!(to_vec(&None::<u8>).is_err());
    assert!(to_vec(&[None, Some(1)]).is_err());
    assert!(from_bytes::<f64>(b"i1e").is_err());
    assert!(from_bytes::<()>(b"i1e").is_err());
    let absent = BTreeMap::from([("a", None), ("b", Some(1))]);
    assert_eq!(to_vec(&absent).unwrap(), b"d1:bi1ee");
}

#[test]
fn a_key_given_twice_is_refused() {
    #[derive(Serialize)]
    struct Twice {
        a: u8,
        #[serde(flatten)]
        more: BTreeMap<&'static str, u8>,
    }
    let more = BTreeMap::from([("a", 2)]);
    let result = to_vec(&Twice { a: 1, more });
    assert!(matches!(result, Err(SerializeError::DuplicateKey(_))));
    #[derive(Debug, Deserialize)]
    struct Once {
        #[expect(dead_code, reason = "only its presence matters")]
        a: u8,
    }
    let twice = b"d1:ai1e1:ai2ee";
    assert!(from_bytes_with::<Once>(twice, &Options::lenient()).is_err());
}

#[test]
fn errors_say_where() {
    let error = from_bytes::<Vec<u8>>(b"li1e1:xe").unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid type: byte array, expected u8, at byte 7"
    );
    let DeserializeError::Decode(error) = from_bytes::<u8>(b"i1e.").unwrap_err() else {
        panic!("the value is a number");
    };
    assert_eq!(error.kind, DecodeErrorKind::TrailingData { length: 1 });
}

#[test]
fn tuples_have_exactly_their_items() {
    assert_eq!(from_bytes(b"li1e1:xe"), Ok((1, "x")));
    assert!(from_bytes::<(u8, &str)>(b"li1ee").is_err());
    assert!(from_bytes::<(u8, &str)>(b"li1e1:x0:e").is_err());
}

#[test]
fn refused_input_stays_refused_though_a_visitor_drops_the_error() {
    struct Forgiving;

    impl<'de> Deserialize<'de> for Forgiving {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let _ = u8::deserialize(deserializer);
            Ok(Self)
        }
    }

    assert!(from_bytes::<Vec<Forgiving>>(b"li1ee").is_ok());
    let error = from_bytes::<Vec<Forgiving>>(b"li01ee").err();
    let Some(DeserializeError::Decode(error)) = error else {
        panic!("an error of decoding: {error:?}");
    };
    assert_eq!(error.offset, 1);
}
