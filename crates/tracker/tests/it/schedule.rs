//! When what is announced to whom, in virtual time.

use std::time::{Duration, Instant};

use rarest_metainfo::{InfoHash, PeerId};
use rarest_tracker::schedule::{
    COMPLETED_PATIENCE, Completeness, DEFAULT_INTERVAL, Due, FIRST_BACKOFF, LONGEST_BACKOFF,
    LONGEST_INTERVAL, NextAnnounce, Output, PATIENCE, Spread, Ticket, Totals,
};
use rarest_tracker::{
    AnnounceReply, Error, Event, Failure, Family, Retry, Schedule, ScheduleConfig, Tiers,
};

const V1: InfoHash = InfoHash([1; 20]);
const V2: InfoHash = InfoHash([2; 20]);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A schedule with a clock and a memory of what it gave out.
struct Torrent {
    schedule: Schedule,
    now: Instant,
    cancelled: Vec<Ticket>,
    changes: usize,
}

impl Torrent {
    /// Over IPv4 alone, with one swarm.
    fn simple(tiers: &[&[&str]]) -> Self {
        Self::with(tiers, |config| config.families = vec![Family::V4])
    }

    fn with(tiers: &[&[&str]], change: impl FnOnce(&mut ScheduleConfig)) -> Self {
        let mut config = ScheduleConfig::new([V1], 0xfeed);
        change(&mut config);
        let tiers = Tiers::new(tiers.iter().map(|tier| tier.iter()), 7);
        Self {
            schedule: Schedule::new(config, tiers),
            now: crate::origin(),
            cancelled: Vec::new(),
            changes: 0,
        }
    }

    fn started(tiers: &[&[&str]], completeness: Completeness) -> Self {
        let mut torrent = Self::simple(tiers);
        torrent.schedule.start(torrent.now, completeness);
        torrent
    }

    fn dues(&mut self) -> Vec<Due> {
        let mut dues = Vec::new();
        while let Some(output) = self.schedule.poll_output() {
            match output {
                Output::Announce(due) => dues.push(*due),
                Output::Cancel(ticket) => self.cancelled.push(ticket),
                Output::TrackerChanged { .. } => self.changes += 1,
            }
        }
        dues
    }

    /// The one announce that is due.
    fn due(&mut self) -> Due {
        let [due] = self.dues().try_into().unwrap();
        due
    }

    fn hosts(&mut self) -> Vec<String> {
        self.dues()
            .iter()
            .map(|due| due.url.host().to_owned())
            .collect()
    }

    fn reply_to(&mut self, due: &Due, reply: &AnnounceReply) {
        self.schedule.handle_reply(self.now, due.ticket, reply);
    }

    fn accept(&mut self, due: &Due) {
        self.reply_to(
            due,
            &AnnounceReply {
                interval: Some(secs(1800)),
                ..Default::default()
            },
        );
    }

    fn fail(&mut self, due: &Due) {
        self.schedule
            .handle_error(self.now, due.ticket, &Error::TimedOut(secs(1)));
    }

    fn refuse(&mut self, due: &Due, retry: Option<Retry>) {
        let error = Error::Refused(Failure {
            reason: "no".into(),
            retry,
        });
        self.schedule.handle_error(self.now, due.ticket, &error);
    }

    /// Goes to the next moment at which the schedule wants something; returns how long that took.
    fn wait(&mut self) -> Duration {
        let at = self.schedule.next_timeout().unwrap();
        let waited = at - self.now;
        assert!(!waited.is_zero(), "the schedule wakes without reason");
        self.now = at;
        self.schedule.handle_timeout(at);
        waited
    }

    /// The next announce, and how long it took to come.
    fn wait_for_due(&mut self) -> (Duration, Due) {
        let begin = self.now;
        for _ in 0..10 {
            self.wait();
            if let Ok([due]) = <[Due; 1]>::try_from(self.dues()) {
                return (self.now - begin, due);
            }
        }
        panic!("no announce came");
    }
}

const ONE: &[&[&str]] = &[&["http://a/"]];

#[test]
fn started_comes_first_and_regular_announces_at_the_trackers_interval() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let first = torrent.due();
    assert_eq!(
        (first.event, first.family, first.info_hash),
        (Event::Started, Family::V4, V1)
    );
    torrent.accept(&first);
    let (waited, second) = torrent.wait_for_due();
    assert_eq!((waited, second.event), (secs(1800), Event::Regular));
}

