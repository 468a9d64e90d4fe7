//! The edge cases of `fixtures/made` against what a correct reader says of them.

use std::collections::HashSet;

use rarest_metainfo::{FileKind, Metainfo};
use serde_json::Value;

use crate::fixtures::{entries, is_open, number, read, text, texts};

fn for_each_entry(
    expect: &str,
    check: impl Fn(&Value, Result<Metainfo, rarest_metainfo::MetainfoError>),
) {
    let entries = entries("torrents.json");
    let chosen: Vec<_> = entries
        .iter()
        .filter(|entry| entry["expect"] == expect)
        .collect();
    assert!(
        chosen.len() > 20,
        "the list of {expect} torrents is complete"
    );
    for entry in chosen {
        check(entry, Metainfo::parse(read(text(entry, "file"))));
    }
}

#[test]
fn what_is_no_torrent_is_refused_with_a_short_message() {
    for_each_entry("invalid", |entry, parsed| {
        let error = parsed
            .err()
            .unwrap_or_else(|| panic!("accepted {}", entry["file"]));
        let message = error.to_string();
        assert!(
            !message.is_empty() && message.len() < 300 && !message.contains('\n'),
            "{message}"
        );
    });
}

#[test]
fn every_torrent_is_read_as_it_should_be() {
    for_each_entry("valid", |entry, parsed| {
        assert_agrees(
            entry,
            &parsed.unwrap_or_else(|error| panic!("{}: {error}", entry["file"])),
        );
    });
}

#[test]
fn what_readers_judge_differently_is_refused_or_read_as_it_should_be() {
    for_each_entry("either", |entry, parsed| {
        if let Ok(torrent) = parsed
            && entry.get("piece_length").is_some()
        {
            assert_agrees(entry, &torrent);
        }
    });
}

#[test]
fn a_torrent_that_is_put_together_again_says_the_same() {
    for_each_entry("valid", |entry, parsed| {
        let torrent = parsed.unwrap();
        let mut magnet = torrent.magnet();
        magnet.name = None;
        let again = Metainfo::from_info(torrent.info().raw().clone(), &magnet).unwrap();
        let parsed = Metainfo::parse(again.to_bytes()).unwrap();
        assert_eq!(
            parsed.info_hashes(),
            torrent.info_hashes(),
            "{}",
            entry["file"]
        );
        assert_eq!(
            parsed.trackers().concat(),
            torrent.trackers().concat(),
            "{}",
            entry["file"]
        );
    });
}

#[test]
fn every_prefix_of_a_torrent_is_refused() {
    for name in ["made/v1-multi-a.torrent", "made/hybrid-multi-a.torrent"] {
        let whole = read(name);
        for length in 0..whole.len() {
            assert!(
                Metainfo::parse(whole[..length].to_vec()).is_err(),
                "{name} cut to {length} bytes"
            );
        }
    }
}

fn assert_agrees(entry: &Value, torrent: &Metainfo) {
    let file = text(entry, "file");
    let info = torrent.info();
    let hashes = torrent.info_hashes();
    let fields: [(&str, Value); 11] = [
        (
            "info_hash_v1",
            hashes.v1.map(|hash| hash.to_string()).into(),
        ),
        (
            "info_hash_v2",
            hashes.v2.map(|hash| hash.to_string()).into(),
        ),
        (
            "piece_length",
            info.geometry().nominal_piece_length().into(),
        ),
        ("num_pieces", info.geometry().piece_count().into()),
        ("total_size", info.total_length().into()),
        ("private", info.is_private().into()),
        ("name", String::from_utf8_lossy(info.raw_name()).into()),
        ("trackers", Value::from(torrent.trackers())),
        ("comment", torrent.comment().into()),
        ("created_by", torrent.created_by().into()),
        ("creation_date", torrent.creation_date().into()),
    ];
    for (field, actual) in fields {
        let is_other_name = field == "name" && actual == entry["name_also"];
        if !is_open(entry, field) && !is_other_name {
            assert_eq!(entry[field], actual, "{field} of {file}");
        }
    }
    assert_eq!(torrent.web_seeds(), texts(&entry["web_seeds"]), "{file}");
    assert_eq!(torrent.http_seeds(), texts(&entry["http_seeds"]), "{file}");
    let nodes: Vec<_> = torrent
        .dht_nodes()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(nodes, texts(&entry["dht_nodes"]), "{file}");
    if !is_open(entry, "files") {
        assert_files_agree(entry, torrent);
    }
}

fn assert_files_agree(entry: &Value, torrent: &Metainfo) {
    let name = text(entry, "file");
    // Padding of hybrid torrents may be listed or not.
    let is_listed = |is_padding: bool| entry["info_hash_v2"].is_null() || !is_padding;
    let files: Vec<_> = torrent
        .info()
        .files()
        .filter(|file| is_listed(file.is_padding()))
        .collect();
    let paths: HashSet<_> = files.iter().map(|file| file.path()).collect();
    if !files.iter().any(|file| file.is_padding()) {
        assert_eq!(paths.len(), files.len(), "{name}: paths are different");
    }
    for path in paths {
        let inside =
            !path.starts_with('/') && !path.split('/').any(|part| matches!(part, "" | "." | ".."));
        assert!(inside, "{name}: {path}");
    }
    let Some(expected) = entry["files"].as_array() else {
        assert_eq!(files.len() as u64, number(entry, "files_count"), "{name}");
        return;
    };
    let expected: Vec<_> = expected
        .iter()
        .filter(|file| is_listed(file["pad"] == true))
        .collect();
    assert_eq!(files.len(), expected.len(), "{name}");
    for (file, expected) in files.iter().zip(expected) {
        let length = number(expected, "size");
        assert_eq!(file.length(), length, "{name}");
        if length > 0 || entry["info_hash_v1"].is_null() || entry["info_hash_v2"].is_null() {
            assert_eq!(file.offset(), number(expected, "offset"), "{name}");
        }
        assert_eq!(Value::from(file.is_padding()), expected["pad"], "{name}");
        if entry["paths"] == "exact" && file.kind() != FileKind::Padding {
            assert_eq!(file.path(), text(expected, "path"), "{name}");
        }
        if !is_open(entry, "symlink") {
            assert_eq!(
                file.symlink_target(),
                expected["symlink"].as_str(),
                "{name}"
            );
        }
    }
}
