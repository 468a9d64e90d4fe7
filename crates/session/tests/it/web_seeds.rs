//! Downloads from web servers (BEP 19), good ones and others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rarest_session::metainfo::{Builder, Version};
use rarest_session::{CommandError, Limits, Rate, TorrentEvent, TorrentHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Peer, Sample, until, within};

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How a server treats those who ask.
#[derive(Clone)]
enum Habit {
    Honest,
    /// Every byte is another.
    Lies,
    /// It sends whole files whatever it is asked for.
    IgnoresRanges,
    /// It answers with this head and nothing else.
    Says(&'static str),
    /// It promises all and sends half.
    HangsUp,
    /// It sends everybody to another server.
    Redirects(String),
    /// It says nothing that is HTTP.
    Babbles,
}

/// A web server with the files of a sample.
struct WebServer {
    url: String,
    /// Path and range of each request.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl WebServer {
    async fn start(sample: &Sample, habit: Habit) -> Self {
        let listener = TcpListener::bind(ANYWHERE).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let files: Arc<HashMap<_, _>> = Arc::new(sample.by_path().into_iter().collect());
        let asked = Arc::default();
        let server = Self {
            url,
            asked: Arc::clone(&asked),
        };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (files, asked) = (Arc::clone(&files), Arc::clone(&asked));
                // A client that hangs up has its reasons.
                tokio::spawn(serve(stream, files, asked, habit.clone()));
            }
        });
        server
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    files: Arc<HashMap<String, Vec<u8>>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
    habit: Habit,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let range = head.to_ascii_lowercase();
        let range = range.split("range: bytes=").nth(1).unwrap();
        let range = range.split('\r').next().unwrap().to_owned();
        asked.lock().unwrap().push((path.clone(), range.clone()));
        let Some(file) = files.get(&path) else {
            let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await?;
            continue;
        };
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let part = &file[first..=last];
        let length = file.len();
        let partly = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{length}\r\nContent-Length: {}\r\n\r\n",
            part.len()
        );
        match &habit {
            Habit::Honest => {
                stream.write_all(partly.as_bytes()).await?;
                stream.write_all(part).await?;
            }
            Habit::Lies => {
                stream.write_all(partly.as_bytes()).await?;
                let lie: Vec<u8> = part.iter().map(|byte| !byte).collect();
                stream.write_all(&lie).await?;
            }
            Habit::IgnoresRanges => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(file).await?;
            }
            Habit::Says(head) => {
                let head = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
            }
            Habit::HangsUp => {
                stream.write_all(partly.as_bytes()).await?;
                stream.write_all(&part[..part.len() / 2]).await?;
                return Ok(());
            }
            Habit::Redirects(to) => {
                let to = format!("{}{}", to.trim_end_matches('/'), path);
                let head =
                    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
            }
            Habit::Babbles => {
                stream.write_all(&[0xff; 100_000]).await?;
                return Ok(());
            }
        }
    }
}

/// Adds the sample with these web seeds and nobody else.
async fn download(peer: &Peer, sample: &Sample, servers: &[&WebServer]) -> TorrentHandle {
    let torrent = peer.download(sample, &[]).await;
    let urls = servers.iter().map(|server| &server.url);
    torrent.add_web_seeds(urls).await.unwrap();
    torrent
}

async fn completes(sample: &Sample, servers: &[&WebServer]) {
    let peer = Peer::start().await;
    let torrent = download(&peer, sample, servers).await;
    within(torrent.completed()).await.unwrap();
    sample.assert_in(peer.folder.path());
    peer.shut_down().await;
}

/// Why a server was given up for now. Another one completes the download in the end.
async fn fault_of(habit: Habit) -> String {
    let sample = Sample::file("faulty", 600_000, 32 * 1024);
    let server = WebServer::start(&sample, habit).await;
    let peer = Peer::start().await;
    let mut events = peer.session.events();
    let torrent = download(&peer, &sample, &[&server]).await;
    let reason = until(&mut events, |event| match event {
        TorrentEvent::WebSeedFailed { url, reason } => {
            assert_eq!(url, server.url);
            Some(reason)
        }
        _ => None,
    })
    .await;
    let good = WebServer::start(&sample, Habit::Honest).await;
    torrent.add_web_seeds([&good.url]).await.unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(peer.folder.path());
    peer.shut_down().await;
    reason
}

#[tokio::test]
async fn a_web_seed_of_the_torrent_gives_all_in_a_few_ranges() {
    let server_of = |url: &str| {
        let builder = Builder::new(Version::V1).piece_length(32 * 1024);
        Sample::of(&builder.web_seed(url), "alone", 20_000_000)
    };
    let server = WebServer::start(&server_of("http://nowhere/"), Habit::Honest).await;
    let sample = server_of(&server.url);
    let peer = Peer::start().await;
    let torrent = peer.download(&sample, &[]).await;
    within(torrent.completed()).await.unwrap();
    sample.assert_in(peer.folder.path());
    let stats = *torrent.stats().borrow();
    assert_eq!(stats.web_seed_bytes, stats.downloaded_bytes);
    let asked = server.asked().len();
    assert!(asked < 100, "{asked} requests for 611 pieces");
    peer.shut_down().await;
}

