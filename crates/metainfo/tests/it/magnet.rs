//! Magnet links, read and printed.

use rarest_metainfo::{
    HostAddr, InfoHashes, MAX_MAGNET_LENGTH, MAX_MAGNET_PEERS, MAX_MAGNET_RANGES, MAX_URLS, Magnet,
    MagnetError,
};
use serde_json::Value;

use crate::fixtures::{entries, is_open, text, texts};

const V1: &str = "magnet:?xt=urn:btih:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

fn parse(uri: &str) -> Magnet {
    uri.parse().unwrap_or_else(|error| panic!("{uri}: {error}"))
}

/// Trackers that can be used, as the corpus compares them.
fn usable<'a>(urls: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let schemes = ["http://", "https://", "udp://", "ws://", "wss://"];
    let is_usable = |url: &&str| {
        schemes
            .iter()
            .any(|scheme| url.to_lowercase().starts_with(scheme))
    };
    urls.into_iter().filter(is_usable).collect()
}

#[test]
fn every_link_is_read_as_it_should_be() {
    for entry in entries("magnets.json") {
        let uri = text(&entry, "uri");
        match (uri.parse::<Magnet>(), entry["ok"].as_bool()) {
            (Ok(_), Some(false)) => panic!("accepted {uri}"),
            (Err(error), Some(true)) => panic!("{uri}: {error}"),
            (Ok(magnet), _) => assert_agrees(&entry, &magnet),
            (Err(_), _) => {}
        }
    }
}

fn assert_agrees(entry: &Value, magnet: &Magnet) {
    let hashes = magnet.info_hashes();
    let peers: Vec<_> = magnet.peers.iter().map(ToString::to_string).collect();
    let fields: [(&str, Value); 5] = [
        (
            "info_hash_v1",
            hashes.v1.map(|hash| hash.to_string()).into(),
        ),
        (
            "info_hash_v2",
            hashes.v2.map(|hash| hash.to_string()).into(),
        ),
        ("name", magnet.name.clone().into()),
        ("web_seeds", magnet.web_seeds.clone().into()),
        ("peers", peers.into()),
    ];
    for (field, actual) in fields {
        if !is_open(entry, field) {
            assert_eq!(entry[field], actual, "{field} of {entry}");
        }
    }
    if !is_open(entry, "trackers") {
        let actual = usable(magnet.trackers.iter().map(String::as_str));
        assert_eq!(usable(texts(&entry["trackers"])), actual, "{entry}");
    }
    if !is_open(entry, "selected_files") {
        for range in entry["selected_files"].as_array().unwrap() {
            for file in [&range[0], &range[1]] {
                assert!(magnet.selects(file.as_u64().unwrap() as u32), "{entry}");
            }
        }
    }
}

#[test]
fn all_parts_of_a_link_are_printed_and_read_again() {
    let uri = "magnet:?xt=urn:btih:631a31dd0a46257d5078c0dee4e66e26f73e42ac\
        &xt=urn:btmh:1220d8dd32ac93357c368556af3ac1d95c9d76bd0dff6fa9833ecdac3d53134efabb\
        &dn=a%20%2B%20b%26c&tr=udp%3A%2F%2Ft.example%3A1&ws=http%3A%2F%2Fw.example%2F\
        &x.pe=[2001:db8::1]:6881&x.pe=peer.example:1&so=0,2-4";
    assert_eq!(parse(uri).to_string(), uri);
}

#[test]
fn base32_and_hex_name_the_same_torrent() {
    let base32 = parse("magnet:?xt=urn:btih:MFRGCYTBMJQWEYLCMFRGCYTBMJQWEYLC");
    let hex = parse("magnet:?xt=urn:btih:6162616261626162616261626162616261626162");
    assert_eq!(base32, hex);
}

#[test]
fn a_plus_is_a_space_in_a_name_and_a_plus_in_a_url() {
    let magnet = parse(&format!("{V1}&dn=a+b%2Bc&tr=http://t/a+b"));
    assert_eq!(magnet.name.as_deref(), Some("a b+c"));
    assert_eq!(magnet.trackers, ["http://t/a+b"]);
}

