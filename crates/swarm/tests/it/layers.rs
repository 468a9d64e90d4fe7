//! Piece layers that a v2 torrent lacks, asked of peers; and those that peers ask of us (BEP 52).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rarest_metainfo::{Builder, Metainfo, Sha256Digest, Version};
use rarest_peer_wire::HashRange;
use rarest_peer_wire::connection::{Command, Event};
use rarest_swarm::limits::{
    HASH_REST, HASH_TIMEOUT, HASH_WORK_PER_PEER, MAX_HASH_ANSWERS, MAX_HASH_ANSWERS_PER_PEER,
    MAX_HASH_REQUESTS_PER_PEER, MAX_REFUSED_LAYERS,
};
use rarest_swarm::{PeerKey, Priority};

use crate::stage::{Stage, ip};

const PIECE: u32 = 16 * 1024;

/// A v2 torrent of files with so many pieces, all different.
fn torrent(version: Version, pieces: &[usize]) -> Arc<Metainfo> {
    let files: Vec<_> = pieces
        .iter()
        .enumerate()
        .map(|(number, &pieces)| {
            let mut data = vec![u8::try_from(number % 251).unwrap(); pieces * PIECE as usize];
            data[..8].copy_from_slice(&number.to_be_bytes());
            (format!("{number:04}"), data)
        })
        .collect();
    let named = files.iter().map(|(name, data)| (name.as_str(), &data[..]));
    let builder = Builder::new(version).piece_length(PIECE);
    Arc::new(builder.build_from_files("torrent", named).unwrap())
}

fn without_layers(whole: &Metainfo) -> Arc<Metainfo> {
    let raw = whole.info().raw().clone();
    Arc::new(Metainfo::from_info(raw, &whole.magnet()).unwrap())
}

/// What an honest peer answers.
fn hashes(whole: &Metainfo, range: &HashRange) -> Bytes {
    let root = Sha256Digest(range.pieces_root);
    let answer = whole.hash_tree(&root).unwrap().answer(&range.request());
    let bytes: Vec<u8> = answer.unwrap().iter().flat_map(|hash| hash.0).collect();
    bytes.into()
}

fn answer(whole: &Metainfo, range: HashRange) -> Event {
    Event::Hashes {
        hashes: hashes(whole, &range),
        range: Box::new(range),
    }
}

/// The hash requests among what the peer was told, in order.
fn asked(stage: &mut Stage, peer: PeerKey) -> Vec<HashRange> {
    let commands = stage.take_commands(peer).into_iter();
    commands
        .filter_map(|command| match command {
            Command::RequestHashes(range) => Some(*range),
            _ => None,
        })
        .collect()
}

/// All peers answer all that they are asked, until nothing more is asked.
fn answer_all(stage: &mut Stage, whole: &Metainfo, peers: &[PeerKey]) {
    loop {
        let mut is_done = true;
        for &peer in peers {
            for range in asked(stage, peer) {
                is_done = false;
                stage.send(peer, vec![answer(whole, range)]);
            }
        }
        if is_done {
            return;
        }
    }
}

/// The driver does what it is to do with found layers.
fn take_found(stage: &mut Stage) -> Option<Arc<Metainfo>> {
    let mut last = None;
    for (metainfo, pieces) in std::mem::take(&mut stage.found) {
        stage.torrent.handle_hashes_known(stage.now, &pieces);
        stage.drain();
        last = Some(metainfo);
    }
    last
}

