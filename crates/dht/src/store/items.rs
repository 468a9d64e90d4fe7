//! Items of BEP 44, by target.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::item::Item;
use crate::krpc::{ErrorCode, ErrorReply};
use crate::node_id::NodeId;

/// How long an item is kept after it was last put (BEP 44).
pub const ITEM_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// Most items that are stored: one takes 1.3 KB, so that all take about one megabyte.
pub const MAX_ITEMS: usize = 1_000;

#[derive(Debug)]
struct StoredItem {
    item: Item,
    until: Instant,
}

/// The items that others put here.
#[derive(Debug, Default)]
pub(crate) struct ItemStore {
    items: BTreeMap<NodeId, StoredItem>,
}

impl ItemStore {
    /// Stores an item, by the rules of BEP 44: `seq` never falls, and `cas` must be what is stored.
    ///
    /// When there is no room, the item furthest from `own` makes way, because others are asked for it.
    ///
    /// # Errors
    /// What to answer.
    pub(crate) fn put(
        &mut self,
        now: Instant,
        own: NodeId,
        item: Item,
        cas: Option<i64>,
    ) -> Result<(), ErrorReply> {
        let target = item.target();
        if let (Item::Mutable(new), Some(Item::Mutable(old))) = (&item, self.get(now, target)) {
            if cas.is_some_and(|cas| cas != old.seq()) {
                return Err(ErrorCode::CAS_MISMATCH.because("cas is not the stored seq"));
            }
            let changed = new.value() != old.value();
            if new.seq() < old.seq() || (new.seq() == old.seq() && changed) {
                return Err(ErrorCode::SEQ_TOO_LOW.because("seq is not above the stored one"));
            }
        }
        if !self.items.contains_key(&target) && self.items.len() >= MAX_ITEMS {
            self.expire(now);
            self.make_room(own, target)?;
        }
        let until = now + ITEM_LIFETIME;
        self.items.insert(target, StoredItem { item, until });
        Ok(())
    }

    pub(crate) fn get(&self, now: Instant, target: NodeId) -> Option<&Item> {
        let stored = self.items.get(&target)?;
        (stored.until > now).then_some(&stored.item)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.items.retain(|_, stored| stored.until > now);
    }

    fn make_room(&mut self, own: NodeId, target: NodeId) -> Result<(), ErrorReply> {
        while self.items.len() >= MAX_ITEMS {
            let furthest = self
                .items
                .keys()
                .max_by_key(|target| own.distance(**target));
            let Some(&furthest) = furthest else { break };
            if own.distance(target) >= own.distance(furthest) {
                return Err(ErrorCode::SERVER.because("no room; closer nodes may have some"));
            }
            self.items.remove(&furthest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{KeyPair, Salt, Value};
    use crate::origin;

    const OWN: NodeId = NodeId([0; 20]);

    fn value(text: &str) -> Value {
        Value::from_bytes(text.as_bytes()).unwrap()
    }

    fn signed(text: &str, seq: i64) -> Item {
        let key = KeyPair::from_seed(&[1; 32]);
        Item::Mutable(key.sign(value(text), Salt::default(), seq).unwrap())
    }

    #[test]
    fn a_sequence_number_never_falls_and_cas_must_match() {
        let (mut store, now) = (ItemStore::default(), origin());
        let mut put = |text, seq, cas| {
            let result = store.put(now, OWN, signed(text, seq), cas);
            result.map_err(|error| error.code)
        };
        assert_eq!(put("a", 5, None), Ok(()));
        assert_eq!(put("b", 6, Some(4)), Err(ErrorCode::CAS_MISMATCH));
        assert_eq!(put("b", 4, None), Err(ErrorCode::SEQ_TOO_LOW));
        assert_eq!(put("b", 5, None), Err(ErrorCode::SEQ_TOO_LOW));
        assert_eq!(put("a", 5, None), Ok(()), "the same again lives longer");
        assert_eq!(put("b", 6, Some(5)), Ok(()));
    }

    #[test]
    fn an_item_is_forgotten_two_hours_after_it_was_last_put() {
        let (mut store, start) = (ItemStore::default(), origin());
        let item = Item::Immutable(value("a"));
        for at in [start, start + ITEM_LIFETIME / 2] {
            store.put(at, OWN, item.clone(), None).unwrap();
        }
        assert_eq!(store.get(start + ITEM_LIFETIME, item.target()), Some(&item));
        let end = start + ITEM_LIFETIME / 2 + ITEM_LIFETIME;
        assert_eq!(store.get(end, item.target()), None);
        store.expire(end);
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn there_is_room_for_so_many_items_and_the_furthest_make_way() {
        let (mut store, now) = (ItemStore::default(), origin());
        let mut refused = 0;
        for number in 0..2 * MAX_ITEMS {
            let item = Item::Immutable(value(&number.to_string()));
            refused += usize::from(store.put(now, OWN, item, None).is_err());
        }
        assert_eq!(store.len(), MAX_ITEMS);
        assert!(refused > 0);
        let furthest = store.items.keys().map(|target| target.distance(OWN)).max();
        let half = NodeId([0x98; 20]).distance(OWN);
        assert!(furthest.unwrap() < half, "the nearer half stays");
    }
}
