//! Counts everything anew, for tests.

use std::time::Instant;

use super::Torrent;
use crate::peers::{OurInterest, Permission};

impl Torrent {
    /// Panics when something that is kept up to date differs from what it would be if counted anew.
    ///
    /// Takes time in proportion to all there is; for tests and fuzzing.
    #[doc(hidden)]
    pub fn assert_consistent(&self, now: Instant) {
        self.picker.assert_consistent();
        self.choker.assert_consistent(now);
        self.exchange.assert_consistent();
        let web_seeds = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.web_seed.is_some());
        assert_eq!(self.web_seeds.open(), web_seeds.count());
        let told = self.peers.iter().filter(|(slot, peer)| {
            let told = peer.told.as_ref();
            told.is_some_and(|told| self.exchange.has_turn(*slot, told))
        });
        assert_eq!(self.exchange.listeners(), told.count());
        let (mut unchoking_peers, mut peers_of_use) = (0, 0);
        for (slot, peer) in self.peers.iter() {
            self.picker
                .assert_agrees(slot, &peer.pieces, &peer.pipeline);
            unchoking_peers += usize::from(peer.permission == Permission::Unchoked);
            let is_of_use = self.picker.count_of_use(&peer.pieces) > 0;
            let is_interesting = peer.our_interest == OurInterest::Interested;
            assert_eq!(is_of_use, is_interesting, "what is of use is interesting");
            peers_of_use += usize::from(is_of_use);
        }
        assert_eq!(self.unchoking_peers, unchoking_peers);
        self.picker.assert_witnesses(peers_of_use);
        self.assert_hashes_consistent();
    }
}
