//! Peers that hear of each other from peers, and from nobody but the tracker where a torrent is private.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rarest_session::metainfo::{Builder, InfoHash, Version};
use rarest_session::{Limits, Rate, TorrentEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::world::{Peer, Sample, until, within};

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// So slow that nothing completes before the peers have met.
fn slow() -> Limits {
    let rate = Rate::kib_per_s(200);
    Limits {
        download: rate,
        ..Limits::NONE
    }
}

#[tokio::test]
async fn two_sessions_that_know_one_seed_find_each_other() {
    let sample = Sample::file("exchanged", 6_000_000, 64 * 1024);
    let seed = Peer::seeding(&sample).await;
    let [first, second] = [
        Peer::with(|builder| builder.limits(slow())).await,
        Peer::with(|builder| builder.limits(slow())).await,
    ];
    let mut events = second.session.events();
    first.download(&sample, &[&seed]).await;
    second.download(&sample, &[&seed]).await;
    let addresses = [first.address(), seed.address()];
    // One dials the other: if it was not us, the address is any.
    until(&mut events, |event| match event {
        TorrentEvent::PeerConnected(peer) if peer == addresses[1] => None,
        TorrentEvent::PeerConnected(peer) => Some(peer),
        _ => None,
    })
    .await;
    for peer in [first, second, seed] {
        peer.shut_down().await;
    }
}

/// A tracker that answers each announce once it is let.
async fn tracker(let_answer: Arc<Notify>) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(ANYWHERE).await.unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let_answer.notified().await;
            let answer = "d8:intervali1800e5:peers0:e";
            let length = answer.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all((head + answer).as_bytes()).await.unwrap();
        }
    });
    (url, serving)
}

/// A peer that says who it is, and no more.
fn handshake(swarm: InfoHash) -> Vec<u8> {
    let mut bytes = b"\x13BitTorrent protocol".to_vec();
    bytes.extend([0; 8]);
    bytes.extend(swarm.0);
    bytes.extend(b"-XX0000-says no more");
    bytes
}

#[tokio::test]
async fn the_peers_of_a_private_torrent_are_dropped_when_its_tracker_changes() {
    let [first_answers, second_answers] = [0, 1].map(|_| Arc::new(Notify::new()));
    let (first, serving) = tracker(Arc::clone(&first_answers)).await;
    let (second, _serving) = tracker(Arc::clone(&second_answers)).await;
    let builder = Builder::new(Version::V1).piece_length(16 * 1024).private();
    let builder = builder.tracker(first.clone()).tracker(second);
    let sample = Sample::of(&builder, "secret", 1_000_000);
    let swarm = sample.metainfo.info_hashes().swarms().next().unwrap();
    let seed = Peer::seeding(&sample).await;
    let folder = tempfile::tempdir().unwrap();
    let builder = rarest_session::Session::builder().download_dir(folder.path());
    let builder = builder.listen_addresses([IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let builder = builder.without_local_discovery().without_dht();
    let leech = builder.build().await.unwrap();
    let mut events = leech.events();
    let torrent = leech.add(sample.metainfo).start().await.unwrap();
    first_answers.notify_one();
    until(&mut events, |event| {
        matches!(event, TorrentEvent::Announced { tracker, .. } if tracker == first).then_some(())
    })
    .await;
    // Nobody is there when the download is complete, and the next one is asked.
    serving.abort();
    let _ = serving.await;
    let mut peer = TcpStream::connect(leech.listen_addresses()[0])
        .await
        .unwrap();
    peer.write_all(&handshake(swarm)).await.unwrap();
    torrent.add_peers([seed.address()]).await.unwrap();
    within(torrent.completed()).await.unwrap();
    second_answers.notify_one();
    until(&mut events, |event| {
        let TorrentEvent::PeerDisconnected { reason, .. } = event else {
            return None;
        };
        (reason == "the tracker changed").then_some(())
    })
    .await;
    within(peer.read_to_end(&mut Vec::new())).await.unwrap();
    second_answers.notify_one();
    within(leech.shutdown(std::time::Duration::from_secs(10)))
        .await
        .unwrap();
    seed.shut_down().await;
}