#[test]
fn completed_is_said_once() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let started = torrent.due();
    torrent.accept(&started);
    torrent.now += secs(5);
    torrent.schedule.completed(torrent.now);
    let completed = torrent.due();
    assert_eq!(completed.event, Event::Completed);
    torrent.accept(&completed);
    torrent.schedule.incomplete();
    torrent.schedule.completed(torrent.now);
    assert_eq!(torrent.dues(), []);
    assert_eq!(torrent.wait_for_due().1.event, Event::Regular);
}

#[test]
fn completed_is_never_said_by_who_was_complete_at_the_start() {
    let mut torrent = Torrent::started(ONE, Completeness::Complete);
    let started = torrent.due();
    assert_eq!(started.event, Event::Started);
    torrent.accept(&started);
    torrent.schedule.completed(torrent.now);
    assert_eq!(torrent.dues(), []);
    assert_eq!(torrent.wait_for_due().1.event, Event::Regular);
}

#[test]
fn completed_waits_for_the_answer_to_started() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let started = torrent.due();
    torrent.schedule.completed(torrent.now);
    assert_eq!(torrent.dues(), []);
    torrent.accept(&started);
    assert_eq!(torrent.due().event, Event::Completed);
}

#[test]
fn a_tracker_that_first_hears_of_us_when_we_are_complete_is_told_no_completed() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let started = torrent.due();
    torrent.fail(&started);
    torrent.schedule.completed(torrent.now);
    let (_, again) = torrent.wait_for_due();
    assert_eq!(again.event, Event::Started);
    torrent.accept(&again);
    assert_eq!(torrent.wait_for_due().1.event, Event::Regular);
}

#[test]
fn completed_is_repeated_until_it_is_heard() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let started = torrent.due();
    torrent.accept(&started);
    torrent.schedule.completed(torrent.now);
    let completed = torrent.due();
    torrent.fail(&completed);
    let (waited, again) = torrent.wait_for_due();
    assert_eq!((waited, again.event), (FIRST_BACKOFF, Event::Completed));
}

#[test]
fn stopped_is_said_only_where_started_was_accepted() {
    let mut torrent = Torrent::started(
        &[
            &["http://accepts/"],
            &["http://refuses/"],
            &["http://is-slow/"],
        ],
        Completeness::Incomplete,
    );
    let dues = torrent.dues();
    torrent.accept(&dues[0]);
    torrent.refuse(&dues[1], None);
    torrent.schedule.stop(torrent.now);
    let stopped = torrent.due();
    assert_eq!(
        (stopped.url.host(), stopped.event),
        ("accepts", Event::Stopped)
    );
    assert_eq!(torrent.cancelled, [dues[2].ticket]);
    assert!(!torrent.schedule.is_at_rest());
    torrent.fail(&stopped);
    assert!(torrent.schedule.is_at_rest());
    assert_eq!(torrent.schedule.next_timeout(), None);
    assert_eq!(torrent.dues(), []);
}

/// A torrent that was accepted and then completed.
fn completed() -> (Torrent, Due) {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let started = torrent.due();
    torrent.accept(&started);
    torrent.schedule.completed(torrent.now);
    let completed = torrent.due();
    assert_eq!(completed.event, Event::Completed);
    (torrent, completed)
}

#[test]
fn completed_is_heard_before_stopped() {
    let (mut torrent, completed) = completed();
    torrent.schedule.stop(torrent.now);
    assert_eq!(torrent.dues(), [], "not while `completed` is under way");
    assert!(!torrent.schedule.is_at_rest());
    torrent.accept(&completed);
    let stopped = torrent.due();
    assert_eq!(stopped.event, Event::Stopped);
    torrent.accept(&stopped);
    assert!(torrent.schedule.is_at_rest());
    assert!(torrent.cancelled.is_empty());
    assert_eq!(torrent.schedule.next_timeout(), None);
}

#[test]
fn a_completed_that_is_not_answered_holds_stopped_back_for_two_seconds() {
    let (mut torrent, completed) = completed();
    torrent.schedule.stop(torrent.now);
    torrent.now += secs(1);
    // Whoever wants it twice gets it no later.
    torrent.schedule.stop(torrent.now);
    let (waited, stopped) = torrent.wait_for_due();
    assert_eq!((waited, stopped.event), (secs(1), Event::Stopped));
    assert_eq!(torrent.cancelled, [completed.ticket]);
    assert_eq!(COMPLETED_PATIENCE, secs(2));
    torrent.fail(&stopped);
    assert!(torrent.schedule.is_at_rest());
}

