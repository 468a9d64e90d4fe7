//! Many messages at once, in any slices.

use proptest::prelude::*;

use crate::reference::assert_all_match;

fn ramp(length: usize) -> Vec<u8> {
    (0..251_u8).cycle().take(length).collect()
}

#[test]
fn every_length_around_block_borders_beside_longer_and_shorter_ones() {
    let data = ramp(400);
    for length in 0..=300 {
        assert_all_match(&[
            vec![&data[..length]],
            vec![&data],
            vec![],
            vec![&data[..63]],
        ]);
    }
}

#[test]
fn every_length_around_block_borders_alone() {
    let data = ramp(300);
    for length in 0..=300 {
        assert_all_match(&[vec![&data[..length]]]);
    }
}

#[test]
fn any_number_of_messages_keeps_its_order() {
    let data = ramp(6_000);
    for count in 0..=40 {
        let messages: Vec<_> = (0..count).map(|i| vec![&data[i..i * 150]]).collect();
        assert_all_match(&messages);
    }
}

#[test]
fn slices_may_be_cut_anywhere() {
    let data = ramp(200);
    for first in 0..=130 {
        for second in first..=135 {
            let cut: [&[u8]; 4] = [&data[..first], &data[first..second], &[], &data[second..]];
            assert_all_match(&[cut.to_vec(), vec![&data[first..]]]);
        }
    }
}

#[test]
fn empty_messages_and_empty_slices_count_as_nothing() {
    assert_all_match(&[]);
    assert_all_match(&[vec![], vec![], vec![], vec![], vec![]]);
    assert_all_match(&[vec![&[], &[]], vec![&[], b"a", &[], b"b", &[]]]);
}

#[test]
fn pieces_of_blocks_as_a_client_has_them() {
    let data = ramp(1 << 18);
    let piece = |length: usize| data[..length].chunks(16_384).collect::<Vec<_>>();
    // The last piece of a torrent is shorter, and has an odd end.
    assert_all_match(&[
        piece(1 << 18),
        piece(1 << 18),
        piece(1 << 18),
        piece(1 << 18),
        piece(100_003),
    ]);
}

proptest! {
    #[test]
    fn any_messages_in_any_slices(
        messages in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6),
            0..40,
        ),
    ) {
        let messages: Vec<Vec<&[u8]>> = messages
            .iter()
            .map(|slices| slices.iter().map(Vec::as_slice).collect())
            .collect();
        assert_all_match(&messages);
    }
}
