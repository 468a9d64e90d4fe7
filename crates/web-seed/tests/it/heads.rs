//! Headers as servers write them.

use proptest::prelude::{any, prop_assert_eq, proptest};
use rarest_web_seed::ContentRange;

#[test]
fn content_ranges_are_read_exactly() {
    let range = |first, last, of| Some(ContentRange { first, last, of });
    for (value, expected) in [
        (&b"bytes 0-99/1000"[..], range(0, 99, Some(1000))),
        (b"BYTES 0-0/*", range(0, 0, None)),
        (b"bytes  5-9/10", range(5, 9, Some(10))),
        (b"bytes 5-4/10", None),
        (b"bytes 5-10/10", None),
        (b"bytes */10", None),
        (b"bytes=0-9/10", None),
        (b"bytes 0-9", None),
        (b"bytes 0/9-10", None),
        (b"bytes -0-9/10", None),
        (b"bytes +0-9/10", None),
        (b"bytes 0-18446744073709551615/*", None),
        (b"bytes 0-18446744073709551616/*", None),
        (b"", None),
    ] {
        let read = ContentRange::parse(value);
        assert_eq!(read, expected, "{}", value.escape_ascii());
    }
}

proptest! {
    #[test]
    fn content_ranges_survive_the_way(first in any::<u32>(), more in any::<u32>(), rest in any::<Option<u32>>()) {
        let first = u64::from(first);
        let last = first + u64::from(more);
        let of = rest.map(|rest| last + 1 + u64::from(rest));
        let length = of.map_or("*".to_owned(), |length| length.to_string());
        let text = format!("bytes {first}-{last}/{length}");
        prop_assert_eq!(ContentRange::parse(text.as_bytes()), Some(ContentRange { first, last, of }));
        for end in 0..text.len() {
            // Whatever is left over means something else, or nothing.
            let _ = ContentRange::parse(&text.as_bytes()[..end]);
        }
    }
}
