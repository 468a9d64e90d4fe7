//! Connections that are encrypted, or not, as both sides want it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rarest_session::{
    Encryption, EncryptionPolicy, Limits, Rate, Stats, TorrentEvent, TorrentHandle,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{PATIENCE, Peer, Sample, until, within};

const POLICIES: [Encryption; 4] = [
    Encryption::DISABLE,
    Encryption::TOLERATE,
    Encryption::PREFER,
    Encryption::REQUIRE,
];

/// A public key of MSE that is as good as any: the number two.
fn public_key() -> [u8; 96] {
    let mut key = [0; 96];
    key[95] = 2;
    key
}

async fn peer(encryption: Encryption) -> Peer {
    Peer::with(|builder| builder.encryption(encryption)).await
}

async fn seed(sample: &Sample, encryption: Encryption) -> Peer {
    let peer = peer(encryption).await;
    peer.seed(sample).await;
    peer
}

/// Waits for a connection, and says whether it is encrypted.
async fn is_encrypted(torrent: &TorrentHandle) -> bool {
    let mut stats = torrent.stats();
    let connected = |stats: &Stats| stats.connected_peers > 0;
    let stats = *within(stats.wait_for(connected)).await.unwrap();
    stats.encrypted_peers > 0
}

/// A stop on the way to a peer that keeps what passes in both directions.
async fn tap(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let passed = Arc::<Mutex<Vec<u8>>>::default();
    let kept = Arc::clone(&passed);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            let (near, far) = (near.into_split(), far.into_split());
            for (mut from, mut to) in [(near.0, far.1), (far.0, near.1)] {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(read @ 1..) = from.read(&mut buffer).await {
                        kept.lock().unwrap().extend(&buffer[..read]);
                        if to.write_all(&buffer[..read]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    (address, passed)
}

fn occurs(needle: &[u8], haystack: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[tokio::test]
async fn nothing_of_an_encrypted_download_is_seen_on_the_wire() {
    let sample = Sample::file("hidden", 300_000, 32 * 1024);
    for (encryption, is_hidden) in [(Encryption::REQUIRE, true), (Encryption::DISABLE, false)] {
        let seed = seed(&sample, encryption).await;
        let leech = peer(encryption).await;
        let (tap, passed) = tap(seed.address()).await;
        let adding = leech.session.add(sample.metainfo.clone()).peers([tap]);
        let torrent = adding.start().await.unwrap();
        within(torrent.completed()).await.unwrap();
        sample.assert_in(leech.folder.path());
        let passed = std::mem::take(&mut *passed.lock().unwrap());
        assert!(passed.len() > 300_000);
        let swarm = sample.metainfo.info_hashes().swarms().next().unwrap();
        let bytes = sample.bytes();
        for secret in [
            b"BitTorrent protocol".as_slice(),
            swarm.as_bytes(),
            &bytes[100_000..100_016],
        ] {
            assert_eq!(occurs(secret, &passed), !is_hidden);
        }
        leech.shut_down().await;
        seed.shut_down().await;
    }
}

/// Whether a connection from one to the other is encrypted; `None` when there is none.
fn expected(ours: EncryptionPolicy, theirs: EncryptionPolicy) -> Option<bool> {
    use EncryptionPolicy::{Disable, Prefer, Require, Tolerate};
    match (ours, theirs) {
        (Require, Disable) | (Disable, Require) => None,
        (Disable, _) | (_, Disable) => Some(false),
        (_, Require) | (Require, _) => Some(true),
        (Prefer, Prefer) => Some(true),
        // In the clear, and who is dialled has no say.
        (Tolerate, _) => Some(false),
        // Who only tolerates it chooses the cheaper method of what is offered.
        (Prefer, Tolerate) => Some(false),
    }
}

#[tokio::test]
async fn every_two_that_can_understand_each_other_do() {
    let sample = Sample::file("pairs", 100_000, 32 * 1024);
    for theirs in POLICIES {
        // The connection lasts for as long as it is looked at.
        let limits = Limits {
            upload: Rate::kib_per_s(1),
            ..Limits::NONE
        };
        let seed = Peer::with(|builder| builder.encryption(theirs).limits(limits)).await;
        seed.seed(&sample).await;
        for ours in POLICIES {
            let leech = peer(ours).await;
            let mut events = leech.session.events();
            let torrent = leech.download(&sample, &[&seed]).await;
            let is_connected = until(&mut events, |event| match event {
                TorrentEvent::PeerConnected(_) => Some(true),
                TorrentEvent::PeerUnreachable { .. } => Some(false),
                _ => None,
            })
            .await;
            let is_encrypted = match is_connected {
                true => Some(is_encrypted(&torrent).await),
                false => None,
            };
            let expected = expected(ours.outgoing, theirs.incoming);
            assert_eq!(is_encrypted, expected, "{ours:?} {theirs:?}");
            leech.shut_down().await;
        }
        seed.shut_down().await;
    }
}

#[tokio::test]
async fn a_peer_that_wants_it_encrypted_is_reached_by_default() {
    let sample = Sample::file("second", 300_000, 32 * 1024);
    let seed = seed(&sample, Encryption::REQUIRE).await;
    seed.assert_serves(&sample).await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_peer_that_does_not_encrypt_is_reached_by_one_that_would_rather() {
    let sample = Sample::file("plain", 300_000, 32 * 1024);
    let seed = seed(&sample, Encryption::DISABLE).await;
    let leech = peer(Encryption::PREFER).await;
    let torrent = leech.download(&sample, &[&seed]).await;
    within(torrent.completed()).await.unwrap();
    sample.assert_in(leech.folder.path());
    leech.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn who_requires_encryption_does_not_answer_in_the_clear() {
    let sample = Sample::file("stern", 100_000, 32 * 1024);
    let seed = seed(&sample, Encryption::REQUIRE).await;
    let mut stream = TcpStream::connect(seed.address()).await.unwrap();
    let swarm = sample.metainfo.info_hashes().swarms().next().unwrap();
    let mut handshake = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    handshake.extend(swarm.as_bytes());
    handshake.extend(b"-XX0000-in the clear");
    stream.write_all(&handshake).await.unwrap();
    let mut answer = Vec::new();
    // It may end with a reset, as not all was read.
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty());
    seed.shut_down().await;
}

#[tokio::test]
async fn one_that_requires_encryption_dials_nobody_in_the_clear() {
    let sample = Sample::file("dials", 100_000, 32 * 1024);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let leech = peer(Encryption::REQUIRE).await;
    let adding = leech.session.add(sample.metainfo.clone());
    let adding = adding.peers([listener.local_addr().unwrap()]);
    adding.start().await.unwrap();
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    let mut key = [0; 96];
    within(stream.read_exact(&mut key)).await.unwrap();
    assert!(!key.starts_with(b"\x13BitTorrent"));
    // The answer of somebody who does not understand it.
    stream.write_all(b"\x13BitTorrent protocol").await.unwrap();
    drop(stream);
    leech.shut_down().await;
}

#[tokio::test]
async fn no_more_keys_are_computed_than_connections_may_be_without_a_handshake() {
    const HALF_OPEN: usize = 2;
    let sample = Sample::file("keys", 100_000, 32 * 1024);
    let seed = Peer::with(|builder| {
        let builder = builder.encryption(Encryption::REQUIRE);
        builder.max_half_open(HALF_OPEN).handshake_timeout(PATIENCE)
    })
    .await;
    seed.seed(&sample).await;
    let mut strangers = Vec::new();
    for _ in 0..=HALF_OPEN {
        let mut stream = TcpStream::connect(seed.address()).await.unwrap();
        stream.write_all(&public_key()).await.unwrap();
        strangers.push(stream);
    }
    let mut waiting = strangers.pop().unwrap();
    for stream in &mut strangers {
        within(stream.read_exact(&mut [0; 96])).await.unwrap();
    }
    let mut early = [0; 1];
    assert!(
        waiting.try_read(&mut early).is_err(),
        "it is not served yet"
    );
    strangers.pop();
    within(waiting.read_exact(&mut [0; 96])).await.unwrap();
    seed.shut_down().await;
}

#[tokio::test]
async fn an_endless_padding_is_hung_up_on() {
    let sample = Sample::file("padding", 100_000, 32 * 1024);
    let seed = seed(&sample, Encryption::PREFER).await;
    let mut stream = TcpStream::connect(seed.address()).await.unwrap();
    let mut bytes = public_key().to_vec();
    bytes.extend([0x5a; 2000]);
    // The session may hang up before everything is said.
    let _ = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    // A key and its padding, and nothing more.
    assert!(answer.len() <= 96 + 512);
    seed.assert_serves(&sample).await;
    seed.shut_down().await;
}
