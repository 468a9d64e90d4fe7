//! The fuzzer's properties on random input.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::any_input;

proptest! {
    #[test]
    fn datagrams_are_read_or_refused(datagram in vec(any::<u8>(), 0..300)) {
        any_input::datagrams(&datagram);
    }

    #[test]
    fn nodes_live_through_anything(script in vec(any::<u8>(), 0..400)) {
        any_input::nodes(&script);
    }
}

/// Found by the fuzzer.
#[test]
fn a_wish_to_announce_port_0_is_not_sent() {
    any_input::nodes(include_bytes!("../fixtures/port_zero.bin"));
}
