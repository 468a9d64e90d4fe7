//! The UDP side of the server.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::swarms::{Swarms, of_family};
use super::{lock, now};
use crate::announce::{AnnounceReply, Family};
use crate::udp::{ConnectionId, Request, Response};

/// The longest request that is read: an announce with a URL of some hundred bytes, or a full scrape.
const MAX_REQUEST_LENGTH: usize = 2048;

/// Answers stay below this, so that no network has to cut them.
const MAX_RESPONSE_LENGTH: usize = 1400;

/// Connection ids are made for periods of this length, and hold during the next one: a minute at least, as BEP 15 promises clients.
const PERIOD: Duration = Duration::from_secs(60);

/// How long to rest after receiving failed.
const RECEIVE_ERROR_PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn serve(socket: UdpSocket, swarms: Arc<Mutex<Swarms>>) {
    let responder = Responder {
        swarms,
        key: RandomState::new(),
        epoch: now(),
    };
    let mut buffer = vec![0; MAX_REQUEST_LENGTH];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(RECEIVE_ERROR_PAUSE).await;
            continue;
        };
        // What is no request gets no answer: nobody can bounce traffic off us with it.
        if let Ok(request) = Request::decode(&buffer[..length]) {
            let response = responder.answer(now(), from, request);
            let datagram = response.encode(Family::of(from.ip()));
            // A client that gets no answer asks again.
            let _lost = socket.send_to(&datagram, from).await;
        }
    }
}

#[derive(Debug)]
struct Responder {
    swarms: Arc<Mutex<Swarms>>,
    key: RandomState,
    epoch: Instant,
}

impl Responder {
    fn answer(&self, now: Instant, from: SocketAddr, request: Request) -> Response {
        match request {
            Request::Connect { transaction } => {
                let connection = self.connection_id(from.ip(), self.period(now));
                Response::Connect {
                    transaction,
                    connection,
                }
            }
            Request::Announce {
                connection,
                transaction,
                ..
            }
            | Request::Scrape {
                connection,
                transaction,
                ..
            } if !self.is_valid(now, from.ip(), connection) => {
                let message = "the connection id has expired".to_owned();
                Response::Error {
                    transaction,
                    message,
                }
            }
            Request::Announce {
                transaction,
                announce,
                ..
            } => {
                let answer = lock(&self.swarms).announce(now, from.ip(), &announce);
                match answer {
                    Ok(reply) => Response::Announce {
                        transaction,
                        reply: fit(reply, from),
                    },
                    Err(failure) => Response::Error {
                        transaction,
                        message: failure.reason,
                    },
                }
            }
            Request::Scrape {
                transaction,
                info_hashes,
                ..
            } => {
                let mut swarms = lock(&self.swarms);
                let counts = info_hashes.iter().map(|hash| swarms.scrape(now, *hash));
                Response::Scrape {
                    transaction,
                    swarms: counts.collect(),
                }
            }
        }
    }

    fn period(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs() / PERIOD.as_secs()
    }

    /// Nothing is remembered for it: a keyed hash of who asks and when.
    fn connection_id(&self, ip: IpAddr, period: u64) -> ConnectionId {
        ConnectionId(self.key.hash_one((ip, period)))
    }

    fn is_valid(&self, now: Instant, ip: IpAddr, id: ConnectionId) -> bool {
        let period = self.period(now);
        id == self.connection_id(ip, period)
            || (period > 0 && id == self.connection_id(ip, period - 1))
    }
}

/// Keeps the peers that the datagram has room for.
fn fit(mut reply: AnnounceReply, to: SocketAddr) -> AnnounceReply {
    let family = Family::of(to.ip());
    let entry_length = match family {
        Family::V4 => 6,
        Family::V6 => 18,
    };
    let room = (MAX_RESPONSE_LENGTH - 20) / entry_length;
    reply.peers = of_family(&reply.peers, family)
        .copied()
        .take(room)
        .collect();
    reply
}
