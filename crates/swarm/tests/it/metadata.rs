//! The info dictionary of a magnet link: asked of several peers, checked as a whole, served to others.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_hash::{sha1, sha256};
use rarest_metainfo::{InfoHashV1, InfoHashV2, InfoHashes};
use rarest_peer_wire::extension::metadata::MetadataMessage;
use rarest_swarm::limits::{
    MAX_METADATA_COPIES, MAX_METADATA_LENGTH, MAX_METADATA_WAITING, METADATA_BURST,
    METADATA_COPIES_SERVED, METADATA_REQUESTS, METADATA_REST, METADATA_SERVED_PER_SECOND,
    METADATA_TIMEOUT, METADATA_TURN,
};
use rarest_swarm::metadata::{Answer, Arrived, Fetch, Serving};

use crate::stage::{first_instant, ip};

const PART: usize = 16 * 1024;

/// Ten parts, the last of which is short.
fn dictionary() -> Bytes {
    (0..251).cycle().take(9 * PART + 700).collect()
}

fn size() -> u32 {
    u32::try_from(dictionary().len()).unwrap()
}

fn v1() -> InfoHashes {
    InfoHashes {
        v1: Some(InfoHashV1(sha1(&dictionary()))),
        v2: None,
    }
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Lie(IpAddr),
    Right,
    Wrong,
}

/// A fetch, who was asked for what, and the clock.
struct Fetching {
    fetch: Fetch<u8>,
    now: Instant,
    asked: BTreeMap<u8, BTreeSet<u32>>,
}

impl Fetching {
    fn new(wanted: InfoHashes) -> Self {
        Self {
            fetch: Fetch::new(wanted),
            now: first_instant(),
            asked: BTreeMap::new(),
        }
    }

