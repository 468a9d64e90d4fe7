//! Who is in which swarm: the tracker's memory, without a socket or a clock.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rarest_metainfo::{InfoHash, PeerId};

use crate::announce::{Announce, AnnounceReply, Event, Failure, Family, Peer};
use crate::scrape::SwarmCounts;

/// Peers that are given when the client does not say how many it wants.
const DEFAULT_NUM_WANT: u32 = 50;

/// Peers that are given at most. More help nobody, and 200 still fit into a datagram over IPv4.
const MAX_NUM_WANT: u32 = 200;

/// What a tracker holds at most; further swarms and peers are refused until others leave.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Swarms that have peers.
    pub swarms: usize,
    /// Peers of one swarm.
    pub peers_per_swarm: usize,
    /// Peers over all swarms; each takes some 300 bytes.
    pub peers: usize,
}

impl Default for Limits {
    /// At most some 70 MB.
    fn default() -> Self {
        Self {
            swarms: 50_000,
            peers_per_swarm: 10_000,
            peers: 200_000,
        }
    }
}

/// The swarms of a tracker. Peers that do not announce for two intervals and a minute are forgotten.
#[derive(Debug)]
pub struct Swarms {
    interval: Duration,
    limits: Limits,
    random: StdRng,
    swarms: HashMap<InfoHash, Swarm>,
    /// Every peer with the time at which it is forgotten.
    deadlines: BTreeSet<(Instant, InfoHash, SocketAddr)>,
}

#[derive(Debug, Default)]
struct Swarm {
    members: Vec<Member>,
    places: HashMap<SocketAddr, usize>,
    seeders: u32,
    downloads: u32,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    address: SocketAddr,
    id: PeerId,
    role: Role,
    deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Seeder,
    Leecher,
}

