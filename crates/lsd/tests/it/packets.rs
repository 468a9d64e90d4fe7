//! Packets.

use proptest::collection::{btree_set, vec};
use proptest::prelude::{any, prop_assert_eq, proptest};
use rarest_lsd::limits::{MAX_INFO_HASHES, MAX_PACKET_LENGTH};
use rarest_lsd::{Announce, Cookie, Group, InvalidAnnounce};
use rarest_metainfo::InfoHash;

#[test]
fn a_packet_looks_as_bep_14_says() {
    let announce = Announce {
        port: 51413,
        info_hashes: vec![InfoHash([0xab; 20]), InfoHash([1; 20])],
        cookie: Some(Cookie::new(7)),
    };
    let expected = format!(
        "BT-SEARCH * HTTP/1.1\r\nHost: [ff15::efc0:988f]:6771\r\nPort: 51413\r\nInfohash: {}\r\nInfohash: {}\r\ncookie: rarest-0000000000000007\r\n\r\n\r\n",
        "ab".repeat(20),
        "01".repeat(20)
    );
    let packet = announce.encode(Group::V6.addr());
    assert_eq!(String::from_utf8(packet).unwrap(), expected);
}

#[test]
fn packets_of_other_clients_are_read() {
    // Lines may end with a line feed alone, names have no case, and headers come in any order.
    let hash = "0123456789ABCDEFfedcba98765432100000ffff";
    let packet = format!(
        "BT-SEARCH * HTTP/1.1\nINFOHASH:{hash}\nx: y\nno header\nInfohash: {hash}\nInfohash: zz\nport:  6881 \n\n"
    );
    let announce = Announce::decode(packet.as_bytes()).unwrap();
    assert_eq!(announce.port, 6881);
    assert_eq!(announce.info_hashes.len(), 1, "each once, and no others");
    assert_eq!(announce.info_hashes[0].0[..4], [1, 0x23, 0x45, 0x67]);
    assert_eq!(announce.cookie, None);
}

#[test]
fn what_is_no_announce_is_refused() {
    let hash = "00".repeat(20);
    let head = "BT-SEARCH * HTTP/1.1\r\n";
    for (packet, expected) in [
        (String::new(), InvalidAnnounce::OtherRequest),
        (
            "GET / HTTP/1.1\r\n".to_owned(),
            InvalidAnnounce::OtherRequest,
        ),
        (
            format!("{head}Infohash: {hash}\r\n"),
            InvalidAnnounce::NoPort,
        ),
        (
            format!("{head}Port: 0\r\nInfohash: {hash}\r\n"),
            InvalidAnnounce::NoPort,
        ),
        (
            format!("{head}Port: 65536\r\nInfohash: {hash}\r\n"),
            InvalidAnnounce::NoPort,
        ),
        (format!("{head}Port: 1\r\n"), InvalidAnnounce::NoInfoHash),
        (
            format!("{head}Port: 1\r\n\r\nInfohash: {hash}\r\n"),
            InvalidAnnounce::NoInfoHash,
        ),
    ] {
        assert_eq!(
            Announce::decode(packet.as_bytes()),
            Err(expected),
            "{packet}"
        );
    }
    let long = vec![b'x'; MAX_PACKET_LENGTH + 1];
    let length = long.len();
    assert_eq!(
        Announce::decode(&long),
        Err(InvalidAnnounce::TooLong { length })
    );
}

#[test]
fn torrents_above_the_limit_are_neither_told_nor_heard() {
    let many = (0..100).map(|n| InfoHash([n; 20])).collect();
    let announce = Announce {
        port: 1,
        info_hashes: many,
        cookie: None,
    };
    let packet = announce.encode(Group::V4.addr());
    assert!(packet.len() < 1200);
    let heard = Announce::decode(&packet).unwrap();
    assert_eq!(heard.info_hashes.len(), MAX_INFO_HASHES);
    let mut text = String::from_utf8(packet).unwrap();
    let more = (50..55).map(|n: u8| format!("Infohash: {}\r\n", format!("{n:02x}").repeat(20)));
    text.insert_str(text.len() - 4, &more.collect::<String>());
    let heard = Announce::decode(text.as_bytes()).unwrap();
    assert_eq!(heard.info_hashes.len(), MAX_INFO_HASHES);
}

proptest! {
    #[test]
    fn announces_survive_the_way(
        port in 1..=u16::MAX,
        hashes in btree_set(any::<[u8; 20]>(), 1..=MAX_INFO_HASHES),
        cookie in any::<Option<u64>>(),
    ) {
        let announce = Announce {
            port,
            info_hashes: hashes.into_iter().map(InfoHash).collect(),
            cookie: cookie.map(Cookie::new),
        };
        let packet = announce.encode(Group::V4.addr());
        prop_assert_eq!(Announce::decode(&packet), Ok(announce));
    }

    #[test]
    fn any_bytes_are_an_announce_or_none(bytes in vec(any::<u8>(), 0..200), cut in 0..300_usize) {
        let _ = Announce::decode(&bytes);
        let announce = Announce { port: 7, info_hashes: vec![InfoHash([9; 20])], cookie: None };
        let mut packet = announce.encode(Group::V4.addr());
        packet.truncate(cut);
        packet.extend(bytes);
        let _ = Announce::decode(&packet);
    }
}
