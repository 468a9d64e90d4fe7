//! A network of names and addresses that all lead to loopback, and who is found in it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rarest_tracker::client::{BoxFuture, HttpClient, Network};
use rarest_tracker::{Error, Family};
use tokio::net::TcpStream;

use super::scripted::{Script, ScriptedServer, ok};
use super::{REPLY, announce_to, client, client_with};
use crate::announce;

/// Where names and addresses lead.
#[derive(Debug, Default)]
pub(super) struct Map {
    names: HashMap<&'static str, Vec<&'static str>>,
    routes: HashMap<&'static str, SocketAddr>,
}

impl Map {
    /// A host with these addresses.
    pub(super) fn name(mut self, name: &'static str, addresses: &[&'static str]) -> Self {
        self.names.insert(name, addresses.to_vec());
        self
    }

    /// Connections to `address` reach `server`.
    pub(super) fn route(mut self, address: &'static str, server: &ScriptedServer) -> Self {
        self.routes.insert(address, server.address);
        self
    }

    pub(super) fn client(self) -> HttpClient {
        client_with(|config| config.network = Arc::new(self))
    }
}

impl Network for Map {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let itself = vec![host];
        let known = self.names.get(host).unwrap_or(&itself);
        let parsed = known
            .iter()
            .map(|ip| ip.parse().map(|ip| SocketAddr::new(ip, port)));
        let addresses: Result<Vec<_>, _> = parsed.collect();
        Box::pin(async { addresses.map_err(io::Error::other) })
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<TcpStream>> {
        let ip = to.ip().to_string();
        let server = self.routes.get(ip.as_str()).copied().unwrap_or(to);
        Box::pin(TcpStream::connect(server))
    }
}

#[tokio::test]
async fn each_family_is_reached_by_itself() {
    let v4 = ScriptedServer::start(Script::Answer(ok(REPLY))).await;
    let v6 = ScriptedServer::start(Script::Answer(ok(b"d8:intervali5ee"))).await;
    let map = Map::default()
        .name("t.example", &["203.0.113.1", "2001:db8::1"])
        .route("203.0.113.1", &v4)
        .route("2001:db8::1", &v6);
    let client = map.client();
    let tracker = "http://t.example/announce".parse().unwrap();
    for (family, peers) in [(Family::V4, 1), (Family::V6, 0), (Family::V4, 1)] {
        let reply = client
            .announce(&tracker, family, &announce())
            .await
            .unwrap();
        assert_eq!(reply.peers.len(), peers);
    }
    assert_eq!((v4.heads().len(), v6.heads().len()), (2, 1));
}

#[tokio::test]
async fn a_host_without_the_family_is_told_apart_from_one_that_fails() {
    let client = Map::default()
        .name("t.example", &["203.0.113.1", "::ffff:203.0.113.2"])
        .client();
    let tracker = "http://t.example/announce".parse().unwrap();
    let outcome = client.announce(&tracker, Family::V6, &announce()).await;
    assert!(
        matches!(outcome, Err(Error::NoAddress(Family::V6))),
        "{outcome:?}"
    );
    let unknown = "http://nowhere.example/announce".parse().unwrap();
    let outcome = client.announce(&unknown, Family::V4, &announce()).await;
    assert!(matches!(outcome, Err(Error::Lookup(_))), "{outcome:?}");
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let server = ScriptedServer::start(Script::Answer(ok(REPLY))).await;
    let unused = ScriptedServer::start(Script::Silence).await;
    let map = Map::default()
        .name("t.example", &["203.0.113.1", "203.0.113.2"])
        .route("203.0.113.1", &unused)
        .route("203.0.113.2", &server);
    drop(unused);
    // The task of the dropped server ends, and its port refuses, when the runtime comes to it.
    tokio::task::yield_now().await;
    let tracker = "http://t.example/announce".parse().unwrap();
    assert_eq!(announce_to(&map.client(), &tracker).await.unwrap().len(), 1);
}

#[tokio::test]
async fn trackers_of_the_users_own_network_work() {
    let server = ScriptedServer::start(Script::Answer(ok(REPLY))).await;
    assert_eq!(
        announce_to(&client(), &server.url()).await.unwrap().len(),
        1
    );
    let by_name = format!("http://localhost:{}/announce", server.address.port());
    assert_eq!(
        announce_to(&client(), &by_name.parse().unwrap())
            .await
            .unwrap()
            .len(),
        1
    );
    let client = Map::default().route("192.168.1.5", &server).client();
    let tracker = "http://192.168.1.5/announce".parse().unwrap();
    assert_eq!(announce_to(&client, &tracker).await.unwrap().len(), 1);
}

#[tokio::test]
async fn ipv6_literals_are_reached() {
    let server = ScriptedServer::start_at("[::1]:0", Script::Answer(ok(REPLY))).await;
    let reply = client()
        .announce(&server.url(), Family::V6, &announce())
        .await
        .unwrap();
    assert_eq!(reply.peers.len(), 1);
    assert!(server.heads()[0].contains(&format!("host: {}\r\n", server.address)));
}
