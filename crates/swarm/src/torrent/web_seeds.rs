//! Web servers that have the torrent (BEP 19): asked like peers that have everything and let us request.

use std::time::Instant;

use rand::RngExt;
use rarest_metainfo::{Bitfield, PeerId};
use rarest_peer_wire::Reserved;
use rarest_peer_wire::connection::{Event, Role};

use super::{Activity, Torrent};
use crate::limits::MAX_OPEN_WEB_SEEDS;
use crate::output::Output;
use crate::peers::Peer;
use crate::web_seeds::{WebSeedEnd, WebSeedId};
use crate::{Direction, PeerKey};

impl Torrent {
    /// Learns of a web server that has the files. `None` when there are [too many](crate::limits::MAX_WEB_SEEDS) already.
    ///
    /// While something is missing, [`Output::OpenWebSeed`] asks for it.
    pub fn add_web_seed(&mut self, now: Instant) -> Option<WebSeedId> {
        let id = self.web_seeds.add();
        self.settle(now);
        id
    }

    /// A web seed that was opened cannot be asked any more. What it owes is asked of others.
    pub fn handle_web_seed_ended(&mut self, now: Instant, key: PeerKey, end: WebSeedEnd) {
        let Some(slot) = self.peers.slot(key) else {
            return;
        };
        let seed = self.peers.get(slot).and_then(|peer| {
            let helped = peer.download.total() > 0;
            Some((peer.web_seed?, helped))
        });
        if let Some((id, helped)) = seed {
            self.remove(now, slot);
            self.web_seeds.ended(now, id, end, helped);
        }
        self.settle(now);
    }

    /// Whether another web seed may be opened as soon as there is one.
    pub(super) fn may_open_web_seed(&self) -> bool {
        self.activity == Activity::Running
            && self.web_seeds.open() < MAX_OPEN_WEB_SEEDS
            && self.knows_pieces()
            && !self.is_finished()
            && self.may_request()
    }

    pub(super) fn open_web_seeds(&mut self, now: Instant) {
        while self.may_open_web_seed()
            && let Some(id) = self.web_seeds.next_to_open(now)
        {
            let key = self.open_web_seed(now, id);
            // The driver learns of it before it is told what to ask for.
            self.outputs
                .push_back(Output::OpenWebSeed { key, web_seed: id });
            let all = Event::Has(Bitfield::full(&self.geometry));
            self.handle_event(now, key.slot, all);
            self.handle_event(now, key.slot, Event::Unchoked);
            self.update_interest(now, key.slot);
            self.refill(now, key.slot);
        }
    }

    fn open_web_seed(&mut self, now: Instant, id: WebSeedId) -> PeerKey {
        // Nobody can guess it and come with the same.
        let peer_id = loop {
            let peer_id = PeerId(self.rng.random());
            if self.peers.by_id(peer_id).is_none() {
                break peer_id;
            }
        };
        let most = self.config.max_requests_per_peer;
        let key = self.peers.insert(peer_id, |key| {
            let mut peer = Peer::new(now, key, id.addr(), Direction::Outgoing, peer_id, most);
            peer.dialect = Reserved::NONE;
            peer.role = Role::UploadOnly;
            peer.web_seed = Some(id);
            peer.pieces.prefer_runs();
            peer.pipeline.set_peer_limit(most, most);
            peer
        });
        self.choker.join(now, key.slot);
        key
    }
}
