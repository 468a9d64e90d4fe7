//! URLs that are fetched from HTTP trackers, and the bodies that come back.

use proptest::prelude::*;
use rarest_metainfo::InfoHash;
use rarest_tracker::http::{
    MAX_PEERS_PER_REPLY, MAX_TRACKER_ID_LENGTH, announce_url, parse_announce, parse_scrape,
    scrape_url,
};
use rarest_tracker::{Announce, Error, Event, Failure, MAX_TEXT_LENGTH, Retry};

fn url_of(tracker: &str, announce: &Announce) -> String {
    announce_url(&tracker.parse().unwrap(), announce)
}

#[test]
fn an_announce_says_all_that_bep_3_and_23_ask_for() {
    assert_eq!(
        url_of("http://t.example:6969/announce", &crate::announce()),
        "http://t.example:6969/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-RA0100-bbbbbbbbbbbb&port=6881\
         &uploaded=1&downloaded=2&left=3&key=DEADBEEF&event=started&compact=1&no_peer_id=1"
    );
}

#[test]
fn events_num_want_and_tracker_id_are_sent() {
    let regular = Announce {
        event: Event::Regular,
        num_want: Some(7),
        tracker_id: Some(b"\0\xffab=&"[..].into()),
        ..crate::announce()
    };
    let url = url_of("http://t.example/announce", &regular);
    assert!(!url.contains("event="));
    assert!(
        url.ends_with("&numwant=7&compact=1&no_peer_id=1&trackerid=%00%FFab%3D%26"),
        "{url}"
    );
    for (event, text) in [
        (Event::Completed, "&event=completed&"),
        (Event::Stopped, "&event=stopped&"),
    ] {
        let url = url_of(
            "http://t.example/announce",
            &Announce {
                event,
                ..crate::announce()
            },
        );
        assert!(url.contains(text), "{url}");
    }
}

#[test]
fn the_trackers_own_query_stays_in_front() {
    for (tracker, begin) in [
        ("http://t/announce", "http://t/announce?info_hash=aaa"),
        ("http://t/announce?", "http://t/announce?info_hash=aaa"),
        (
            "http://t/a?passkey=%2f1&x",
            "http://t/a?passkey=%2f1&x&info_hash=aaa",
        ),
        (
            "http://t/a?passkey=1&",
            "http://t/a?passkey=1&info_hash=aaa",
        ),
        (
            "http://t/a?info_hash=1#top",
            "http://t/a?info_hash=1&info_hash=aaa",
        ),
        (
            "https://[2001:db8::1]:8443/announce",
            "https://[2001:db8::1]:8443/announce?info_hash=aaa",
        ),
        ("http://t", "http://t/?info_hash=aaa"),
    ] {
        let url = url_of(tracker, &crate::announce());
        assert!(url.starts_with(begin), "{url} for {tracker}");
    }
}

#[test]
fn every_byte_of_a_hash_survives_the_escaping() {
    for first in 0..=u8::MAX {
        let hash: [u8; 20] =
            std::array::from_fn(|at| first.wrapping_add(u8::try_from(at).unwrap()));
        let url = url_of(
            "http://t/announce",
            &Announce {
                info_hash: InfoHash(hash),
                ..crate::announce()
            },
        );
        let (_, query) = url.split_once("info_hash=").unwrap();
        let (escaped, _) = query.split_once('&').unwrap();
        let unescaped: Vec<u8> = percent_encoding::percent_decode_str(escaped).collect();
        assert_eq!(unescaped, hash);
    }
}

#[test]
fn scrape_urls_hold_the_hashes_behind_the_trackers_query() {
    let tracker = "http://t/x/announce.php?k=1".parse().unwrap();
    let hashes = [InfoHash([b'a'; 20]), InfoHash([0; 20])];
    let escaped = "%00".repeat(20);
    assert_eq!(
        scrape_url(&tracker, &hashes).unwrap(),
        format!("http://t/x/scrape.php?k=1&info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash={escaped}")
    );
    let many = scrape_url(&tracker, &[InfoHash([0; 20]); 100]).unwrap();
    assert_eq!(many.matches("info_hash=").count(), 74);
    for unscrapable in [
        "http://t/",
        "http://t/a",
        "http://t/announce/a",
        "http://t/xannounce",
        "http://t/a?x=/announce",
    ] {
        assert_eq!(
            scrape_url(&unscrapable.parse().unwrap(), &hashes),
            None,
            "{unscrapable}"
        );
    }
}