impl Swarms {
    /// No swarms. `seed` decides which peers are given to whom.
    #[must_use]
    pub fn new(interval: Duration, limits: Limits, seed: u64) -> Self {
        Self {
            interval,
            limits,
            random: StdRng::seed_from_u64(seed),
            swarms: HashMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Takes an announce that came from `from`; gives peers of both families.
    ///
    /// # Errors
    /// [`Failure`] when the port is 0 or a limit is reached.
    pub fn announce(
        &mut self,
        now: Instant,
        from: IpAddr,
        announce: &Announce,
    ) -> Result<AnnounceReply, Failure> {
        self.forget_silent(now);
        if announce.port == 0 {
            return Err(refusal("port 0 can not be dialled"));
        }
        let address = SocketAddr::new(from.to_canonical(), announce.port);
        let before = self.remove(announce.info_hash, address);
        let admitted = match announce.event {
            Event::Stopped => Ok(()),
            _ => self.admit(now, address, announce, before),
        };
        let reply = admitted.map(|()| self.reply(address, announce));
        self.drop_if_empty(announce.info_hash);
        reply
    }

    /// Counts a swarm.
    pub fn scrape(&mut self, now: Instant, info_hash: InfoHash) -> SwarmCounts {
        self.forget_silent(now);
        let Some(swarm) = self.swarms.get(&info_hash) else {
            return SwarmCounts {
                seeders: Some(0),
                leechers: Some(0),
                downloads: Some(0),
                downloaders: None,
            };
        };
        SwarmCounts {
            seeders: Some(swarm.seeders),
            leechers: Some(swarm.leechers()),
            downloads: Some(swarm.downloads),
            downloaders: None,
        }
    }

    /// The number of peers over all swarms.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.deadlines.len()
    }

    fn admit(
        &mut self,
        now: Instant,
        address: SocketAddr,
        announce: &Announce,
        before: Option<Role>,
    ) -> Result<(), Failure> {
        let is_new_swarm = !self.swarms.contains_key(&announce.info_hash);
        if self.deadlines.len() >= self.limits.peers
            || (is_new_swarm && self.swarms.len() >= self.limits.swarms)
        {
            return Err(refusal("the tracker is full"));
        }
        let swarm = self.swarms.entry(announce.info_hash).or_default();
        if swarm.members.len() >= self.limits.peers_per_swarm {
            return Err(refusal("the swarm is full"));
        }
        // Only who was seen downloading can complete a download, and only once.
        if announce.event == Event::Completed && before == Some(Role::Leecher) {
            swarm.downloads = swarm.downloads.saturating_add(1);
        }
        let deadline = now + 2 * self.interval + Duration::from_secs(60);
        swarm.insert(Member {
            address,
            id: announce.peer_id,
            role: if announce.left == 0 {
                Role::Seeder
            } else {
                Role::Leecher
            },
            deadline,
        });
        self.deadlines
            .insert((deadline, announce.info_hash, address));
        Ok(())
    }

    fn reply(&mut self, to: SocketAddr, announce: &Announce) -> AnnounceReply {
        let swarm = self.swarms.get(&announce.info_hash);
        let num_want = match announce.event {
            Event::Stopped => 0,
            _ => announce
                .num_want
                .unwrap_or(DEFAULT_NUM_WANT)
                .min(MAX_NUM_WANT),
        };
        let mut peers = Vec::new();
        if let Some(swarm) = swarm.filter(|swarm| !swarm.members.is_empty()) {
            // A walk round the members from a random one on: at most all of them, mostly as many as are wanted.
            let start = self.random.random_range(0..swarm.members.len());
            let (front, back) = swarm.members.split_at(start);
            let useful = back.iter().chain(front).filter(|member| {
                member.address != to && (announce.left > 0 || member.role == Role::Leecher)
            });
            let wanted = useful.take(num_want as usize);
            peers.extend(wanted.map(|member| Peer {
                address: member.address,
                id: Some(member.id),
            }));
        }
        AnnounceReply {
            peers,
            interval: Some(self.interval),
            seeders: Some(swarm.map_or(0, |swarm| swarm.seeders)),
            leechers: Some(swarm.map_or(0, Swarm::leechers)),
            downloads: Some(swarm.map_or(0, |swarm| swarm.downloads)),
            external_ip: Some(to.ip()),
            ..AnnounceReply::default()
        }
    }

    fn remove(&mut self, info_hash: InfoHash, address: SocketAddr) -> Option<Role> {
        let swarm = self.swarms.get_mut(&info_hash)?;
        let member = swarm.remove(address)?;
        self.deadlines
            .remove(&(member.deadline, info_hash, address));
        Some(member.role)
    }

    fn forget_silent(&mut self, now: Instant) {
        while let Some(&(deadline, info_hash, address)) = self.deadlines.first() {
            if deadline > now {
                return;
            }
            self.remove(info_hash, address);
            self.drop_if_empty(info_hash);
        }
    }

    fn drop_if_empty(&mut self, info_hash: InfoHash) {
        let swarm = self.swarms.get(&info_hash);
        if swarm.is_some_and(|swarm| swarm.members.is_empty()) {
            self.swarms.remove(&info_hash);
        }
    }
}

impl Swarm {
    fn insert(&mut self, member: Member) {
        self.seeders += u32::from(member.role == Role::Seeder);
        self.places.insert(member.address, self.members.len());
        self.members.push(member);
    }

    fn remove(&mut self, address: SocketAddr) -> Option<Member> {
        let place = self.places.remove(&address)?;
        let member = self.members.swap_remove(place);
        if let Some(moved) = self.members.get(place) {
            self.places.insert(moved.address, place);
        }
        self.seeders -= u32::from(member.role == Role::Seeder);
        Some(member)
    }

    fn leechers(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX) - self.seeders
    }
}

/// Splits peers by family.
pub(super) fn of_family(peers: &[Peer], family: Family) -> impl Iterator<Item = &Peer> {
    peers
        .iter()
        .filter(move |peer| Family::of(peer.address.ip()) == family)
}

fn refusal(reason: &str) -> Failure {
    Failure {
        reason: reason.to_owned(),
        retry: None,
    }
}
