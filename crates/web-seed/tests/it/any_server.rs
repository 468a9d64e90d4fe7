//! Random scripts for [`crate::any_input`]; the fuzz target has it make up better ones.

use proptest::collection::vec;
use proptest::prelude::{any, proptest};

use crate::any_input::seed_lives_through;

proptest! {
    #[test]
    fn a_web_seed_lives_through_anything(script in vec(any::<u8>(), 0..300)) {
        seed_lives_through(&script);
    }
}