#[test]
fn layers_come_in_ranges_from_several_peers_and_nothing_is_asked_twice() {
    // Ranges of 512 hashes; the last is filled up with padding.
    let whole = torrent(Version::V2, &[4 * 512 + 3, 2, 700]);
    let mut stage = Stage::of(&without_layers(&whole));
    assert!(stage.torrent.awaits_hashes());
    let peers = [1, 2, 3].map(|number| stage.seed(number));
    let mut seen = BTreeSet::new();
    for peer in peers {
        let ranges = asked(&mut stage, peer);
        assert!(ranges.len() <= MAX_HASH_REQUESTS_PER_PEER);
        for range in ranges {
            assert!(range.is_well_formed() && range.length <= 512);
            assert!(seen.insert((range.pieces_root, range.index)), "{range:?}");
            stage.send(peer, vec![answer(&whole, range)]);
        }
    }
    answer_all(&mut stage, &whole, &peers);
    stage.pass(Duration::from_secs(1));
    let known = take_found(&mut stage).unwrap();
    assert!(known.has_all_piece_layers());
    assert_eq!(known.to_bytes(), whole.to_bytes());
    assert!(!stage.torrent.awaits_hashes());
    assert!(!stage.outstanding(peers[0]).is_empty());
}

#[test]
fn the_layers_of_the_files_wanted_most_come_first_and_of_others_none() {
    let whole = torrent(Version::V2, &[2; 12]);
    let mut stage = Stage::of(&without_layers(&whole));
    let pieces: Vec<_> = stage.geometry.pieces().collect();
    let mut changes: Vec<_> = pieces[..8]
        .iter()
        .map(|&piece| (piece, Priority::Off))
        .collect();
    changes.push((pieces[20], Priority::High));
    stage.torrent.set_piece_priorities(stage.now, &changes);
    stage.drain();
    let seed = stage.seed(1);
    let first = asked(&mut stage, seed);
    let root_of = |file: usize| {
        whole
            .info()
            .files()
            .nth(file)
            .unwrap()
            .pieces_root()
            .unwrap()
            .0
    };
    let roots: Vec<_> = first.iter().map(|range| range.pieces_root).collect();
    assert_eq!(roots, [10, 4, 5, 6].map(root_of));
    for range in first {
        stage.send(seed, vec![answer(&whole, range)]);
    }
    answer_all(&mut stage, &whole, &[seed]);
    stage.pass(Duration::from_secs(1));
    let known = take_found(&mut stage).unwrap();
    assert_eq!(known.missing_layers().count(), 4);
}

#[test]
fn who_lies_about_hashes_is_banned_and_others_are_asked() {
    let whole = torrent(Version::V2, &[2000]);
    let mut stage = Stage::of(&without_layers(&whole));
    let liar = stage.seed(1);
    let ranges = asked(&mut stage, liar);
    let mut wrong = hashes(&whole, &ranges[0]).to_vec();
    wrong[40] ^= 1;
    let lie = Event::Hashes {
        range: Box::new(ranges[0]),
        hashes: wrong.into(),
    };
    let honest = stage.seed(2);
    assert_eq!(asked(&mut stage, honest), []);
    stage.send(liar, vec![lie]);
    assert_eq!(stage.banned, [ip(1)]);
    let again = asked(&mut stage, honest);
    assert_eq!(again, ranges);
    for range in again {
        stage.send(honest, vec![answer(&whole, range)]);
    }
    assert!(take_found(&mut stage).unwrap().has_all_piece_layers());
}

#[test]
fn an_answer_of_another_length_is_asked_of_others_without_a_ban() {
    let whole = torrent(Version::V2, &[2]);
    let mut stage = Stage::of(&without_layers(&whole));
    let odd = stage.seed(1);
    let [range] = asked(&mut stage, odd)[..] else {
        panic!()
    };
    let hashes = Bytes::from_static(&[0; 96]);
    let range = Box::new(range);
    stage.send(odd, vec![Event::Hashes { range, hashes }]);
    assert!(stage.banned.is_empty());
    let other = stage.seed(2);
    answer_all(&mut stage, &whole, &[other]);
    assert!(take_found(&mut stage).is_some());
}

