//! Reading event by event.

use rarest_bencode::{DecodeErrorKind, Event, Kind, Options, Reader, Trailing};

#[test]
fn events_come_in_the_order_of_the_input() {
    let mut reader = Reader::new(b"d1:ali1e0:ee");
    let mut events = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        events.push((reader.depth(), event));
    }
    let int = events.remove(3);
    assert_eq!(int.0, 2);
    assert!(matches!(int.1, Event::Int(one) if one.to_u64() == Some(1)));
    assert_eq!(
        events,
        [
            (1, Event::Dict),
            (1, Event::Key(b"a")),
            (2, Event::List),
            (2, Event::Bytes(b"")),
            (1, Event::End),
            (0, Event::End),
        ]
    );
}

#[test]
fn skipping_goes_over_one_value_and_stops_at_an_end() {
    let mut reader = Reader::new(b"l1:ad1:bleei-2ee");
    assert_eq!(reader.next_event(), Ok(Some(Event::List)));
    let mut skipped = Vec::new();
    while let Some(raw) = reader.skip().unwrap() {
        skipped.push(raw.as_bytes());
    }
    assert_eq!(skipped, [&b"1:a"[..], b"d1:blee", b"i-2e"]);
    assert_eq!(reader.next_event(), Ok(Some(Event::End)));
    assert_eq!(reader.skip(), Ok(None));
    assert_eq!(reader.next_event(), Ok(None));
}

#[test]
fn a_key_is_skipped_apart_from_its_value() {
    let mut reader = Reader::new(b"d1:a2:bbe");
    reader.next_event().unwrap();
    assert_eq!(reader.skip().unwrap().unwrap().as_bytes(), b"1:a");
    assert_eq!(reader.skip().unwrap().unwrap().as_bytes(), b"2:bb");
    assert_eq!(reader.skip(), Ok(None));
}

#[test]
fn what_is_skipped_is_checked_all_the_same() {
    let error = Reader::new(b"ll1:ai01eee").skip().unwrap_err();
    assert_eq!(error.offset, 5);
}

#[test]
fn the_kind_of_what_comes_is_known_before_it_is_read() {
    let mut reader = Reader::new(b"d1:ai1e1:bdee");
    assert_eq!(reader.peek(), Some(Kind::Dict));
    reader.next_event().unwrap();
    assert_eq!(reader.peek(), Some(Kind::Bytes));
    reader.next_event().unwrap();
    assert_eq!(reader.peek(), Some(Kind::Int));
    reader.skip().unwrap();
    reader.next_event().unwrap();
    assert_eq!(reader.peek(), Some(Kind::Dict));
    reader.next_event().unwrap();
    assert_eq!(reader.peek(), None);
}

#[test]
fn an_error_stays() {
    let mut reader = Reader::new(b"li1ex");
    reader.next_event().unwrap();
    reader.next_event().unwrap();
    let error = reader.next_event().unwrap_err();
    assert_eq!(reader.next_event(), Err(error));
    assert_eq!(reader.skip(), Err(error));
}

#[test]
fn a_stream_of_values_is_read_one_by_one() {
    let mut input = &b"i1e3:abcle"[..];
    let mut values = Vec::new();
    let options = Options::canonical().trailing(Trailing::Allow);
    while !input.is_empty() {
        let mut reader = Reader::with_options(input, &options);
        values.push(reader.skip().unwrap().unwrap().as_bytes());
        input = &input[reader.offset()..];
    }
    assert_eq!(values, [&b"i1e"[..], b"3:abc", b"le"]);
}

#[test]
fn bytes_behind_the_value_are_noticed_behind_its_last_event() {
    let mut reader = Reader::new(b"i1e?");
    assert!(reader.next_event().is_ok());
    let error = reader.next_event().unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::TrailingData { length: 1 });
}
