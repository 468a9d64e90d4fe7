//! Peers that lie, flood, stay silent or speak another language: scripts on raw sockets.

use std::collections::HashMap;
use std::net::SocketAddr;

use rand::{Rng, SeedableRng};
use rarest_session::metainfo::{Builder, Version};
use rarest_session::{Stats, TorrentEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Peer, Sample, until, within};

const BLOCK: u32 = 16 * 1024;

fn handshake(sample: &Sample, name: &[u8; 20]) -> Vec<u8> {
    let swarm = sample.metainfo.info_hashes().swarms().next().unwrap();
    let mut bytes = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(swarm.as_bytes());
    bytes.extend(name);
    bytes
}

fn message(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 1).unwrap();
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.push(id);
    bytes.extend(payload);
    bytes
}

fn full_bitfield(sample: &Sample) -> Vec<u8> {
    let pieces = sample.metainfo.info().geometry().piece_count() as usize;
    let mut bits = vec![0xff; pieces.div_ceil(8)];
    if !pieces.is_multiple_of(8) {
        *bits.last_mut().unwrap() = 0xff << (8 - pieces % 8);
    }
    message(5, &bits)
}

/// Connects, says `words` behind the handshake, and waits until it is hung up on.
async fn say(to: SocketAddr, sample: &Sample, words: &[u8]) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut bytes = handshake(sample, b"-XX0000-hostile.....");
    bytes.extend(words);
    // The session may hang up before everything is said.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
}

/// A seed that answers requests with what `answer` makes of the right block.
async fn script(sample: &Sample, name: [u8; 20], answer: fn(&mut Vec<u8>)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut hello = handshake(sample, &name);
    hello.extend(full_bitfield(sample));
    hello.extend(message(1, &[]));
    let bytes = sample.bytes();
    let piece_length = sample.metainfo.info().geometry().nominal_piece_length() as usize;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (hello, bytes) = (hello.clone(), bytes.clone());
            tokio::spawn(async move {
                stream.write_all(&hello).await?;
                stream.read_exact(&mut [0; 68]).await?;
                loop {
                    let mut words = vec![0; stream.read_u32().await? as usize];
                    stream.read_exact(&mut words).await?;
                    if let [6, request @ ..] = &words[..] {
                        let number = |at: usize| {
                            let bytes = request[at..at + 4].try_into().unwrap();
                            u32::from_be_bytes(bytes) as usize
                        };
                        let start = number(0) * piece_length + number(4);
                        let mut payload = request[..8].to_vec();
                        payload.extend(&bytes[start..start + number(8)]);
                        answer(&mut payload);
                        stream.write_all(&message(7, &payload)).await?;
                    }
                }
                #[expect(unreachable_code, reason = "it says what kind of error ends the loop")]
                std::io::Result::Ok(())
            });
        }
    });
    address
}

#[tokio::test]
async fn a_peer_that_lies_is_banned() {
    let sample = Sample::file("lies", 600_000, 64 * 1024);
    let liar = script(&sample, *b"-XX0000-liar........", |payload| {
        *payload.last_mut().unwrap() ^= 1;
    })
    .await;
    let leech = Peer::start().await;
    let mut events = leech.session.events();
    let adding = leech.session.add(sample.metainfo.clone()).peers([liar]);
    let torrent = adding.start().await.unwrap();
    let banned = until(&mut events, |event| match event {
        TorrentEvent::PeerBanned { address, .. } => Some(address),
        _ => None,
    })
    .await;
    assert_eq!(banned, liar.ip());
    let mut stats = torrent.stats();
    let alone = |stats: &Stats| stats.connected_peers == 0 && stats.pieces > 0;
    let stats = *within(stats.wait_for(alone)).await.unwrap();
    assert_eq!(stats.verified_pieces, 0);
    leech.shut_down().await;
}