#[test]
fn what_one_peer_rejects_is_asked_of_another_and_of_the_same_only_much_later() {
    let whole = torrent(Version::V2, &[2]);
    let mut stage = Stage::of(&without_layers(&whole));
    let poor = stage.seed(1);
    let [range] = asked(&mut stage, poor)[..] else {
        panic!()
    };
    stage.send(poor, vec![Event::HashesReturned(Box::new(range))]);
    stage.pass(HASH_REST - Duration::from_secs(1));
    assert_eq!(asked(&mut stage, poor), []);
    let rich = stage.seed(2);
    assert_eq!(asked(&mut stage, rich), [range]);
    stage.send(rich, vec![Event::HashesReturned(Box::new(range))]);
    stage.pass(Duration::from_secs(5));
    assert_eq!(asked(&mut stage, poor), [range]);
}

#[test]
fn a_silent_peer_holds_up_nobody_and_its_late_answer_is_taken() {
    let whole = torrent(Version::V2, &[1500]);
    let mut stage = Stage::of(&without_layers(&whole));
    let silent = stage.seed(1);
    let ranges = asked(&mut stage, silent);
    let other = stage.seed(2);
    assert_eq!(asked(&mut stage, other), []);
    stage.pass(HASH_TIMEOUT + Duration::from_secs(2));
    assert_eq!(asked(&mut stage, other), ranges);
    stage.send(silent, vec![answer(&whole, ranges[0])]);
    stage.send(other, vec![answer(&whole, ranges[0])]);
    stage.send(other, vec![Event::HashesReturned(Box::new(ranges[1]))]);
    stage.send(silent, vec![answer(&whole, ranges[1])]);
    stage.send(other, vec![answer(&whole, ranges[2])]);
    assert!(take_found(&mut stage).unwrap().has_all_piece_layers());
}

#[test]
fn a_peer_that_leaves_gives_back_what_it_was_asked_for() {
    let whole = torrent(Version::V2, &[600]);
    let mut stage = Stage::of(&without_layers(&whole));
    let first = stage.seed(1);
    let ranges = asked(&mut stage, first);
    let second = stage.seed(2);
    stage.disconnect(first);
    assert_eq!(asked(&mut stage, second), ranges);
}

#[test]
fn a_peer_that_has_nothing_is_not_asked_until_it_has_something() {
    let whole = torrent(Version::V2, &[2]);
    let mut stage = Stage::of(&without_layers(&whole));
    let peer = stage.partial(1, &[]);
    assert_eq!(asked(&mut stage, peer), []);
    let piece = stage.piece(1);
    stage.send(peer, vec![Event::Have(piece)]);
    assert_eq!(asked(&mut stage, peer).len(), 1);
}

#[test]
fn who_refuses_the_hashes_of_many_files_is_asked_for_no_more() {
    let whole = torrent(Version::V2, &[2; 100]);
    let mut stage = Stage::of(&without_layers(&whole));
    let poor = stage.seed(1);
    let mut count = 0;
    loop {
        let ranges = asked(&mut stage, poor);
        if ranges.is_empty() {
            break;
        }
        count += ranges.len();
        let returned = ranges
            .into_iter()
            .map(|range| Event::HashesReturned(Box::new(range)));
        stage.send(poor, returned.collect());
    }
    let bound = MAX_REFUSED_LAYERS..MAX_REFUSED_LAYERS + MAX_HASH_REQUESTS_PER_PEER;
    assert!(bound.contains(&count), "{count}");
}

#[test]
fn peers_of_the_v1_swarm_of_a_hybrid_are_not_asked_for_hashes() {
    let whole = torrent(Version::Hybrid, &[2]);
    let bare = without_layers(&whole);
    let mut stage = Stage::of(&bare);
    stage.swarm = bare.info_hashes().swarms().next().unwrap();
    let old = stage.seed(1);
    assert_eq!(asked(&mut stage, old), []);
    stage.swarm = bare.info_hashes().swarms().last().unwrap();
    let new = stage.seed(2);
    assert_eq!(asked(&mut stage, new).len(), 1);
}

