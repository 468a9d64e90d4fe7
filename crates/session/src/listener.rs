//! Peers that dial us: accepted within limits, asked what they came for, and shown to the torrent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::handshaking::{self, Arrival};
use crate::session::Shared;
use crate::torrent_task::Mail;

/// How long to wait when the system has no descriptor left. Trying again at once would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// Accepts peers until the session ends.
///
/// While too many have not shown their handshake, nobody is accepted: the next ones wait in the queue of the system, where they cost us
/// nothing.
pub(crate) async fn accept_peers(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let next = async {
            let half_open = Arc::clone(&shared.half_open_in).acquire_owned().await;
            (half_open, listener.accept().await)
        };
        let (half_open, accepted) = tokio::select! {
            next = next => next,
            () = shared.stop.cancelled() => return,
        };
        // The semaphores of a session are never closed.
        let Ok(half_open) = half_open else { return };
        match accepted {
            Ok((stream, address)) => accept(&shared, stream, address, half_open),
            Err(error) => {
                tracing::debug!(%error, "cannot accept a peer");
                tokio::select! {
                    () = tokio::time::sleep(ACCEPT_RETRY) => {}
                    () = shared.stop.cancelled() => return,
                }
            }
        }
    }
}

/// A peer that finds no room is closed without a word: it will try others.
fn accept(
    shared: &Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    half_open: OwnedSemaphorePermit,
) {
    let Ok(permit) = Arc::clone(&shared.connections).try_acquire_owned() else {
        tracing::debug!(%address, "there are as many connections as allowed");
        return;
    };
    let shared = Arc::clone(shared);
    shared.tasks.clone().spawn(async move {
        let greeted = tokio::select! {
            greeted = handshaking::incoming(&shared, stream, address, permit) => greeted,
            () = shared.stop.cancelled() => return,
        };
        drop(half_open);
        match greeted {
            Ok(arrival) => introduce(&shared, arrival),
            Err(error) => tracing::debug!(%address, %error, "an incoming connection failed"),
        }
    });
}

/// Shows the peer to the torrent it came for. One that we do not have is closed (BEP 3).
fn introduce(shared: &Arc<Shared>, arrival: Arrival) {
    let swarm = arrival.handshake.info_hash;
    match shared.registry.of_swarm(swarm) {
        Some(entry) => {
            // A torrent that was just removed closes the connection by dropping it.
            let _ = entry.send(shared, Mail::Arrived(Box::new(arrival)));
        }
        None => tracing::debug!(%swarm, "a peer came for a torrent that we do not have"),
    }
}
