//! What holds for any input: torrents that were changed at random, files of any content.

use proptest::prelude::*;
use rarest_metainfo::Version;
use rarest_metainfo::merkle::HashRequest;

use crate::agreement;
use crate::fixtures::read;

const SEEDS: &[&str] = &[
    "made/v1-multi-a.torrent",
    "made/v1-symlink-a.torrent",
    "made/v1-pad-files-a.torrent",
    "made/v2-multi-a.torrent",
    "made/v2-symlink-a.torrent",
    "made/hybrid-multi-a.torrent",
    "made/hybrid-single-a.torrent",
    "made/announce-list-a.torrent",
    "made/trackerless-nodes-a.torrent",
];

proptest! {
    #[test]
    fn a_changed_torrent_is_refused_or_sound(
        seed in proptest::sample::select(SEEDS),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        (from, to) in any::<(proptest::sample::Index, proptest::sample::Index)>(),
        copies: bool,
    ) {
        let mut bytes = read(seed);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if copies {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let part = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.splice(to..to, part);
        }
        agreement::a_torrent_is_refused_or_sound(&bytes);
    }

    #[test]
    fn any_names_and_lengths_are_refused_or_sound(
        name: Vec<u8>,
        files in proptest::collection::vec((proptest::collection::vec("\\PC{0,8}|\\.{0,3}|[aA]|con", 0..4), 0..40_000u32), 1..8),
    ) {
        let info = rarest_bencode::encode_dict(|info| {
            let total: u64 = files.iter().map(|(_, length)| u64::from(*length)).sum();
            info.bytes("name", &name).int("piece length", 16_384);
            info.bytes("pieces", vec![1; 20 * total.div_ceil(16_384) as usize]);
            info.list("files", |list| {
                for (path, length) in &files {
                    list.dict(|file| {
                        file.int("length", *length).list("path", |list| {
                            for component in path {
                                list.bytes(component);
                            }
                        });
                    });
                }
            });
        });
        agreement::an_info_is_refused_or_sound(&info.unwrap());
    }

    #[test]
    fn any_files_are_refused_or_read_back(
        version in prop_oneof![Just(Version::V1), Just(Version::V2), Just(Version::Hybrid)],
        power in 14..17u32,
        files in proptest::collection::vec(("[a-c/.é]{1,5}", proptest::collection::vec(any::<u8>(), 0..200)), 1..6),
    ) {
        agreement::what_is_built_is_read_back(version, 1 << power, &files);
    }

    #[test]
    fn any_answer_to_any_hash_request_is_refused_or_holds(
        base_layer in 0..6u32,
        index in 0..20u32,
        length in 0..20u32,
        proof_layers in 0..6u32,
        height in 0..8u32,
        hashes in proptest::collection::vec(any::<[u8; 32]>(), 0..24),
    ) {
        let request = HashRequest { base_layer, index, length, proof_layers };
        agreement::a_proof_is_refused_or_holds(request, height, &hashes);
    }

    #[test]
    fn any_text_is_no_magnet_or_survives_printing(
        text in "(magnet:\\?)?(xt=urn:btih:[a-f0-9]{38,42}&)?([a-z.]{1,4}=[ -~é%]{0,30}&){0,5}",
    ) {
        agreement::a_magnet_survives_printing(&text);
    }
}