#[test]
fn files_of_the_same_content_share_a_layer() {
    let data = vec![7; 2 * PIECE as usize];
    let files = [("a", &data[..]), ("b", &data[..])];
    let builder = Builder::new(Version::V2).piece_length(PIECE);
    let whole = builder.build_from_files("same", files).unwrap();
    let mut stage = Stage::of(&without_layers(&whole));
    let seed = stage.seed(1);
    answer_all(&mut stage, &whole, &[seed]);
    let [(_, pieces)] = &stage.found[..] else {
        panic!()
    };
    assert_eq!(pieces.len(), 4);
}

#[test]
fn requests_of_peers_are_handed_out_and_answered_or_rejected() {
    let whole = torrent(Version::V2, &[4]);
    let mut stage = Stage::of(&whole);
    let peer = stage.connect(1);
    let layer = whole.missing_layers().next();
    assert!(layer.is_none());
    let root = whole.info().files().next().unwrap().pieces_root().unwrap();
    let range = HashRange {
        pieces_root: root.0,
        base_layer: 0,
        index: 0,
        length: 4,
        proof_layers: 0,
    };
    stage.send(peer, vec![Event::HashesRequested(Box::new(range))]);
    assert_eq!(stage.hashes_wanted, [(peer, range)]);
    let sent = hashes(&whole, &range);
    let found = Some(sent.clone());
    stage
        .torrent
        .handle_hashes_read(stage.now, peer, Box::new(range), found);
    stage
        .torrent
        .handle_hashes_read(stage.now, peer, Box::new(range), None);
    stage.drain();
    let range = Box::new(range);
    let answers = [
        Command::SendHashes {
            range: range.clone(),
            hashes: sent,
        },
        Command::RejectHashes(range),
    ];
    assert_eq!(stage.take_commands(peer), answers);
}

fn request(index: u32, base_layer: u32) -> Event {
    Event::HashesRequested(Box::new(HashRange {
        pieces_root: [9; 32],
        base_layer,
        index,
        length: 2,
        proof_layers: 0,
    }))
}

#[test]
fn hashes_that_are_being_read_for_peers_are_bounded() {
    let whole = torrent(Version::V2, &[4]);
    let mut stage = Stage::of(&whole);
    for number in 1..=20 {
        let peer = stage.connect(number);
        let requests = (0..20).map(|number| request(number * 2, 0));
        stage.send(peer, requests.collect());
        let rejected = stage.take_commands(peer).len();
        assert!(rejected >= 20 - MAX_HASH_ANSWERS_PER_PEER);
    }
    assert_eq!(stage.hashes_wanted.len(), MAX_HASH_ANSWERS);
}

#[test]
fn the_work_that_a_peer_can_cause_with_hash_requests_is_bounded_and_comes_back_with_time() {
    let whole = torrent(Version::V2, &[4]);
    let mut stage = Stage::of(&whole);
    let peer = stage.connect(1);
    let work = |stage: &mut Stage| {
        for count in 0.. {
            stage.send(peer, vec![request(count * 2, 0)]);
            let Some((_, range)) = stage.hashes_wanted.pop() else {
                return count;
            };
            stage
                .torrent
                .handle_hashes_read(stage.now, peer, Box::new(range), None);
            stage.drain();
        }
        unreachable!("it is bounded")
    };
    let at_once = work(&mut stage);
    assert!((10..1000).contains(&at_once), "{at_once}");
    assert_eq!(work(&mut stage), 0);
    let time = HASH_WORK_PER_PEER.burst / HASH_WORK_PER_PEER.rate;
    stage.pass(Duration::from_secs(time / 2));
    let half = work(&mut stage);
    assert!(
        (at_once / 2 - 2..=at_once / 2 + 2).contains(&half),
        "{half}"
    );
}

#[test]
fn without_a_metainfo_every_request_is_rejected() {
    let mut stage = Stage::new(2, 2);
    let peer = stage.connect(1);
    stage.send(peer, vec![request(0, 0)]);
    let commands = stage.take_commands(peer);
    assert!(matches!(commands[..], [Command::RejectHashes(_)]));
}
