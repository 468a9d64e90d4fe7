//! Web servers that have the torrent (BEP 19).

use std::time::Duration;

use rarest_metainfo::PieceIndex;
use rarest_peer_wire::connection::Event;
use rarest_swarm::limits::{FIRST_BACK_OFF, MAX_FAILURES, MAX_OPEN_WEB_SEEDS, MAX_WEB_SEEDS};
use rarest_swarm::{
    BlockDigest, Config, DisconnectReason, PeerKey, PieceResult, Priority, UploadSlots, WebSeedEnd,
};

use crate::stage::{Stage, addr, geometry};

/// The pieces that are asked of a web seed, in the order in which their requests went out.
fn asked_pieces(stage: &mut Stage, key: PeerKey) -> Vec<u32> {
    use rarest_peer_wire::connection::Command::Request;
    let commands = stage.take_commands(key).into_iter();
    let mut pieces: Vec<u32> = commands
        .filter_map(|command| match command {
            Request(block) => Some(block.piece().get()),
            _ => None,
        })
        .collect();
    pieces.dedup();
    pieces
}

#[test]
fn a_web_seed_alone_gives_all() {
    let mut stage = Stage::new(10, 4);
    stage.web_seed();
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    let stats = stage.torrent.stats(stage.now);
    assert_eq!(stats.downloaded_from_web_seeds, stats.downloaded);
    assert_eq!((stats.peers, stats.seeds, stats.web_seeds), (0, 0, 0));
    let reasons: Vec<_> = stage.dropped.iter().map(|&(_, reason)| reason).collect();
    assert_eq!(reasons, [DisconnectReason::BothComplete]);
}

#[test]
fn it_is_asked_beside_peers_for_other_blocks() {
    let mut stage = Stage::new(100, 4);
    let peer = stage.seed(1);
    let web_seed = stage.web_seed();
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    let stats = stage.torrent.stats(stage.now);
    let from_web = stats.downloaded_from_web_seeds;
    assert!(from_web > 0 && from_web < stats.downloaded, "{from_web}");
    assert_ne!(peer, web_seed);
}

#[test]
fn its_pieces_lie_in_a_row_as_long_as_none_is_wanted_more() {
    let mut stage = Stage::new(4000, 1);
    let key = stage.web_seed();
    let mut pieces = Vec::new();
    for _ in 0..4 {
        pieces.extend(asked_pieces(&mut stage, key));
        let asked = stage.asked(key);
        stage.answer(key, &asked);
        stage.verify_all();
    }
    let breaks = pieces.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    assert!(breaks.count() <= 4, "{pieces:?}");
    // What is wanted more comes first.
    pieces.extend(asked_pieces(&mut stage, key));
    let wanted: Vec<PieceIndex> = stage.geometry.pieces().collect();
    let lacking = wanted.iter().rev().find(|&&piece| {
        !stage.torrent.verified().contains(piece) && !pieces.contains(&piece.get())
    });
    let piece = *lacking.unwrap();
    let now = stage.now;
    stage
        .torrent
        .set_piece_priorities(now, &[(piece, Priority::High)]);
    stage.drain();
    let asked = stage.asked(key);
    stage.answer(key, &asked);
    assert_eq!(asked_pieces(&mut stage, key)[0], piece.get());
}