#[tokio::test]
async fn several_files_come_of_every_version() {
    let files = [
        ("a", 70_000),
        ("dir one/b +%.txt", 1),
        ("dir one/ü", 200_000),
        ("z", 40_000),
    ];
    for version in [Version::V1, Version::Hybrid, Version::V2] {
        let builder = Builder::new(version).piece_length(32 * 1024);
        let sample = Sample::folder_of(&builder, "odd names", &files);
        let server = WebServer::start(&sample, Habit::Honest).await;
        completes(&sample, &[&server]).await;
    }
}

#[tokio::test]
async fn several_web_seeds_and_a_peer_help_each_other() {
    let sample = Sample::file("together", 8_000_000, 64 * 1024);
    let seed = Peer::with(|builder| {
        builder.limits(Limits {
            upload: Rate::mib_per_s(2),
            ..Limits::NONE
        })
    })
    .await;
    seed.seed(&sample).await;
    let [first, second] = [
        WebServer::start(&sample, Habit::Honest).await,
        WebServer::start(&sample, Habit::Honest).await,
    ];
    let peer = Peer::start().await;
    let torrent = peer.download(&sample, &[&seed]).await;
    torrent
        .add_web_seeds([&first.url, &second.url])
        .await
        .unwrap();
    within(torrent.completed()).await.unwrap();
    sample.assert_in(peer.folder.path());
    assert!(!first.asked().is_empty() && !second.asked().is_empty());
    peer.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let sample = Sample::folder("moved", &[("a", 100_000), ("b/c", 50_000)], 32 * 1024);
    let there = WebServer::start(&sample, Habit::Honest).await;
    let here = WebServer::start(&sample, Habit::Redirects(there.url.clone())).await;
    completes(&sample, &[&here]).await;
    assert!(!there.asked().is_empty());
}

#[tokio::test]
async fn a_redirect_in_a_circle_ends_it() {
    let sample = Sample::file("faulty", 600_000, 32 * 1024);
    let server = WebServer::start(&sample, Habit::Honest).await;
    let circle =
        WebServer::start(&sample, Habit::Redirects("http://127.0.0.1:9/".to_owned())).await;
    completes(&sample, &[&circle, &server]).await;
    let reason = fault_of(Habit::Redirects(String::new())).await;
    assert!(reason.contains("redirects"), "{reason}");
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_beginning() {
    let sample = Sample::file("whole", 3_000_000, 32 * 1024);
    let server = WebServer::start(&sample, Habit::IgnoresRanges).await;
    completes(&sample, &[&server]).await;
}

#[tokio::test]
async fn a_server_that_lies_is_dropped() {
    let reason = fault_of(Habit::Lies).await;
    assert_eq!(reason, "it sent corrupt data");
}

#[tokio::test]
async fn bad_servers_are_dropped_and_said_so() {
    for (habit, expected) in [
        (Habit::Says("404 Not Found"), "lacks the files"),
        (Habit::Says("416 Range Not Satisfiable"), "lacks the files"),
        (Habit::Says("200 OK"), "lacks the files"),
        (Habit::Says("206 Partial Content"), "another range"),
        (Habit::Says("500 Internal Server Error"), "status 500"),
        (Habit::Says("503 Busy\r\nRetry-After: 7"), "after 7 s"),
        (Habit::HangsUp, "connection failed"),
        (Habit::Babbles, "connection failed"),
    ] {
        let reason = fault_of(habit).await;
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn a_torrent_puts_no_query_to_the_servers_of_our_own_network() {
    let sample = Sample::file("inward", 600_000, 32 * 1024);
    let server = WebServer::start(&sample, Habit::Honest).await;
    let peer = Peer::start().await;
    let mut events = peer.session.events();
    let torrent = peer.download(&sample, &[]).await;
    let order = format!("{}reboot?now=yes", server.url);
    torrent.add_web_seeds([&order]).await.unwrap();
    let reason = until(&mut events, |event| match event {
        TorrentEvent::WebSeedFailed { url, reason } => (url == order).then_some(reason),
        _ => None,
    })
    .await;
    assert!(reason.contains("our own network"), "{reason}");
    assert!(server.asked().is_empty());
    torrent.add_web_seeds([&server.url]).await.unwrap();
    within(torrent.completed()).await.unwrap();
    peer.shut_down().await;
}

#[tokio::test]
async fn the_rate_of_the_torrent_holds() {
    let sample = Sample::file("slowly", 1_000_000, 32 * 1024);
    let server = WebServer::start(&sample, Habit::Honest).await;
    let peer = Peer::start().await;
    let torrent = download(&peer, &sample, &[]).await;
    torrent.set_limits(Limits {
        download: Rate::kib_per_s(400),
        ..Limits::NONE
    });
    let began = Instant::now();
    torrent.add_web_seeds([&server.url]).await.unwrap();
    within(torrent.completed()).await.unwrap();
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1500), "{took:?}");
    peer.shut_down().await;
}

#[tokio::test]
async fn what_is_no_url_is_refused() {
    let sample = Sample::file("urls", 1000, 32 * 1024);
    let peer = Peer::start().await;
    let torrent = peer.download(&sample, &[]).await;
    let added = torrent
        .add_web_seeds(["http://host/", "gopher://host/"])
        .await;
    assert!(matches!(added, Err(CommandError::WebSeedUrl { url, .. }) if url == "gopher://host/"));
    peer.shut_down().await;
}
