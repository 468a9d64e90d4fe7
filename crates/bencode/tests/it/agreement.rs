//! What must hold for any input whatever. The fuzz targets include this file and call the same functions.

use rarest_bencode::{
    DecodeErrorKind, Dict, Document, Event, Kind, List, MAX_INTEGER_LENGTH, Options, Raw, Reader,
    Trailing, ValueRef, Writer,
};

/// Decodes in all modes, and walks all of what is accepted.
pub(crate) fn decoding_never_panics(input: &[u8]) {
    for options in [Options::canonical(), Options::lenient()] {
        for options in [
            options,
            options.trailing(Trailing::Allow),
            options.max_depth(3).max_items(20),
        ] {
            match Document::parse_with(input, &options) {
                Ok(document) => walk(&document, &options),
                Err(error) => {
                    assert!(error.offset <= input.len());
                    assert!(!error.to_string().is_empty());
                }
            }
        }
    }
}

fn walk(document: &Document<'_>, options: &Options) {
    let input = document.input();
    let root = document.root();
    assert_eq!(root.range(), 0..document.end());
    assert_eq!(document.end() + document.trailing().len(), input.len());
    assert_eq!(root.remarks(), document.remarks());
    assert!(document.remarks().is_sorted());
    let mut values = vec![root];
    while let Some(value) = values.pop() {
        assert_eq!(value.raw(), &input[value.range()]);
        assert_eq!(value.is_canonical(), value.remarks().is_empty());
        // A part of what was accepted is accepted alone.
        if value.raw().len() < 64 {
            let part = Document::parse_with(value.raw(), &options.trailing(Trailing::Refuse));
            assert_eq!(part.unwrap().remarks().len(), value.remarks().len());
        }
        match value.kind() {
            Kind::Int => {
                let int = value.as_int().unwrap();
                assert!(int.digits().len() <= MAX_INTEGER_LENGTH);
                let number = int.to_i128().unwrap();
                assert_eq!(int.to_i64(), i64::try_from(number).ok());
                assert_eq!(int.to_u64(), u64::try_from(number).ok());
            }
            Kind::Bytes => {
                let content = &input[value.content_range().unwrap()];
                assert_eq!(value.as_bytes(), Some(content));
            }
            Kind::List => values.extend(value.as_list().unwrap()),
            Kind::Dict => {
                let dict = value.as_dict().unwrap();
                for (key, item) in dict.iter().take(20) {
                    assert_eq!(
                        dict.get_all(key).next().unwrap().range(),
                        dict.get(key).unwrap().range()
                    );
                    assert!(dict.get_all(key).any(|other| other.range() == item.range()));
                }
                values.extend(dict.iter().map(|(_, value)| value));
            }
        }
    }
}

/// What the strict grammar accepts, the lenient accepts without a remark, and the other way round.
pub(crate) fn strict_is_lenient_without_remarks(input: &[u8]) {
    let strict = Document::parse(input);
    let lenient = Document::parse_with(input, &Options::lenient());
    match (strict, lenient) {
        (Ok(strict), Ok(lenient)) => {
            assert!(lenient.is_canonical());
            assert_eq!(strict.end(), lenient.end());
        }
        (Err(error), Ok(lenient)) => {
            let DecodeErrorKind::NotCanonical(departure) = error.kind else {
                panic!("{error}, but the lenient mode accepts it");
            };
            let first = lenient.remarks()[0];
            assert_eq!(
                (first.offset as usize, first.departure),
                (error.offset, departure)
            );
        }
        (Ok(_), Err(error)) => panic!("{error}, but the strict mode accepts it"),
        (Err(_), Err(_)) => {}
    }
}

/// What was accepted strictly and is encoded again gives the same bytes.
pub(crate) fn encoding_gives_back_canonical_input(input: &[u8]) {
    let Ok(document) = Document::parse(input) else {
        return;
    };
    assert_eq!(encode(document.root()), input);
    let mut writer = Writer::new(Vec::new());
    writer.raw(Raw::parse(input).unwrap()).unwrap();
    assert_eq!(writer.into_sink(), input);
}

