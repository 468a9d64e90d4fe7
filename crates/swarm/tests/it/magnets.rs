//! A torrent that begins with nothing but its info-hash.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_hash::sha1;
use rarest_metainfo::{Bitfield, Geometry, InfoHashV1, InfoHashes, PeerId};
use rarest_peer_wire::connection::{Command, Event, Privacy, Role};
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::extension::metadata::MetadataMessage;
use rarest_peer_wire::{Extension, Handshake, Reserved};
use rarest_swarm::limits::MAX_METADATA_OFFERS;
use rarest_swarm::{
    BanReason, Config, Direction, DisconnectReason, Output, PeerKey, PeerSource, Refused, Start,
    Torrent,
};

use crate::stage::{OUR_ID, addr, first_instant, geometry, ip};

const RAW: &[u8] = b"d6:lengthi1e4:name1:n12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";

fn info_hashes() -> InfoHashes {
    InfoHashes {
        v1: Some(InfoHashV1(sha1(RAW))),
        v2: None,
    }
}

/// A torrent without metadata, and what it asked for since the last look.
struct Linked {
    torrent: Torrent,
    now: Instant,
    outputs: Vec<Output>,
}

impl Linked {
    fn new() -> Self {
        let now = first_instant();
        let torrent = Torrent::without_metadata(Config::default(), info_hashes(), OUR_ID, now);
        let outputs = Vec::new();
        Self {
            torrent,
            now,
            outputs,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.torrent.poll_output() {
            self.outputs.push(output);
        }
        self.torrent.assert_consistent(self.now);
    }

    fn connect(&mut self, number: u8, direction: Direction) -> PeerKey {
        let handshake = Handshake {
            reserved: Reserved::NONE,
            info_hash: info_hashes().swarms().next().unwrap(),
            peer_id: PeerId([number; 20]),
        };
        let torrent = &mut self.torrent;
        let key = torrent.handle_peer_connected(self.now, addr(number), direction, &handshake);
        self.drain();
        key.unwrap()
    }

    fn send(&mut self, key: PeerKey, event: Event) {
        self.torrent.handle_peer_events(self.now, key, vec![event]);
        self.drain();
    }

    /// A peer that says it has the metadata.
    fn offer(&mut self, key: PeerKey) {
        let mut handshake = ExtensionHandshake::default();
        handshake.ids = vec![("ut_metadata".to_owned(), 3)];
        handshake.metadata_size = Some(u32::try_from(RAW.len()).unwrap());
        self.send(key, Event::ExtensionHandshake(Box::new(handshake)));
    }

    /// A peer that says it has the metadata no more.
    fn withdraw(&mut self, key: PeerKey) {
        let mut handshake = ExtensionHandshake::default();
        handshake.ids = vec![("ut_metadata".to_owned(), 0)];
        self.send(key, Event::ExtensionHandshake(Box::new(handshake)));
    }

    fn say(&mut self, key: PeerKey, message: &MetadataMessage) {
        let event = Event::Extended {
            extension: Extension::Metadata,
            payload: message.encode().into(),
        };
        self.send(key, event);
    }

    fn data(&mut self, key: PeerKey, data: &'static [u8]) {
        let message = MetadataMessage::Data {
            piece: 0,
            total_size: u32::try_from(RAW.len()).unwrap(),
            data: Bytes::from_static(data),
        };
        self.say(key, &message);
    }

    /// What the peer was told since the last look.
    fn commands(&mut self, key: PeerKey) -> Vec<Command> {
        let mut told = Vec::new();
        self.outputs.retain(|output| match output {
            Output::Commands(to, commands) if *to == key => {
                told.extend(commands.iter().cloned());
                false
            }
            _ => true,
        });
        told
    }

    /// The messages of the extension that the peer was sent since the last look.
    fn told(&mut self, key: PeerKey) -> Vec<MetadataMessage> {
        let messages = self
            .commands(key)
            .into_iter()
            .filter_map(|told| match told {
                Command::Extended {
                    extension: Extension::Metadata,
                    payload,
                } => Some(MetadataMessage::decode(&payload).unwrap()),
                _ => None,
            });
        messages.collect()
    }

    fn learn(&mut self, geometry: &Arc<Geometry>, verified: Bitfield, privacy: Privacy) {
        let start = Start {
            info_hashes: info_hashes(),
            peer_id: OUR_ID,
            verified,
            hash_unknown: Bitfield::empty(geometry),
            on_disk: Vec::new(),
            metadata: Some(Bytes::from_static(RAW)),
            geometry: Arc::clone(geometry),
        };
        self.torrent.handle_metadata(self.now, start, privacy);
        self.drain();
    }
}

#[test]
fn a_peer_cannot_offer_the_metadata_and_take_it_back_for_ever() {
    let mut linked = Linked::new();
    let key = linked.connect(1, Direction::Outgoing);
    for _ in 0..MAX_METADATA_OFFERS / 2 {
        linked.offer(key);
        assert_eq!(linked.torrent.metadata_offers(), 1);
        linked.withdraw(key);
        assert_eq!(linked.torrent.metadata_offers(), 0);
    }
    linked.offer(key);
    assert_eq!(linked.torrent.metadata_offers(), 0, "it is not heard");
    let other = linked.connect(2, Direction::Outgoing);
    linked.offer(other);
    assert_eq!(linked.torrent.metadata_offers(), 1);
}

#[test]
fn nothing_is_finished_before_it_is_known_what_there_is() {
    let linked = Linked::new();
    assert!(!linked.torrent.is_finished() && !linked.torrent.is_complete());
    assert!(!linked.torrent.is_replaceable() && !linked.torrent.knows_pieces());
    let stats = linked.torrent.stats(linked.now);
    assert_eq!((stats.left, stats.verified_pieces), (0, 0));
}

#[test]
fn the_metadata_of_a_peer_makes_a_torrent_that_trades_with_it() {
    let mut linked = Linked::new();
    linked
        .torrent
        .add_peers(linked.now, PeerSource::Magnet, &[addr(1)]);
    linked.drain();
    assert_eq!(linked.outputs, [Output::Dial(addr(1))]);
    let peer = linked.connect(1, Direction::Outgoing);
    linked.offer(peer);
    assert_eq!(linked.torrent.metadata_offers(), 1);
    assert_eq!(linked.told(peer), [MetadataMessage::Request { piece: 0 }]);
    linked.data(peer, RAW);
    let found = Output::Metadata(Bytes::from_static(RAW));
    assert!(linked.outputs.contains(&found));
    // It is served before it is known what is on disk.
    let other = linked.connect(2, Direction::Incoming);
    linked.say(other, &MetadataMessage::Request { piece: 0 });
    assert!(matches!(
        &linked.told(other)[..],
        [MetadataMessage::Data { data, .. }] if data == RAW
    ));

    let geometry = geometry(3, 2);
    linked.learn(&geometry, Bitfield::empty(&geometry), Privacy::Public);
    assert!(linked.torrent.knows_pieces() && !linked.torrent.is_finished());
    linked.send(peer, Event::Has(Bitfield::full(&geometry)));
    linked.send(peer, Event::Unchoked);
    let commands = linked.commands(peer);
    assert!(commands.contains(&Command::Interested), "{commands:?}");
    assert!(commands.iter().any(|it| matches!(it, Command::Request(_))));
}

#[test]
fn pieces_that_were_there_are_not_fetched() {
    let mut linked = Linked::new();
    let peer = linked.connect(1, Direction::Incoming);
    let geometry = geometry(3, 2);
    linked.learn(&geometry, Bitfield::full(&geometry), Privacy::Public);
    assert!(linked.torrent.is_complete());
    assert_eq!(linked.commands(peer), [Command::Role(Role::UploadOnly)]);
}

#[test]
fn who_sends_false_metadata_is_banned() {
    let mut linked = Linked::new();
    let peer = linked.connect(1, Direction::Incoming);
    linked.offer(peer);
    linked.data(peer, &[b'x'; RAW.len()]);
    let banned = Output::Ban(ip(1), BanReason::WrongMetadata);
    assert!(linked.outputs.contains(&banned));
    let dropped = Output::Disconnect(peer, DisconnectReason::Banned);
    assert!(linked.outputs.contains(&dropped));
    let honest = linked.connect(2, Direction::Incoming);
    linked.offer(honest);
    linked.data(honest, RAW);
    assert!(
        linked
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Metadata(_)))
    );
}