#[test]
fn two_different_torrents_in_one_link_are_refused() {
    let uri = format!("{V1}&xt=urn:btih:{}", "a".repeat(40));
    assert_eq!(uri.parse::<Magnet>(), Err(MagnetError::ConflictingHashes));
    assert!(
        format!("{V1}&xt=urn:btih:{}", "cd".repeat(20))
            .parse::<Magnet>()
            .is_ok()
    );
}

#[test]
fn a_bad_hash_beside_a_good_one_is_refused() {
    assert_eq!(
        format!("{V1}&xt=urn:btih:1234").parse::<Magnet>(),
        Err(MagnetError::BadV1Hash)
    );
    assert_eq!(
        format!("{V1}&xt=urn:btmh:1220ab").parse::<Magnet>(),
        Err(MagnetError::BadV2Hash)
    );
}

#[test]
fn selected_files_are_rising_disjoint_ranges() {
    let magnet = parse(&format!(
        "{V1}&so=9,2-4&so=5,1,7-6,x,-,3-,+8&so=0-18446744073709551615"
    ));
    assert_eq!(magnet.selected_files, [1..=5, 9..=9]);
    assert!(magnet.selects(5) && !magnet.selects(6));
    assert!(parse(V1).selects(6));
}

#[test]
fn a_huge_selection_takes_no_memory() {
    let magnet = parse(&format!("{V1}&so=0-4294967295,7"));
    assert_eq!(magnet.selected_files, [0..=u32::MAX]);
}

#[test]
fn trackers_peers_and_ranges_are_kept_up_to_their_limits() {
    let mut uri = V1.to_owned();
    for n in 0..20_000 {
        uri += &format!(
            "&tr=udp://t{n}&x.pe=10.0.{}.{}:1&so={}",
            n / 256,
            n % 256,
            2 * n
        );
    }
    let magnet = parse(&uri);
    assert_eq!(magnet.trackers.len(), MAX_URLS);
    assert_eq!(magnet.peers.len(), MAX_MAGNET_PEERS);
    assert_eq!(magnet.selected_files.len(), MAX_MAGNET_RANGES);
}

#[test]
fn a_link_over_the_limit_is_refused() {
    let uri = format!("{V1}&dn={}", "x".repeat(MAX_MAGNET_LENGTH));
    assert_eq!(
        uri.parse::<Magnet>(),
        Err(MagnetError::TooLong { length: uri.len() })
    );
}

#[test]
fn peers_may_have_names() {
    let magnet = parse(&format!("{V1}&x.pe=peer.example:6881&x.pe=192.0.2.1%3A1"));
    assert!(matches!(
        &magnet.peers[..],
        [HostAddr::Name { port: 6881, .. }, HostAddr::Ip(_)]
    ));
}

fn info_hashes() -> impl proptest::strategy::Strategy<Value = InfoHashes> {
    use proptest::prelude::*;
    (any::<[u8; 20]>(), any::<[u8; 32]>(), 0..3).prop_map(|(v1, v2, which)| {
        let v1 = Magnet::new(InfoHashes {
            v1: Some(rarest_metainfo::InfoHashV1(v1.into())),
            v2: None,
        });
        let v2 = InfoHashes {
            v1: None,
            v2: Some(rarest_metainfo::InfoHashV2(v2.into())),
        };
        match which {
            0 => v1.info_hashes(),
            1 => v2,
            _ => InfoHashes {
                v2: v2.v2,
                ..v1.info_hashes()
            },
        }
    })
}

proptest::proptest! {
    #[test]
    fn what_is_printed_is_read_again(
        hashes in info_hashes(),
        name in proptest::option::of("\\PC{1,20}"),
        paths in proptest::collection::btree_set("[!-~]{1,20}", 0..4),
        first in 0..1000u32,
    ) {
        let mut magnet = Magnet::new(hashes);
        magnet.name = name;
        magnet.trackers = paths.iter().map(|path| format!("http://t/{path}")).collect();
        magnet.web_seeds = paths.iter().map(|path| format!("http://w/{path}")).collect();
        magnet.selected_files = vec![first..=first + 2, first + 4..=first + 4];
        proptest::prop_assert_eq!(magnet.to_string().parse::<Magnet>(), Ok(magnet));
    }
}
