//! The sockets: one for each family, in its group, for all torrents.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rarest_metainfo::InfoHash;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::limits::MAX_PACKET_LENGTH;
use crate::{Announce, Cookie, Group};

/// How to take part.
#[derive(Clone, Debug)]
pub struct Config {
    /// The TCP port at which peers are listened for.
    pub port: u16,
    /// Addresses of this machine: packets go out and come in over the networks to which they belong. Unspecified ones leave the choice to the
    /// system, of each family one.
    pub interfaces: Vec<IpAddr>,
    /// By what our own packets are known when they come back.
    pub cookie: Cookie,
    /// The UDP port of the groups. [`Group::PORT`], but for tests.
    pub group_port: u16,
}

/// A peer in the same network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The swarms that it is in.
    pub info_hashes: Vec<InfoHash>,
}

/// The sockets of both groups, as far as the machine has them.
#[derive(Debug)]
pub struct Sockets {
    config: Config,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
}

impl Sockets {
    /// Joins the groups. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Why there is none, where the machine has no multicast over any of the interfaces.
    pub fn join(config: Config) -> io::Result<Self> {
        let v6 = join_v6(&config).ok();
        let v4 = match join_v4(&config) {
            Err(error) if v6.is_none() => return Err(error),
            joined => joined.ok(),
        };
        Ok(Self { config, v4, v6 })
    }

    /// Tells the network of torrents.
    ///
    /// # Errors
    /// When it could not be told over any family.
    pub async fn announce(&self, info_hashes: Vec<InfoHash>) -> io::Result<()> {
        let announce = Announce {
            port: self.config.port,
            info_hashes,
            cookie: Some(self.config.cookie.clone()),
        };
        let mut outcome: io::Result<()> = Err(io::ErrorKind::AddrNotAvailable.into());
        for (socket, group) in [(&self.v4, Group::V4), (&self.v6, Group::V6)] {
            let Some(socket) = socket else { continue };
            let mut to = group.addr();
            to.set_port(self.config.group_port);
            let sent = socket.send_to(&announce.encode(to), to).await;
            // One family is enough.
            outcome = outcome.or(sent.map(|_| ()));
        }
        outcome
    }

    /// Waits for the next packet. `None` is one that tells nothing of use: our own, or no announce.
    ///
    /// # Errors
    /// When a socket fails.
    pub async fn receive(&self) -> io::Result<Option<Found>> {
        // Longer packets are cut, and are no announces then.
        let (mut v4, mut v6) = ([0; MAX_PACKET_LENGTH + 1], [0; MAX_PACKET_LENGTH + 1]);
        let (packet, from) = tokio::select! {
            received = receive_from(self.v4.as_ref(), &mut v4) => {
                let (length, from) = received?;
                (&v4[..length], from)
            }
            received = receive_from(self.v6.as_ref(), &mut v6) => {
                let (length, from) = received?;
                (&v6[..length], from)
            }
        };
        let Ok(announce) = Announce::decode(packet) else {
            return Ok(None);
        };
        if announce.cookie.as_ref() == Some(&self.config.cookie) {
            return Ok(None);
        }
        let mut addr = from;
        addr.set_port(announce.port);
        let info_hashes = announce.info_hashes;
        Ok(Some(Found { addr, info_hashes }))
    }
}

async fn receive_from(
    socket: Option<&UdpSocket>,
    buffer: &mut [u8],
) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

fn open(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    // Every client of the machine is in the group.
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// At the address of the group nothing comes in that was sent to this machine alone, by somebody who need not be near. Not every system can.
fn bind_address(group: IpAddr, any: IpAddr) -> IpAddr {
    if cfg!(unix) { group } else { any }
}

fn join_v4(config: &Config) -> io::Result<UdpSocket> {
    let interfaces = config.interfaces.iter().filter_map(|ip| match ip {
        IpAddr::V4(ip) => Some(*ip),
        IpAddr::V6(_) => None,
    });
    let socket = open(Domain::IPV4)?;
    let at = bind_address(Group::IPV4.into(), Ipv4Addr::UNSPECIFIED.into());
    socket.bind(&SocketAddr::new(at, config.group_port).into())?;
    let mut joined: io::Result<()> = Err(io::ErrorKind::AddrNotAvailable.into());
    for interface in interfaces {
        joined = socket
            .join_multicast_v4(&Group::IPV4, &interface)
            .and_then(|()| match interface.is_unspecified() {
                true => Ok(()),
                false => socket.set_multicast_if_v4(&interface),
            })
            .or(joined);
    }
    joined?;
    // Other clients of this machine are peers, too.
    socket.set_multicast_loop_v4(true)?;
    UdpSocket::from_std(socket.into())
}

fn join_v6(config: &Config) -> io::Result<UdpSocket> {
    if !config.interfaces.iter().any(IpAddr::is_ipv6) {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    }
    let socket = open(Domain::IPV6)?;
    socket.set_only_v6(true)?;
    let at = bind_address(Group::IPV6.into(), Ipv6Addr::UNSPECIFIED.into());
    socket.bind(&SocketAddr::new(at, config.group_port).into())?;
    // By number, interfaces are the system's choice: which one has an address cannot be asked without unsafe code.
    socket.join_multicast_v6(&Group::IPV6, 0)?;
    socket.set_multicast_loop_v6(true)?;
    UdpSocket::from_std(socket.into())
}
