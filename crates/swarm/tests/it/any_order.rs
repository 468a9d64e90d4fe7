//! Random scripts for [`crate::any_input`] and [`crate::any_hashes`]; the fuzz target has it make up better ones.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use crate::any_hashes::hashes_live_through;
use crate::any_input::torrent_lives_through;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_torrent_lives_through_anything(input in vec(any::<u8>(), 0..600)) {
        torrent_lives_through(&input);
    }

    #[test]
    fn hashes_and_blocks_of_v2_come_as_they_may(input in vec(any::<u8>(), 0..600)) {
        hashes_live_through(&input);
    }
}
