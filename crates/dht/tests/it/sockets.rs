//! The driver over real sockets of this machine.

use std::net::SocketAddr;
use std::time::Duration;

use rarest_dht::driver::{Dht, DhtConfig, Found};
use rarest_dht::item::{Item, KeyPair, Salt, Value};
use rarest_dht::krpc::{AnnouncedPort, PeerKind};
use rarest_dht::{Announce, GetTarget};
use rarest_metainfo::{HostAddr, InfoHash};

const HASH: InfoHash = InfoHash([0x77; 20]);

fn start(bootstrap: &[SocketAddr], state: Option<Vec<u8>>) -> Dht {
    Dht::start(DhtConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        bootstrap: bootstrap.iter().map(|addr| HostAddr::Ip(*addr)).collect(),
        state,
        ..DhtConfig::default()
    })
    .unwrap()
}

/// A node that knows another one.
async fn joined(first: &Dht) -> Dht {
    let dht = start(first.local_addresses(), None);
    while dht.stats().await.unwrap().nodes_v4 == 0 {
        tokio::task::yield_now().await;
    }
    dht
}

async fn announce(dht: &Dht, port: u16) {
    let announce = Announce {
        port: AnnouncedPort::Explicit(port),
        kind: PeerKind::Seed,
    };
    let mut lookup = dht.announce(HASH, announce).await.unwrap();
    let mut stored = 0;
    while let Some(found) = lookup.next().await {
        if let Found::Done(summary) = found {
            stored = summary.stored;
        }
    }
    assert!(stored > 0);
}

async fn peers(dht: &Dht) -> Vec<SocketAddr> {
    let mut lookup = dht.get_peers(HASH).await.unwrap();
    let mut all = Vec::new();
    while let Some(found) = lookup.next().await {
        if let Found::Peers(peers) = found {
            all.extend(peers);
        }
    }
    all
}

#[tokio::test]
async fn what_one_announces_another_finds() {
    let first = start(&[], None);
    let (a, b) = (joined(&first).await, joined(&first).await);
    announce(&a, 4321).await;
    assert_eq!(peers(&b).await, ["127.0.0.1:4321".parse().unwrap()]);
}

#[tokio::test]
async fn datagrams_that_are_too_long_do_not_make_a_node_rest() {
    let dht = start(&[], None);
    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = dht.local_addresses()[0];
    for _ in 0..12 {
        stranger.send_to(&[b'd'; 3_000], to).await.unwrap();
    }
    let ping = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    stranger.send_to(ping, to).await.unwrap();
    let mut answer = [0; 100];
    let answered = stranger.recv(&mut answer);
    let in_time = tokio::time::timeout(Duration::from_secs(2), answered).await;
    assert!(in_time.is_ok_and(|length| length.is_ok()));
}

#[tokio::test]
async fn an_item_is_put_and_got() {
    let first = start(&[], None);
    let (a, b) = (joined(&first).await, joined(&first).await);
    let key = KeyPair::from_seed(&[5; 32]);
    let value = Value::from_bytes(b"hello").unwrap();
    let item = Item::Mutable(key.sign(value, Salt::default(), 1).unwrap());
    let (summary, newer) = a.put(item.clone(), None).await.unwrap();
    assert!(summary.stored > 0 && newer.is_none());
    let target = GetTarget::Mutable {
        key: key.public(),
        salt: Salt::default(),
    };
    assert_eq!(b.get(target).await.unwrap(), Some(item));
}

#[tokio::test]
async fn a_node_that_is_started_with_its_state_needs_no_host_to_begin_at() {
    let first = start(&[], None);
    let a = joined(&first).await;
    announce(&a, 1).await;
    let state = a.state().await.unwrap();
    drop(a);
    let again = start(&[], Some(state));
    assert_eq!(again.stats().await.unwrap().nodes_v4, 1);
    assert_eq!(peers(&again).await.len(), 1);
}

#[tokio::test]
async fn a_lookup_that_nobody_reads_ends() {
    let nobody = start(&[], None);
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dht = start(&[silent.local_addr().unwrap()], None);
    // Its own bootstrap is one, too.
    while dht.stats().await.unwrap().lookups == 0 {
        tokio::task::yield_now().await;
    }
    let before = dht.stats().await.unwrap().lookups;
    let lookup = dht.get_peers(HASH).await.unwrap();
    assert_eq!(dht.stats().await.unwrap().lookups, before + 1);
    drop(lookup);
    assert_eq!(dht.stats().await.unwrap().lookups, before);
    drop(nobody);
}