#[test]
fn what_a_peer_that_leaves_owes_is_asked_of_another() {
    let mut linked = Linked::new();
    let [first, second] = [1, 2].map(|number| linked.connect(number, Direction::Incoming));
    linked.offer(first);
    let ended = rarest_swarm::Ended::Closed;
    linked
        .torrent
        .handle_peer_disconnected(linked.now, first, ended);
    linked.offer(second);
    assert_eq!(linked.told(second), [MetadataMessage::Request { piece: 0 }]);
}

#[test]
fn a_peer_that_asks_who_lacks_the_metadata_is_refused() {
    let mut linked = Linked::new();
    let peer = linked.connect(1, Direction::Incoming);
    linked.say(peer, &MetadataMessage::Request { piece: 0 });
    assert_eq!(linked.told(peer), [MetadataMessage::Reject { piece: 0 }]);
    // What cannot be read costs nothing.
    let garbage = Event::Extended {
        extension: Extension::Metadata,
        payload: Bytes::from_static(b"i7e and more"),
    };
    linked.send(peer, garbage);
    assert!(linked.outputs.is_empty());
}

#[test]
fn a_private_torrent_keeps_the_peers_of_its_tracker_alone() {
    let mut linked = Linked::new();
    let sources = [
        (1, PeerSource::Tracker),
        (2, PeerSource::Magnet),
        (3, PeerSource::Dht),
        (4, PeerSource::User),
    ];
    for (number, source) in sources {
        let torrent = &mut linked.torrent;
        torrent.add_peers(linked.now, source, &[addr(number)]);
    }
    let peers = sources.map(|(number, _)| linked.connect(number, Direction::Outgoing));
    let incoming = linked.connect(5, Direction::Incoming);
    linked.outputs.clear();
    let geometry = geometry(3, 2);
    linked.learn(&geometry, Bitfield::empty(&geometry), Privacy::Private);
    let private = |key| Output::Disconnect(key, DisconnectReason::Private);
    let dropped = [peers[1], peers[2], incoming].map(private);
    assert_eq!(linked.outputs, dropped);
    for source in [
        PeerSource::Magnet,
        PeerSource::Dht,
        PeerSource::LocalDiscovery,
        PeerSource::PeerExchange,
    ] {
        let torrent = &mut linked.torrent;
        torrent.add_peers(linked.now, source, &[addr(9)]);
    }
    linked.drain();
    assert!(!linked.outputs.contains(&Output::Dial(addr(9))));
    let torrent = &mut linked.torrent;
    torrent.add_peers(linked.now, PeerSource::Tracker, &[addr(9)]);
    linked.drain();
    assert!(linked.outputs.contains(&Output::Dial(addr(9))));
}

