//! The connected peers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use rarest_metainfo::PeerId;
use rarest_peer_wire::Reserved;
use rarest_peer_wire::connection::{Command, Role};
use rarest_peer_wire::extension::pex::PexFlags;

use crate::layers::HashRequests;
use crate::limits::MAX_METADATA_OFFERS;
use crate::peer_exchange::{Hearing, Told};
use crate::picker::PeerPieces;
use crate::piece::PeerSlot;
use crate::pipeline::Pipeline;
use crate::rate::Rate;
use crate::torrent::Work;
use crate::{Direction, PeerKey, WebSeedId};

/// All that is known of one connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) key: PeerKey,
    pub(crate) addr: SocketAddr,
    /// Where it may be dialled, if that is known and the book has it as connected.
    pub(crate) listens_at: Option<SocketAddr>,
    pub(crate) direction: Direction,
    /// The extensions that its handshake names.
    pub(crate) dialect: Reserved,
    /// Whether it says that it wants nothing (BEP 21).
    pub(crate) role: Role,
    pub(crate) peer_id: PeerId,
    pub(crate) connected_at: Instant,
    pub(crate) pieces: PeerPieces,
    pub(crate) pipeline: Pipeline,
    /// None where hashes are not traded: in v1 swarms.
    pub(crate) hash_requests: Option<HashRequests>,
    /// What it causes with requests for hashes of ours.
    pub(crate) hash_work: Work,
    pub(crate) our_interest: OurInterest,
    pub(crate) permission: Permission,
    pub(crate) download: Rate,
    pub(crate) upload: Rate,
    /// When one side last wanted something of the other.
    pub(crate) last_use: Instant,
    /// Which web seed it is, if it is none of the peers.
    pub(crate) web_seed: Option<WebSeedId>,
    /// What it speaks, as others are told of it.
    pub(crate) speaks: PexFlags,
    /// How far it was told of other peers, if it wants to be.
    pub(crate) told: Option<Told>,
    /// How much it may tell us of others; none before it was about to.
    pub(crate) hearing: Option<Hearing>,
    /// How often it may still say whether it offers the info dictionary.
    pub(crate) metadata_offers_left: u32,
    /// Commands that were not handed out yet.
    pub(crate) outbox: Vec<Command>,
}

impl Peer {
    /// A peer that has just shaken hands, of which nothing is known.
    pub(crate) fn new(
        now: Instant,
        key: PeerKey,
        addr: SocketAddr,
        direction: Direction,
        peer_id: PeerId,
        most_requests: usize,
    ) -> Self {
        Self {
            key,
            addr,
            listens_at: None,
            direction,
            dialect: Reserved::NONE,
            role: Role::Downloader,
            peer_id,
            connected_at: now,
            pieces: PeerPieces::default(),
            pipeline: Pipeline::new(most_requests, now),
            hash_requests: None,
            hash_work: Work::none(now),
            our_interest: OurInterest::NotInterested,
            permission: Permission::Choked,
            download: Rate::new(now),
            upload: Rate::new(now),
            last_use: now,
            web_seed: None,
            speaks: PexFlags::default(),
            told: None,
            hearing: None,
            metadata_offers_left: MAX_METADATA_OFFERS,
            outbox: Vec::new(),
        }
    }
}

/// Whether we told the peer that we want pieces of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OurInterest {
    NotInterested,
    Interested,
}

/// Whether the peer lets us request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    Choked,
    Unchoked,
}

/// The peers by slot. Slots are used again, with another generation.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    slots: Vec<Slot>,
    free: Vec<PeerSlot>,
    by_id: BTreeMap<PeerId, PeerSlot>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    peer: Option<Box<Peer>>,
}

impl Peers {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Makes room for a peer of that id, of which there must be none, and gives it a key.
    pub(crate) fn insert(
        &mut self,
        peer_id: PeerId,
        peer: impl FnOnce(PeerKey) -> Peer,
    ) -> PeerKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("the number of peers is bounded")
        });
        let entry = &mut self.slots[slot as usize];
        let key = PeerKey {
            slot,
            generation: entry.generation,
        };
        entry.peer = Some(Box::new(peer(key)));
        self.by_id.insert(peer_id, slot);
        key
    }

    pub(crate) fn remove(&mut self, slot: PeerSlot) -> Option<Box<Peer>> {
        let entry = self.slots.get_mut(slot as usize)?;
        let peer = entry.peer.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        self.by_id.remove(&peer.peer_id);
        Some(peer)
    }

    /// The slot of a key, if its connection did not end.
    pub(crate) fn slot(&self, key: PeerKey) -> Option<PeerSlot> {
        let entry = self.slots.get(key.slot as usize)?;
        (entry.generation == key.generation && entry.peer.is_some()).then_some(key.slot)
    }

    pub(crate) fn get(&self, slot: PeerSlot) -> Option<&Peer> {
        self.slots.get(slot as usize)?.peer.as_deref()
    }

    pub(crate) fn get_mut(&mut self, slot: PeerSlot) -> Option<&mut Peer> {
        self.slots.get_mut(slot as usize)?.peer.as_deref_mut()
    }

    pub(crate) fn by_id(&self, peer_id: PeerId) -> Option<&Peer> {
        self.get(*self.by_id.get(&peer_id)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerSlot, &Peer)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(slot, entry)| Some((slot, entry.peer.as_deref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (PeerSlot, &mut Peer)> {
        (0..)
            .zip(&mut self.slots)
            .filter_map(|(slot, entry)| Some((slot, entry.peer.as_deref_mut()?)))
    }

    /// The slots in use, to go through them while peers may leave.
    pub(crate) fn slots(&self) -> Vec<PeerSlot> {
        self.iter().map(|(slot, _)| slot).collect()
    }
}
