//! Peers that tell of each other (BEP 11).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rarest_metainfo::PeerId;
use rarest_peer_wire::Extension;
use rarest_peer_wire::connection::{Command, Event};
use rarest_peer_wire::extension::ExtensionHandshake;
use rarest_peer_wire::extension::pex::{Pex, PexFlags, PexPeer};
use rarest_swarm::limits::{
    MAX_EARLY_EXCHANGES, MAX_EXCHANGED, MAX_LOST_REMEMBERED, MAX_TOLD_BY_ONE,
    PEER_EXCHANGE_INTERVAL,
};
use rarest_swarm::{Config, Direction, DisconnectReason, PeerKey, PeerSource, Privacy};

use crate::stage::{Stage, addr, geometry};

const MINUTE: Duration = PEER_EXCHANGE_INTERVAL;

fn stage() -> Stage {
    Stage::new(4, 1)
}

fn handshake(port: Option<u16>) -> Event {
    let mut handshake = ExtensionHandshake::default();
    handshake.ids = vec![("ut_pex".to_owned(), 9)];
    handshake.listen_port = port;
    Event::ExtensionHandshake(Box::new(handshake))
}

/// The place where the `number`th of many peers listens.
fn place(number: u32) -> SocketAddr {
    SocketAddr::from(((0x0b00_0000 + number).to_be_bytes(), 6881))
}

fn id(number: u32) -> PeerId {
    let mut id = [0; 20];
    id[..4].copy_from_slice(&number.to_be_bytes());
    PeerId(id)
}

/// A peer that we dialled.
fn meet(stage: &mut Stage, number: u32) -> PeerKey {
    stage
        .try_connect(place(number), Direction::Outgoing, id(number))
        .unwrap()
}

/// A peer that we dialled and that wants to be told of others.
fn listener(stage: &mut Stage, number: u32) -> PeerKey {
    let key = meet(stage, number);
    stage.send(key, vec![handshake(None)]);
    key
}

fn messages(stage: &mut Stage, key: PeerKey) -> Vec<Pex> {
    let commands = stage.take_commands(key).into_iter();
    commands
        .filter_map(|command| match command {
            Command::Extended {
                extension: Extension::Pex,
                payload,
            } => Some(Pex::decode(&payload).unwrap()),
            _ => None,
        })
        .collect()
}

