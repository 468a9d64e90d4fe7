//! Whatever peers say of the metadata in whatever order: nothing panics, what is held is bounded, and one honest peer ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_hash::sha1;
use rarest_metainfo::{InfoHashV1, InfoHashes};
use rarest_peer_wire::extension::metadata::MetadataMessage;
use rarest_swarm::limits::{MAX_METADATA_COPIES, METADATA_REQUESTS};
use rarest_swarm::metadata::{Arrived, Fetch};

/// Bytes of a part.
const PART: usize = 16 * 1024;

/// Longest that an honest peer has to wait for its turn, however many lie: ten liars of three at a time, each with a few long turns.
const PATIENCE: Duration = Duration::from_secs(6 * 60 * 60);

/// The bytes that say what happens, one after the other; zeros when there are no more.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }
}

/// The dictionary that is wanted; its contents do not matter to whoever fetches it.
fn dictionary(length: usize) -> Bytes {
    (0..251).cycle().take(length).collect()
}

/// A fetch, and who was asked for what.
struct World {
    fetch: Fetch<u8>,
    raw: Bytes,
    now: Instant,
    asked: BTreeMap<u8, BTreeSet<u32>>,
    found: Option<Bytes>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "some first instant is needed")]
    fn new(length: usize) -> Self {
        let raw = dictionary(length);
        let wanted = InfoHashes {
            v1: Some(InfoHashV1(sha1(&raw))),
            v2: None,
        };
        Self {
            fetch: Fetch::new(wanted),
            raw,
            now: Instant::now(),
            asked: BTreeMap::new(),
            found: None,
        }
    }

    fn size(&self) -> u32 {
        u32::try_from(self.raw.len()).unwrap()
    }

    fn offer(&mut self, peer: u8, size: u32) {
        // Whoever offers another length is asked anew.
        let is_new = self.asked.remove(&peer);
        let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, peer));
        self.fetch.peer_offers(self.now, peer, ip, size);
        if let Some(parts) = is_new {
            self.asked.entry(peer).or_insert(parts);
        }
        self.drain();
    }

    fn say(&mut self, peer: u8, message: &MetadataMessage) {
        if let MetadataMessage::Data { piece, .. } | MetadataMessage::Reject { piece } = message {
            self.asked.entry(peer).or_default().remove(piece);
        }
        match self.fetch.handle_message(self.now, peer, message) {
            Arrived::Incomplete => {}
            Arrived::Lie(ip) => {
                assert_ne!(
                    ip,
                    IpAddr::V4(Ipv4Addr::new(10, 0, 0, HONEST)),
                    "the honest peer"
                );
                let IpAddr::V4(ip) = ip else { unreachable!() };
                let liar = ip.octets()[3];
                self.asked.remove(&liar);
                self.fetch.peer_left(self.now, liar);
            }
            Arrived::Whole(bytes) => self.found = Some(bytes),
        }
        self.drain();
    }

    fn drain(&mut self) {
        let mut news: BTreeMap<u8, usize> = BTreeMap::new();
        while let Some((peer, part)) = self.fetch.poll_request() {
            self.asked.entry(peer).or_default().insert(part);
            *news.entry(peer).or_default() += 1;
        }
        assert!(news.values().all(|&asked| asked <= METADATA_REQUESTS));
        // Nobody names a length above three times the right one here.
        assert!(self.fetch.held_bytes() <= MAX_METADATA_COPIES * (3 * self.raw.len() + PART));
    }

    /// What somebody sends for a part of a dictionary of that size.
    fn data(&self, piece: u32, total_size: u32, is_right: bool) -> MetadataMessage {
        let start = piece as usize * PART;
        let end = (start + PART).min(total_size as usize).max(start);
        let right = |at| self.raw.get(at).copied().unwrap_or(0);
        let wrong = |at| right(at) ^ 1;
        let data = match is_right {
            true => (start..end).map(right).collect(),
            false => (start..end).map(wrong).collect(),
        };
        MetadataMessage::Data {
            piece,
            total_size,
            data,
        }
    }

    /// Time passes until something is due, or by a second.
    fn pass(&mut self) {
        let next = self.fetch.next_timeout();
        self.now = next
            .unwrap_or(self.now + Duration::from_secs(1))
            .max(self.now);
        self.fetch.handle_timeout(self.now);
        let after = self.fetch.next_timeout();
        assert!(after.is_none_or(|at| at > self.now), "what is due was done");
        self.drain();
    }
}

/// The peer that tells the truth.
const HONEST: u8 = 200;

/// A fetch lives through a script, and ends with the right dictionary when an honest peer comes in the end.
pub(crate) fn fetch_lives_through(input: &[u8]) {
    let mut script = Script(input);
    let mut world = World::new(1 + usize::from(script.next()) * 300);
    while !script.0.is_empty() && world.found.is_none() {
        happen(&mut world, &mut script);
    }
    end_well(&mut world);
}

fn happen(world: &mut World, script: &mut Script<'_>) {
    let choice = script.next() % 12;
    let peer = script.next() % 8;
    let asked = world
        .asked
        .get(&peer)
        .and_then(|parts| parts.first().copied());
    let part = asked.unwrap_or_else(|| u32::from(script.next() % 8));
    let size = world.size();
    match choice {
        0 | 1 => world.offer(peer, size),
        2 => world.offer(peer, (size / 2).max(1) + u32::from(script.next())),
        3 => world.offer(
            peer,
            [0, u32::MAX, 10_000_001][usize::from(script.next() % 3)],
        ),
        4 => world.say(peer, &world.data(part, size, true)),
        5 | 6 => world.say(peer, &world.data(part, size, false)),
        7 => world.say(
            peer,
            &world.data(part, size / 2 + u32::from(script.next()), false),
        ),
        8 => world.say(peer, &MetadataMessage::Reject { piece: part }),
        9 => {
            let unknown = MetadataMessage::Unknown { msg_type: 7 };
            world.say(peer, &unknown);
            world.say(peer, &MetadataMessage::Request { piece: part });
        }
        10 => {
            world.asked.remove(&peer);
            world.fetch.peer_left(world.now, peer);
            world.drain();
        }
        _ => world.pass(),
    }
}

fn end_well(world: &mut World) {
    let end = world.now + PATIENCE;
    if world.found.is_none() {
        world.offer(HONEST, world.size());
    }
    while world.found.is_none() {
        match world
            .asked
            .get(&HONEST)
            .and_then(|parts| parts.first().copied())
        {
            Some(part) => world.say(HONEST, &world.data(part, world.size(), true)),
            None => world.pass(),
        }
        assert!(world.now < end, "the honest peer waits for ever: {world:?}");
    }
    assert_eq!(world.found.as_ref(), Some(&world.raw));
    assert_eq!(world.fetch.next_timeout(), None);
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fetch_lives_through;

    proptest! {
        #[test]
        fn one_honest_peer_is_enough(input in prop::collection::vec(any::<u8>(), 0..600)) {
            fetch_lives_through(&input);
        }
    }
}
