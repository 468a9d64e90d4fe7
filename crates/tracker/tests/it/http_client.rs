//! The HTTP client against servers of every kind, over loopback.

mod hostile;
mod hosts;
mod redirects;
mod scripted;
mod tls;

use std::time::Duration;

use rarest_tracker::client::{
    Client, HttpClient, HttpConfig, HttpConfigError, STOPPED_TIMEOUT, UdpClient, UdpConfig,
};
use rarest_tracker::{Announce, Error, Event, Family, TrackerUrl};
use scripted::{Script, ScriptedServer, ok};

use crate::announce;

const REPLY: &[u8] = b"d8:intervali900e5:peers6:\x01\x02\x03\x04\x1a\xe1e";

fn client() -> HttpClient {
    client_with(|_| {})
}

fn client_with(change: impl FnOnce(&mut HttpConfig)) -> HttpClient {
    let mut config = HttpConfig::default();
    change(&mut config);
    HttpClient::new(config).unwrap()
}

async fn announce_to(client: &HttpClient, tracker: &TrackerUrl) -> Result<Vec<String>, Error> {
    let reply = client.announce(tracker, Family::V4, &announce()).await?;
    Ok(reply
        .peers
        .iter()
        .map(|peer| peer.address.to_string())
        .collect())
}

#[tokio::test]
async fn an_announce_is_asked_and_answered() {
    let server = ScriptedServer::start(Script::Answer(ok(REPLY))).await;
    let client = client_with(|config| config.user_agent = "some/1".into());
    assert_eq!(
        announce_to(&client, &server.url()).await.unwrap(),
        ["1.2.3.4:6881"]
    );
    let head = server.heads().concat();
    assert!(
        head.starts_with("GET /announce?k=1&info_hash=aaaaaaaaaaaaaaaaaaaa&"),
        "{head}"
    );
    assert!(head.contains("user-agent: some/1\r\n"), "{head}");
    assert!(
        head.contains(&format!("host: {}\r\n", server.address)),
        "{head}"
    );
}

#[tokio::test]
async fn the_user_that_a_url_names_is_let_in_by_name_and_password() {
    let server = ScriptedServer::start(Script::Answer(ok(REPLY))).await;
    // "Aladdin:open sesame", the example of RFC 7617.
    for (user, header) in [
        (
            "Aladdin:open%20sesame@",
            Some("authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"),
        ),
        ("Aladdin@", Some("authorization: Basic QWxhZGRpbjo=\r\n")),
        ("", None),
    ] {
        let url = format!("http://{user}{}/announce", server.address);
        announce_to(&client(), &url.parse().unwrap()).await.unwrap();
        let head = server.heads().pop().unwrap();
        assert!(!head.contains('@'), "{head}");
        match header {
            Some(header) => assert!(head.contains(header), "{head}"),
            None => assert!(!head.contains("authorization"), "{head}"),
        }
    }
}

#[tokio::test]
async fn a_scrape_is_asked_and_answered() {
    let body = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei7eeee";
    let server = ScriptedServer::start(Script::Answer(ok(body))).await;
    let hash = announce().info_hash;
    let reply = client()
        .scrape(&server.url(), Family::V4, &[hash])
        .await
        .unwrap();
    assert_eq!(reply.swarms[&hash].seeders, Some(7));
    assert!(
        server
            .heads()
            .concat()
            .starts_with("GET /scrape?k=1&info_hash=aaaaaaaaaaaaaaaaaaaa HTTP")
    );
}

#[tokio::test]
async fn a_tracker_that_can_not_be_scraped_is_not_asked() {
    let tracker = "http://127.0.0.1:1/x".parse().unwrap();
    let refused = client().scrape(&tracker, Family::V4, &[]).await;
    assert!(matches!(refused, Err(Error::NotScrapable)));
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = ScriptedServer::start(Script::Answer(ok(REPLY))).await;
    let client = client();
    for _ in 0..5 {
        announce_to(&client, &server.url()).await.unwrap();
    }
    assert_eq!((server.heads().len(), server.connections()), (5, 1));
}

