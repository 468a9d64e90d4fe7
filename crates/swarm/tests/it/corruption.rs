//! Peers that lie about data.

use bytes::Bytes;
use rarest_swarm::{BlockDigest, Digests, PieceResult, TorrentEvent};

use crate::stage::{Stage, addr, ip};
use rarest_metainfo::PeerId;
use rarest_swarm::{Direction, DisconnectReason, Refused};

fn digests(blocks: &[u8]) -> Vec<BlockDigest> {
    blocks.iter().map(|&byte| BlockDigest([byte; 20])).collect()
}

fn corrupt(blocks: &[u8]) -> PieceResult {
    PieceResult::Corrupt {
        block_digests: digests(blocks),
    }
}

#[test]
fn the_only_contributor_of_a_corrupt_piece_is_banned_at_once() {
    let mut stage = Stage::new(1, 2);
    let liar = stage.seed(1);
    let asked = stage.asked(liar);
    stage.answer(liar, &asked);
    stage.done(stage.piece(0), corrupt(&[1, 2]));
    assert_eq!(stage.banned, [ip(1)]);
    assert_eq!(stage.dropped, [(liar, DisconnectReason::Banned)]);
    let again = stage.try_connect(addr(1), Direction::Incoming, PeerId([1; 20]));
    assert_eq!(again, Err(Refused::Banned { addr: addr(1) }));
    let honest = stage.seed(2);
    assert_eq!(stage.asked(honest).len(), 2, "all of it is fetched again");
}

#[test]
fn of_several_contributors_only_the_liar_is_banned() {
    let mut stage = Stage::new(1, 4);
    let liar = stage.seed(1);
    let honest = stage.seed(2);
    stage.answer(liar, &[stage.block(0, 0), stage.block(0, 1)]);
    stage.answer(honest, &[stage.block(0, 2), stage.block(0, 3)]);
    stage.reject_cancelled();
    stage.done(stage.piece(0), corrupt(&[1, 66, 3, 4]));
    assert!(stage.banned.is_empty(), "nobody is guilty yet");
    assert!(
        stage
            .events
            .contains(&TorrentEvent::PieceCorrupt(stage.piece(0)))
    );
    stage.whole.clear();
    let alone = if stage.asked(liar).is_empty() {
        honest
    } else {
        liar
    };
    let asked = stage.asked(alone);
    stage.answer(alone, &asked);
    assert_eq!(stage.whole[0].digests, Digests::Wanted);
    let block_digests = digests(&[1, 2, 3, 4]);
    stage.done(stage.piece(0), PieceResult::Verified { block_digests });
    assert_eq!(stage.banned, [ip(1)]);
}

#[test]
fn a_suspected_piece_is_fetched_from_one_peer_alone() {
    let mut stage = Stage::new(1, 8);
    let first = stage.seed(1);
    let second = stage.seed(2);
    let third = stage.seed(3);
    stage.answer(first, &[0, 1, 2, 3].map(|number| stage.block(0, number)));
    stage.answer(second, &[4, 5, 6, 7].map(|number| stage.block(0, number)));
    stage.done(stage.piece(0), corrupt(&[9; 8]));
    let busy = [first, second, third]
        .into_iter()
        .filter(|&peer| !stage.asked(peer).is_empty())
        .count();
    assert_eq!(busy, 1);
}

#[test]
fn a_suspected_piece_goes_to_another_when_its_peer_leaves() {
    let mut stage = Stage::new(1, 4);
    let peers = [stage.seed(1), stage.seed(2), stage.seed(3)];
    stage.answer(peers[0], &[stage.block(0, 0), stage.block(0, 1)]);
    stage.answer(peers[1], &[stage.block(0, 2), stage.block(0, 3)]);
    stage.done(stage.piece(0), corrupt(&[9; 4]));
    let alone = peers
        .into_iter()
        .find(|&peer| !stage.asked(peer).is_empty());
    stage.disconnect(alone.unwrap());
    assert_eq!(
        peers
            .iter()
            .filter(|&&peer| !stage.asked(peer).is_empty())
            .count(),
        1
    );
}

#[test]
fn what_a_liar_sent_of_other_pieces_is_fetched_again() {
    let mut stage = Stage::new(2, 4);
    let liar = stage.seed(1);
    let first = stage.asked(liar);
    let begun = first[0].piece();
    stage.answer(liar, &first);
    let second: Vec<_> = stage.asked(liar).into_iter().take(2).collect();
    stage.answer(liar, &second);
    assert_eq!(stage.torrent.buffered_bytes(), 6 * 16 * 1024);
    stage.done(begun, corrupt(&[9; 4]));
    assert_eq!(stage.torrent.buffered_bytes(), 0);
    stage.seed(2);
    stage.whole.clear();
    stage.answer_all();
    assert!(stage.torrent.is_complete());
}

#[test]
fn bad_copies_are_bounded() {
    // Two peers corrupt more pieces than are remembered: nothing grows, and the download goes on.
    let pieces = u32::try_from(rarest_swarm::limits::MAX_SUSPECT_PIECES).unwrap() + 10;
    let mut stage = Stage::new(pieces, 2);
    let left = stage.seed(1);
    let right = stage.seed(2);
    for _ in 0..pieces {
        let mut asked = stage.asked(left);
        asked.extend(stage.asked(right));
        asked.sort_unstable();
        asked.dedup();
        for block in asked {
            let peer = if block.offset() == 0 { left } else { right };
            let events = vec![rarest_peer_wire::connection::Event::Block {
                block,
                data: Bytes::from(vec![0; block.length() as usize]),
            }];
            if stage.asked(peer).contains(&block) {
                stage.send(peer, events);
            }
        }
        for piece in std::mem::take(&mut stage.whole) {
            stage.done(piece.piece, corrupt(&[1, 2]));
        }
    }
    assert!(stage.torrent.stats(stage.now).begun_pieces > 0);
}

#[test]
fn a_suspected_piece_waits_for_a_peer_that_delivers_but_not_for_long() {
    let mut stage = Stage::new(1, 4);
    let peers = [stage.seed(1), stage.seed(2)];
    stage.answer(peers[0], &[stage.block(0, 0), stage.block(0, 1)]);
    stage.answer(peers[1], &[stage.block(0, 2), stage.block(0, 3)]);
    for peer in peers {
        stage.disconnect(peer);
    }
    let unproven = stage.seed(3);
    stage.done(stage.piece(0), corrupt(&[9; 4]));
    assert_eq!(stage.asked(unproven), []);
    stage.pass(rarest_swarm::limits::SNUB_CHECK_INTERVAL);
    assert_eq!(stage.asked(unproven).len(), 4);
}
