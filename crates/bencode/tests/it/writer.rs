//! Encoding.

use rarest_bencode::{
    Document, DuplicateKey, FnSink, Options, Raw, Trailing, WriteError, Writer, encode_dict,
    encode_list,
};

#[test]
fn keys_are_sorted_at_every_depth() {
    let bytes = encode_dict(|root| {
        root.int("z", 1);
        root.dict("a", |inner| {
            inner.bytes("2", "b").bytes("1", "a").bytes("", "");
        });
        root.list("m", |list| {
            list.dict(|dict| {
                dict.int("y", 2).int("x", 1);
            });
        });
        root.int("aa", 0);
    });
    assert_eq!(
        bytes.unwrap(),
        b"d1:ad0:0:1:11:a1:21:be2:aai0e1:mld1:xi1e1:yi2eee1:zi1ee"
    );
}

#[test]
fn keys_are_sorted_as_unsigned_bytes_and_not_by_their_encoding() {
    let bytes = encode_dict(|root| {
        root.int(b"\xff", 1).int("b", 2).int("aaaaaaaaaaa", 3);
    });
    assert_eq!(bytes.unwrap(), b"d11:aaaaaaaaaaai3e1:bi2e1:\xffi1ee");
}

#[test]
fn a_repeated_key_is_refused() {
    let error = encode_dict(|root| {
        root.int("b", 1).int("a", 2).int("b", 1);
    });
    assert_eq!(error, Err(DuplicateKey { key: b"b".to_vec() }));
    let error = encode_list(|root| {
        root.dict(|dict| {
            dict.int("same", 1).int("same", 2);
        });
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "the key \"same\" was given twice to one dictionary"
    );
}

#[test]
fn a_refused_value_leaves_no_trace() {
    let mut writer = Writer::new(Vec::new());
    writer.int(1).unwrap();
    let result = writer.dict(|dict| {
        dict.int("a", 1).int("a", 2);
    });
    assert!(matches!(result, Err(WriteError::DuplicateKey(_))));
    writer.bytes("x").unwrap();
    assert_eq!(writer.into_sink(), b"i1e1:x");
}

#[test]
fn integers_of_all_sizes_are_written() {
    let mut writer = Writer::new(Vec::new());
    writer.int(0_u8).unwrap();
    writer.int(-1_i8).unwrap();
    writer.int(i64::MIN).unwrap();
    writer.int(u64::MAX).unwrap();
    writer.int(usize::MAX as u64 as i128 * 10).unwrap();
    writer.int(i128::MIN).unwrap();
    let expected = format!(
        "i0ei-1ei{}ei{}ei{}ei{}e",
        i64::MIN,
        u64::MAX,
        u64::MAX as i128 * 10,
        i128::MIN
    );
    assert_eq!(writer.into_sink(), expected.as_bytes());
}

#[test]
fn encoded_values_are_put_in_as_they_stand() {
    // Not canonical, and it has to stay so: its hash names it.
    let info = Raw::parse(b"d1:bi1e1:ai02ee").unwrap();
    let torrent = encode_dict(|torrent| {
        torrent.raw("info", info).bytes("announce", "x");
    });
    assert_eq!(torrent.unwrap(), b"d8:announce1:x4:infod1:bi1e1:ai02eee");
    let mut writer = Writer::new(Vec::new());
    writer
        .list(|list| {
            list.raw(info).raw(info);
        })
        .unwrap();
    assert_eq!(writer.into_sink(), b"ld1:bi1e1:ai02eed1:bi1e1:ai02eee");
}

#[test]
fn raw_bytes_are_exactly_one_value() {
    for bytes in ["", "i1", "i1ei2e", "e", "x", "1:"] {
        assert!(Raw::parse(bytes.as_bytes()).is_err(), "{bytes}");
    }
    let document = Document::parse(b"d1:ai1ee").unwrap();
    assert_eq!(
        document.root().get("a").unwrap().to_raw(),
        Raw::parse(b"i1e").unwrap()
    );
}

#[test]
fn raw_bytes_are_judged_by_the_options() {
    let strict = Options::canonical();
    assert!(Raw::parse(b"i01e").is_ok());
    assert!(Raw::parse_with(b"i01e", &strict).is_err());
    assert!(Raw::parse_with(b"lllee", &strict.max_depth(2)).is_err());
    assert!(Raw::parse_with(b"i1ei2e", &strict.trailing(Trailing::Allow)).is_err());
}

#[test]
fn any_sink_takes_the_bytes() {
    let mut closure = Vec::new();
    let mut writer = Writer::new(FnSink(|bytes: &[u8]| closure.extend_from_slice(bytes)));
    writer.int(1).unwrap();
    assert_eq!(closure, b"i1e");

    let mut borrowed = Vec::new();
    Writer::new(&mut borrowed).bytes("ab").unwrap();
    assert_eq!(borrowed, b"2:ab");
}

#[test]
fn an_error_of_the_sink_comes_back() {
    use rarest_bencode::IoSink;
    let mut room = [0; 4];
    let mut writer = Writer::new(IoSink(&mut room[..]));
    writer.int(1).unwrap();
    let error = writer.bytes("too long").unwrap_err();
    assert!(
        matches!(error, WriteError::Sink(error) if error.kind() == std::io::ErrorKind::WriteZero)
    );
}
