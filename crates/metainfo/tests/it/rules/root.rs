//! What stands beside the info dictionary, and torrents made of metadata from peers.

use rarest_bencode::{DEFAULT_MAX_DEPTH, DictWriter, Raw, encode_dict};
use rarest_hash::sha1;
use rarest_metainfo::{
    InfoHashV1, InfoHashes, MAX_PATH_BYTES, Magnet, Metainfo, MetainfoError, Remark,
};

use crate::fixtures::read;

use super::{file, v2};

fn root_of(fill: impl FnOnce(&mut DictWriter<'_>)) -> Metainfo {
    let torrent = encode_dict(|root| {
        root.dict("info", |info| {
            info.bytes("name", "a")
                .int("length", 1)
                .int("piece length", 16_384)
                .bytes("pieces", [1; 20]);
        });
        fill(root);
    });
    Metainfo::parse(torrent.unwrap()).unwrap()
}

#[test]
fn tracker_urls_are_trimmed_and_bad_ones_dropped() {
    let torrent = root_of(|root| {
        root.bytes("announce", "http://hidden.example/");
        root.list("announce-list", |list| {
            list.list(|tier| {
                tier.bytes(" udp://a.example:1 \n").bytes("garbage").int(7);
            });
            list.list(|tier| {
                tier.bytes("");
            });
            list.list(|tier| {
                tier.bytes("http://b.example/").bytes("udp://a.example:1");
            });
        });
    });
    assert_eq!(
        torrent.trackers(),
        [["udp://a.example:1"], ["http://b.example/"]]
    );
    assert_eq!(
        torrent.remarks(),
        [Remark::DroppedUrls {
            key: "announce-list",
            count: 1
        }]
    );
}

#[test]
fn announce_counts_when_the_list_holds_no_url() {
    let torrent = root_of(|root| {
        root.bytes("announce", " http://a.example/ ")
            .list("announce-list", |list| {
                list.list(|_| {});
            });
    });
    assert_eq!(torrent.trackers(), [["http://a.example/"]]);
}

#[test]
fn url_list_may_be_a_string_or_a_list() {
    let string = root_of(|root| {
        root.bytes("url-list", "http://a.example/");
    });
    assert_eq!(string.web_seeds(), ["http://a.example/"]);
    let list = root_of(|root| {
        root.list("url-list", |list| {
            list.bytes("http://a.example/")
                .bytes("bad")
                .bytes("http://a.example/");
        });
        root.list("httpseeds", |list| {
            list.bytes("http://b.example/seed");
        });
    });
    assert_eq!(
        (list.web_seeds(), list.http_seeds()),
        (
            string.web_seeds(),
            &["http://b.example/seed".to_owned()][..]
        )
    );
}

#[test]
fn private_is_read_from_info_only() {
    assert!(
        Metainfo::parse(read("made/private-a.torrent"))
            .unwrap()
            .info()
            .is_private()
    );
    assert!(
        !Metainfo::parse(read("made/private-not-a.torrent"))
            .unwrap()
            .info()
            .is_private()
    );
}

#[test]
fn metadata_from_peers_becomes_a_torrent_if_it_is_the_right_one() {
    let torrent = Metainfo::parse(read("made/v1-multi-a.torrent")).unwrap();
    let magnet = torrent.magnet();
    let from_peers = Metainfo::from_info(torrent.info().raw().clone(), &magnet).unwrap();
    assert_eq!(from_peers.info(), torrent.info());
    assert_eq!(from_peers.trackers(), torrent.trackers());
    let other: Magnet = format!("magnet:?xt=urn:btih:{}", "a".repeat(40))
        .parse()
        .unwrap();
    let refused = Metainfo::from_info(torrent.info().raw().clone(), &other);
    assert!(matches!(refused, Err(MetainfoError::WrongInfoHash { .. })));
    let trailing = [torrent.info().raw(), &b"x"[..]].concat();
    assert!(matches!(
        Metainfo::from_info(trailing, &magnet),
        Err(MetainfoError::Bencode(_))
    ));
}

#[test]
fn metadata_from_peers_can_be_read_again_however_deep_it_is() {
    let nested = |depth: usize| {
        let info = encode_dict(|info| {
            info.bytes("name", "a")
                .int("length", 1)
                .int("piece length", 16_384)
                .bytes("pieces", [1; 20]);
            let lists = ["l".repeat(depth), "e".repeat(depth)].concat();
            info.raw("x", Raw::parse(lists.as_bytes()).unwrap());
        })
        .unwrap();
        let hashes = InfoHashes {
            v1: Some(InfoHashV1(sha1(&info))),
            v2: None,
        };
        Metainfo::from_info(info, &Magnet::new(hashes))
    };
    let deepest = usize::from(DEFAULT_MAX_DEPTH) - 2;
    assert!(Metainfo::parse(nested(deepest).unwrap().to_bytes()).is_ok());
    assert!(matches!(
        nested(deepest + 1),
        Err(MetainfoError::Bencode(_))
    ));
}

#[test]
fn a_hybrid_known_by_one_hash_is_the_same_torrent() {
    let torrent = Metainfo::parse(read("made/hybrid-multi-a.torrent")).unwrap();
    let mut hashes = torrent.info_hashes();
    hashes.v2 = None;
    let from_peers =
        Metainfo::from_info(torrent.info().raw().clone(), &Magnet::new(hashes)).unwrap();
    assert_eq!(from_peers.info_hashes(), torrent.info_hashes());
    assert!(!from_peers.has_all_piece_layers());
    let piece = from_peers.info().geometry().piece(0).unwrap();
    assert!(
        from_peers
            .piece_hash(piece)
            .is_some_and(|hash| hash.v1.is_some() && hash.v2.is_none())
    );
}

#[test]
fn folders_with_long_names_around_many_files_do_not_grow_without_bound() {
    let name = "d".repeat(MAX_PATH_BYTES / 1000);
    let refused = v2(
        |tree| {
            tree.dict(&name, |folder| {
                for n in 0..1001 {
                    folder.dict(format!("{n}"), |node| file(node, 1, &[1; 32]));
                }
            });
        },
        &[],
    );
    assert_eq!(refused, Err(MetainfoError::PathsTooLong));
}

#[test]
fn a_torrent_is_the_bytes_it_was_read_from() {
    let bytes = read("made/root-unsorted-a.torrent");
    assert_eq!(Metainfo::parse(bytes.clone()).unwrap().to_bytes(), bytes);
}