#[test]
fn it_is_opened_when_something_is_missing_and_not_before() {
    let mut stage = Stage::with(Config::default(), geometry(4, 1), |start| {
        start.verified = rarest_metainfo::Bitfield::full(&start.geometry);
    });
    stage.torrent.add_web_seed(stage.now);
    stage.drain();
    assert_eq!(stage.web_seeds, []);
    let lost = [stage.piece(2)];
    stage.torrent.handle_pieces_lost(stage.now, &lost);
    stage.drain();
    assert_eq!(stage.web_seeds.len(), 1);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn a_pause_closes_it_and_a_resume_opens_it_again() {
    let mut stage = Stage::new(4, 1);
    let key = stage.web_seed();
    stage.torrent.pause(stage.now);
    stage.drain();
    assert_eq!(stage.dropped, [(key, DisconnectReason::Paused)]);
    stage.torrent.resume(stage.now);
    stage.drain();
    assert_eq!(stage.web_seeds.len(), 2);
    assert_ne!(stage.web_seeds[1].0, key);
}

#[test]
fn one_that_fails_is_tried_later_and_later_and_then_no_more() {
    let mut stage = Stage::new(4, 1);
    stage.web_seed();
    for failures in 1..=u32::from(MAX_FAILURES) {
        let count = usize::try_from(failures).unwrap();
        assert_eq!(stage.web_seeds.len(), count);
        let key = stage.web_seeds[count - 1].0;
        stage.end_web_seed(key, WebSeedEnd::TryLater);
        let wait = FIRST_BACK_OFF * (1 << (failures - 1)).min(120);
        stage.pass(wait - Duration::from_secs(1));
        assert_eq!(stage.web_seeds.len(), count, "too early");
        stage.pass(Duration::from_secs(2));
    }
    stage.pass(Duration::from_secs(100_000));
    assert_eq!(stage.web_seeds.len(), usize::from(MAX_FAILURES));
}

#[test]
fn one_that_says_when_is_tried_then_and_one_of_no_use_never() {
    let mut stage = Stage::new(4, 1);
    let key = stage.web_seed();
    stage.end_web_seed(key, WebSeedEnd::TryAfter(Duration::from_secs(600)));
    stage.pass(Duration::from_secs(599));
    assert_eq!(stage.web_seeds.len(), 1);
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.web_seeds.len(), 2);
    let key = stage.web_seeds[1].0;
    stage.end_web_seed(key, WebSeedEnd::GiveUp);
    stage.pass(Duration::from_secs(100_000));
    assert_eq!(stage.web_seeds.len(), 2);
}

#[test]
fn a_corrupt_piece_of_one_web_seed_drops_it_and_no_other() {
    let mut stage = Stage::new(4, 2);
    let [liar, honest] = [stage.web_seed(), stage.web_seed()];
    let asked = stage.asked(liar);
    stage.answer(liar, &asked);
    let piece = stage.whole.remove(0).piece;
    let block_digests = vec![BlockDigest([1; 20]); 2];
    stage.done(piece, PieceResult::Corrupt { block_digests });
    assert_eq!(stage.dropped, [(liar, DisconnectReason::Banned)]);
    assert!(stage.banned.is_empty(), "nobody is at its address");
    stage.verify_all();
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    assert_eq!(stage.web_seeds.len(), 2, "it is not opened again");
    assert_eq!(stage.web_seeds[1].0, honest);
}

#[test]
fn a_file_that_it_lacks_is_not_asked_of_it() {
    let mut stage = Stage::new(4, 1);
    let key = stage.web_seed();
    let lacks = stage.piece(1);
    let asked = stage.asked(key);
    let mut events = vec![Event::DontHave(lacks)];
    events.extend(asked.iter().map(|&block| Event::Returned(block)));
    stage.send(key, events);
    stage.answer_all();
    let missing: Vec<_> = (0..4)
        .filter(|&n| !stage.torrent.verified().contains(stage.piece(n)))
        .collect();
    assert_eq!(missing, [1]);
}

#[test]
fn only_so_many_are_remembered_and_asked_at_a_time() {
    let mut stage = Stage::new(4000, 1);
    let added = (0..2 * MAX_WEB_SEEDS).filter_map(|_| stage.torrent.add_web_seed(stage.now));
    assert_eq!(added.count(), MAX_WEB_SEEDS);
    stage.drain();
    assert_eq!(stage.web_seeds.len(), MAX_OPEN_WEB_SEEDS);
}

#[test]
fn it_takes_no_turn_to_be_served_and_no_place_from_a_peer_that_comes() {
    let config = Config {
        upload_slots: UploadSlots::Fixed(1),
        ..Config::default()
    };
    let mut stage = Stage::with(config, geometry(4, 1), |_| {});
    stage.web_seed();
    let peer = stage.connect(1);
    stage.send(peer, vec![Event::Interested]);
    stage.pass(Duration::from_secs(60));
    let unchoked: Vec<_> = stage
        .torrent
        .peers(stage.now)
        .filter(|peer| peer.is_unchoked)
        .map(|peer| peer.addr)
        .collect();
    assert_eq!(unchoked, [addr(1)]);
}