/// The only message since the last call.
fn message(stage: &mut Stage, key: PeerKey) -> Pex {
    let mut messages = messages(stage, key);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

fn addrs(added: &[PexPeer]) -> Vec<SocketAddr> {
    added.iter().map(|peer| peer.addr).collect()
}

fn tells(stage: &mut Stage, key: PeerKey, told: impl IntoIterator<Item = SocketAddr>) {
    let flags = PexFlags::default();
    let added = told.into_iter().map(|addr| PexPeer { addr, flags });
    let message = Pex {
        added: added.collect(),
        dropped: Vec::new(),
    };
    says(stage, key, message.encode().into());
}

fn says(stage: &mut Stage, key: PeerKey, payload: Bytes) {
    let extension = Extension::Pex;
    stage.send(key, vec![Event::Extended { extension, payload }]);
}

#[test]
fn two_peers_of_ours_are_told_of_each_other_within_seconds() {
    let mut stage = stage();
    let [left, right] = [1, 2].map(|number| listener(&mut stage, number));
    stage.pass(Duration::from_secs(8));
    assert_eq!(addrs(&message(&mut stage, left).added), [place(2)]);
    assert_eq!(addrs(&message(&mut stage, right).added), [place(1)]);
    stage.pass(10 * MINUTE);
    assert_eq!(messages(&mut stage, left), [], "nothing is said twice");
}

#[test]
fn who_did_not_ask_is_told_nothing_and_who_asks_no_more_neither() {
    let mut stage = stage();
    let silent = meet(&mut stage, 1);
    let fickle = listener(&mut stage, 2);
    let mut off = ExtensionHandshake::default();
    off.ids = vec![("ut_pex".to_owned(), 0)];
    stage.send(fickle, vec![Event::ExtensionHandshake(Box::new(off))]);
    stage.pass(2 * MINUTE);
    assert_eq!(messages(&mut stage, silent), []);
    assert_eq!(messages(&mut stage, fickle), []);
}

#[test]
fn peers_that_dialled_us_are_told_of_by_the_port_they_name_or_not_at_all() {
    let mut stage = stage();
    let hearer = listener(&mut stage, 1);
    let named = stage.connect(20);
    stage.send(named, vec![handshake(Some(7000))]);
    let unnamed = stage.connect(21);
    stage.send(unnamed, vec![handshake(None)]);
    stage.pass(Duration::from_secs(8));
    // They come from a private network, and the first from the internet: only the other way round is it told.
    assert_eq!(messages(&mut stage, hearer), []);
    let listens_at = SocketAddr::new(addr(20).ip(), 7000);
    let heard = message(&mut stage, unnamed).added;
    assert_eq!(addrs(&heard), [place(1), listens_at]);
    assert!(heard[0].flags.has(PexFlags::REACHABLE), "we dialled it");
    assert!(!heard[1].flags.has(PexFlags::REACHABLE));
}

#[test]
fn what_is_known_of_a_peer_is_told_with_it() {
    let mut stage = stage();
    let hearer = listener(&mut stage, 1);
    let seed = meet(&mut stage, 2);
    let mut handshake = ExtensionHandshake::default();
    handshake.ids = vec![("ut_holepunch".to_owned(), 3)];
    handshake.prefers_encryption = Some(true);
    let all = stage.bitfield(&[0, 1, 2, 3]);
    let events = vec![
        Event::ExtensionHandshake(Box::new(handshake)),
        Event::Has(all),
    ];
    stage.send(seed, events);
    stage.pass(Duration::from_secs(8));
    let flags = message(&mut stage, hearer).added[0].flags;
    let expected = [
        PexFlags::PREFERS_ENCRYPTION,
        PexFlags::UPLOAD_ONLY,
        PexFlags::HOLEPUNCH,
        PexFlags::REACHABLE,
    ];
    assert_eq!(flags.0, expected.iter().map(|flag| flag.0).sum::<u8>());
}

#[test]
fn a_peer_is_told_once_a_minute_of_fifty_at_most() {
    let mut stage = stage();
    for number in 2..130 {
        meet(&mut stage, number);
    }
    let hearer = listener(&mut stage, 1);
    let mut heard: Vec<(Instant, Pex)> = Vec::new();
    for number in 200..400 {
        let key = meet(&mut stage, number);
        if number % 2 == 0 {
            stage.disconnect(key);
        }
        stage.pass(Duration::from_secs(1));
        let now = stage.now;
        heard.extend(messages(&mut stage, hearer).into_iter().map(|it| (now, it)));
    }
    assert_eq!(heard.len(), 4);
    for pair in heard.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= MINUTE);
    }
    for (_, message) in &heard {
        assert!(message.added.len() <= MAX_EXCHANGED && message.dropped.len() <= MAX_EXCHANGED);
    }
    let first = addrs(&heard[0].1.added);
    assert_eq!(first.len(), MAX_EXCHANGED, "those that were met last");
    assert!(!first.contains(&place(2)) && first.contains(&place(129)));
}

#[test]
fn those_who_left_are_told_to_whom_was_told_of_them() {
    let mut stage = stage();
    let hearer = listener(&mut stage, 1);
    let leaver = meet(&mut stage, 2);
    stage.pass(Duration::from_secs(8));
    assert_eq!(addrs(&message(&mut stage, hearer).added), [place(2)]);
    stage.disconnect(leaver);
    let late = listener(&mut stage, 3);
    stage.pass(MINUTE);
    let news = message(&mut stage, hearer);
    assert_eq!(addrs(&news.added), [place(3)]);
    assert_eq!(news.dropped, [place(2)]);
    let news = message(&mut stage, late);
    assert_eq!((addrs(&news.added), news.dropped), (vec![place(1)], vec![]));
}

#[test]
fn who_left_and_came_again_is_not_told_as_both() {
    let mut stage = stage();
    let hearer = listener(&mut stage, 1);
    let fickle = meet(&mut stage, 2);
    stage.pass(Duration::from_secs(8));
    messages(&mut stage, hearer);
    stage.disconnect(fickle);
    meet(&mut stage, 2);
    let short = meet(&mut stage, 3);
    stage.disconnect(short);
    stage.pass(MINUTE);
    let news = message(&mut stage, hearer);
    assert_eq!((addrs(&news.added), news.dropped), (vec![place(2)], vec![]));
}

#[test]
fn of_those_who_left_only_so_many_are_remembered() {
    let mut stage = stage();
    let hearer = listener(&mut stage, 1);
    let total = u32::try_from(MAX_LOST_REMEMBERED).unwrap() + 100;
    for number in 2..total {
        let key = meet(&mut stage, number);
        stage.disconnect(key);
    }
    stage.pass(2 * MINUTE);
    assert_eq!(messages(&mut stage, hearer), [], "it heard of none of them");
}

#[test]
fn in_a_private_torrent_nobody_is_told_and_nobody_heard() {
    let config = Config {
        privacy: Privacy::Private,
        ..Config::default()
    };
    let mut stage = Stage::with(config, geometry(4, 1), |_| {});
    let (now, places) = (stage.now, [1, 2].map(place));
    stage.torrent.add_peers(now, PeerSource::Tracker, &places);
    let [left, right] = [1, 2].map(|number| listener(&mut stage, number));
    stage.dialled.clear();
    tells(&mut stage, left, [place(3)]);
    stage.pass(2 * MINUTE);
    assert_eq!(stage.dialled, []);
    assert_eq!(messages(&mut stage, right), []);
}

