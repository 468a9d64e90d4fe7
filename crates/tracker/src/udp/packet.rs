//! The packets: four of ours, four of the tracker's.

use std::time::Duration;

use rarest_metainfo::{InfoHash, PeerId};

use super::options::{OptionsError, UrlData};
use crate::announce::{Announce, AnnounceReply, Event, Family, readable};
use crate::compact::{decode_peers, encode_peer};
use crate::scrape::{MAX_HASHES_PER_SCRAPE, SwarmCounts};

/// What stands where later packets have the connection id.
const PROTOCOL_ID: u64 = 0x417_2710_1980;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// Tells answers apart; chosen at random for every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u32);

/// Given by the tracker, it proves in later requests that we receive at the address we send from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for a connection id.
    Connect {
        /// Repeated in the answer.
        transaction: TransactionId,
    },
    /// Announces us to one swarm.
    Announce {
        /// From the answer to [`Request::Connect`].
        connection: ConnectionId,
        /// Repeated in the answer.
        transaction: TransactionId,
        /// What is announced; there is no room for its `tracker_id`.
        announce: Announce,
        /// Path and query of the tracker's URL.
        url_data: UrlData,
    },
    /// Asks about swarms.
    Scrape {
        /// From the answer to [`Request::Connect`].
        connection: ConnectionId,
        /// Repeated in the answer.
        transaction: TransactionId,
        /// The swarms, at most [`MAX_HASHES_PER_SCRAPE`]; more are not encoded.
        info_hashes: Vec<InfoHash>,
    },
}

/// What a tracker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Answers [`Request::Connect`].
    Connect {
        /// From the request.
        transaction: TransactionId,
        /// For later requests, within a minute.
        connection: ConnectionId,
    },
    /// Answers [`Request::Announce`].
    Announce {
        /// From the request.
        transaction: TransactionId,
        /// Peers and counts.
        reply: AnnounceReply,
    },
    /// Answers [`Request::Scrape`].
    Scrape {
        /// From the request.
        transaction: TransactionId,
        /// One entry a swarm, in the order of the request.
        swarms: Vec<SwarmCounts>,
    },
    /// Refuses any request.
    Error {
        /// From the request.
        transaction: TransactionId,
        /// The tracker's words.
        message: String,
    },
}

/// Why a datagram is no packet of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Shorter than its action demands.
    #[error("the packet has {length} bytes, {needed} are needed")]
    TooShort {
        /// Its length in bytes.
        length: usize,
        /// The least length in bytes.
        needed: usize,
    },
    /// An action that does not exist.
    #[error("the packet has the unknown action {0}")]
    UnknownAction(u32),
    /// A connect request without the protocol's number.
    #[error("the connect request does not begin with the protocol's number")]
    WrongProtocol,
    /// An event that does not exist.
    #[error("the announce has the unknown event {0}")]
    UnknownEvent(u32),
    /// Malformed options.
    #[error(transparent)]
    Options(#[from] OptionsError),
}

/// Takes numbers and arrays from the front of a packet.
struct Fields<'a> {
    rest: &'a [u8],
    packet_length: usize,
}

impl<'a> Fields<'a> {
    fn new(packet: &'a [u8]) -> Self {
        Self {
            rest: packet,
            packet_length: packet.len(),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(PacketError::TooShort {
                length: self.packet_length,
                needed: self.packet_length - self.rest.len() + N,
            });
        };
        self.rest = rest;
        Ok(*head)
    }

    fn u16(&mut self) -> Result<u16, PacketError> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, PacketError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, PacketError> {
        self.take().map(u64::from_be_bytes)
    }
}

fn event_number(event: Event) -> u32 {
    match event {
        Event::Regular => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
    }
}

fn event_of(number: u32) -> Result<Event, PacketError> {
    Ok(match number {
        0 => Event::Regular,
        1 => Event::Completed,
        2 => Event::Started,
        3 => Event::Stopped,
        other => return Err(PacketError::UnknownEvent(other)),
    })
}

