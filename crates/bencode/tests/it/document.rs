//! Finding one's way in a document.

use rarest_bencode::{Document, Kind, Options};

const TORRENT: &[u8] =
    b"d8:announce3:abc4:infod5:filesld6:lengthi5eed6:lengthi-7eee4:name1:xe4:listle2:noi0ee";

#[test]
fn values_are_found_by_their_keys() {
    let document = Document::parse(TORRENT).unwrap();
    let root = document.root();
    assert_eq!(root.kind(), Kind::Dict);
    assert_eq!(root.get("announce").unwrap().as_str(), Some("abc"));
    let info = root.get("info").unwrap();
    assert_eq!(info.get(b"name").unwrap().as_bytes(), Some(&b"x"[..]));
    assert!(root.get("name").is_none());
    assert!(root.get("").is_none());
    // The content of a string is no key.
    assert!(root.get("abc").is_none());
}

#[test]
fn a_value_of_another_kind_is_none() {
    let document = Document::parse(TORRENT).unwrap();
    let announce = document.root().get("announce").unwrap();
    assert!(announce.as_int().is_none());
    assert!(announce.as_list().is_none());
    assert!(announce.as_dict().is_none());
    assert!(announce.get("a").is_none());
    assert!(document.root().as_bytes().is_none());
    assert!(document.root().content_range().is_none());
    assert!(
        Document::parse(b"1:\xff")
            .unwrap()
            .root()
            .as_str()
            .is_none()
    );
}

#[test]
fn lists_are_walked_item_by_item() {
    let document = Document::parse(TORRENT).unwrap();
    let files = document.root().get("info").unwrap().get("files").unwrap();
    let lengths: Vec<_> = files
        .as_list()
        .unwrap()
        .iter()
        .map(|file| file.get("length").unwrap().as_i64().unwrap())
        .collect();
    assert_eq!(lengths, [5, -7]);
    let empty = document.root().get("list").unwrap().as_list().unwrap();
    assert!(empty.is_empty());
    let mut items = empty.iter();
    assert!(items.next().is_none());
    assert!(items.next().is_none());
}

#[test]
fn entries_come_in_the_order_of_the_input() {
    let document = Document::parse_with(b"d1:bi1e1:ai2e1:bi3ee", &Options::lenient()).unwrap();
    let dict = document.root().as_dict().unwrap();
    let entries: Vec<_> = dict
        .iter()
        .map(|(key, value)| (key, value.as_u64().unwrap()))
        .collect();
    assert_eq!(entries, [(&b"b"[..], 1), (b"a", 2), (b"b", 3)]);
    assert_eq!(dict.get("b").unwrap().as_u64(), Some(1));
    let all: Vec<_> = dict
        .get_all("b")
        .map(|value| value.as_u64().unwrap())
        .collect();
    assert_eq!(all, [1, 3]);
}

#[test]
fn borrowed_content_outlives_the_document() {
    let input = b"d4:name4:spame".to_vec();
    let (name, int) = {
        let document = Document::parse(&input).unwrap();
        (
            document.root().get("name").unwrap().as_bytes(),
            document.root().to_raw(),
        )
    };
    assert_eq!(name, Some(&b"spam"[..]));
    assert_eq!(int.as_bytes(), input);
}

#[test]
fn ranges_point_into_the_input() {
    let document = Document::parse(TORRENT).unwrap();
    let name = document.root().get("info").unwrap().get("name").unwrap();
    assert_eq!(&TORRENT[name.range()], b"1:x");
    assert_eq!(&TORRENT[name.content_range().unwrap()], b"x");
    let files = document.root().get("info").unwrap().get("files").unwrap();
    assert_eq!(files.raw(), b"ld6:lengthi5eed6:lengthi-7eee");
}

#[test]
fn a_root_of_any_kind_has_its_range() {
    for input in ["i-5e", "3:abc", "0:", "le", "de", "li1ee", "d0:0:e"] {
        let document = Document::parse(input.as_bytes()).unwrap();
        assert_eq!(document.root().raw(), input.as_bytes());
        assert_eq!(document.end(), input.len());
        assert!(document.trailing().is_empty());
    }
}

#[test]
fn a_long_value_is_shown_shortened() {
    let input = ["300:", &"\0".repeat(300)].concat();
    let document = Document::parse(input.as_bytes()).unwrap();
    let shown = format!("{:?}", document.root());
    assert!(shown.starts_with("300:\\x00\\x00"));
    assert!(shown.ends_with("... and 184 bytes"));
}
