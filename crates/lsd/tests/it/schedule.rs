//! Times.

use std::time::{Duration, Instant};

use rarest_lsd::limits::{
    ANNOUNCE_INTERVAL, MAX_INFO_HASHES, MAX_PACKETS_PER_SECOND, MIN_ANNOUNCE_INTERVAL,
    PACKET_INTERVAL,
};
use rarest_lsd::{Hearing, Schedule};
use rarest_metainfo::InfoHash;

#[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
fn start() -> Instant {
    Instant::now()
}

fn hash(number: u32) -> InfoHash {
    let mut hash = [0; 20];
    hash[..4].copy_from_slice(&number.to_be_bytes());
    InfoHash(hash)
}

#[test]
fn a_torrent_is_announced_at_once_and_every_five_minutes() {
    let mut now = start();
    let mut schedule = Schedule::new(now);
    assert_eq!(schedule.next_timeout(), None);
    schedule.start(now, hash(1));
    schedule.start(now, hash(1));
    for _ in 0..3 {
        assert_eq!(schedule.next_timeout(), Some(now));
        assert_eq!(schedule.poll_announce(now), [hash(1)]);
        assert_eq!(schedule.poll_announce(now), []);
        now += ANNOUNCE_INTERVAL;
    }
    schedule.stop(now, hash(1));
    assert_eq!(schedule.next_timeout(), None);
}

#[test]
fn who_is_stopped_and_started_again_is_announced_once_a_minute_at_most() {
    let begin = start();
    let mut schedule = Schedule::new(begin);
    let mut announced = 0;
    for seconds in 0..180 {
        let now = begin + Duration::from_secs(seconds);
        schedule.start(now, hash(1));
        announced += schedule.poll_announce(now).len();
        schedule.stop(now, hash(1));
    }
    assert_eq!(announced, 3);
    let later = begin + Duration::from_secs(180) + MIN_ANNOUNCE_INTERVAL;
    schedule.stop(later, hash(2));
    schedule.start(later, hash(1));
    assert_eq!(schedule.next_timeout(), Some(later));
}

#[test]
fn many_torrents_share_packets_and_come_no_faster_than_one_a_second() {
    let begin = start();
    let mut now = begin;
    let mut schedule = Schedule::new(now);
    for number in 0..1000 {
        schedule.start(now, hash(number));
    }
    let mut packets = 0;
    let mut told = 0;
    while told < 1000 {
        now = schedule.next_timeout().unwrap();
        let announced = schedule.poll_announce(now).len();
        assert!((1..=MAX_INFO_HASHES).contains(&announced));
        told += announced;
        packets += 1;
    }
    assert_eq!(packets, 50);
    assert_eq!(now - begin, PACKET_INTERVAL * 49);
}

#[test]
fn of_very_many_packets_some_are_heard() {
    let begin = start();
    let mut hearing = Hearing::new(begin);
    let heard = (0..10_000_u64)
        .filter(|&n| hearing.may_hear(begin + Duration::from_micros(n * 200)))
        .count();
    assert_eq!(heard, 2 * MAX_PACKETS_PER_SECOND as usize);
}
