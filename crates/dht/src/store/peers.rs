//! Announced peers, by swarm.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::seq::index;
use rand::{Rng, RngExt};
use rarest_metainfo::InfoHash;

use crate::address::{Family, host};
use crate::bloom::BloomFilter;
use crate::krpc::{PeerCounts, PeerKind, PeersWanted};
use crate::node_id::NodeId;

/// How long an announced peer is told to others. Clients announce again every 15 minutes or so.
pub const PEER_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// Most swarms that peers are stored of. A node is close to few of them; more is an attempt to fill memory.
pub const MAX_INFO_HASHES: usize = 2_000;

/// Most peers stored of one swarm: several answers' worth.
pub const MAX_PEERS_PER_HASH: usize = 200;

/// Most peers of one swarm at one host: some clients share an address behind a NAT, but nobody needs a thousand ports.
pub const MAX_PEERS_PER_HOST: usize = 4;

#[derive(Clone, Copy, Debug)]
struct StoredPeer {
    addr: SocketAddr,
    kind: PeerKind,
    until: Instant,
}

/// The peers that others announced here.
#[derive(Debug, Default)]
pub(crate) struct PeerStore {
    /// Sorted, so that nothing depends on chance that is not injected.
    swarms: BTreeMap<InfoHash, Vec<StoredPeer>>,
}

impl PeerStore {
    /// Stores a peer. When there is no room for one more swarm, the smallest makes way; of several, the one furthest from `own`.
    pub(crate) fn announce(
        &mut self,
        now: Instant,
        own: NodeId,
        info_hash: InfoHash,
        addr: SocketAddr,
        kind: PeerKind,
    ) {
        if !self.swarms.contains_key(&info_hash) && self.swarms.len() >= MAX_INFO_HASHES {
            // What has expired is dropped every minute: to look for it here would cost strangers one datagram and us a look at every peer.
            self.make_room(own);
        }
        let swarm = self.swarms.entry(info_hash).or_default();
        let until = now + PEER_LIFETIME;
        let peer = StoredPeer { addr, kind, until };
        if let Some(known) = swarm.iter_mut().find(|known| known.addr == addr) {
            *known = peer;
            return;
        }
        let neighbours = swarm
            .iter()
            .filter(|known| host(known.addr) == host(addr))
            .count();
        let oldest = if neighbours >= MAX_PEERS_PER_HOST {
            oldest(swarm, |known| host(known.addr) == host(addr))
        } else if swarm.len() >= MAX_PEERS_PER_HASH {
            oldest(swarm, |_| true)
        } else {
            None
        };
        match oldest {
            Some(at) => swarm[at] = peer,
            None => swarm.push(peer),
        }
    }

    /// Some peers of a swarm, at most `count`, chosen at random.
    pub(crate) fn some_peers(
        &self,
        now: Instant,
        info_hash: InfoHash,
        family: Family,
        wanted: PeersWanted,
        count: usize,
        rng: &mut impl Rng,
    ) -> Vec<SocketAddr> {
        let Some(swarm) = self.swarms.get(&info_hash) else {
            return Vec::new();
        };
        let peers: Vec<_> = swarm
            .iter()
            .filter(|peer| peer.until > now && Family::of(peer.addr.ip()) == family)
            .filter(|peer| wanted == PeersWanted::All || peer.kind == PeerKind::Downloader)
            .map(|peer| peer.addr)
            .collect();
        if peers.len() <= count {
            return peers;
        }
        index::sample(rng, peers.len(), count)
            .iter()
            .map(|at| peers[at])
            .collect()
    }

    /// The peers of a swarm, countable; `None` when there are none.
    pub(crate) fn counts(&self, now: Instant, info_hash: InfoHash) -> Option<PeerCounts> {
        let swarm = self.swarms.get(&info_hash)?;
        let mut counts = PeerCounts {
            seeds: BloomFilter::EMPTY,
            downloaders: BloomFilter::EMPTY,
        };
        for peer in swarm.iter().filter(|peer| peer.until > now) {
            match peer.kind {
                PeerKind::Seed => counts.seeds.insert(peer.addr.ip()),
                PeerKind::Downloader => counts.downloaders.insert(peer.addr.ip()),
            }
        }
        Some(counts)
    }

    /// Some of the swarms, at most `count`, chosen at random.
    pub(crate) fn sample(&self, count: usize, rng: &mut impl Rng) -> Vec<InfoHash> {
        let count = count.min(self.swarms.len());
        let mut chosen = index::sample(rng, self.swarms.len(), count).into_vec();
        chosen.sort_unstable();
        let mut chosen = chosen.into_iter().peekable();
        let hashes = self.swarms.keys().enumerate();
        let mut sample: Vec<_> = hashes
            .filter(|(at, _)| chosen.next_if_eq(at).is_some())
            .map(|(_, hash)| *hash)
            .collect();
        // In the order of the hashes, the first would tell how many there are before it.
        for at in (1..sample.len()).rev() {
            sample.swap(at, rng.random_range(0..=at));
        }
        sample
    }

    /// How many swarms there are.
    pub(crate) fn len(&self) -> usize {
        self.swarms.len()
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.swarms.retain(|_, swarm| {
            swarm.retain(|peer| peer.until > now);
            !swarm.is_empty()
        });
    }