#[test]
fn a_torrent_is_private_before_it_is_known_what_there_is_of_it() {
    let mut linked = Linked::new();
    for (number, source) in [(1, PeerSource::Tracker), (2, PeerSource::Dht)] {
        let torrent = &mut linked.torrent;
        torrent.add_peers(linked.now, source, &[addr(number)]);
    }
    let peers = [1, 2].map(|number| linked.connect(number, Direction::Outgoing));
    linked.outputs.clear();
    linked.torrent.handle_private(linked.now);
    let torrent = &mut linked.torrent;
    torrent.add_peers(linked.now, PeerSource::Dht, &[addr(3)]);
    linked.drain();
    let private = Output::Disconnect(peers[1], DisconnectReason::Private);
    assert_eq!(linked.outputs, [private]);
}

#[test]
fn who_was_dialled_before_the_torrent_turned_out_to_be_private_is_refused() {
    let mut linked = Linked::new();
    for (number, source) in [(1, PeerSource::Tracker), (2, PeerSource::Dht)] {
        let torrent = &mut linked.torrent;
        torrent.add_peers(linked.now, source, &[addr(number)]);
        linked.drain();
        assert!(linked.outputs.contains(&Output::Dial(addr(number))));
    }
    let geometry = geometry(3, 2);
    linked.learn(&geometry, Bitfield::empty(&geometry), Privacy::Private);
    let mut answer = |number| {
        let handshake = Handshake {
            reserved: Reserved::NONE,
            info_hash: info_hashes().swarms().next().unwrap(),
            peer_id: PeerId([number; 20]),
        };
        let (torrent, direction) = (&mut linked.torrent, Direction::Outgoing);
        torrent.handle_peer_connected(linked.now, addr(number), direction, &handshake)
    };
    assert_eq!(answer(2), Err(Refused::Private { addr: addr(2) }));
    assert!(answer(1).is_ok());
}

#[test]
fn metadata_that_was_found_elsewhere_ends_the_search() {
    let mut linked = Linked::new();
    let peer = linked.connect(1, Direction::Incoming);
    linked.offer(peer);
    let geometry = geometry(3, 2);
    linked.learn(&geometry, Bitfield::empty(&geometry), Privacy::Public);
    linked.outputs.clear();
    linked.data(peer, RAW);
    linked
        .torrent
        .handle_timeout(linked.now + Duration::from_secs(3600));
    linked.drain();
    let is_metadata = |output: &Output| matches!(output, Output::Metadata(_));
    assert!(!linked.outputs.iter().any(is_metadata));
}
