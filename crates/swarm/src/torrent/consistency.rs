//! Counts everything anew, for tests.

use std::time::Instant;

use super::Torrent;
use crate::peers::Permission;

impl Torrent {
    /// Panics when something that is kept up to date differs from what it would be if counted anew.
    ///
    /// Takes time in proportion to all there is; for tests and fuzzing.
    #[doc(hidden)]
    pub fn assert_consistent(&self, now: Instant) {
        self.picker.assert_consistent();
        self.choker.assert_consistent(now);
        let mut unchoking_peers = 0;
        for (slot, peer) in self.peers.iter() {
            self.picker
                .assert_agrees(slot, &peer.pieces, &peer.pipeline);
            unchoking_peers += usize::from(peer.permission == Permission::Unchoked);
        }
        assert_eq!(self.unchoking_peers, unchoking_peers);
    }
}
