//! Packets of local discovery.
#![no_main]

use rarest_lsd::{Announce, Group};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Ok(announce) = Announce::decode(input) {
        assert_eq!(Announce::decode(&announce.encode(Group::V4.addr())), Ok(announce));
    }
});
