//! Each limit, met and passed by one.

use rarest_bencode::{
    DEFAULT_MAX_DEPTH, DEFAULT_MAX_INPUT_LENGTH, DEFAULT_MAX_ITEMS, DecodeErrorKind, Document,
    MAX_INTEGER_LENGTH, Options, Reader,
};

fn parse_lenient(input: &str) -> Result<(), DecodeErrorKind> {
    Document::parse_with(input.as_bytes(), &Options::lenient())
        .map(drop)
        .map_err(|error| error.kind)
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| ["l".repeat(depth), "e".repeat(depth)].concat();
    let limit = DEFAULT_MAX_DEPTH;
    assert_eq!(parse_lenient(&nested(limit.into())), Ok(()));
    let too_deep = Err(DecodeErrorKind::TooDeep { limit });
    assert_eq!(parse_lenient(&nested(usize::from(limit) + 1)), too_deep);
}

#[test]
fn a_closed_container_gives_its_depth_back() {
    let input = ["l", &"lede".repeat(1000), "e"].concat();
    let options = Options::canonical().max_depth(2);
    assert!(Document::parse_with(input.as_bytes(), &options).is_ok());
    assert!(
        Reader::with_options(input.as_bytes(), &options)
            .skip()
            .is_ok()
    );
}

#[test]
fn items_are_bounded() {
    let list = |items: usize| ["l", &"le".repeat(items), "e"].concat();
    let limit = DEFAULT_MAX_ITEMS;
    assert_eq!(parse_lenient(&list(limit as usize - 1)), Ok(()));
    let too_many = Err(DecodeErrorKind::TooManyItems { limit });
    assert_eq!(parse_lenient(&list(limit as usize)), too_many);
}

#[test]
fn keys_count_as_items() {
    let options = Options::canonical();
    let parse = |limit| Document::parse_with(b"d1:ai1ee", &options.max_items(limit));
    assert!(parse(3).is_ok());
    let error = parse(2).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::TooManyItems { limit: 2 });
    assert_eq!(error.offset, 4);
}

#[test]
fn input_is_bounded() {
    let limit = DEFAULT_MAX_INPUT_LENGTH;
    // Eight digits and a colon in front of the content.
    let string = |length: usize| format!("{}:{}", length - 9, "a".repeat(length - 9));
    assert_eq!(parse_lenient(&string(limit)), Ok(()));
    let length = limit + 1;
    let too_long = DecodeErrorKind::InputTooLong { length, limit };
    assert_eq!(parse_lenient(&string(length)), Err(too_long));
}

#[test]
fn integers_are_those_of_128_bits() {
    let max = i128::MAX.to_string();
    let min = i128::MIN.to_string();
    assert_eq!(min.len(), MAX_INTEGER_LENGTH);
    for text in [&*max, &*min] {
        assert_eq!(parse_lenient(&format!("i{text}e")), Ok(()));
        // The next number further from zero, and one digit more.
        let next = text.replace("105728", "105729").replace("105727", "105728");
        for beyond in [next, format!("{text}0")] {
            assert_ne!(beyond, text);
            let too_large = Err(DecodeErrorKind::IntegerTooLarge);
            assert_eq!(parse_lenient(&format!("i{beyond}e")), too_large, "{beyond}");
        }
    }
}

#[test]
fn zeros_in_front_do_not_make_room_for_more() {
    let zeros = "0".repeat(MAX_INTEGER_LENGTH - 1);
    assert_eq!(parse_lenient(&format!("i{zeros}1e")), Ok(()));
    let too_large = Err(DecodeErrorKind::IntegerTooLarge);
    assert_eq!(parse_lenient(&format!("i{zeros}01e")), too_large);
    assert_eq!(parse_lenient("0000000001:a"), Ok(()));
    let too_large = Err(DecodeErrorKind::LengthTooLarge);
    assert_eq!(parse_lenient("00000000001:a"), too_large);
}

#[test]
fn a_dictionary_of_keys_in_reverse_costs_no_more_than_sorting() {
    let mut input = String::from("d");
    for key in (0..200_000).rev() {
        input += &format!("6:{key:06}0:");
    }
    input += "e";
    let document = Document::parse_with(input.as_bytes(), &Options::lenient()).unwrap();
    assert_eq!(document.remarks().len(), 199_999);
}

#[test]
fn serde_is_bounded_whatever_the_options_allow() {
    use rarest_bencode::{DeserializeError, MAX_SERDE_DEPTH, from_bytes_with};

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Nested(Vec<Nested>);

    let nested = |depth: usize| ["l".repeat(depth), "e".repeat(depth)].concat();
    let options = Options::canonical().max_depth(u16::MAX);
    let limit = MAX_SERDE_DEPTH;
    assert!(from_bytes_with::<Nested>(nested(limit.into()).as_bytes(), &options).is_ok());
    let error = from_bytes_with::<Nested>(nested(60_000).as_bytes(), &options).unwrap_err();
    let DeserializeError::Decode(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind, DecodeErrorKind::TooDeep { limit });
}