/// Encodes a value with the writer.
pub(crate) fn encode(value: ValueRef<'_, '_>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    if let Some(int) = value.as_int() {
        writer.int(int.to_i128().unwrap()).unwrap();
    } else if let Some(bytes) = value.as_bytes() {
        writer.bytes(bytes).unwrap();
    } else if let Some(list) = value.as_list() {
        writer.list(|writer| encode_list(list, writer)).unwrap();
    } else if let Some(dict) = value.as_dict() {
        writer.dict(|writer| encode_dict(dict, writer)).unwrap();
    }
    writer.into_sink()
}

fn encode_list(list: List<'_, '_>, writer: &mut rarest_bencode::ListWriter<'_>) {
    for item in list {
        if let Some(int) = item.as_int() {
            writer.int(int.to_i128().unwrap());
        } else if let Some(bytes) = item.as_bytes() {
            writer.bytes(bytes);
        } else if let Some(list) = item.as_list() {
            writer.list(|writer| encode_list(list, writer));
        } else if let Some(dict) = item.as_dict() {
            writer.dict(|writer| encode_dict(dict, writer));
        }
    }
}

fn encode_dict(dict: Dict<'_, '_>, writer: &mut rarest_bencode::DictWriter<'_>) {
    for (key, value) in dict {
        if let Some(int) = value.as_int() {
            writer.int(key, int.to_i128().unwrap());
        } else if let Some(bytes) = value.as_bytes() {
            writer.bytes(key, bytes);
        } else if let Some(list) = value.as_list() {
            writer.list(key, |writer| encode_list(list, writer));
        } else if let Some(dict) = value.as_dict() {
            writer.dict(key, |writer| encode_dict(dict, writer));
        }
    }
}

/// A reader refuses what a document refuses, for the same reason, and tells the same story of the rest.
pub(crate) fn reader_and_document_agree(input: &[u8]) {
    for options in [
        Options::canonical(),
        Options::lenient(),
        Options::lenient().trailing(Trailing::Allow),
        Options::canonical().max_depth(2).max_items(9),
    ] {
        let mut reader = Reader::with_options(input, &options);
        let mut events = Vec::new();
        let result = loop {
            match reader.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break Ok(reader.offset()),
                Err(error) => break Err(error),
            }
        };
        let document = Document::parse_with(input, &options);
        assert_eq!(
            result,
            document.as_ref().map(Document::end).map_err(|error| *error)
        );
        let mut skipping = Reader::with_options(input, &options);
        let skipped = skipping.skip().map(|raw| raw.unwrap().as_bytes());
        let Ok(document) = document else {
            assert_eq!(reader.next_event(), Err(result.unwrap_err()));
            continue;
        };
        assert_eq!(skipped, Ok(document.root().raw()));
        assert_eq!(events, events_of(document.root()));
        assert!(
            reader
                .remarks()
                .iter()
                .all(|remark| document.remarks().contains(remark))
        );
        assert_eq!(reader.remarks().is_empty(), document.remarks().is_empty());
    }
}

fn events_of<'input>(root: ValueRef<'_, 'input>) -> Vec<Event<'input>> {
    let mut events = Vec::new();
    push_events(root, &mut events);
    events
}

fn push_events<'input>(value: ValueRef<'_, 'input>, events: &mut Vec<Event<'input>>) {
    match value.kind() {
        Kind::Int => events.push(Event::Int(value.as_int().unwrap())),
        Kind::Bytes => events.push(Event::Bytes(value.as_bytes().unwrap())),
        Kind::List => {
            events.push(Event::List);
            value
                .as_list()
                .unwrap()
                .iter()
                .for_each(|item| push_events(item, events));
            events.push(Event::End);
        }
        Kind::Dict => {
            events.push(Event::Dict);
            for (key, value) in value.as_dict().unwrap() {
                events.push(Event::Key(key));
                push_events(value, events);
            }
            events.push(Event::End);
        }
    }
}

