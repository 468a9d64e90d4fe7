//! Piece layers that are missing, and which parts of them are asked for (BEP 52).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rarest_metainfo::merkle::ProofError;
use rarest_metainfo::{PartialLayer, PieceIndex, ProvenLayer, Sha256Digest};
use rarest_peer_wire::HashRange;

use crate::Priority;
use crate::limits::{HASH_REST, MAX_HASH_REQUESTS_PER_PEER, MAX_REFUSED_LAYERS};

/// The layers that are missing.
#[derive(Debug, Default)]
pub(crate) struct MissingLayers {
    layers: BTreeMap<Sha256Digest, Missing>,
    /// Wanted layers with ranges that nobody is asked for: the most wanted first, then by the place of their first piece.
    open: BTreeSet<(Reverse<Priority>, PieceIndex, Sha256Digest)>,
}

#[derive(Debug)]
struct Missing {
    partial: PartialLayer,
    /// The pieces whose hashes it has, in order. Files of the same content share one layer.
    pieces: Vec<PieceIndex>,
    priority: Priority,
    /// Ranges that are missing and that nobody is asked for.
    free: BTreeSet<u32>,
}

/// A part of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerRange {
    pub(crate) pieces_root: Sha256Digest,
    pub(crate) number: u32,
}

/// A layer that is whole, and the pieces whose hashes it has.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) layer: ProvenLayer,
    pub(crate) pieces: Vec<PieceIndex>,
}

impl MissingLayers {
    pub(crate) fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// `pieces` must not be empty. Nothing of the layer is asked for before [`reprioritise`](Self::reprioritise).
    pub(crate) fn insert(&mut self, partial: PartialLayer, pieces: Vec<PieceIndex>) {
        let missing = Missing {
            free: (0..partial.range_count()).collect(),
            priority: Priority::Off,
            pieces,
            partial,
        };
        self.layers.insert(missing.partial.pieces_root(), missing);
    }

    /// `wanted` says how much the hash of a piece is wanted.
    pub(crate) fn reprioritise(&mut self, wanted: impl Fn(PieceIndex) -> Priority) {
        self.open.clear();
        for missing in self.layers.values_mut() {
            let pieces = missing.pieces.iter().copied();
            missing.priority = pieces.map(&wanted).max().unwrap_or(Priority::Off);
            self.open.extend(missing.place());
        }
    }

    /// The part that is wanted most of those that nobody is asked for, but of layers that are `refused`. It counts as asked for.
    pub(crate) fn take(&mut self, refused: &BTreeSet<Sha256Digest>) -> Option<LayerRange> {
        let mut places = self.open.iter();
        let &place = places.find(|(_, _, root)| !refused.contains(root))?;
        let pieces_root = place.2;
        let missing = self.layers.get_mut(&pieces_root)?;
        let number = missing.free.pop_first()?;
        if missing.free.is_empty() {
            self.open.remove(&place);
        }
        Some(LayerRange {
            pieces_root,
            number,
        })
    }

    /// What to ask for.
    pub(crate) fn request(&self, range: LayerRange) -> Option<HashRange> {
        let missing = self.layers.get(&range.pieces_root)?;
        let request = missing.partial.request(range.number)?;
        Some(HashRange::new(&range.pieces_root, request))
    }

    /// Whoever was asked does not answer.
    pub(crate) fn give_back(&mut self, range: LayerRange) {
        if let Some(missing) = self.layers.get_mut(&range.pieces_root)
            && !missing.partial.is_known(range.number)
        {
            missing.free.insert(range.number);
            self.open.extend(missing.place());
        }
    }

    /// Keeps an answer, also one that came late. Gives the layer when it is whole with that.
    pub(crate) fn add(
        &mut self,
        range: LayerRange,
        answer: &[Sha256Digest],
    ) -> Result<Option<Found>, ProofError> {
        let Some(missing) = self.layers.get_mut(&range.pieces_root) else {
            return Ok(None);
        };
        if missing.partial.is_known(range.number) {
            return Ok(None);
        }
        missing.partial.add(range.number, answer)?;
        if missing.free.remove(&range.number)
            && missing.free.is_empty()
            && let Some(place) = missing.any_place()
        {
            self.open.remove(&place);
        }
        let Some(layer) = missing.partial.proven() else {
            return Ok(None);
        };
        let found = self.layers.remove(&range.pieces_root);
        Ok(found.map(|missing| Found {
            layer,
            pieces: missing.pieces,
        }))
    }

    /// Whether nobody is asked for anything: for tests.
    pub(crate) fn assert_consistent(&self, asked: &[LayerRange]) {
        for (index, range) in asked.iter().enumerate() {
            assert!(!asked[..index].contains(range), "asked twice: {range:?}");
            if let Some(missing) = self.layers.get(&range.pieces_root) {
                assert!(!missing.free.contains(&range.number), "{range:?} is free");
            }
        }
        for (&root, missing) in &self.layers {
            for number in 0..missing.partial.range_count() {
                let range = LayerRange {
                    pieces_root: root,
                    number,
                };
                let states = [
                    missing.partial.is_known(number),
                    missing.free.contains(&number),
                    asked.contains(&range) && !missing.partial.is_known(number),
                ];
                let count = states.iter().filter(|&&holds| holds).count();
                assert_eq!(count, 1, "{range:?} is {states:?}");
            }
        }
        let places = self.layers.values().filter_map(Missing::place);
        assert_eq!(self.open, places.collect());
    }
}