#[test]
fn a_completed_that_fails_at_the_end_is_not_repeated() {
    let (mut torrent, completed) = completed();
    torrent.schedule.stop(torrent.now);
    torrent.fail(&completed);
    assert_eq!(torrent.due().event, Event::Stopped);
}

#[test]
fn who_completes_during_another_announce_says_so_before_stopped() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let started = torrent.due();
    torrent.accept(&started);
    let (_, regular) = torrent.wait_for_due();
    torrent.schedule.completed(torrent.now);
    assert_eq!(torrent.dues(), []);
    torrent.schedule.stop(torrent.now);
    let completed = torrent.due();
    assert_eq!(completed.event, Event::Completed);
    assert_eq!(torrent.cancelled, [regular.ticket]);
    torrent.accept(&completed);
    assert_eq!(torrent.due().event, Event::Stopped);
}

#[test]
fn a_torrent_that_goes_on_during_its_completed_is_not_stopped() {
    let (mut torrent, completed) = completed();
    torrent.schedule.stop(torrent.now);
    torrent.schedule.start(torrent.now, Completeness::Complete);
    torrent.accept(&completed);
    assert_eq!(torrent.dues(), []);
    assert_eq!(torrent.wait_for_due().1.event, Event::Regular);
}

#[test]
fn after_a_pause_started_is_said_again_at_once() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let started = torrent.due();
    torrent.accept(&started);
    torrent.schedule.stop(torrent.now);
    let stopped = torrent.due();
    torrent
        .schedule
        .start(torrent.now, Completeness::Incomplete);
    assert_eq!(torrent.dues(), [], "not while `stopped` is under way");
    torrent.accept(&stopped);
    assert_eq!(torrent.due().event, Event::Started);
}

#[test]
fn hostile_intervals_are_clamped() {
    for (interval, waited) in [
        (None, DEFAULT_INTERVAL),
        (Some(secs(1)), secs(60)),
        (Some(secs(3600)), secs(3600)),
        (Some(Duration::from_secs(u64::MAX)), LONGEST_INTERVAL),
    ] {
        let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
        let due = torrent.due();
        torrent.reply_to(
            &due,
            &AnnounceReply {
                interval,
                min_interval: interval,
                ..Default::default()
            },
        );
        assert_eq!(torrent.wait_for_due().0, waited, "{interval:?}");
    }
}

#[test]
fn min_interval_holds_against_impatience() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let due = torrent.due();
    let reply = AnnounceReply {
        interval: Some(secs(1800)),
        min_interval: Some(secs(300)),
        ..Default::default()
    };
    torrent.reply_to(&due, &reply);
    torrent.now += secs(100);
    torrent.schedule.announce_now(torrent.now);
    assert_eq!(torrent.dues(), []);
    assert_eq!(torrent.wait_for_due().0, secs(200));
}

#[test]
fn a_min_interval_above_the_interval_wins() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let due = torrent.due();
    let reply = AnnounceReply {
        interval: Some(secs(600)),
        min_interval: Some(secs(900)),
        ..Default::default()
    };
    torrent.reply_to(&due, &reply);
    assert_eq!(torrent.wait_for_due().0, secs(900));
}

#[test]
fn back_off_grows_to_an_hour_and_ends_with_success() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let mut due = torrent.due();
    let mut waits = Vec::new();
    for _ in 0..9 {
        torrent.fail(&due);
        let (waited, next) = torrent.wait_for_due();
        waits.push(waited.as_secs());
        due = next;
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    torrent.accept(&due);
    let (_, due) = torrent.wait_for_due();
    torrent.fail(&due);
    assert_eq!(torrent.wait_for_due().0, FIRST_BACKOFF);
}

#[test]
fn impatience_shortens_the_back_off_to_its_beginning() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    for _ in 0..4 {
        let due = torrent.due();
        torrent.fail(&due);
        torrent.schedule.announce_now(torrent.now);
        assert_eq!(torrent.dues(), []);
        torrent.now += FIRST_BACKOFF;
        torrent.schedule.announce_now(torrent.now);
    }
    assert_eq!(torrent.dues().len(), 1);
}

