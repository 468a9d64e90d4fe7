//! Peers that dial us: accepted within limits, asked what they came for, and shown to the torrent.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::handshaking::{self, Arrival};
use crate::session::Shared;
use crate::torrent_task::Mail;

/// How long to wait when the system has no descriptor left. Trying again at once would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// Connections of one address that may not have shown their handshake at a time: a household behind it has a few clients, and whoever opens
/// many and says nothing is not to keep all others waiting.
const MAX_STRANGERS_PER_ADDRESS: usize = 8;

/// The addresses behind the connections that have not shown their handshake. There are as many as [`Shared::half_open_in`] lets in.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<HashMap<IpAddr, usize>>);

/// Counts one connection of an address until it is dropped.
#[derive(Debug)]
struct Seat {
    strangers: Arc<Strangers>,
    address: IpAddr,
}

impl Strangers {
    /// `None` when the address has too many. Our own machine is no stranger.
    fn seat(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = household(address);
        let mut seats = self.lock();
        let taken = seats.entry(address).or_default();
        if *taken >= MAX_STRANGERS_PER_ADDRESS && !address.is_loopback() {
            return None;
        }
        *taken += 1;
        let strangers = Arc::clone(self);
        Some(Seat { strangers, address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.strangers.lock();
        if let Entry::Occupied(mut taken) = seats.entry(self.address) {
            *taken.get_mut() -= 1;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
    }
}

/// What one customer has: an address of IPv4, or the 2^64 of a network of IPv6 (RFC 4291, 2.5.1).
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64))
        }
        ip => ip,
    }
}

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
    let Some(seat) = shared.strangers.seat(address.ip()) else {
        tracing::debug!(%address, "too many connections of one address show no handshake");
        return;
    };
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
        drop((half_open, seat));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_keep_the_others_waiting() {
        let strangers = Arc::<Strangers>::default();
        let seat = |address: &str| strangers.seat(address.parse().unwrap());
        let mut seats: Vec<_> = (0..MAX_STRANGERS_PER_ADDRESS)
            .map(|_| seat("192.0.2.1").unwrap())
            .collect();
        assert!(seat("192.0.2.1").is_none());
        assert!(seat("::ffff:192.0.2.1").is_none());
        assert!(seat("192.0.2.2").is_some());
        seats.pop();
        assert!(seat("192.0.2.1").is_some());
        drop(seats);
        assert!(strangers.lock().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address_and_our_own_machine_as_none() {
        let strangers = Arc::<Strangers>::default();
        let seats = |network: &str| {
            let addresses = (0..50).map(|host| format!("{network}{host:x}"));
            let seats: Vec<_> = addresses
                .filter_map(|address| strangers.seat(address.parse().unwrap()))
                .collect();
            seats.len()
        };
        assert_eq!(seats("2001:db8::"), MAX_STRANGERS_PER_ADDRESS);
        let ours: Vec<_> = (0..50)
            .filter_map(|_| strangers.seat(IpAddr::V6(Ipv6Addr::LOCALHOST)))
            .collect();
        assert_eq!(ours.len(), 50);
    }
}