#[tokio::test]
async fn a_block_that_was_not_asked_for_ends_the_connection() {
    let sample = Sample::file("unasked", 600_000, 64 * 1024);
    let shifted = script(&sample, *b"-XX0000-shifted.....", |payload| {
        // Another offset than the one that was asked for.
        payload[7] = payload[7].wrapping_add(1);
    })
    .await;
    let leech = Peer::start().await;
    let mut events = leech.session.events();
    let adding = leech.session.add(sample.metainfo.clone()).peers([shifted]);
    adding.start().await.unwrap();
    let reason = until(&mut events, |event| match event {
        TorrentEvent::PeerDisconnected { reason, .. } => Some(reason),
        _ => None,
    })
    .await;
    assert!(reason.contains("not asked for"), "{reason}");
    leech.shut_down().await;
}

#[tokio::test]
async fn whatever_strangers_say_the_next_peer_is_served() {
    let sample = Sample::file("strangers", 500_000, 16 * 1024);
    let seed = Peer::seeding(&sample).await;
    let to = seed.address();
    let mut noise = vec![0; 300_000];
    rand::rngs::StdRng::seed_from_u64(1).fill_bytes(&mut noise);
    let mut unknown = handshake(&sample, b"-XX0000-stranger....");
    unknown[30] ^= 1;

    // Nothing but noise, and noise behind a handshake.
    let mut stream = TcpStream::connect(to).await.unwrap();
    let _ = stream.write_all(&noise).await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "noise is not answered");
    say(to, &sample, &noise).await;
    // For a torrent that is not there.
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(&unknown).await.unwrap();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty(), "an unknown torrent is not answered");
    // A bitfield without end.
    say(to, &sample, &[0x7f, 0xff, 0xff, 0xff, 5, 0xff]).await;
    // A hundred thousand haves, more than there are pieces.
    let haves: Vec<u8> = (0..100_000u32)
        .flat_map(|piece| message(4, &(piece % 31).to_be_bytes()))
        .collect();
    say(to, &sample, &haves).await;
    say(to, &sample, &message(4, &31u32.to_be_bytes())).await;
    // Requests for what does not exist, and more than are held.
    let request = |piece: u32, offset: u32, length: u32| {
        let numbers = [piece, offset, length].map(u32::to_be_bytes);
        message(6, numbers.as_flattened())
    };
    say(to, &sample, &request(99, 0, BLOCK)).await;
    say(to, &sample, &request(0, 1, BLOCK)).await;
    let many: Vec<u8> = message(2, &[])
        .into_iter()
        .chain((0..20_000).flat_map(|_| request(0, 0, BLOCK)))
        .collect();
    say(to, &sample, &many).await;
    // A block nobody asked for.
    say(to, &sample, &message(7, &[0; 8 + BLOCK as usize])).await;
    // Only half a handshake.
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(&unknown[..30]).await.unwrap();
    drop(stream);

    seed.assert_serves(&sample).await;
    seed.shut_down().await;
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed_after_the_time_out() {
    let sample = Sample::file("silent", 100_000, 32 * 1024);
    let peer = Peer::with(|builder| builder.max_half_open(2)).await;
    peer.seed(&sample).await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let mut silent = Vec::new();
    // One more than may be half open: it waits for its turn, in which it says nothing either.
    for _ in 0..3 {
        silent.push(TcpStream::connect(peer.address()).await.unwrap());
    }
    for mut stream in silent {
        assert_eq!(within(stream.read(&mut [0; 1])).await.unwrap_or(0), 0);
    }
    assert_eq!(began.elapsed().as_secs(), 20);
    tokio::time::resume();
    peer.assert_serves(&sample).await;
    peer.shut_down().await;
}

#[tokio::test]
async fn a_crowd_that_comes_at_once_is_answered_in_turns() {
    let sample = Sample::file("crowd", 100_000, 32 * 1024);
    let seed = Peer::with(|builder| builder.max_half_open(2)).await;
    seed.seed(&sample).await;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(TcpStream::connect(seed.address()).await.unwrap());
    }
    for (number, stream) in crowd.iter_mut().enumerate() {
        let peer_id = format!("-XX0000-crowd-{number:06}");
        let words = handshake(&sample, peer_id.as_bytes().first_chunk().unwrap());
        stream.write_all(&words).await.unwrap();
    }
    for stream in &mut crowd {
        let mut answer = [0; 68];
        within(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer[..20], *b"\x13BitTorrent protocol");
    }
    seed.shut_down().await;
}