impl Request {
    /// The request as it stands in a datagram.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = Vec::with_capacity(128);
        match self {
            Self::Connect { transaction } => {
                packet.extend(PROTOCOL_ID.to_be_bytes());
                packet.extend(CONNECT.to_be_bytes());
                packet.extend(transaction.0.to_be_bytes());
            }
            Self::Announce {
                connection,
                transaction,
                announce,
                url_data,
            } => {
                packet.extend(connection.0.to_be_bytes());
                packet.extend(ANNOUNCE.to_be_bytes());
                packet.extend(transaction.0.to_be_bytes());
                packet.extend(announce.info_hash.as_bytes());
                packet.extend(announce.peer_id.as_bytes());
                packet.extend(announce.downloaded.to_be_bytes());
                packet.extend(announce.left.to_be_bytes());
                packet.extend(announce.uploaded.to_be_bytes());
                packet.extend(event_number(announce.event).to_be_bytes());
                // The tracker takes our address from the datagram; anything else could name a stranger.
                packet.extend([0; 4]);
                packet.extend(announce.key.to_be_bytes());
                let num_want = announce
                    .num_want
                    .map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX));
                packet.extend(num_want.to_be_bytes());
                packet.extend(announce.port.to_be_bytes());
                url_data.encode(&mut packet);
            }
            Self::Scrape {
                connection,
                transaction,
                info_hashes,
            } => {
                packet.extend(connection.0.to_be_bytes());
                packet.extend(SCRAPE.to_be_bytes());
                packet.extend(transaction.0.to_be_bytes());
                for info_hash in info_hashes.iter().take(MAX_HASHES_PER_SCRAPE) {
                    packet.extend(info_hash.as_bytes());
                }
            }
        }
        packet
    }

    /// Reads a datagram that a client sent.
    ///
    /// Of a scrape, hashes behind the first [`MAX_HASHES_PER_SCRAPE`] and a part of a hash at its end are ignored.
    ///
    /// # Errors
    /// [`PacketError`] when it is no request.
    pub fn decode(datagram: &[u8]) -> Result<Self, PacketError> {
        let mut fields = Fields::new(datagram);
        let first = fields.u64()?;
        let action = fields.u32()?;
        let transaction = TransactionId(fields.u32()?);
        let connection = ConnectionId(first);
        match action {
            CONNECT if first == PROTOCOL_ID => Ok(Self::Connect { transaction }),
            CONNECT => Err(PacketError::WrongProtocol),
            ANNOUNCE => Ok(Self::Announce {
                connection,
                transaction,
                announce: decode_announce(&mut fields)?,
                url_data: UrlData::decode(fields.rest)?,
            }),
            SCRAPE => {
                let (hashes, _) = fields.rest.as_chunks::<20>();
                let info_hashes = hashes
                    .iter()
                    .take(MAX_HASHES_PER_SCRAPE)
                    .map(|hash| InfoHash(*hash));
                Ok(Self::Scrape {
                    connection,
                    transaction,
                    info_hashes: info_hashes.collect(),
                })
            }
            other => Err(PacketError::UnknownAction(other)),
        }
    }
}

fn decode_announce(fields: &mut Fields<'_>) -> Result<Announce, PacketError> {
    let info_hash = InfoHash(fields.take()?);
    let peer_id = PeerId(fields.take()?);
    let downloaded = fields.u64()?;
    let left = fields.u64()?;
    let uploaded = fields.u64()?;
    let event = event_of(fields.u32()?)?;
    // The address that the client claims; who sent the datagram is what counts.
    let _claimed_ip = fields.u32()?;
    let key = fields.u32()?;
    let num_want = i32::from_be_bytes(fields.take()?);
    let port = fields.u16()?;
    Ok(Announce {
        info_hash,
        peer_id,
        port,
        uploaded,
        downloaded,
        left,
        event,
        key,
        num_want: u32::try_from(num_want).ok(),
        tracker_id: None,
    })
}

