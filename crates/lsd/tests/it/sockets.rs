//! Clients on one machine, over its loopback interface.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use rarest_lsd::{Config, Cookie, Found, Sockets};
use rarest_metainfo::InfoHash;

fn join(port: u16, group_port: u16) -> Sockets {
    Sockets::join(Config {
        port,
        interfaces: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        cookie: Cookie::new(u64::from(port)),
        group_port,
    })
    .unwrap()
}

/// A port that nobody else uses, so that other clients of the machine do not hear of the test.
fn free_port() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test]
async fn clients_on_one_machine_hear_each_other_and_not_themselves() {
    let group_port = free_port();
    let [first, second] = [join(7001, group_port), join(7002, group_port)];
    let torrents = vec![InfoHash([1; 20]), InfoHash([2; 20])];
    first.announce(torrents.clone()).await.unwrap();
    let patience = Duration::from_secs(10);
    let heard = tokio::time::timeout(patience, second.receive()).await;
    let expected = Found {
        addr: (Ipv4Addr::LOCALHOST, 7001).into(),
        info_hashes: torrents,
    };
    assert_eq!(heard.unwrap().unwrap(), Some(expected));
    let own = tokio::time::timeout(patience, first.receive()).await;
    assert_eq!(own.unwrap().unwrap(), None);
}