#[test]
fn retry_in_is_obeyed() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let due = torrent.due();
    torrent.refuse(&due, Some(Retry::After(secs(15 * 60))));
    torrent.schedule.announce_now(torrent.now);
    assert_eq!(torrent.dues(), []);
    let (waited, due) = torrent.wait_for_due();
    assert_eq!(waited, secs(15 * 60));
    torrent.refuse(&due, Some(Retry::After(Duration::from_secs(u64::MAX))));
    assert_eq!(torrent.wait_for_due().0, LONGEST_INTERVAL);
}

#[test]
fn retry_never_bars_the_tracker() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let due = torrent.due();
    torrent.refuse(&due, Some(Retry::Never));
    torrent.schedule.announce_now(torrent.now);
    assert_eq!(torrent.dues(), []);
    assert_eq!(torrent.schedule.next_timeout(), None);
    let status = torrent.schedule.statuses().next().unwrap();
    assert_eq!(status.endpoints[0].next, NextAnnounce::Never);
    assert_eq!(
        status.endpoints[0].error.as_deref(),
        Some("the tracker refuses: no")
    );
}

#[test]
fn a_warning_is_no_failure() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let due = torrent.due();
    torrent.reply_to(
        &due,
        &AnnounceReply {
            warning: Some("upgrade".into()),
            interval: Some(secs(900)),
            ..Default::default()
        },
    );
    let status = torrent.schedule.statuses().next().unwrap();
    assert_eq!(status.endpoints[0].warning.as_deref(), Some("upgrade"));
    assert_eq!(status.endpoints[0].error, None);
    assert_eq!(torrent.wait_for_due().0, secs(900));
}

#[test]
fn the_tracker_id_goes_back() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let due = torrent.due();
    torrent.reply_to(
        &due,
        &AnnounceReply {
            tracker_id: Some("x y".into()),
            ..Default::default()
        },
    );
    let (_, due) = torrent.wait_for_due();
    torrent.accept(&due);
    let (_, due) = torrent.wait_for_due();
    let totals = Totals {
        uploaded: 1,
        downloaded: 2,
        left: 3,
    };
    let announce = due.announce(PeerId([9; 20]), 6881, totals);
    assert_eq!(announce.tracker_id.as_deref(), Some(&b"x y"[..]));
    assert_eq!(
        (announce.uploaded, announce.downloaded, announce.left),
        (1, 2, 3)
    );
}

#[test]
fn both_families_and_both_hashes_are_announced_with_one_key() {
    let mut torrent = Torrent::with(ONE, |config| config.swarms.push(V2));
    torrent
        .schedule
        .start(torrent.now, Completeness::Incomplete);
    let dues = torrent.dues();
    let pairs: Vec<_> = dues.iter().map(|due| (due.info_hash, due.family)).collect();
    assert_eq!(
        pairs,
        [
            (V1, Family::V4),
            (V1, Family::V6),
            (V2, Family::V4),
            (V2, Family::V6)
        ]
    );
    let totals = Totals {
        uploaded: 0,
        downloaded: 0,
        left: 1,
    };
    for due in &dues {
        assert_eq!(due.announce(PeerId([9; 20]), 1, totals).key, 0xfeed);
        torrent.accept(due);
    }
    torrent.schedule.stop(torrent.now);
    let stopped = torrent.dues();
    assert_eq!(stopped.len(), 4);
    assert!(stopped.iter().all(|due| due.event == Event::Stopped));
}

#[test]
fn a_magnet_that_turns_out_hybrid_announces_the_other_hash_too() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let due = torrent.due();
    torrent.accept(&due);
    torrent.schedule.add_swarm(torrent.now, V2);
    let due = torrent.due();
    assert_eq!((due.info_hash, due.event), (V2, Event::Started));
}

#[test]
fn a_tracker_without_ipv6_works_over_ipv4() {
    let mut torrent = Torrent::with(&[&["http://a/", "http://b/"]], |_| {});
    torrent
        .schedule
        .start(torrent.now, Completeness::Incomplete);
    let dues = torrent.dues();
    torrent
        .schedule
        .handle_error(torrent.now, dues[1].ticket, &Error::NoAddress(Family::V6));
    torrent.accept(&dues[0]);
    assert_eq!(torrent.dues(), [], "the second tracker is not needed");
    let (waited, due) = torrent.wait_for_due();
    assert_eq!((waited, due.family), (secs(1800), Family::V4));
    torrent.accept(&due);
    torrent.wait();
    assert_eq!(torrent.dues().len(), 2, "an hour has passed: both again");
    assert_eq!(LONGEST_BACKOFF, secs(3600));
}

