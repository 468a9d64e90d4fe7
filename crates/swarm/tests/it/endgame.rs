//! The last blocks.

use rarest_peer_wire::connection::{Command, Event};

use crate::stage::Stage;

#[test]
fn the_last_blocks_are_asked_of_several_peers_and_cancelled_when_one_delivers() {
    let mut stage = Stage::new(1, 4);
    let slow = stage.seed(1);
    let fast = stage.seed(2);
    assert_eq!(stage.asked(slow), stage.asked(fast), "all four of both");
    let block = stage.asked(fast)[0];
    stage.answer(fast, &[block]);
    assert!(stage.take_commands(slow).contains(&Command::Cancel(block)));
}

#[test]
fn a_block_is_asked_of_three_peers_at_most() {
    let mut stage = Stage::new(1, 1);
    let peers: Vec<_> = (1..=6).map(|number| stage.seed(number)).collect();
    let asked = peers
        .iter()
        .filter(|&&peer| !stage.asked(peer).is_empty())
        .count();
    assert_eq!(asked, 3);
}

#[test]
fn a_cancelled_block_that_comes_all_the_same_is_counted_as_wasted() {
    let mut stage = Stage::new(2, 2);
    let first = stage.seed(1);
    let second = stage.seed(2);
    let block = stage.asked(second)[0];
    stage.answer(first, &[block]);
    stage.answer(second, &[block]);
    assert_eq!(stage.torrent.stats(stage.now).wasted, 16 * 1024);
}

#[test]
fn no_block_is_asked_twice_while_others_are_free() {
    let mut stage = Stage::new(40, 16);
    let peers: Vec<_> = (1..=5).map(|number| stage.seed(number)).collect();
    let mut asked: Vec<_> = peers.iter().flat_map(|&peer| stage.asked(peer)).collect();
    let count = asked.len();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), count);
}

#[test]
fn an_idle_peer_is_woken_when_blocks_are_returned() {
    let mut stage = Stage::new(1, 1);
    let peers: Vec<_> = (1..=4).map(|number| stage.seed(number)).collect();
    let idle = peers
        .iter()
        .copied()
        .find(|&peer| stage.asked(peer).is_empty())
        .unwrap();
    for &peer in peers.iter().filter(|&&peer| peer != idle) {
        let events = vec![Event::Choked, Event::Returned(stage.block(0, 0))];
        stage.send(peer, events);
    }
    assert_eq!(stage.asked(idle).len(), 1);
}