/// Serde accepts what a document accepts, sees the same values, and writes the same bytes.
pub(crate) fn serde_and_document_agree(input: &[u8]) {
    let document = Document::parse(input);
    let raw = rarest_bencode::from_bytes::<Raw<'_>>(input);
    let ignored = rarest_bencode::from_bytes::<serde::de::IgnoredAny>(input);
    let tree = rarest_bencode::from_bytes::<Tree>(input);
    match document {
        Err(error) => {
            let error = rarest_bencode::DeserializeError::Decode(error);
            assert_eq!(raw.unwrap_err(), error);
            assert_eq!(ignored.unwrap_err(), error);
            assert_eq!(tree.unwrap_err(), error);
        }
        Ok(document) => {
            assert_eq!(raw.unwrap().as_bytes(), input);
            assert!(ignored.is_ok());
            let tree = tree.unwrap();
            assert_eq!(tree, Tree::of(document.root()));
            assert_eq!(rarest_bencode::to_vec(&tree).unwrap(), input);
        }
    }
}

/// Any value, as serde sees it.
#[derive(Debug, PartialEq)]
pub(crate) enum Tree {
    Int(i128),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Dict(Vec<(Vec<u8>, Tree)>),
}

mod tree {
    use super::Tree;
    use rarest_bencode::{Kind, ValueRef};
    use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
    use serde::ser::{Serialize, SerializeMap as _, Serializer};
    use serde_bytes::{ByteBuf, Bytes};

    impl Tree {
        pub(crate) fn of(value: ValueRef<'_, '_>) -> Self {
            match value.kind() {
                Kind::Int => Self::Int(value.as_int().unwrap().to_i128().unwrap()),
                Kind::Bytes => Self::Bytes(value.as_bytes().unwrap().to_vec()),
                Kind::List => Self::List(value.as_list().unwrap().iter().map(Self::of).collect()),
                Kind::Dict => {
                    let entries = value.as_dict().unwrap().iter();
                    Self::Dict(
                        entries
                            .map(|(key, value)| (key.to_vec(), Self::of(value)))
                            .collect(),
                    )
                }
            }
        }
    }

    impl Serialize for Tree {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Self::Int(number) => serializer.serialize_i128(*number),
                Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
                Self::List(items) => items.serialize(serializer),
                Self::Dict(entries) => {
                    let mut map = serializer.serialize_map(None)?;
                    // Backwards: the serializer is to sort them.
                    for (key, value) in entries.iter().rev() {
                        map.serialize_entry(Bytes::new(key), value)?;
                    }
                    map.end()
                }
            }
        }
    }

    impl<'de> Deserialize<'de> for Tree {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct TreeVisitor;

            impl<'de> Visitor<'de> for TreeVisitor {
                type Value = Tree;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("any value")
                }

                fn visit_u64<E: Error>(self, number: u64) -> Result<Tree, E> {
                    Ok(Tree::Int(number.into()))
                }

                fn visit_i64<E: Error>(self, number: i64) -> Result<Tree, E> {
                    Ok(Tree::Int(number.into()))
                }

                fn visit_i128<E: Error>(self, number: i128) -> Result<Tree, E> {
                    Ok(Tree::Int(number))
                }

                fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Tree, E> {
                    Ok(Tree::Bytes(bytes.to_vec()))
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
                    let mut list = Vec::new();
                    while let Some(item) = items.next_element()? {
                        list.push(item);
                    }
                    Ok(Tree::List(list))
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                    let mut entries = Vec::new();
                    while let Some((key, value)) = map.next_entry::<ByteBuf, Tree>()? {
                        entries.push((key.into_vec(), value));
                    }
                    Ok(Tree::Dict(entries))
                }
            }

            deserializer.deserialize_any(TreeVisitor)
        }
    }
}