    fn make_room(&mut self, own: NodeId) {
        while self.swarms.len() >= MAX_INFO_HASHES {
            let least = self.swarms.iter().min_by_key(|(hash, swarm)| {
                let distance = own.distance((**hash).into());
                (swarm.len(), std::cmp::Reverse(distance))
            });
            let Some((&hash, _)) = least else { return };
            self.swarms.remove(&hash);
        }
    }
}

/// Where the peer stands that was announced longest ago, of those that `which` takes.
fn oldest(swarm: &[StoredPeer], which: impl Fn(&StoredPeer) -> bool) -> Option<usize> {
    let candidates = swarm.iter().enumerate().filter(|(_, peer)| which(peer));
    candidates
        .min_by_key(|(_, peer)| peer.until)
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::origin;

    const OWN: NodeId = NodeId([0; 20]);

    fn peer(number: u32) -> SocketAddr {
        let [_, b, c, d] = number.to_be_bytes();
        SocketAddr::from(([9, b, c, d], 6881))
    }

    fn hash(number: u32) -> InfoHash {
        let mut hash = [0xff; 20];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        InfoHash(hash)
    }

    fn peers_of(store: &PeerStore, now: Instant, info_hash: InfoHash) -> Vec<SocketAddr> {
        let mut rng = StdRng::seed_from_u64(1);
        store.some_peers(
            now,
            info_hash,
            Family::V4,
            PeersWanted::All,
            usize::MAX,
            &mut rng,
        )
    }

    #[test]
    fn a_peer_is_forgotten_after_half_an_hour_unless_it_announces_again() {
        let (mut store, start) = (PeerStore::default(), origin());
        for at in [start, start + PEER_LIFETIME / 2] {
            store.announce(at, OWN, hash(1), peer(1), PeerKind::Seed);
        }
        store.announce(start, OWN, hash(1), peer(2), PeerKind::Seed);
        let later = start + PEER_LIFETIME;
        assert_eq!(peers_of(&store, later, hash(1)), [peer(1)]);
        store.expire(later + PEER_LIFETIME);
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn one_swarm_has_room_for_so_many_peers_and_the_oldest_make_way() {
        let (mut store, start) = (PeerStore::default(), origin());
        let many = u32::try_from(MAX_PEERS_PER_HASH).unwrap() + 5;
        for number in 0..many {
            let at = start + Duration::from_millis(number.into());
            store.announce(at, OWN, hash(1), peer(number), PeerKind::Downloader);
        }
        let peers = peers_of(&store, start, hash(1));
        assert_eq!(peers.len(), MAX_PEERS_PER_HASH);
        assert!(!peers.contains(&peer(4)) && peers.contains(&peer(many - 1)));
    }

    #[test]
    fn one_host_has_few_places_in_a_swarm() {
        let (mut store, now) = (PeerStore::default(), origin());
        for port in 1..100 {
            let addr = SocketAddr::from(([9, 9, 9, 9], port));
            store.announce(now, OWN, hash(1), addr, PeerKind::Downloader);
        }
        assert_eq!(peers_of(&store, now, hash(1)).len(), MAX_PEERS_PER_HOST);
    }

    #[test]
    fn there_is_room_for_so_many_swarms_and_the_smallest_and_furthest_make_way() {
        let (mut store, now) = (PeerStore::default(), origin());
        for number in [1, 2] {
            store.announce(now, OWN, hash(u32::MAX), peer(number), PeerKind::Seed);
        }
        let many = u32::try_from(MAX_INFO_HASHES).unwrap() + 10;
        for number in 0..many {
            store.announce(now, OWN, hash(number), peer(1), PeerKind::Seed);
        }
        assert_eq!(store.len(), MAX_INFO_HASHES);
        assert_eq!(peers_of(&store, now, hash(u32::MAX)).len(), 2);
        assert_eq!(peers_of(&store, now, hash(0)).len(), 1);
        assert!(peers_of(&store, now, hash(many - 2)).is_empty());
    }

    #[test]
    fn a_seed_does_not_ask_for_seeds_and_is_counted_apart() {
        let (mut store, now) = (PeerStore::default(), origin());
        store.announce(now, OWN, hash(1), peer(1), PeerKind::Seed);
        store.announce(now, OWN, hash(1), peer(2), PeerKind::Downloader);
        let mut rng = StdRng::seed_from_u64(1);
        let peers = store.some_peers(now, hash(1), Family::V4, PeersWanted::NoSeeds, 9, &mut rng);
        assert_eq!(peers, [peer(2)]);
        let counts = store.counts(now, hash(1)).unwrap();
        assert_eq!(counts.seeds.estimate().round(), 1.0);
        assert_eq!(counts.downloaders.estimate().round(), 1.0);
    }

    #[test]
    fn a_sample_has_no_hash_twice() {
        let (mut store, now) = (PeerStore::default(), origin());
        for number in 0..30 {
            store.announce(now, OWN, hash(number), peer(1), PeerKind::Seed);
        }
        let mut sample = store.sample(20, &mut StdRng::seed_from_u64(1));
        sample.sort();
        sample.dedup();
        assert_eq!(sample.len(), 20);
    }
}
