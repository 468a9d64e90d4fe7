//! What a node tells its owner.

use std::net::SocketAddr;

use crate::address::Family;
use crate::item::Item;
use crate::krpc::{NodeInfo, Samples};
use crate::lookup::{LookupId, LookupSummary};
use crate::node_id::NodeId;

/// What a node tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A lookup found peers that it had not found before.
    Peers {
        /// Which.
        lookup: LookupId,
        /// They may be anybody's: whoever answers can tell of any address.
        peers: Vec<SocketAddr>,
    },
    /// A lookup found an item that belongs to its target and is signed if it has to be; of a mutable one, a newer one may follow.
    Item {
        /// Which.
        lookup: LookupId,
        /// The item.
        item: Box<Item>,
    },
    /// A node told of some of the swarms it stores (BEP 51).
    Samples {
        /// The lookup.
        lookup: LookupId,
        /// Who told.
        from: NodeInfo,
        /// What it told.
        samples: Samples,
    },
    /// A lookup ended, everything that was to be stored is stored or refused.
    Done {
        /// Which.
        lookup: LookupId,
        /// What it took.
        summary: LookupSummary,
    },
    /// The node found its place among the others of one family.
    Bootstrapped {
        /// Which family.
        family: Family,
        /// Nodes in the table of that family; 0 if nobody answered, in which case it goes on trying.
        nodes: usize,
    },
    /// The others see us at an address that our id does not belong to, so it was changed (BEP 42).
    IdChanged {
        /// In which family.
        family: Family,
        /// The new one.
        id: NodeId,
    },
}