#[test]
fn each_tier_has_one_tracker_in_use() {
    let mut torrent = Torrent::started(
        &[&["http://a1/", "http://a2/"], &["http://b1/", "http://b2/"]],
        Completeness::Incomplete,
    );
    let dues = torrent.dues();
    assert_eq!(dues.len(), 2);
    torrent.accept(&dues[0]);
    torrent.accept(&dues[1]);
    assert_eq!(torrent.dues(), []);
}

#[test]
fn the_next_of_a_tier_is_tried_when_one_fails_and_then_stays_in_front() {
    let mut torrent = Torrent::started(&[&["http://a/", "http://b/"]], Completeness::Incomplete);
    let dead = torrent.due();
    torrent.fail(&dead);
    let alive = torrent.due();
    assert_ne!(dead.url, alive.url);
    torrent.accept(&alive);
    let (waited, again) = torrent.wait_for_due();
    assert_eq!(
        (waited, again.url),
        (secs(1800), alive.url),
        "the dead one is not asked meanwhile"
    );
}

#[test]
fn one_slow_tracker_delays_no_other() {
    let mut torrent = Torrent::started(
        &[&["http://a/", "http://b/"], &["http://c/"]],
        Completeness::Incomplete,
    );
    let slow = torrent.dues();
    assert_eq!(slow.len(), 2, "other tiers do not wait at all");
    assert_eq!(torrent.wait(), PATIENCE);
    let next = torrent.due();
    assert_ne!(next.url, slow[0].url);
    torrent.accept(&next);
    // The slow one answers after all: nothing is lost by it.
    torrent.accept(&slow[0]);
    assert_eq!(torrent.cancelled, []);
}

#[test]
fn a_tracker_that_worked_and_hangs_is_passed_over() {
    let mut torrent = Torrent::started(&[&["http://a/", "http://b/"]], Completeness::Incomplete);
    let first = torrent.due();
    torrent.accept(&first);
    let (_, hanging) = torrent.wait_for_due();
    assert_eq!(hanging.url, first.url);
    let (waited, other) = torrent.wait_for_due();
    assert_eq!(waited, PATIENCE);
    assert_ne!(other.url, first.url);
}

#[test]
fn private_torrents_use_one_tracker_and_tell_when_it_changes() {
    let mut torrent = Torrent::with(&[&["http://a/"], &["http://b/"]], |config| {
        config.spread = Spread::OneTracker;
        config.families = vec![Family::V4];
    });
    torrent
        .schedule
        .start(torrent.now, Completeness::Incomplete);
    let first = torrent.due();
    assert_eq!(first.url.host(), "a");
    torrent.accept(&first);
    assert_eq!(torrent.hosts(), [""; 0]);
    let (_, again) = torrent.wait_for_due();
    torrent.fail(&again);
    let second = torrent.due();
    assert_eq!(second.url.host(), "b");
    assert_eq!(torrent.changes, 0);
    torrent.accept(&second);
    assert_eq!(torrent.dues(), []);
    assert_eq!(torrent.changes, 1);
}

#[test]
fn trackers_come_and_go_at_run_time() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let first = torrent.due();
    torrent.accept(&first);
    let url = "udp://b:1".parse().unwrap();
    assert!(torrent.schedule.add_tracker(torrent.now, url).is_some());
    assert_eq!(torrent.hosts(), ["b"]);
    torrent.schedule.remove_tracker(torrent.now, first.tracker);
    let stopped = torrent.due();
    assert_eq!((stopped.url.host(), stopped.event), ("a", Event::Stopped));
    torrent.accept(&stopped);
    assert_eq!(torrent.schedule.statuses().count(), 1);
}

#[test]
fn outcomes_of_unknown_tickets_are_ignored() {
    let mut torrent = Torrent::started(ONE, Completeness::Incomplete);
    let due = torrent.due();
    torrent.accept(&due);
    torrent.fail(&due);
    torrent.accept(&due);
    assert_eq!(torrent.wait_for_due().0, secs(1800));
}

#[test]
fn without_trackers_there_is_nothing_to_do() {
    let mut torrent = Torrent::started(&[], Completeness::Incomplete);
    assert_eq!(torrent.dues(), []);
    assert_eq!(torrent.schedule.next_timeout(), None);
    torrent.schedule.stop(torrent.now);
    assert!(torrent.schedule.is_at_rest());
}
