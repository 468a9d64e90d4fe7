//! Memory, the disk, and a disk that fails.

use rarest_peer_wire::connection::{Command, Event};
use rarest_swarm::{BlockData, Config, PieceResult, SpillResult, TorrentEvent};

use crate::stage::{Stage, geometry};

const BLOCK: u64 = 16 * 1024;

#[test]
fn gathered_blocks_are_counted_until_their_piece_is_verified() {
    let mut stage = Stage::new(1, 4);
    let seed = stage.seed(1);
    let asked = stage.asked(seed);
    stage.answer(seed, &asked[..3]);
    assert_eq!(stage.torrent.buffered_bytes(), 3 * BLOCK);
    stage.answer(seed, &asked[3..]);
    assert_eq!(stage.torrent.buffered_bytes(), 4 * BLOCK);
    stage.verify_all();
    assert_eq!(stage.torrent.buffered_bytes(), 0);
}

#[test]
fn under_pressure_begun_pieces_are_spilled_and_completed_from_disk() {
    let mut stage = Stage::new(1, 4);
    let seed = stage.seed(1);
    let asked = stage.asked(seed);
    stage.answer(seed, &asked[..2]);
    stage.torrent.handle_memory_pressure(stage.now, 0);
    stage.torrent.handle_memory_pressure(stage.now, 0);
    stage.drain();
    assert_eq!(stage.spilled.len(), 2, "each block is spilled once");
    stage.answer(seed, &asked[2..]);
    assert!(
        stage.whole.is_empty(),
        "two blocks are on their way to the disk"
    );
    let blocks: Vec<_> = stage.spilled.iter().map(|&(block, _)| block).collect();
    stage
        .torrent
        .handle_spilled(stage.now, &blocks, SpillResult::Written);
    stage.drain();
    let in_memory: Vec<_> = stage.whole[0]
        .parts
        .iter()
        .map(|part| matches!(part, BlockData::Memory(_)))
        .collect();
    assert_eq!(in_memory, [false, false, true, true]);
    assert_eq!(stage.torrent.buffered_bytes(), 2 * BLOCK);
}

#[test]
fn blocks_of_an_earlier_run_are_not_asked_for() {
    let mut stage = Stage::with(Config::default(), geometry(2, 4), |start| {
        let piece = start.geometry.piece(1).unwrap();
        start.on_disk = start.geometry.blocks(piece).take(3).collect();
    });
    assert_eq!(stage.torrent.blocks_on_disk().count(), 3);
    let seed = stage.seed(1);
    assert_eq!(stage.asked(seed)[..1], [stage.block(0, 0)]);
    assert!(stage.asked(seed).contains(&stage.block(1, 3)));
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    let requests = stage
        .take_commands(seed)
        .into_iter()
        .filter(|command| matches!(command, Command::Request(_)))
        .count();
    assert_eq!(requests, 5);
}

#[test]
fn a_piece_that_is_wholly_on_disk_is_completed_at_once() {
    let stage = Stage::with(Config::default(), geometry(2, 4), |start| {
        let piece = start.geometry.piece(1).unwrap();
        start.on_disk = start.geometry.blocks(piece).collect();
    });
    assert_eq!(stage.whole.len(), 1);
    assert!(
        stage.whole[0]
            .parts
            .iter()
            .all(|part| *part == BlockData::Spilled { length: 16 * 1024 })
    );
}

#[test]
fn a_full_disk_makes_the_torrent_upload_only_and_loses_nothing() {
    let mut stage = Stage::new(3, 2);
    let seed = stage.seed(1);
    let piece = stage.asked(seed)[0].piece();
    let asked: Vec<_> = stage
        .asked(seed)
        .into_iter()
        .filter(|block| block.piece() == piece)
        .collect();
    stage.answer(seed, &asked);
    stage.whole.clear();
    stage.done(piece, PieceResult::StoreFailed);
    assert!(stage.torrent.is_upload_only());
    assert_eq!(stage.events, [TorrentEvent::UploadOnly]);
    assert_eq!(
        stage.torrent.buffered_bytes(),
        2 * BLOCK,
        "the piece is kept"
    );
    let returned: Vec<_> = stage.asked(seed).into_iter().map(Event::Returned).collect();
    stage.send(seed, returned);
    assert_eq!(stage.asked(seed), [], "nothing is asked for");
    // Peers are served all the same.
    let leecher = stage.connect(2);
    stage.send(leecher, vec![Event::Interested]);
    assert!(stage.take_commands(leecher).contains(&Command::Unchoke));

    stage.torrent.handle_store_recovered(stage.now);
    stage.drain();
    assert_eq!(stage.whole[0].piece, piece, "the piece is tried again");
    stage.answer_all();
    assert!(stage.torrent.is_complete());
    assert!(stage.events.contains(&TorrentEvent::DownloadResumed));
}

#[test]
fn blocks_that_could_not_be_spilled_stay_in_memory() {
    let mut stage = Stage::new(1, 4);
    let seed = stage.seed(1);
    let asked = stage.asked(seed);
    stage.answer(seed, &asked[..2]);
    stage.torrent.handle_memory_pressure(stage.now, 0);
    stage.drain();
    let blocks: Vec<_> = stage.spilled.drain(..).map(|(block, _)| block).collect();
    stage
        .torrent
        .handle_spilled(stage.now, &blocks, SpillResult::StoreFailed);
    stage.drain();
    assert!(stage.torrent.is_upload_only());
    assert_eq!(stage.torrent.buffered_bytes(), 2 * BLOCK);
    let returned: Vec<_> = stage.asked(seed).into_iter().map(Event::Returned).collect();
    stage.send(seed, returned);
    stage.torrent.handle_store_recovered(stage.now);
    stage.drain();
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn a_pause_drops_peers_and_spills_and_resuming_goes_on() {
    let mut stage = Stage::new(2, 4);
    let seed = stage.seed(1);
    let asked = stage.asked(seed);
    stage.answer(seed, &asked[..2]);
    stage.torrent.pause(stage.now);
    stage.drain();
    assert_eq!(stage.spilled.len(), 2);
    assert_eq!(stage.torrent.stats(stage.now).peers, 0);
    assert_eq!(stage.torrent.next_timeout(), None);
    let blocks: Vec<_> = stage.spilled.drain(..).map(|(block, _)| block).collect();
    stage
        .torrent
        .handle_spilled(stage.now, &blocks, SpillResult::Written);
    stage.torrent.resume(stage.now);
    stage.drain();
    stage.seed(2);
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}
