//! What of a node survives a restart: its ids and the nodes it knows.

use std::time::Instant;

use rarest_bencode::{Document, Options, ValueRef};

use super::{Config, Node, Presence};
use crate::address::Family;
use crate::error::StateError;
use crate::krpc::{compact, dictionary};
use crate::node_id::NodeId;
use crate::table::BUCKET_SIZE;

/// Longest state that is read, in bytes: ids, and as many nodes as a table can hold of each family.
const MAX_STATE_LENGTH: usize = 256 + NodeId::BITS * BUCKET_SIZE * (26 + 38);

impl Node {
    /// Ids and known nodes, to be given to [`Node::restore`]: a bencoded dictionary of `id`, `nodes`, `id6` and `nodes6`.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        dictionary(|state| {
            for (presence, [id, nodes]) in
                [(&self.v4, ["id", "nodes"]), (&self.v6, ["id6", "nodes6"])]
            {
                if let Some(presence) = presence {
                    let known: Vec<_> = presence.table.iter().collect();
                    state.bytes(id, presence.id.0);
                    state.bytes(nodes, compact::encode_nodes(&known));
                }
            }
        })
    }

    /// A node with the ids and nodes of an earlier one. The nodes may be gone by now: [`Node::bootstrap`] asks them.
    ///
    /// Arguments as for [`Node::new`]. An id that does not belong to an address of `config.external_ips` is not taken over.
    ///
    /// # Errors
    /// [`StateError`] when `state` is not what [`Node::save`] made.
    pub fn restore(
        config: Config,
        seed: [u8; 32],
        now: Instant,
        state: &[u8],
    ) -> Result<Self, StateError> {
        let length = state.len();
        if length > MAX_STATE_LENGTH {
            return Err(StateError::TooLong { length });
        }
        let document = Document::parse_with(state, &Options::lenient().max_depth(8))?;
        let root = document.root();
        if root.as_dict().is_none() {
            return Err(StateError::Field("dictionary"));
        }
        let mut node = Self::new(config, seed, now);
        let external_ips = node.config.external_ips.clone();
        let is_free = |id: NodeId, family| {
            let mut ours = external_ips.iter().filter(|ip| Family::of(**ip) == family);
            ours.all(|ip| id.is_allowed_for(*ip))
        };
        for (family, id, nodes) in [(Family::V4, "id", "nodes"), (Family::V6, "id6", "nodes6")] {
            let Some(presence) = node.presence_mut(family) else {
                continue;
            };
            let saved = root.get(nodes).and_then(ValueRef::as_bytes);
            // The state of a node that had no socket for this family.
            let Some(saved) = saved else { continue };
            let id = root.get(id).and_then(ValueRef::as_bytes);
            let id = id.and_then(|id| id.try_into().ok()).map(NodeId);
            let id = id.ok_or(StateError::Field("id"))?;
            if is_free(id, family) {
                *presence = Presence::new(id);
            }
            let known = match family {
                Family::V4 => compact::nodes::<{ compact::NODE_V4_LENGTH }>(saved),
                Family::V6 => compact::nodes::<{ compact::NODE_V6_LENGTH }>(saved),
            };
            for known in known {
                presence.table.remembered(known);
            }
        }
        Ok(node)
    }
}