impl Response {
    /// The answer as it stands in a datagram. Peers of the other family than `family` are left out, and so is what the protocol has no room for.
    #[must_use]
    pub fn encode(&self, family: Family) -> Vec<u8> {
        let mut packet = Vec::with_capacity(64);
        match self {
            Self::Connect {
                transaction,
                connection,
            } => {
                packet.extend(CONNECT.to_be_bytes());
                packet.extend(transaction.0.to_be_bytes());
                packet.extend(connection.0.to_be_bytes());
            }
            Self::Announce { transaction, reply } => {
                packet.extend(ANNOUNCE.to_be_bytes());
                packet.extend(transaction.0.to_be_bytes());
                let interval_secs = reply.interval.map_or(0, |interval| interval.as_secs());
                packet.extend(
                    u32::try_from(interval_secs)
                        .unwrap_or(u32::MAX)
                        .to_be_bytes(),
                );
                packet.extend(reply.leechers.unwrap_or(0).to_be_bytes());
                packet.extend(reply.seeders.unwrap_or(0).to_be_bytes());
                for peer in &reply.peers {
                    encode_peer(peer.address, family, &mut packet);
                }
            }
            Self::Scrape {
                transaction,
                swarms,
            } => {
                packet.extend(SCRAPE.to_be_bytes());
                packet.extend(transaction.0.to_be_bytes());
                for swarm in swarms {
                    for count in [swarm.seeders, swarm.downloads, swarm.leechers] {
                        packet.extend(count.unwrap_or(0).to_be_bytes());
                    }
                }
            }
            Self::Error {
                transaction,
                message,
            } => {
                packet.extend(ERROR.to_be_bytes());
                packet.extend(transaction.0.to_be_bytes());
                packet.extend(message.as_bytes());
            }
        }
        packet
    }

    /// Reads a datagram that a tracker sent; `family` is the one that the datagram travelled over and says how long a peer is.
    ///
    /// Packets may be longer than their action demands: a part of a peer or swarm at the end is ignored.
    ///
    /// # Errors
    /// [`PacketError`] when it is no response.
    pub fn decode(datagram: &[u8], family: Family) -> Result<Self, PacketError> {
        let mut fields = Fields::new(datagram);
        let action = fields.u32()?;
        let transaction = TransactionId(fields.u32()?);
        Ok(match action {
            CONNECT => Self::Connect {
                transaction,
                connection: ConnectionId(fields.u64()?),
            },
            ANNOUNCE => {
                let interval_secs = fields.u32()?;
                let leechers = fields.u32()?;
                let seeders = fields.u32()?;
                Self::Announce {
                    transaction,
                    reply: AnnounceReply {
                        interval: (interval_secs > 0)
                            .then(|| Duration::from_secs(interval_secs.into())),
                        leechers: Some(leechers),
                        seeders: Some(seeders),
                        peers: decode_peers(fields.rest, family),
                        ..AnnounceReply::default()
                    },
                }
            }
            SCRAPE => {
                let (entries, _) = fields.rest.as_chunks::<12>();
                let swarms = entries
                    .iter()
                    .take(MAX_HASHES_PER_SCRAPE)
                    .map(decode_counts);
                Self::Scrape {
                    transaction,
                    swarms: swarms.collect::<Result<_, _>>()?,
                }
            }
            ERROR => Self::Error {
                transaction,
                message: readable(fields.rest),
            },
            other => return Err(PacketError::UnknownAction(other)),
        })
    }

    /// The request that this answers.
    #[must_use]
    pub fn transaction(&self) -> TransactionId {
        match *self {
            Self::Connect { transaction, .. }
            | Self::Announce { transaction, .. }
            | Self::Scrape { transaction, .. }
            | Self::Error { transaction, .. } => transaction,
        }
    }
}

fn decode_counts(entry: &[u8; 12]) -> Result<SwarmCounts, PacketError> {
    let mut fields = Fields::new(entry);
    Ok(SwarmCounts {
        seeders: Some(fields.u32()?),
        downloads: Some(fields.u32()?),
        leechers: Some(fields.u32()?),
        downloaders: None,
    })
}
