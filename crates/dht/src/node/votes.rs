//! Where others see us: several have to agree before we change our id (BEP 42).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::address::host;
use crate::node_id::is_exempt;

/// How many nodes have to see us at the same address, of the last `MAX_VOTES`, before we believe it. A few liars change nothing.
pub const VOTES_TO_CHANGE_ID: usize = 9;

/// Votes that are kept: a little more than half have to agree.
const MAX_VOTES: usize = 16;

/// The latest votes on our address, one a host.
#[derive(Debug, Default)]
pub(super) struct Votes {
    votes: VecDeque<(SocketAddr, IpAddr)>,
}

impl Votes {
    /// A node at `voter`, which we asked, sees us at `seen_as`. Returns an address that enough nodes agree on.
    pub(super) fn cast(&mut self, voter: SocketAddr, seen_as: IpAddr) -> Option<IpAddr> {
        // A local address says nothing of how the others see us.
        if is_exempt(seen_as) {
            return None;
        }
        let voter = host(voter);
        self.votes.retain(|(known, _)| *known != voter);
        if self.votes.len() >= MAX_VOTES {
            self.votes.pop_front();
        }
        self.votes.push_back((voter, seen_as));
        let agreeing = self.votes.iter().filter(|(_, ip)| *ip == seen_as).count();
        (agreeing >= VOTES_TO_CHANGE_ID).then_some(seen_as)
    }
}
