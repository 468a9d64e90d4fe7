//! From a fresh socket to a peer that has said who it is and what it came for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rarest_metainfo::InfoHash;
use rarest_peer_wire::Handshake;
use rarest_peer_wire::connection::{CloseReason, Connection, ProtocolViolation, SwarmId};
use rarest_peer_wire::mse::{Initiator, MseError, Opening, Responder, Secrets};
use rarest_swarm::Direction;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::EncryptionPolicy;
use crate::peer_task::{Input, PeerStream, Socket};
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
    #[error("the handshake of the encryption failed: {0}")]
    Encryption(#[from] MseError),
    #[error("the peer does not encrypt")]
    NotEncrypted,
    #[error(transparent)]
    Closed(CloseReason),
}

impl Failure {
    /// Whether a peer that answers when it is dialled the other way would end a handshake so.
    fn may_be_a_misunderstanding(&self) -> bool {
        match self {
            Self::Network(_) | Self::HungUp | Self::Encryption(_) => true,
            Self::Closed(CloseReason::Violation(violation)) => {
                matches!(violation, ProtocolViolation::Handshake(_))
            }
            Self::TimedOut(_) | Self::NotEncrypted | Self::Closed(_) => false,
        }
    }
}

/// Dials a peer and exchanges handshakes: encrypted or in the clear, and if the peer does not understand that, the other way.
pub(crate) async fn outgoing(
    shared: &Arc<Shared>,
    address: SocketAddr,
    swarm: SwarmId,
) -> Result<Arrival, Failure> {
    // The first is held until the handshakes are done.
    let (_half_open, permit) = acquire_both(&shared.half_open_out, &shared.connections).await?;
    let openings = &shared.openings;
    let mut opening = openings.first(address);
    let mut second = openings.second(opening);
    loop {
        let stream = connect(shared, address).await?;
        let config = Arc::clone(&shared.connection_config);
        let connection = Connection::outgoing(config, address, swarm, now());
        let mut greeting = Greeting::new(shared, stream, connection)?;
        let failure = match in_time(shared, greeting.dialled(opening, swarm.info_hash)).await {
            Ok(handshake) => {
                openings.succeeded(address, opening);
                let socket = greeting.into_socket(address, permit);
                return Ok(Arrival {
                    handshake,
                    direction: Direction::Outgoing,
                    socket,
                });
            }
            Err(failure) => failure,
        };
        match second.take() {
            Some(second) if failure.may_be_a_misunderstanding() => opening = second,
            _ => {
                // Most that are silent stay so, and there are many: they are not dialled again at once.
                if let Failure::TimedOut(_) = failure {
                    openings.unanswered(address, opening);
                }
                return Err(failure);
            }
        }
    }
}

