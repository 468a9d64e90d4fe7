//! Peers found over the DHT.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use rarest_dht::NodeId;
use rarest_dht::driver::{Dht, DhtConfig, Found};
use rarest_dht::krpc::{Body, Message, Method, Response};
use rarest_metainfo::{Builder, HostAddr, InfoHash, Magnet, Version};
use rarest_session::Session;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket};

use crate::world::{PATIENCE, Sample, within};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A node that does nothing but answer.
fn router() -> Dht {
    Dht::start(DhtConfig {
        listen: vec![SocketAddr::new(LOCALHOST, 0)],
        ..DhtConfig::default()
    })
    .unwrap()
}

/// A session without trackers whose DHT begins at `router`.
async fn session(folder: &Path, router: &Dht) -> Session {
    session_at(folder, router.local_addresses()).await
}

async fn session_at(folder: &Path, nodes: &[SocketAddr]) -> Session {
    let hosts = nodes.iter().map(|addr| HostAddr::Ip(*addr));
    Session::builder()
        .download_dir(folder)
        .listen_addresses([LOCALHOST])
        .without_trackers()
        .without_local_discovery()
        .dht_bootstrap(hosts)
        .build()
        .await
        .unwrap()
}

fn link(hash: InfoHash) -> Magnet {
    format!("magnet:?xt=urn:btih:{hash}").parse().unwrap()
}

fn swarm(sample: &Sample) -> InfoHash {
    sample.metainfo.info_hashes().swarms().next().unwrap()
}

