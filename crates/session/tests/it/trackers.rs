//! Sessions and trackers: peers are found, and every tracker hears what it should.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rarest_session::metainfo::{self, Version};
use rarest_session::tracker::server::{Server, ServerConfig};
use rarest_session::{Builder, Session, TorrentEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::world::{PATIENCE, Peer, Sample, until, within};

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn announcing(folder: &Path) -> Builder {
    Session::builder()
        .download_dir(folder)
        .listen_addresses([IpAddr::V4(Ipv4Addr::LOCALHOST)])
        .without_local_discovery()
        .without_dht()
}

/// A torrent with these trackers, each in a tier of its own.
fn tracked(name: &str, length: usize, urls: impl IntoIterator<Item: ToString>) -> Sample {
    let builder = metainfo::Builder::new(Version::V1).piece_length(64 * 1024);
    let trackers = urls.into_iter().map(|url| url.to_string());
    Sample::of(
        &trackers.fold(builder, metainfo::Builder::tracker),
        name,
        length,
    )
}

async fn sessions_meet_at(server: &Server) {
    let sample = tracked("met", 300_000, server.announce_urls());
    let swarm = sample.metainfo.info_hashes().swarms().next().unwrap();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());

    sample.write_to(here.path());
    let seed = announcing(here.path()).build().await.unwrap();
    let mut events = seed.events();
    let seeding = seed.add(sample.metainfo.clone()).start().await.unwrap();
    until(&mut events, |event| {
        matches!(event, TorrentEvent::Announced { .. }).then_some(())
    })
    .await;
    assert_eq!(server.counts(swarm).seeders, Some(1));

    let leech = announcing(there.path()).build().await.unwrap();
    let mut events = leech.events();
    let torrent = leech.add(sample.metainfo.clone()).start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(there.path());
    let mut announced = 0;
    until(&mut events, |event| {
        // `started`, and `completed`.
        announced += u32::from(matches!(event, TorrentEvent::Announced { .. }));
        (announced == 2).then_some(())
    })
    .await;
    assert_eq!(server.counts(swarm).seeders, Some(2));
    assert_eq!(server.counts(swarm).downloads, Some(1));

    let scrapes = within(seeding.scrape()).await;
    let reply = scrapes[0].reply.as_ref().unwrap();
    assert_eq!(reply.swarms[&swarm].seeders, Some(2));

    within(leech.shutdown(PATIENCE)).await.unwrap();
    within(seed.shutdown(PATIENCE)).await.unwrap();
    // `stopped` was said, and waited for.
    assert_eq!(server.counts(swarm).seeders, Some(0));
}

#[tokio::test]
async fn sessions_meet_at_an_http_tracker() {
    let http = vec![ANYWHERE];
    let config = ServerConfig {
        http,
        ..ServerConfig::default()
    };
    sessions_meet_at(&Server::start(&config).unwrap()).await;
}

#[tokio::test]
async fn sessions_meet_at_a_udp_tracker() {
    let udp = vec![ANYWHERE];
    let config = ServerConfig {
        udp,
        ..ServerConfig::default()
    };
    sessions_meet_at(&Server::start(&config).unwrap()).await;
}

/// A tracker that writes down what it is told, and answers `completed` only when it is let.
#[derive(Default)]
struct SlowTracker {
    answered: Mutex<Vec<String>>,
    completed_came: Notify,
    let_answer: Notify,
}

