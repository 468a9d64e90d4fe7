//! Where a tracker may send us, and where not.

use rarest_tracker::{Error, RedirectError, TrackerUrl};

use super::hosts::Map;
use super::scripted::{Script, ScriptedServer, answer, ok, redirect};
use super::{REPLY, announce_to, client};

async fn redirecting(to: &str) -> ScriptedServer {
    ScriptedServer::start(Script::Answer(redirect(to))).await
}

async fn target() -> ScriptedServer {
    ScriptedServer::start(Script::Answer(ok(REPLY))).await
}

fn tracker() -> TrackerUrl {
    "http://t.example/announce".parse().unwrap()
}

#[tokio::test]
async fn redirects_are_followed() {
    let target = target().await;
    let server = redirecting(&format!("{}&more=1#x", target.url())).await;
    assert_eq!(
        announce_to(&client(), &server.url()).await.unwrap().len(),
        1
    );
    let head = target.heads().concat();
    assert!(
        head.starts_with("GET /announce?k=1&more=1 HTTP/1.1\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn the_password_does_not_go_to_another_host() {
    let target = target().await;
    let server = redirecting(&target.url().to_string()).await;
    let tracker = format!("http://user:secret@{}/announce", server.address);
    announce_to(&client(), &tracker.parse().unwrap())
        .await
        .unwrap();
    assert!(server.heads().concat().contains("authorization: Basic "));
    assert!(!target.heads().concat().contains("authorization"));
}

#[tokio::test]
async fn redirects_end() {
    let server = redirecting("/announce?again").await;
    let outcome = announce_to(&client(), &server.url()).await;
    assert!(
        matches!(
            outcome,
            Err(Error::Redirect(RedirectError::TooMany { limit: 5 }))
        ),
        "{outcome:?}"
    );
    assert_eq!(server.heads().len(), 6);
}

#[tokio::test]
async fn redirects_to_no_web_page_are_refused() {
    for to in [
        "udp://127.0.0.1:1/",
        "file:///etc/passwd",
        "http://",
        "http://[",
        "ftp://x/",
    ] {
        let server = redirecting(to).await;
        let outcome = announce_to(&client(), &server.url()).await;
        assert!(
            matches!(outcome, Err(Error::Redirect(RedirectError::Nowhere))),
            "{to}: {outcome:?}"
        );
    }
    let without_target = ScriptedServer::start(Script::Answer(answer("302 Found", "", b""))).await;
    let outcome = announce_to(&client(), &without_target.url()).await;
    assert!(
        matches!(outcome, Err(Error::Redirect(RedirectError::Nowhere))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_public_tracker_can_not_lead_inward() {
    let inside = target().await;
    let port = inside.address.port();
    for to in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://named-loopback.example:{port}/"),
        "http://192.168.0.1/".to_owned(),
        "http://169.254.169.254/latest".to_owned(),
        "http://named-private.example/".to_owned(),
    ] {
        let server = redirecting(&to).await;
        let client = Map::default()
            .name("t.example", &["203.0.113.1"])
            .name("named-loopback.example", &["127.0.0.1"])
            .name("named-private.example", &["10.0.0.1"])
            .route("203.0.113.1", &server)
            .route("192.168.0.1", &inside)
            .route("169.254.169.254", &inside)
            .route("10.0.0.1", &inside)
            .client();
        let outcome = announce_to(&client, &tracker()).await;
        assert!(
            matches!(outcome, Err(Error::Redirect(RedirectError::Inward))),
            "{to}: {outcome:?}"
        );
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn not_even_over_a_connection_that_is_open_already() {
    let inside = target().await;
    let port = inside.address.port();
    let server = redirecting(&format!("http://127.0.0.1:{port}/")).await;
    let client = Map::default()
        .name("t.example", &["203.0.113.1"])
        .route("203.0.113.1", &server)
        .client();
    announce_to(&client, &inside.url()).await.unwrap();
    let outcome = announce_to(&client, &tracker()).await;
    assert!(
        matches!(outcome, Err(Error::Redirect(RedirectError::Inward))),
        "{outcome:?}"
    );
    assert_eq!(inside.heads().len(), 1);
}

#[tokio::test]
async fn nor_by_a_detour_or_among_other_addresses() {
    let inside = target().await;
    let second = redirecting("http://mixed.example/").await;
    let first = redirecting("http://second.example/").await;
    let outside = target().await;
    let client = Map::default()
        .name("t.example", &["203.0.113.1"])
        .name("second.example", &["203.0.113.2"])
        .name("mixed.example", &["10.0.0.1", "203.0.113.3"])
        .route("203.0.113.1", &first)
        .route("203.0.113.2", &second)
        .route("203.0.113.3", &outside)
        .route("10.0.0.1", &inside)
        .client();
    announce_to(&client, &tracker()).await.unwrap();
    assert_eq!((inside.connections(), outside.connections()), (0, 1));
}

#[tokio::test]
async fn a_tracker_of_the_local_network_can_not_lead_to_this_machine() {
    let inside = target().await;
    let server = redirecting(&inside.url().to_string()).await;
    let client = Map::default().route("192.168.1.5", &server).client();
    let outcome = announce_to(&client, &"http://192.168.1.5/announce".parse().unwrap()).await;
    assert!(
        matches!(outcome, Err(Error::Redirect(RedirectError::Inward))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_tracker_on_this_machine_can_lead_outward() {
    let outside = target().await;
    let server = redirecting("http://203.0.113.9/announce").await;
    let client = Map::default().route("203.0.113.9", &outside).client();
    assert_eq!(announce_to(&client, &server.url()).await.unwrap().len(), 1);
}
