//! What servers answer, and what becomes of them.

use std::time::Duration;

use rarest_metainfo::Version;
use rarest_web_seed::limits::{MAX_LACKING, MAX_RETRY_AFTER, MAX_SCRAPS, MAX_SKIPPED, MIN_PART};
use rarest_web_seed::{Fault, Head, Verdict};

use crate::stage::Stage;

fn asked() -> (Stage, rarest_web_seed::Get) {
    let mut stage = Stage::file(10 * 16_384, 64 * 1024);
    stage.request(stage.blocks().into_iter().skip(1).take(4));
    let get = stage.next_get();
    (stage, get)
}

/// What becomes of a server that answers with this head.
fn verdict(head: &Head) -> Option<Verdict> {
    let (mut stage, get) = asked();
    stage.head(&get, head);
    if stage.end.is_some() {
        assert_eq!(stage.returned.len(), 4, "what was wanted is given back");
        assert_eq!(stage.aborted, [get.id]);
    }
    stage.end
}

#[test]
fn busy_servers_say_when_to_come_again() {
    for status in [429, 503] {
        let head = Head::new(status).with("Retry-After", b" 120 ");
        let wait = Duration::from_secs(120);
        let expected = Verdict::TryAfter(wait, Fault::Busy(wait));
        assert_eq!(verdict(&head), Some(expected));
    }
    let for_ever = Head::new(503).with("retry-after", b"99999999999");
    let expected = Verdict::TryAfter(MAX_RETRY_AFTER, Fault::Busy(MAX_RETRY_AFTER));
    assert_eq!(verdict(&for_ever), Some(expected));
    let date = Head::new(503).with("retry-after", b"Fri, 31 Dec 1999 23:59:59 GMT");
    let expected = Verdict::TryLater(Fault::Status(503));
    assert_eq!(verdict(&date), Some(expected));
}

#[test]
fn errors_of_the_server_are_for_later_and_refusals_for_ever() {
    for status in [408, 500, 502, 599] {
        let expected = Verdict::TryLater(Fault::Status(status));
        assert_eq!(verdict(&Head::new(status)), Some(expected));
    }
    for status in [100, 204, 304, 400, 405] {
        let expected = Verdict::GiveUp(Fault::Status(status));
        assert_eq!(verdict(&Head::new(status)), Some(expected));
    }
}

#[test]
fn a_server_without_the_only_file_is_given_up() {
    let other_length = Head::new(200).with("content-length", b"163841");
    let other_range = Head::new(206).with("content-range", b"bytes 16384-81919/163841");
    let missing = [401, 403, 404, 410, 416].map(Head::new);
    for head in missing.iter().chain([&other_length, &other_range]) {
        let expected = Verdict::GiveUp(Fault::LacksFiles);
        assert_eq!(verdict(head), Some(expected), "{head:?}");
    }
}

#[test]
fn a_range_that_was_not_asked_for_ends_it() {
    for range in [
        &b"bytes 0-65535/163840"[..],
        b"bytes 16384-81920/163840",
        b"bytes 16385-81919/163840",
        b"bytes */163840",
        b"pieces 1-2/3",
        b"",
    ] {
        let head = Head::new(206).with("content-range", range);
        let expected = Verdict::GiveUp(Fault::OtherRange);
        assert_eq!(verdict(&head), Some(expected), "{}", range.escape_ascii());
    }
    let length = Head::new(206)
        .with("content-range", b"bytes 16384-81919/163840")
        .with("content-length", b"7");
    let expected = Verdict::GiveUp(Fault::OtherRange);
    assert_eq!(verdict(&length), Some(expected));
}

#[test]
fn compressed_answers_are_refused() {
    let head = Head::new(200).with("Content-Encoding", b"gzip");
    let expected = Verdict::GiveUp(Fault::Encoded);
    assert_eq!(verdict(&head), Some(expected));
}

#[test]
fn a_body_that_is_short_or_long_is_a_fault_and_what_came_before_counts() {
    let (mut stage, get) = asked();
    let (head, part) = (stage.part_head(&get), stage.part_of(&get));
    stage.head(&get, &head);
    stage.data(&get, part[..40_000].to_vec());
    stage.body_end(&get);
    let missing = part.len() as u64 - 40_000;
    let expected = Verdict::TryLater(Fault::Short { missing });
    assert_eq!(stage.end, Some(expected));
    assert_eq!((stage.came.len(), stage.returned.len()), (2, 2));

    let (mut stage, get) = asked();
    let (head, mut part) = (stage.part_head(&get), stage.part_of(&get));
    part.push(0);
    stage.head(&get, &head);
    stage.data(&get, part);
    assert_eq!(stage.end, Some(Verdict::TryLater(Fault::Long)));
    assert_eq!((stage.came.len(), stage.returned.len()), (4, 0));
}

#[test]
fn a_range_that_is_cut_is_asked_for_in_parts() {
    let (mut stage, get) = asked();
    let head = Head::new(206).with("content-range", b"bytes 16384-36383/163840");
    let part = stage.part_of(&get);
    stage.head(&get, &head);
    stage.data(&get, part[..20_000].to_vec());
    stage.body_end(&get);
    let rest = stage.next_get();
    assert_eq!(rest.range, 36_384..5 * 16_384);
    stage.answer(&rest);
    assert_eq!(stage.came.len(), 4);
}