/// The peers of a swarm that the node knows itself, which it tells at once.
async fn known_to(router: &Dht, hash: InfoHash) -> Vec<SocketAddr> {
    let mut lookup = router.get_peers(hash).await.unwrap();
    let first = tokio::time::timeout(Duration::from_millis(100), lookup.next());
    match first.await {
        Ok(Some(Found::Peers(peers))) => peers,
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_magnet_link_and_one_node_are_enough() {
    let router = router();
    let sample = Sample::file("found", 300_000, 16 * 1024);
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample.write_to(here.path());
    let seed = session(here.path(), &router).await;
    let torrent = seed.add(sample.metainfo.clone()).start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    let leech = session(there.path(), &router).await;
    let torrent = leech.add(link(swarm(&sample))).start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(there.path());
    for session in [leech, seed] {
        within(session.shutdown(PATIENCE)).await.unwrap();
    }
}

#[tokio::test]
async fn a_private_torrent_is_never_announced() {
    let router = router();
    let folder = tempfile::tempdir().unwrap();
    let builder = || Builder::new(Version::V1).piece_length(16 * 1024);
    let secret = Sample::of(&builder().private(), "secret", 100_000);
    let public = Sample::of(&builder(), "public", 100_000);
    let session = session(folder.path(), &router).await;
    for sample in [&secret, &public] {
        session.add(sample.metainfo.clone()).start().await.unwrap();
    }
    let announced = async {
        while known_to(&router, swarm(&public)).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(announced).await;
    assert!(known_to(&router, swarm(&secret)).await.is_empty());
    within(session.shutdown(PATIENCE)).await.unwrap();
}

#[tokio::test]
async fn the_known_nodes_are_kept_over_a_restart() {
    let router = router();
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let builder = || {
        Session::builder()
            .download_dir(folder.path())
            .state_dir(state.path())
            .listen_addresses([LOCALHOST])
            .without_trackers()
            .without_local_discovery()
    };
    let hosts = router
        .local_addresses()
        .iter()
        .map(|addr| HostAddr::Ip(*addr));
    let sample = Sample::file("kept", 100_000, 16 * 1024);
    let announced = async |session: &Session, sample: &Sample| {
        session.add(sample.metainfo.clone()).start().await.unwrap();
        while known_to(&router, swarm(sample)).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let session = builder().dht_bootstrap(hosts).build().await.unwrap();
    within(announced(&session, &sample)).await;
    within(session.shutdown(PATIENCE)).await.unwrap();
    // Nobody tells where to begin.
    let again = builder().dht_bootstrap([]).build().await.unwrap();
    let other = Sample::file("other", 50_000, 16 * 1024);
    within(announced(&again, &other)).await;
    within(again.shutdown(PATIENCE)).await.unwrap();
}

#[tokio::test]
async fn without_a_dht_there_is_no_port_and_with_one_it_is_that_of_the_peers() {
    let router = router();
    let folder = tempfile::tempdir().unwrap();
    let with = session(folder.path(), &router).await;
    assert_eq!(with.dht_port(), Some(with.port()));
    let without = crate::world::local(folder.path()).build().await.unwrap();
    assert_eq!(without.dht_port(), None);
    for session in [with, without] {
        within(session.shutdown(PATIENCE)).await.unwrap();
    }
}

/// A peer that has a node of the DHT at each of these ports, as it says.
async fn peer_with_nodes(
    session: &Session,
    swarm: InfoHash,
    id: &[u8; 20],
    ports: &[u16],
) -> TcpStream {
    let mut bytes = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\x01".to_vec();
    bytes.extend(swarm.0);
    bytes.extend(id);
    for port in ports {
        bytes.extend(b"\0\0\0\x03\x09");
        bytes.extend(port.to_be_bytes());
    }
    let mut stream = TcpStream::connect(session.listen_addresses()[0])
        .await
        .unwrap();
    stream.write_all(&bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn a_peer_has_one_node_whatever_it_says() {
    let router = router();
    let sample = Sample::file("nodes", 100_000, 16 * 1024);
    let folder = tempfile::tempdir().unwrap();
    sample.write_to(folder.path());
    let session = session(folder.path(), &router).await;
    let torrent = session.add(sample.metainfo.clone()).start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(UdpSocket::bind((LOCALHOST, 0)).await.unwrap());
    }
    let port = |node: usize| nodes[node].local_addr().unwrap().port();
    let is_asked = async |node: usize| within(nodes[node].recv(&mut [0; 1500])).await.unwrap();
    let swarm = swarm(&sample);
    let both = [port(0), port(1)];
    let _first = peer_with_nodes(&session, swarm, b"-XX0000-has-two-node", &both).await;
    is_asked(0).await;
    let _second = peer_with_nodes(&session, swarm, b"-XX0000-has-one-node", &[port(2)]).await;
    is_asked(2).await;
    assert!(nodes[1].try_recv(&mut [0; 1500]).is_err());
    within(session.shutdown(PATIENCE)).await.unwrap();
}

/// A node that answers when it is told to.
struct Scripted(UdpSocket);

/// A query, and who waits for its answer.
struct Asked {
    message: Message,
    from: SocketAddr,
}

impl Asked {
    fn method(&self) -> Option<&Method> {
        match &self.message.body {
            Body::Query(query) => Some(&query.method),
            Body::Response(_) | Body::Error(_) => None,
        }
    }
}

impl Scripted {
    async fn asked(&self) -> Asked {
        let mut datagram = [0; 1500];
        let (length, from) = within(self.0.recv_from(&mut datagram)).await.unwrap();
        let message = Message::decode(&datagram[..length]).unwrap();
        Asked { message, from }
    }

    async fn answer(&self, asked: &Asked) {
        let mut response = Response::new(NodeId([7; 20]));
        response.token = Some("token".into());
        let answer = Message {
            body: Body::Response(response),
            ..asked.message.clone()
        };
        self.0.send_to(&answer.encode(), asked.from).await.unwrap();
    }

    /// Answers all but what is looked for.
    async fn until<T>(&self, mut wanted: impl FnMut(&Method) -> Option<T>) -> (Asked, T) {
        loop {
            let asked = self.asked().await;
            if let Some(found) = asked.method().and_then(&mut wanted) {
                return (asked, found);
            }
            self.answer(&asked).await;
        }
    }

    async fn until_asked_for(&self, swarm: InfoHash) -> Asked {
        let is_it = |method: &Method| match method {
            Method::GetPeers { info_hash, .. } => (*info_hash == swarm).then_some(()),
            _ => None,
        };
        self.until(is_it).await.0
    }
}

#[tokio::test]
async fn a_torrent_that_is_paused_is_announced_no_more() {
    let node = Scripted(UdpSocket::bind((LOCALHOST, 0)).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let session = session_at(folder.path(), &[node.0.local_addr().unwrap()]).await;
    let [paused, other] = ["paused", "other"].map(|name| Sample::file(name, 100_000, 16 * 1024));
    let torrent = session.add(paused.metainfo.clone()).start().await.unwrap();
    let of_paused = node.until_asked_for(swarm(&paused)).await;
    within(torrent.pause()).await.unwrap();
    session.add(other.metainfo.clone()).start().await.unwrap();
    let of_other = node.until_asked_for(swarm(&other)).await;
    for asked in [of_paused, of_other] {
        node.answer(&asked).await;
    }
    let announced = |method: &Method| match method {
        Method::AnnouncePeer { info_hash, .. } => Some(*info_hash),
        _ => None,
    };
    assert_eq!(node.until(announced).await.1, swarm(&other));
    within(session.shutdown(PATIENCE)).await.unwrap();
}