#[tokio::test]
async fn what_follows_the_handshake_in_the_same_segment_is_not_lost() {
    let sample = Sample::file("segment", 100_000, 32 * 1024);
    let seed = Peer::seeding(&sample).await;
    let mut stream = TcpStream::connect(seed.address()).await.unwrap();
    let mut words = handshake(&sample, b"-XX0000-segment.....");
    words.extend(message(2, &[]));
    stream.write_all(&words).await.unwrap();
    let mut answer = vec![0; 68];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer[..20], *b"\x13BitTorrent protocol");
    // The interest was heard: sooner or later it is answered with an unchoke.
    loop {
        let length = within(stream.read_u32()).await.unwrap();
        let mut words = vec![0; length as usize];
        within(stream.read_exact(&mut words)).await.unwrap();
        if words == [1] {
            break;
        }
    }
    seed.shut_down().await;
}

#[tokio::test]
async fn a_hybrid_torrent_answers_in_both_of_its_swarms() {
    let builder = Builder::new(Version::Hybrid).piece_length(32 * 1024);
    let sample = Sample::of(&builder, "hybrid", 100_000);
    let seed = Peer::seeding(&sample).await;
    let swarms: Vec<_> = sample.metainfo.info_hashes().swarms().collect();
    assert_eq!(swarms.len(), 2);
    for swarm in swarms {
        let mut stream = TcpStream::connect(seed.address()).await.unwrap();
        let mut words = handshake(&sample, b"-XX0000-hybrid......");
        words[28..48].copy_from_slice(swarm.as_bytes());
        stream.write_all(&words).await.unwrap();
        let mut answer = [0; 68];
        within(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer[28..48], *swarm.as_bytes());
    }
    seed.shut_down().await;
}

#[tokio::test]
async fn a_connection_to_ourselves_is_noticed() {
    let sample = Sample::file("ourselves", 100_000, 32 * 1024);
    let peer = Peer::start().await;
    let address = peer.address();
    let adding = peer.session.add(sample.metainfo.clone()).peers([address]);
    let torrent = adding.start().await.unwrap();
    // It is no peer: someone else is found all the same.
    let seed = Peer::seeding(&sample).await;
    torrent.add_peers([seed.address()]).await.unwrap();
    within(torrent.completed()).await.unwrap();
    peer.shut_down().await;
    seed.shut_down().await;
}

#[tokio::test]
async fn two_sessions_that_dial_each_other_keep_one_connection() {
    let sample = Sample::file("both", 100_000, 32 * 1024);
    let (left, right) = (Peer::start().await, Peer::start().await);
    let at_left = left.download(&sample, &[]).await;
    let at_right = right.download(&sample, &[]).await;
    let (one, other) = tokio::join!(
        at_left.add_peers([right.address()]),
        at_right.add_peers([left.address()])
    );
    one.and(other).unwrap();
    for torrent in [&at_left, &at_right] {
        let mut stats = torrent.stats();
        within(stats.wait_for(|stats| stats.connected_peers == 1))
            .await
            .unwrap();
    }
    left.shut_down().await;
    right.shut_down().await;
}

#[tokio::test]
async fn peers_that_cannot_be_reached_are_told() {
    let sample = Sample::file("unreachable", 100_000, 32 * 1024);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    // One that serves other torrents, and so hangs up.
    let stranger = Peer::start().await;
    let leech = Peer::start().await;
    let mut events = leech.session.events();
    let torrent = leech.download(&sample, &[&stranger]).await;
    torrent.add_peers([nobody]).await.unwrap();
    let mut reasons = HashMap::new();
    until(&mut events, |event| {
        if let TorrentEvent::PeerUnreachable { peer, reason } = event {
            reasons.insert(peer, reason);
        }
        (reasons.len() == 2).then_some(())
    })
    .await;
    assert!(reasons[&nobody].contains("refused"), "{reasons:?}");
    let hung_up =
        "the peer closed the connection during the handshake, it may not have the torrent";
    assert_eq!(reasons[&stranger.address()], hung_up);
    leech.shut_down().await;
    stranger.shut_down().await;
}