#[test]
fn a_server_that_sends_a_byte_at_a_time_is_soon_given_up() {
    /// Answers as often with so many bytes of those that are asked for.
    fn answered(times: usize, length: u64) -> Option<Verdict> {
        let (mut stage, mut get) = asked();
        for time in 0..times {
            if time > 0 {
                get = stage.next_get();
            }
            let (first, last) = (get.range.start, get.range.start + length - 1);
            let range = format!("bytes {first}-{last}/163840");
            let part = stage.part_of(&get);
            stage.head(
                &get,
                &Head::new(206).with("content-range", range.as_bytes()),
            );
            if stage.end.is_some() {
                break;
            }
            stage.data(&get, part[..usize::try_from(length).unwrap()].to_vec());
            stage.body_end(&get);
        }
        stage.end
    }
    assert_eq!(answered(MAX_SCRAPS, 1), None);
    let scraps = Verdict::GiveUp(Fault::Scraps { length: 1 });
    assert_eq!(answered(MAX_SCRAPS + 1, 1), Some(scraps));
    assert_eq!(answered(3, MIN_PART), None);
}

#[test]
fn no_answer_is_for_later_and_a_way_inward_for_ever() {
    let (mut stage, get) = asked();
    stage.seed.handle_no_answer(get.id, "it rains");
    stage.drain();
    let why = Fault::NoAnswer("it rains".to_owned());
    assert_eq!(stage.end, Some(Verdict::TryLater(why.clone())));
    let (mut stage, get) = asked();
    stage.seed.handle_misdirection(get.id, "it rains");
    stage.drain();
    assert_eq!(stage.end, Some(Verdict::GiveUp(why)));
}

#[test]
fn a_server_without_ranges_is_read_from_the_beginning() {
    let (mut stage, get) = asked();
    let file = stage.file_of(&get);
    stage.head(&get, &Head::new(200).with("content-length", b"163840"));
    for part in file.chunks(10_000).take(5) {
        stage.data(&get, part.to_vec());
    }
    // What is wanted behind it in the meantime comes with it.
    stage.request(stage.blocks().into_iter().skip(5).take(2));
    for part in file.chunks(10_000).skip(5).take(7) {
        stage.data(&get, part.to_vec());
    }
    assert_eq!(stage.came, stage.blocks()[1..7]);
    assert_eq!(stage.aborted, [get.id], "the rest is not read");
    assert!(stage.seed.is_idle() && stage.gets.is_empty());
}

#[test]
fn a_server_without_ranges_is_asked_for_one_thing_at_a_time() {
    let mut stage = Stage::file(12 * 1024 * 1024, 1024 * 1024);
    stage.request(stage.blocks().into_iter().take(1));
    let get = stage.next_get();
    stage.head(&get, &Head::new(200));
    let file = stage.file_of(&get);
    stage.data(&get, file[..20_000].to_vec());
    stage.request(stage.blocks().into_iter().skip(1).step_by(100));
    assert_eq!(stage.gets.len(), 1);
}

#[test]
fn a_server_without_ranges_is_given_up_where_too_much_would_be_read_for_nothing() {
    let length = usize::try_from(MAX_SKIPPED).unwrap() + 40_000;
    let mut stage = Stage::file(length, 1024 * 1024);
    let last = stage.blocks().into_iter().next_back();
    stage.request(last);
    let get = stage.next_get();
    stage.head(&get, &Head::new(200));
    let offset = get.range.start;
    let expected = Verdict::GiveUp(Fault::NoRanges { offset });
    assert_eq!(stage.end, Some(expected));
}

#[test]
fn a_server_that_lacks_a_file_is_asked_for_the_others() {
    let files = [("a", 40_000), ("b", 40_000), ("c", 40_000)];
    let mut stage = Stage::files(Version::V1, &files, 16 * 1024);
    let blocks = stage.blocks();
    stage.request(blocks.iter().copied());
    let get = stage.next_get();
    stage.head(&get, &Head::new(404));
    assert_eq!(stage.lacks.len(), 1);
    assert_eq!(stage.end, None);
    // Whoever wants blocks hears that they do not come, and wants others.
    let wanted: Vec<_> = stage
        .returned
        .drain(..)
        .filter(|block| block.piece().get() > 2)
        .collect();
    stage.request(wanted);
    stage.answer_all();
    stage.came.sort_unstable();
    assert_eq!(stage.came, blocks[3..]);
}

#[test]
fn a_server_that_lacks_file_after_file_is_given_up() {
    let names: Vec<_> = (0..100).map(|n| format!("{n:03}")).collect();
    let files: Vec<_> = names.iter().map(|name| (&name[..], 16_384)).collect();
    let mut stage = Stage::files(Version::V1, &files, 16 * 1024);
    let mut asked = 0;
    for block in stage.blocks() {
        if stage.end.is_some() {
            break;
        }
        stage.request([block]);
        let get = stage.next_get();
        stage.head(&get, &Head::new(404));
        asked += 1;
    }
    assert_eq!(asked, MAX_LACKING);
    assert_eq!(stage.end, Some(Verdict::GiveUp(Fault::LacksFiles)));
}
