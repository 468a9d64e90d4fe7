//! From a fresh socket to a peer that has said who it is and what it came for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use rarest_peer_wire::Handshake;
use rarest_peer_wire::connection::{CloseReason, Connection, SwarmId};
use rarest_swarm::Direction;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::peer_task::{Input, Socket};
use crate::session::{Shared, now};

/// A connection on which the peer has shown its handshake.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) handshake: Handshake,
    pub(crate) direction: Direction,
    pub(crate) socket: Socket,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the network said: {0}")]
    Network(#[from] io::Error),
    #[error("the peer did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the peer closed the connection during the handshake, it may not have the torrent")]
    HungUp,
    #[error(transparent)]
    Closed(CloseReason),
}

/// Dials a peer and exchanges handshakes.
pub(crate) async fn outgoing(
    shared: &Arc<Shared>,
    address: SocketAddr,
    swarm: SwarmId,
) -> Result<Arrival, Failure> {
    // The first is held until the handshakes are done.
    let (_half_open, permit) = acquire_both(&shared.half_open_out, &shared.connections).await?;
    let timeout = shared.config.connect_timeout;
    let stream = tokio::time::timeout(timeout, TcpStream::connect(address))
        .await
        .map_err(|_| Failure::TimedOut(timeout))??;
    let connection =
        Connection::outgoing(Arc::clone(&shared.connection_config), address, swarm, now());
    let socket = Socket::new(stream, address, connection, permit)?;
    greet(shared, socket, Direction::Outgoing).await
}

/// Reads the handshake of a peer that dialled us. Ours is sent once the torrent agreed.
pub(crate) async fn incoming(
    shared: &Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> Result<Arrival, Failure> {
    let connection = Connection::incoming(Arc::clone(&shared.connection_config), address, now());
    let socket = Socket::new(stream, address, connection, permit)?;
    greet(shared, socket, Direction::Incoming).await
}

/// Waits for a place among the connections. There is one as soon as another ends.
async fn acquire(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Failure> {
    let place = Arc::clone(places).acquire_owned().await;
    // The semaphores of a session are never closed.
    place.map_err(|_| Failure::Closed(CloseReason::Local))
}

/// Waits for two places, and holds neither while it waits for the other: dials that find no room among the connections must not keep
/// others from dialling when there is, nor dials that wait for their turn keep peers out.
async fn acquire_both(
    first: &Arc<Semaphore>,
    second: &Arc<Semaphore>,
) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Failure> {
    loop {
        let place = acquire(first).await?;
        if let Ok(other) = Arc::clone(second).try_acquire_owned() {
            return Ok((place, other));
        }
        drop(place);
        let other = acquire(second).await?;
        if let Ok(place) = Arc::clone(first).try_acquire_owned() {
            return Ok((place, other));
        }
    }
}

async fn greet(
    shared: &Shared,
    mut socket: Socket,
    direction: Direction,
) -> Result<Arrival, Failure> {
    let timeout = shared.config.handshake_timeout;
    let handshake = tokio::time::timeout(timeout, socket.remote_handshake(shared))
        .await
        .map_err(|_| Failure::TimedOut(timeout))??;
    Ok(Arrival {
        handshake,
        direction,
        socket,
    })
}

impl Socket {
    fn new(
        stream: TcpStream,
        address: SocketAddr,
        connection: Connection,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        // Requests are small and must not wait for more to send.
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            address,
            connection,
            input: Input::new(),
            permit,
        })
    }

    async fn remote_handshake(&mut self, shared: &Shared) -> Result<Handshake, Failure> {
        loop {
            while self.connection.has_output() {
                self.stream.writable().await?;
                match self.stream.try_write(self.connection.output().chunk()) {
                    Ok(written) => self.connection.output().advance(written),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(handshake) = self.connection.remote_handshake() {
                return Ok(*handshake);
            }
            self.stream.readable().await?;
            match self.input.read(&self.stream, usize::MAX, &shared.buffers) {
                Ok(0) => return Err(Failure::HungUp),
                Ok(_) => self
                    .connection
                    .handle_input(now(), self.input.bytes())
                    .map_err(Failure::Closed)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It did not wait for the end of our handshake.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Failure::HungUp);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_one_place_does_not_hold_the_other() {
        let [first, second] = [0, 1].map(|_| Arc::new(Semaphore::new(1)));
        let taken = acquire(&second).await.unwrap();
        let mut both = std::pin::pin!(acquire_both(&first, &second));
        assert!(so_far(&mut both).await.is_none());
        let other = Arc::clone(&first).try_acquire_owned().unwrap();
        drop(taken);
        assert!(so_far(&mut both).await.is_none());
        assert_eq!(second.available_permits(), 1);
        drop(other);
        drop(both.await.unwrap());
    }

    /// What a future has come to, without waiting for it.
    async fn so_far<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = std::future::ready(()) => None,
        }
    }
}