impl Missing {
    /// Where it stands among those of which something is to be asked for.
    fn place(&self) -> Option<(Reverse<Priority>, PieceIndex, Sha256Digest)> {
        self.any_place()
            .filter(|_| self.priority != Priority::Off && !self.free.is_empty())
    }

    fn any_place(&self) -> Option<(Reverse<Priority>, PieceIndex, Sha256Digest)> {
        let &first = self.pieces.first()?;
        Some((Reverse(self.priority), first, self.partial.pieces_root()))
    }
}

/// What one peer is asked for, and what it does not give.
#[derive(Debug, Default)]
pub(crate) struct HashRequests {
    in_flight: Vec<InFlight>,
    /// Files whose hashes it would not give when last asked.
    refused: BTreeSet<Sha256Digest>,
    /// When it may be asked again for what it refused.
    rests_until: Option<Instant>,
    leaves: Giving,
}

/// Whether a peer gives leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Giving {
    #[default]
    Likely,
    Refused,
}

#[derive(Debug)]
struct InFlight {
    range: HashRange,
    wanted: Wanted,
    /// `None` when others were asked in its stead: it is late.
    deadline: Option<Instant>,
}

/// What hashes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Layer(LayerRange),
    /// To tell which block of the piece is wrong.
    Leaves(PieceIndex),
}

/// A request that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) wanted: Wanted,
    pub(crate) was_late: bool,
}

impl HashRequests {
    /// Files whose hashes it is not to be asked for; `None` when it is not to be asked at all.
    pub(crate) fn refused(&mut self, now: Instant) -> Option<&BTreeSet<Sha256Digest>> {
        self.end_rest(now);
        let has_room = self.in_flight.len() < MAX_HASH_REQUESTS_PER_PEER
            && self.refused.len() < MAX_REFUSED_LAYERS;
        has_room.then_some(&self.refused)
    }

    /// What the peer refused long ago it may be asked for again.
    pub(crate) fn end_rest(&mut self, now: Instant) {
        if self.rests_until.is_some_and(|until| until <= now) {
            self.rests_until = None;
            // What it owes still it is not asked for a second time.
            self.refused = self.late_roots().collect();
            self.leaves = Giving::Likely;
        }
    }

    fn late_roots(&self) -> impl Iterator<Item = Sha256Digest> + '_ {
        let late = self
            .in_flight
            .iter()
            .filter(|asked| asked.deadline.is_none());
        late.filter_map(|asked| match asked.wanted {
            Wanted::Layer(range) => Some(range.pieces_root),
            Wanted::Leaves(_) => None,
        })
    }

    pub(crate) fn sent(&mut self, range: HashRange, wanted: Wanted, deadline: Instant) {
        self.in_flight.push(InFlight {
            range,
            wanted,
            deadline: Some(deadline),
        });
    }

    /// Number of requests that the peer has not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether the peer may be asked for these leaves. Many clients keep none.
    pub(crate) fn gives_leaves(&self, range: &HashRange) -> bool {
        self.leaves == Giving::Likely
            && self.in_flight.len() < MAX_HASH_REQUESTS_PER_PEER
            && !self.in_flight.iter().any(|asked| asked.range == *range)
    }

    /// The peer does not give leaves.
    pub(crate) fn refuses_leaves(&mut self, now: Instant) {
        self.leaves = Giving::Refused;
        self.rests_until.get_or_insert(now + HASH_REST);
    }

    /// The peer answered, one way or the other.
    pub(crate) fn ended(&mut self, range: &HashRange) -> Option<Ended> {
        let found = self
            .in_flight
            .iter()
            .position(|asked| asked.range == *range)?;
        let asked = self.in_flight.swap_remove(found);
        Some(Ended {
            wanted: asked.wanted,
            was_late: asked.deadline.is_none(),
        })
    }

    /// The peer does not give hashes of that file, or gives them too late.
    pub(crate) fn refuses(&mut self, now: Instant, pieces_root: Sha256Digest) {
        self.refused.insert(pieces_root);
        self.rests_until.get_or_insert(now + HASH_REST);
    }

    /// Requests that are to be asked of others; an answer is still taken.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Vec<Wanted> {
        let mut overdue = Vec::new();
        for asked in &mut self.in_flight {
            if asked.deadline.is_some_and(|deadline| deadline <= now) {
                asked.deadline = None;
                overdue.push(asked.wanted);
            }
        }
        for wanted in &overdue {
            match wanted {
                Wanted::Layer(range) => self.refuses(now, range.pieces_root),
                Wanted::Leaves(_) => self.refuses_leaves(now),
            }
        }
        overdue
    }

    /// What this peer alone is asked for.
    pub(crate) fn pending(&self) -> impl Iterator<Item = Wanted> + '_ {
        let pending = self
            .in_flight
            .iter()
            .filter(|asked| asked.deadline.is_some());
        pending.map(|asked| asked.wanted)
    }
}