/// Reads the handshake of a peer that dialled us. Ours is sent once the torrent agreed.
pub(crate) async fn incoming(
    shared: &Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> Result<Arrival, Failure> {
    let connection = Connection::incoming(Arc::clone(&shared.connection_config), address, now());
    let mut greeting = Greeting::new(shared, stream, connection)?;
    let handshake = in_time(shared, greeting.accepted()).await?;
    Ok(Arrival {
        handshake,
        direction: Direction::Incoming,
        socket: greeting.into_socket(address, permit),
    })
}

async fn connect(shared: &Shared, address: SocketAddr) -> Result<TcpStream, Failure> {
    let timeout = shared.config.connect_timeout;
    let stream = tokio::time::timeout(timeout, TcpStream::connect(address)).await;
    Ok(stream.map_err(|_| Failure::TimedOut(timeout))??)
}

async fn in_time<T>(
    shared: &Shared,
    greeting: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let timeout = shared.config.handshake_timeout;
    let greeted = tokio::time::timeout(timeout, greeting).await;
    greeted.map_err(|_| Failure::TimedOut(timeout))?
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

/// A connection on which handshakes are exchanged.
struct Greeting<'a> {
    shared: &'a Shared,
    stream: PeerStream,
    connection: Connection,
    input: Input,
}

impl<'a> Greeting<'a> {
    fn new(shared: &'a Shared, stream: TcpStream, connection: Connection) -> io::Result<Self> {
        Ok(Self {
            shared,
            stream: PeerStream::new(stream)?,
            connection,
            input: Input::new(),
        })
    }

    fn into_socket(self, address: SocketAddr, permit: OwnedSemaphorePermit) -> Socket {
        Socket {
            stream: self.stream,
            address,
            connection: self.connection,
            input: self.input,
            permit,
        }
    }

    /// We dialled for a torrent.
    async fn dialled(&mut self, opening: Opening, skey: InfoHash) -> Result<Handshake, Failure> {
        if opening == Opening::Encrypted {
            self.offer_encryption(skey).await?;
        }
        self.remote_handshake().await
    }

    /// The peer dialled. It decides whether it speaks encrypted, and is heard if that is allowed.
    async fn accepted(&mut self) -> Result<Handshake, Failure> {
        let policy = self.shared.config.encryption.incoming;
        if policy != EncryptionPolicy::Disable {
            match self.remote_opening().await? {
                Opening::Encrypted => self.answer_encryption().await?,
                Opening::Plaintext if policy == EncryptionPolicy::Require => {
                    return Err(Failure::NotEncrypted);
                }
                Opening::Plaintext => {}
            }
        }
        self.remote_handshake().await
    }

    async fn remote_opening(&mut self) -> Result<Opening, Failure> {
        loop {
            if let Some(opening) = Opening::of(self.input.bytes()) {
                return Ok(opening);
            }
            self.read().await?;
        }
    }

    async fn offer_encryption(&mut self, skey: InfoHash) -> Result<(), Failure> {
        let methods = self.shared.config.encryption.methods;
        let secrets = Secrets::random(&mut rand::rng());
        let mut handshake = Initiator::new(skey, methods, secrets, self.connection.output());
        loop {
            self.write_raw(handshake.output()).await?;
            self.read().await?;
            let established = handshake.handle_input(self.input.bytes())?;
            if let Some(established) = established {
                self.write_raw(handshake.output()).await?;
                self.stream.go_on(established);
                return Ok(());
            }
        }
    }

    /// Computes for a tenth of a millisecond, at most once for each connection that shows no handshake yet.
    async fn answer_encryption(&mut self) -> Result<(), Failure> {
        let shared = self.shared;
        let secrets = Secrets::random(&mut rand::rng());
        let mut handshake = Responder::new(shared.config.encryption.methods, secrets);
        loop {
            let find = |digest| shared.registry.of_digest(digest);
            let established = handshake.handle_input(self.input.bytes(), find)?;
            self.write_raw(handshake.output()).await?;
            if let Some(established) = established {
                self.stream.go_on(established);
                return Ok(());
            }
            self.read().await?;
        }
    }

    async fn remote_handshake(&mut self) -> Result<Handshake, Failure> {
        loop {
            // Some of it may have come with the handshake of the encryption.
            self.connection
                .handle_input(now(), self.input.bytes())
                .map_err(Failure::Closed)?;
            while self.connection.has_output() {
                self.stream.ready(Interest::WRITABLE).await?;
                ignore_not_ready(self.stream.write(self.connection.output()))?;
            }
            if let Some(handshake) = self.connection.remote_handshake() {
                return Ok(*handshake);
            }
            self.read().await?;
        }
    }

    async fn write_raw(&mut self, bytes: &mut BytesMut) -> Result<(), Failure> {
        while bytes.has_remaining() {
            self.stream.ready(Interest::WRITABLE).await?;
            ignore_not_ready(self.stream.write_raw(bytes))?;
        }
        Ok(())
    }

    /// Waits for at least one byte.
    async fn read(&mut self) -> Result<(), Failure> {
        loop {
            self.stream.ready(Interest::READABLE).await?;
            let read = self
                .stream
                .read(&mut self.input, usize::MAX, &self.shared.buffers);
            match read {
                Ok(0) => return Err(Failure::HungUp),
                Ok(_) => return Ok(()),
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

/// A socket that was said to be ready may turn out not to be.
fn ignore_not_ready(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        written => written,
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
