//! Random scripts for [`crate::any_input`]; the fuzz target has it make up better ones.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use crate::any_input::torrent_lives_through;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_torrent_lives_through_anything(input in vec(any::<u8>(), 0..600)) {
        torrent_lives_through(&input);
    }
}