impl SlowTracker {
    async fn start() -> (Arc<Self>, String) {
        let tracker = Arc::new(Self::default());
        let listener = TcpListener::bind(ANYWHERE).await.unwrap();
        let url = format!("http://{}/announce", listener.local_addr().unwrap());
        let serving = Arc::clone(&tracker);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { serving.answer(stream).await });
            }
        });
        (tracker, url)
    }

    async fn answer(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap();
        let event = request.split("event=").nth(1).unwrap_or_default();
        let event = event.split(['&', ' ']).next().unwrap_or_default();
        if event == "completed" {
            self.completed_came.notify_one();
            tokio::select! {
                biased;
                // Whoever hangs up did not wait.
                _ = stream.read_u8() => return,
                () = self.let_answer.notified() => {}
            }
        }
        self.answered.lock().unwrap().push(event.to_owned());
        let answer = "d8:intervali1800e5:peers0:e";
        let head = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all((head + answer).as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_tracker_counts_a_download_that_ends_with_its_session() {
    let (tracker, url) = SlowTracker::start().await;
    let sample = tracked("counted", 100_000, [url]);
    let seed = Peer::seeding(&sample).await;
    let folder = tempfile::tempdir().unwrap();
    let leech = announcing(folder.path()).build().await.unwrap();
    let adding = leech.add(sample.metainfo.clone()).peers([seed.address()]);
    let torrent = adding.start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    within(tracker.completed_came.notified()).await;
    let ending = leech.shutdown(PATIENCE);
    let answering = async {
        // Until the end is on its way: whoever gave the announce up has done so by then.
        while torrent.pause().await.is_ok() {}
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        tracker.let_answer.notify_one();
    };
    let (ended, ()) = within(async { tokio::join!(ending, answering) }).await;
    ended.unwrap();
    let answered = tracker.answered.lock().unwrap().clone();
    assert_eq!(answered, ["started", "completed", "stopped"]);
    assert!(torrent.trackers().await.is_empty());
    seed.shut_down().await;
}

#[tokio::test]
async fn a_tracker_hears_of_a_download_that_is_removed_at_once() {
    let (tracker, url) = SlowTracker::start().await;
    let sample = tracked("removed", 100_000, [url]);
    let seed = Peer::seeding(&sample).await;
    let folder = tempfile::tempdir().unwrap();
    let leech = announcing(folder.path()).build().await.unwrap();
    let adding = leech.add(sample.metainfo.clone()).peers([seed.address()]);
    let torrent = adding.start().await.unwrap();
    within(torrent.completed()).await.unwrap();
    within(tracker.completed_came.notified()).await;
    within(leech.remove_keeping_files(&torrent)).await.unwrap();
    // Answered behind the removal: whoever gave the announce up has done so by then.
    assert!(torrent.trackers().await.is_empty());
    tracker.let_answer.notify_one();
    within(leech.shutdown(PATIENCE)).await.unwrap();
    let answered = tracker.answered.lock().unwrap().clone();
    assert_eq!(answered, ["started", "completed", "stopped"]);
    seed.shut_down().await;
}

#[tokio::test]
async fn a_private_torrent_is_announced_to_one_tracker_alone() {
    let http = vec![ANYWHERE];
    let config = ServerConfig {
        http,
        ..ServerConfig::default()
    };
    let [first, second] = [0, 1].map(|_| Server::start(&config).unwrap());
    let builder = metainfo::Builder::new(Version::V1).private();
    let urls = first.announce_urls().chain(second.announce_urls());
    let builder = urls.fold(builder, |builder, url| builder.tracker(url.to_string()));
    let sample = Sample::of(&builder, "private", 100_000);
    let swarm = sample.metainfo.info_hashes().swarms().next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let session = announcing(folder.path()).build().await.unwrap();
    let mut events = session.events();
    session.add(sample.metainfo).start().await.unwrap();
    let tracker = until(&mut events, |event| match event {
        TorrentEvent::Announced { tracker, .. } => Some(tracker),
        _ => None,
    })
    .await;
    assert_eq!(tracker, first.announce_urls().next().unwrap().to_string());
    assert_eq!(first.counts(swarm).leechers, Some(1));
    within(session.shutdown(PATIENCE)).await.unwrap();
    assert_eq!(first.counts(swarm).leechers, Some(0));
    assert_eq!(second.counts(swarm).downloads, Some(0));
    assert_eq!(second.counts(swarm).leechers, Some(0));
}

#[tokio::test]
async fn garbage_from_a_tracker_is_told_and_survived() {
    let listener = TcpListener::bind(ANYWHERE).await.unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let tracker = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // Whatever was asked; and whether the answer is read is not our concern.
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nd8:peers\xff";
            let _ = stream.write_all(answer).await;
        }
    });
    let sample = tracked("garbage", 100_000, [url]);
    let folder = tempfile::tempdir().unwrap();
    let session = announcing(folder.path()).build().await.unwrap();
    let mut events = session.events();
    let torrent = session.add(sample.metainfo).start().await.unwrap();
    let reason = until(&mut events, |event| match event {
        TorrentEvent::AnnounceFailed { reason, .. } => Some(reason),
        _ => None,
    })
    .await;
    assert!(reason.contains("makes no sense"), "{reason}");
    assert!(torrent.add_trackers(["gopher://host/"]).await.is_err());
    torrent.add_trackers(["udp://127.0.0.1:9"]).await.unwrap();
    assert_eq!(torrent.trackers().await.len(), 2);
    within(session.shutdown(PATIENCE)).await.unwrap();
    tracker.abort();
}