fn failure(body: &str) -> Failure {
    match parse_announce(body.as_bytes()) {
        Err(Error::Refused(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn retry_in_is_minutes_or_never() {
    let retry = |value: &str| failure(&format!("d14:failure reason4:busy8:retry in{value}e")).retry;
    let minutes = |minutes| Some(Retry::After(std::time::Duration::from_secs(60 * minutes)));
    assert_eq!(retry("i15e"), minutes(15));
    assert_eq!(retry("2:15"), minutes(15));
    assert_eq!(retry("5:never"), Some(Retry::Never));
    assert_eq!(retry("5:Never"), Some(Retry::Never));
    assert_eq!(retry("i-5e"), None);
    assert_eq!(retry("4:soon"), None);
    assert_eq!(retry("le"), None);
    assert_eq!(retry("i99999999999999e"), minutes(u64::from(u32::MAX)));
}

#[test]
fn what_a_tracker_can_make_us_keep_is_bounded() {
    let peers = "\u{1}".repeat(6 * (MAX_PEERS_PER_REPLY + 1));
    let body = format!("d5:peers{}:{peers}e", peers.len());
    assert_eq!(
        parse_announce(body.as_bytes()).unwrap().peers.len(),
        MAX_PEERS_PER_REPLY
    );
    let id = "x".repeat(MAX_TRACKER_ID_LENGTH + 1);
    let body = format!("d5:peers0:10:tracker id{}:{id}e", id.len());
    assert_eq!(parse_announce(body.as_bytes()).unwrap().tracker_id, None);
    let text = "y".repeat(MAX_TEXT_LENGTH + 1);
    let body = format!("d5:peers0:15:warning message{}:{text}e", text.len());
    assert_eq!(
        parse_announce(body.as_bytes())
            .unwrap()
            .warning
            .unwrap()
            .len(),
        MAX_TEXT_LENGTH
    );
    assert_eq!(
        failure(&format!("d14:failure reason{}:{text}e", text.len()))
            .reason
            .len(),
        MAX_TEXT_LENGTH
    );
    let deep = format!(
        "d5:peers0:1:x{}{}e",
        "l".repeat(100_000),
        "e".repeat(100_000)
    );
    assert!(matches!(
        parse_announce(deep.as_bytes()),
        Err(Error::Reply(_))
    ));
    let many = format!("d5:peers0:1:xl{}ee", "le".repeat(400_000));
    assert!(matches!(
        parse_announce(many.as_bytes()),
        Err(Error::Reply(_))
    ));
}

#[test]
fn every_prefix_of_an_answer_is_refused() {
    let body = b"d8:completei3e11:external ip4:\x01\x02\x03\x048:intervali1803e5:peers6:\x01\x02\x03\x04\0\x356:peers60:10:tracker id2:xye";
    assert_eq!(parse_announce(body).unwrap().peers.len(), 1);
    for length in 0..body.len() {
        assert!(
            matches!(parse_announce(&body[..length]), Err(Error::Reply(_))),
            "{length}"
        );
    }
}

#[test]
fn a_dictionary_of_anything_else_is_no_answer() {
    assert!(matches!(parse_announce(b"de"), Err(Error::Reply(_))));
    assert!(matches!(
        parse_announce(b"d4:spam4:eggse"),
        Err(Error::Reply(_))
    ));
    assert!(matches!(
        parse_scrape(b"d5:filesi1ee"),
        Err(Error::Reply(_))
    ));
}

#[test]
fn scrape_entries_that_are_no_hashes_are_left_out() {
    let body = b"d5:filesd3:abcd8:completei1ee20:aaaaaaaaaaaaaaaaaaaad8:completei7ee20:bbbbbbbbbbbbbbbbbbbbi1ee5:flagsd20:min_request_intervali60eee";
    let reply = parse_scrape(body).unwrap();
    assert_eq!(reply.swarms.len(), 1);
    assert_eq!(reply.swarms[&InfoHash([b'a'; 20])].seeders, Some(7));
    assert_eq!(reply.min_request_interval.unwrap().as_secs(), 60);
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _either = parse_announce(&body);
        let _either = parse_scrape(&body);
    }

    #[test]
    fn any_values_under_the_known_keys_are_read_or_refused(values in proptest::collection::vec("(i-?[0-9]{1,25}e|[0-9]:[a-z]{9}|le|de|l1:xe)", 6)) {
        let keys = ["5:peers", "6:peers6", "8:interval", "10:tracker id", "11:external ip", "8:complete"];
        let pairs: String = keys.iter().zip(&values).map(|(key, value)| format!("{key}{value}")).collect();
        let _either = parse_announce(format!("d{pairs}e").as_bytes());
    }
}