#[test]
fn peers_that_we_are_told_of_are_dialled() {
    let mut stage = stage();
    let teller = listener(&mut stage, 1);
    tells(&mut stage, teller, [place(7), place(8)]);
    stage.dialled.sort_unstable();
    assert_eq!(stage.dialled, [place(7), place(8)]);
}

#[test]
fn a_peer_that_tells_too_often_or_too_much_is_not_heard() {
    let mut stage = stage();
    let teller = listener(&mut stage, 1);
    let count = u32::try_from(MAX_EXCHANGED).unwrap();
    let known = |stage: &Stage| stage.torrent.stats(stage.now).known;
    let before = known(&stage);
    tells(&mut stage, teller, (100..100 + 2 * count).map(place));
    assert_eq!(known(&stage), before + MAX_EXCHANGED);
    for round in 1..20 {
        tells(&mut stage, teller, [place(1000 + round)]);
    }
    let heard = MAX_EXCHANGED + MAX_EARLY_EXCHANGES as usize;
    assert_eq!(known(&stage), before + heard);
    stage.pass(MINUTE);
    let before = known(&stage);
    tells(&mut stage, teller, [place(2000)]);
    tells(&mut stage, teller, [place(2001)]);
    assert_eq!(known(&stage), before + 1, "one a minute is heard");
}

#[test]
fn one_peer_cannot_fill_the_book_however_often_it_connects() {
    let config = Config {
        max_half_open: 0,
        ..Config::default()
    };
    let mut stage = Stage::with(config, geometry(4, 1), |_| {});
    let count = u32::try_from(MAX_EXCHANGED).unwrap();
    for round in 1..20 {
        let teller = listener(&mut stage, 1);
        tells(
            &mut stage,
            teller,
            (0..count).map(|n| place(round * 1000 + n)),
        );
        stage.disconnect(teller);
    }
    let known = stage.torrent.stats(stage.now).known;
    assert_eq!(known, MAX_TOLD_BY_ONE);
    // Who turns out to be there counts no longer.
    meet(&mut stage, 1000);
    let teller = listener(&mut stage, 1);
    tells(&mut stage, teller, [place(50_000), place(50_001)]);
    assert_eq!(stage.torrent.stats(stage.now).known, known + 1);
}

#[test]
fn somebody_far_away_does_not_make_us_dial_our_own_network() {
    let mut stage = stage();
    let far = listener(&mut stage, 1);
    let near = |text: &str| text.parse::<SocketAddr>().unwrap();
    let inside = [
        near("127.0.0.1:22"),
        near("192.168.1.1:80"),
        near("169.254.1.1:80"),
        near("255.255.255.255:80"),
        near("[::1]:22"),
        near("[::ffff:10.0.0.1]:22"),
        near("[fe80::1]:22"),
        near("[fd00::1]:22"),
    ];
    tells(&mut stage, far, inside);
    assert_eq!(stage.dialled, []);
    let neighbour = stage.connect(20);
    tells(&mut stage, neighbour, inside);
    stage.dialled.sort_unstable();
    let expected = [
        near("10.0.0.1:22"),
        near("169.254.1.1:80"),
        near("192.168.1.1:80"),
        near("[fd00::1]:22"),
        near("[fe80::1]:22"),
    ];
    assert_eq!(stage.dialled, expected);
}

#[test]
fn a_message_that_cannot_be_read_costs_the_connection() {
    let mut stage = stage();
    let broken = listener(&mut stage, 1);
    says(&mut stage, broken, Bytes::from_static(b"i1e"));
    assert_eq!(
        stage.dropped,
        [(broken, DisconnectReason::UnreadableMessage)]
    );
}

#[test]
fn a_thousand_peers_take_no_more_rounds_than_one() {
    let config = Config {
        max_peers: 1000,
        ..Config::default()
    };
    let mut stage = Stage::with(config, geometry(4, 1), |_| {});
    let keys: Vec<_> = (0..1000).map(|n| listener(&mut stage, n)).collect();
    let end = stage.now + 4 * MINUTE;
    let mut rounds = 0;
    while let Some(next) = stage.torrent.next_timeout()
        && next <= end
    {
        stage.pass(next - stage.now);
        rounds += 1;
    }
    // Every two seconds, and those of the choker.
    assert!(rounds <= 2 * 4 * 31, "{rounds}");
    for key in keys {
        let count = messages(&mut stage, key).len();
        assert!((1..=4).contains(&count), "{count}");
    }
}