#[tokio::test]
async fn a_kept_connection_that_breaks_is_replaced() {
    let server = ScriptedServer::start(Script::AnswerAndClose(ok(REPLY))).await;
    let client = client();
    for _ in 0..3 {
        announce_to(&client, &server.url()).await.unwrap();
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn requests_to_one_host_are_queued_over_four_connections() {
    let server = ScriptedServer::start(Script::Answer(ok(REPLY))).await;
    let client = client();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (client, url) = (client.clone(), server.url());
        all.spawn(async move { announce_to(&client, &url).await.unwrap() });
    }
    assert_eq!(all.join_all().await.len(), 50);
    assert_eq!(server.heads().len(), 50);
    assert!(server.connections() <= 4, "{}", server.connections());
}

#[tokio::test]
async fn one_silent_host_delays_no_other() {
    let silent = ScriptedServer::start(Script::Silence).await;
    let server = ScriptedServer::start(Script::Answer(ok(REPLY))).await;
    let client = client();
    let mut stuck = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (client, url) = (client.clone(), silent.url());
        stuck.spawn(async move { announce_to(&client, &url).await });
    }
    announce_to(&client, &server.url()).await.unwrap();
    assert!(
        stuck.try_join_next().is_none(),
        "the silent one is still waited for"
    );
}

#[tokio::test]
async fn a_waiting_request_is_timed_from_its_turn() {
    // Five requests, four turns: the fifth begins when the others have failed, and has all its time.
    let silent = ScriptedServer::start(Script::Silence).await;
    let client = client_with(|config| config.request_timeout = Duration::from_secs(50));
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (client, url) = (client.clone(), silent.url());
        all.spawn(async move { announce_to(&client, &url).await });
    }
    for outcome in all.join_all().await {
        assert!(matches!(outcome, Err(Error::TimedOut(_))), "{outcome:?}");
    }
    assert_eq!(began.elapsed().as_secs(), 100);
    assert_eq!(silent.connections(), 5);
}

#[tokio::test]
async fn a_udp_tracker_is_not_asked_over_http() {
    let tracker = "udp://127.0.0.1:1".parse().unwrap();
    assert!(matches!(
        announce_to(&client(), &tracker).await,
        Err(Error::NoClient(_))
    ));
}

#[test]
fn settings_that_can_not_work_are_refused() {
    let refusal = |change: fn(&mut HttpConfig)| {
        let mut config = HttpConfig::default();
        change(&mut config);
        HttpClient::new(config).unwrap_err()
    };
    assert!(matches!(
        refusal(|c| c.user_agent = "a\nb".into()),
        HttpConfigError::UserAgent(_)
    ));
    assert!(matches!(
        refusal(|c| c.extra_roots_pem = b"rubbish".to_vec()),
        HttpConfigError::NoCertificate
    ));
    let empty = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let mut config = HttpConfig {
        extra_roots_pem: empty.to_vec(),
        ..HttpConfig::default()
    };
    assert!(matches!(
        HttpClient::new(config.clone()),
        Err(HttpConfigError::Certificate(_))
    ));
    config.extra_roots_pem = b"-----BEGIN CERTIFICATE-----\nAA".to_vec();
    assert!(matches!(
        HttpClient::new(config),
        Err(HttpConfigError::Pem(_))
    ));
}

#[tokio::test]
async fn stopped_has_a_short_time_out() {
    let silent = ScriptedServer::start(Script::Silence).await;
    let udp = UdpClient::new(UdpConfig::default()).unwrap();
    let client = Client::new(client(), udp);
    let stopped = Announce {
        event: Event::Stopped,
        ..announce()
    };
    let url = silent.url();
    let outcome = client.announce(&url, Family::V4, &stopped);
    tokio::time::pause();
    let outcome = outcome.await;
    assert!(
        matches!(outcome, Err(Error::TimedOut(STOPPED_TIMEOUT))),
        "{outcome:?}"
    );
}