    fn offer(&mut self, peer: u8, size: u32) {
        self.fetch.peer_offers(self.now, peer, ip(peer), size);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some((peer, part)) = self.fetch.poll_request() {
            self.asked.entry(peer).or_default().insert(part);
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.fetch.next_timeout().filter(|&next| next <= end) {
            assert!(next >= self.now, "what is due was done");
            self.now = next;
            self.fetch.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn asked(&self, peer: u8) -> usize {
        self.asked.get(&peer).map_or(0, BTreeSet::len)
    }

    /// The peer sends the next part that it was asked for: of `raw`, if that has it.
    fn send(&mut self, peer: u8, raw: &Bytes) -> Told {
        let piece = self.asked.get_mut(&peer).unwrap().pop_first().unwrap();
        let start = piece as usize * PART;
        let message = MetadataMessage::Data {
            piece,
            total_size: u32::try_from(raw.len()).unwrap(),
            data: raw.slice(start..(start + PART).min(raw.len())),
        };
        self.say(peer, &message)
    }

    fn say(&mut self, peer: u8, message: &MetadataMessage) -> Told {
        let told = match self.fetch.handle_message(self.now, peer, message) {
            Arrived::Incomplete => Told::Nothing,
            Arrived::Lie(ip) => Told::Lie(ip),
            Arrived::Whole(raw) if raw == dictionary() => Told::Right,
            Arrived::Whole(_) => Told::Wrong,
        };
        self.drain();
        told
    }

    /// The peer sends whatever it is asked for, until that leads to something.
    fn send_all(&mut self, peer: u8, raw: &Bytes) -> Told {
        while self.asked(peer) > 0 {
            match self.send(peer, raw) {
                Told::Nothing => {}
                told => return told,
            }
        }
        Told::Nothing
    }
}

fn wrong() -> Bytes {
    dictionary().iter().map(|byte| byte ^ 1).collect()
}

#[test]
fn parts_are_asked_of_several_peers_at_once() {
    let mut fetching = Fetching::new(v1());
    fetching.offer(1, size());
    fetching.offer(2, size());
    assert_eq!(fetching.asked[&1], (0..4).collect());
    assert_eq!(fetching.asked[&2], (4..8).collect());
    let mut told = Told::Nothing;
    for peer in [1, 2].into_iter().cycle() {
        if told != Told::Nothing {
            break;
        }
        told = fetching.send(peer, &dictionary());
        assert!(fetching.asked(peer) <= METADATA_REQUESTS);
    }
    assert_eq!(told, Told::Right);
    assert_eq!(fetching.fetch.next_timeout(), None);
}

#[test]
fn both_hashes_of_a_link_must_fit() {
    let v2 = Some(InfoHashV2(sha256(&dictionary())));
    let other = Some(InfoHashV2(sha256(b"another")));
    for (wanted, fits) in [
        (InfoHashes { v1: None, v2 }, true),
        (InfoHashes { v2, ..v1() }, true),
        (InfoHashes { v2: other, ..v1() }, false),
        (
            InfoHashes {
                v1: None,
                v2: other,
            },
            false,
        ),
    ] {
        let mut fetching = Fetching::new(wanted);
        fetching.offer(1, size());
        let expected = match fits {
            true => Told::Right,
            false => Told::Lie(ip(1)),
        };
        assert_eq!(fetching.send_all(1, &dictionary()), expected);
    }
}

#[test]
fn lengths_that_no_torrent_has_are_not_heard() {
    let mut fetching = Fetching::new(v1());
    for size in [0, MAX_METADATA_LENGTH + 1, u32::MAX] {
        fetching.offer(1, size);
        assert_eq!((fetching.asked(1), fetching.fetch.offers()), (0, 0));
    }
    fetching.offer(1, MAX_METADATA_LENGTH);
    assert_eq!(fetching.asked(1), METADATA_REQUESTS);
    assert_eq!(fetching.fetch.held_bytes(), 0);
}

#[test]
fn a_liar_about_the_length_holds_up_nobody() {
    let mut fetching = Fetching::new(v1());
    fetching.offer(1, size() * 50);
    fetching.offer(2, size());
    assert_eq!(fetching.send_all(2, &dictionary()), Told::Right);
}

#[test]
fn who_sends_a_whole_wrong_copy_is_named_and_others_are_asked() {
    let mut fetching = Fetching::new(v1());
    fetching.offer(1, size());
    assert_eq!(fetching.send_all(1, &wrong()), Told::Lie(ip(1)));
    fetching.fetch.peer_left(fetching.now, 1);
    fetching.offer(2, size());
    assert_eq!(fetching.send_all(2, &dictionary()), Told::Right);
}

#[test]
fn after_a_wrong_copy_of_several_each_peer_makes_its_own() {
    let mut fetching = Fetching::new(v1());
    fetching.offer(1, size());
    fetching.offer(2, size());
    // The first part is a lie, all others are not.
    assert_eq!(fetching.send(1, &wrong()), Told::Nothing);
    let both_begin_anew =
        |asked: &BTreeMap<u8, BTreeSet<u32>>| [1, 2].iter().all(|peer| asked[peer].contains(&0));
    while !both_begin_anew(&fetching.asked) {
        for peer in [1, 2] {
            if fetching.asked(peer) > 0 && !both_begin_anew(&fetching.asked) {
                assert_eq!(fetching.send(peer, &dictionary()), Told::Nothing);
            }
        }
    }
    assert_eq!(fetching.send_all(1, &wrong()), Told::Lie(ip(1)));
    assert_eq!(fetching.send_all(2, &dictionary()), Told::Right);
}

#[test]
fn a_peer_that_refuses_is_left_alone_for_a_while() {
    let mut fetching = Fetching::new(v1());
    fetching.offer(1, size());
    let reject = MetadataMessage::Reject { piece: 0 };
    assert_eq!(fetching.say(1, &reject), Told::Nothing);
    fetching.asked.clear();
    fetching.offer(2, size());
    assert_eq!(fetching.asked[&2], (0..4).collect());
    fetching.pass(METADATA_REST - Duration::from_secs(1));
    assert_eq!(fetching.asked(1), 0);
    fetching.pass(Duration::from_secs(1));
    assert_eq!(fetching.asked(1), METADATA_REQUESTS);
}

#[test]
fn what_was_not_asked_for_or_is_of_an_unknown_type_changes_nothing() {
    let mut fetching = Fetching::new(v1());
    fetching.offer(1, size());
    for message in [
        MetadataMessage::Unknown { msg_type: 3 },
        MetadataMessage::Request { piece: 0 },
        MetadataMessage::Reject { piece: 9 },
        MetadataMessage::Data {
            piece: 9,
            total_size: size(),
            data: dictionary().slice(9 * PART..),
        },
        MetadataMessage::Data {
            piece: u32::MAX,
            total_size: u32::MAX,
            data: Bytes::new(),
        },
    ] {
        assert_eq!(fetching.say(1, &message), Told::Nothing);
        assert_eq!(fetching.say(7, &message), Told::Nothing);
    }
    assert_eq!(fetching.fetch.held_bytes(), 0);
    assert_eq!(fetching.send_all(1, &dictionary()), Told::Right);
}

#[test]
fn who_waits_longest_comes_next_and_keeps_its_place() {
    let mut fetching = Fetching::new(v1());
    let busy = u8::try_from(MAX_METADATA_COPIES).unwrap();
    for peer in 0..busy + 6 {
        fetching.offer(peer, MAX_METADATA_LENGTH - u32::from(peer));
        fetching.now += Duration::from_millis(1);
    }
    // Those who have a place are silent.
    fetching.pass(METADATA_TIMEOUT);
    for peer in busy..2 * busy {
        assert_eq!(fetching.asked(peer), METADATA_REQUESTS, "{peer}");
    }
    assert_eq!(fetching.asked(2 * busy), 0);
}

/// A connection that counts how often it is compared with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted(u16);

thread_local! {
    static COMPARED: Cell<usize> = const { Cell::new(0) };
}

impl Ord for Counted {
    fn cmp(&self, other: &Self) -> Ordering {
        COMPARED.set(COMPARED.get() + 1);
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[test]
fn what_was_not_asked_for_does_not_look_through_all_who_wait() {
    let now = first_instant();
    let mut fetch = Fetch::new(v1());
    for peer in 0..500_u16 {
        fetch.peer_offers(now, Counted(peer), ip(1), 1_000_000 + u32::from(peer));
    }
    for message in [
        MetadataMessage::Unknown { msg_type: 3 },
        MetadataMessage::Reject { piece: 60 },
        MetadataMessage::Data {
            piece: 60,
            total_size: size(),
            data: Bytes::new(),
        },
    ] {
        COMPARED.set(0);
        let arrived = fetch.handle_message(now, Counted(0), &message);
        assert_eq!(arrived, Arrived::Incomplete);
        let compared = COMPARED.get();
        assert!(compared < 50, "{compared} comparisons for {message:?}");
    }
}

#[test]
fn a_part_of_the_wrong_length_is_refused_with_its_sender() {
    for (total_size, length) in [(size(), PART - 1), (size(), PART + 1), (size() + 1, PART)] {
        let mut fetching = Fetching::new(v1());
        fetching.offer(1, size());
        let part = MetadataMessage::Data {
            piece: 0,
            total_size,
            data: vec![0; length].into(),
        };
        assert_eq!(fetching.say(1, &part), Told::Nothing);
        assert_eq!(fetching.fetch.held_bytes(), 0);
        fetching.asked.clear();
        fetching.pass(METADATA_REST);
        assert_eq!(fetching.asked(1), METADATA_REQUESTS);
    }
}

#[test]
fn parts_that_a_silent_peer_owes_are_asked_of_others() {
    let mut fetching = Fetching::new(v1());
    fetching.offer(1, size());
    fetching.pass(METADATA_TIMEOUT);
    fetching.offer(2, size());
    assert_eq!(fetching.asked[&2], (0..4).collect());
    assert_eq!(fetching.send_all(2, &dictionary()), Told::Right);
}

#[test]
fn the_last_parts_are_asked_of_a_second_peer_without_waiting() {
    let mut fetching = Fetching::new(v1());
    fetching.offer(1, 100);
    fetching.offer(2, 100);
    fetching.offer(3, 100);
    assert_eq!(
        [1, 2, 3].map(|peer| fetching.asked(peer)),
        [1, 1, 0],
        "two are asked, no more"
    );
}

#[test]
fn only_some_lengths_are_tried_at_a_time_and_slow_liars_lose_their_place() {
    let mut fetching = Fetching::new(v1());
    let liars = u8::try_from(MAX_METADATA_COPIES).unwrap();
    for liar in 0..liars {
        fetching.offer(liar, MAX_METADATA_LENGTH - u32::from(liar));
    }
    fetching.offer(100, size());
    assert_eq!(fetching.asked(100), 0);
    // Each sends a part now and then, so that it is never late.
    let step = METADATA_TIMEOUT / 2;
    for _ in 0..METADATA_TURN.as_secs() / step.as_secs() {
        for liar in 0..liars {
            let piece = fetching.asked.get_mut(&liar).unwrap().pop_first().unwrap();
            let lie = MetadataMessage::Data {
                piece,
                total_size: MAX_METADATA_LENGTH - u32::from(liar),
                data: vec![7; PART].into(),
            };
            assert_eq!(fetching.say(liar, &lie), Told::Nothing);
        }
        fetching.pass(step);
    }
    fetching.pass(step);
    assert_eq!(fetching.send_all(100, &dictionary()), Told::Right);
}

#[test]
fn the_dictionary_is_served_in_parts() {
    let now = first_instant();
    let mut serving = Serving::new(dictionary(), now);
    for (part, answer) in [
        (0, Answer::Soon),
        (9, Answer::Soon),
        (10, Answer::Reject),
        (u32::MAX, Answer::Reject),
    ] {
        assert_eq!(serving.handle_request(1, part), answer);
    }
    for (part, data) in [
        (0, dictionary().slice(..PART)),
        (9, dictionary().slice(9 * PART..)),
    ] {
        let message = MetadataMessage::Data {
            piece: part,
            total_size: size(),
            data,
        };
        assert!(serving.poll_part(now) == Some((1, message)));
    }
    assert_eq!(serving.poll_part(now), None);
    assert_eq!(serving.next_timeout(), None);
}

#[test]
fn serving_keeps_to_a_rate_after_a_burst() {
    let mut now = first_instant() + Duration::from_secs(3600);
    let mut serving = Serving::new(dictionary(), now);
    now += Duration::from_secs(600);
    let mut served = 0;
    let began = now;
    while now < began + Duration::from_secs(4) {
        for peer in 0..200 {
            let _ = serving.handle_request(peer, 0);
        }
        while serving.poll_part(now).is_some() {
            served += 1;
        }
        now = serving.next_timeout().unwrap();
    }
    let a_second = METADATA_SERVED_PER_SECOND / u32::try_from(PART).unwrap();
    let most = METADATA_BURST + 4 * a_second;
    assert!(
        (most - 2..=most + 2).contains(&served),
        "{served} of {most}"
    );
}

#[test]
fn peers_are_served_in_turn_and_each_only_so_often() {
    let now = first_instant();
    let mut serving = Serving::new(dictionary(), now);
    for _ in 0..MAX_METADATA_WAITING {
        // Ten parts, of which each may be had a few times.
        let _ = serving.handle_request(1, 0);
    }
    let most = 10 * METADATA_COPIES_SERVED;
    assert_eq!(serving.handle_request(1, 0), Answer::Reject);
    assert_eq!(serving.handle_request(2, 0), Answer::Soon);
    let order: Vec<u8> = std::iter::from_fn(|| serving.poll_part(now))
        .map(|(peer, _)| peer)
        .take(3)
        .collect();
    assert_eq!(order, [1, 2, 1]);
    let later = now + Duration::from_secs(60);
    let rest = std::iter::from_fn(|| serving.poll_part(later)).count();
    let served = u32::try_from(rest + 2).unwrap();
    assert!(served < most);
    serving.peer_left(1);
    assert_eq!(serving.handle_request(1, 0), Answer::Soon);
    serving.peer_left(1);
    assert_eq!(serving.poll_part(later), None);
}

#[test]
fn requests_that_wait_are_bounded() {
    let now = first_instant();
    let mut serving = Serving::new(vec![0; 400 * PART].into(), now);
    for _ in 0..MAX_METADATA_WAITING {
        assert_eq!(serving.handle_request(1, 0), Answer::Soon);
    }
    assert_eq!(serving.handle_request(1, 0), Answer::Reject);
}
